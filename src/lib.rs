//! A metrics server: one thread, one event loop, numbers with a timestamp under a key.
//!
//! Clients put points (`put palm.cpu 23.7 1150864247`) and get them back (`get palm.cpu`,
//! `get *`) over a text protocol on TCP or Unix sockets. This is the whole server as a library;
//! the program of the same name is a command line around it.
//!
//! # Use
//!
//! [`run_server`] is the whole server as one call. To choose limits, learn the port or stop the
//! server, bind a [`Server`] from a [`Config`]. [`Hooks`] hand in sockets, and say how a start goes and
//! that the loop goes round. A [`Store`] can be used alone.
//!
//! The library installs no logger, handles no signal, never exits the process, and spawns no thread
//! but that of the journal ([`Config::data`]), and one for each receiver of remote write.
//!
//! Without default features, it leaves out what only the program needs. The features `graphite`, `http`
//! and `remote-write` bring their protocols back, and `tls` adds `https` for remote write.
//!
//! # The house
//!
//! The path of a byte, one file per step:
//!
//! ```text
//! socket ─ server ─ connection ─ line buffer ─ session ─ request ─ execute ─ store
//! socket ─ server ─ connection ─────────────── session ─ response ────┘
//!                   turn: execute all ─ commit ─ reply to all
//!                                         └─ journal ─ disk ─ remote write ─ receivers
//! ```
//!
//! | room | holds | does not know |
//! |---|---|---|
//! | `main.rs`, `cli.rs`, `logger.rs`, `service.rs` | arguments and environment to [`Config`], signals, the exit status, the log, the service manager | connections, the store |
//! | `config.rs`, `error.rs` | every option and limit; why a server cannot start | |
//! | `counters.rs`, `logging.rs` | what is counted, and the handle to it; what is logged | what it means |
//! | `build.rs` | before the compiler: the page is packed, the linker told what to leave out | |
//! | `memory.rs` | whether there is room for more, and what goes if there is not | sockets, connections |
//! | `retention.rs` | what is too old, by a clock that may jump | the store |
//! | `key.rs`, `value.rs`, `decimal.rs`, `calendar.rs` | the name of a series; a value as it is put; decimals and doubles; dates of times | |
//! | `server/mod.rs`, `server/event_loop.rs` | what is bound; poll, slab, the three steps of a turn, cleaning up, stopping | the grammar, how points are kept |
//! | `server/client.rs`, `shared.rs` | a connection as the loop has it; what all connections share, and how much they may keep | the grammar |
//! | `server/event_loop/replies.rs` | how what a turn has put is committed, and when its replies leave | the grammar, how points are kept |
//! | `server/event_loop/closing.rs` | which connections the loop closes | the grammar, how points are kept |
//! | `server/ready_queue.rs`, `turn.rs` | who gets a turn, and how much may be done in it | |
//! | `server/upkeep.rs`, `server/rarely.rs` | when old points go, and when there is room again; what is logged at most now and then | connections |
//! | `server/commit.rs`, `waiting.rs`, `silence.rs` | what makes the puts of a turn durable, before they are answered; the replies that wait for it; what notices that it takes very long | connections |
//! | `server/timeouts.rs` | when a connection has been still for too long | connections |
//! | `server/acceptor.rs`, `server/stop.rs` | who is let in, and what happens when there is no room; the stop handle | connections |
//! | `server/listener.rs`, `server/socket_file.rs` | a socket that listens, of TCP or Unix; the file of a Unix socket | what is spoken |
//! | `server/not_ready.rs` | answers HTTP while the points are read from disk | the store |
//! | `server/hooks.rs` | what an embedding program hands in and is told | |
//! | `server/connection.rs` | one connection as transport, over any `Read + Write`: bytes in, and bytes out until written | mio, what the bytes mean |
//! | `server/line_buffer.rs` | bytes in until a newline | requests |
//! | `session/` | for each protocol, what the bytes of one connection mean | sockets, how points are kept |
//! | `graphite.rs` | pure: a line of Graphite's plaintext protocol to a put | sockets, the inside of the store |
//! | `http/` | pure: HTTP from bytes and to bytes, for the server and for remote write | sockets, what is asked for |
//! | `web/` | what is answered under which path; the page; what is counted, for Prometheus | sockets, how bytes are framed |
//! | `query/render.rs`, `evaluate.rs`, `format.rs`, `json.rs` | `/render`: targets evaluated, and written piece by piece | sockets |
//! | `query/target.rs`, `arguments.rs`, `parameters.rs` | Graphite's language: from text to checked calls | the store |
//! | `query/functions/`, `regex.rs` | what each function makes of series | the store |
//! | `query/time.rs`, `interval.rs`, `window.rs` | the time that a query is about | the store |
//! | `query/series.rs`, `aggregation.rs`, `number.rs` | values at equal steps, how many become one, and numbers as Python prints them | the store |
//! | `query/text.rs` | searches in texts, compiled once | |
//! | `query/pattern.rs`, `budget.rs` | which keys a pattern stands for; what a request may take to read and to compare | the store |
//! | `query/find.rs`, `names.rs`, `recent.rs`, `listing.rs`, `walk.rs` | `/metrics/find` and its kin: a walk over all keys, the names that are found, and those found lately | points |
//! | `query/source.rs`, `steps.rs` | from the points of the store to values at steps | the language |
//! | `protocol/` | pure: a line to a request, points to reply bytes, numbers as Python reads and prints them | sockets, the inside of the store |
//! | `execute.rs`, `puts.rs` | requests × store → replies; puts, stored some at once | sockets |
//! | `journal/mod.rs`, `channel.rs`, `monitor.rs` | the loop's end of the journal, and what it and the journal thread tell each other | sockets, the protocol |
//! | `journal/writer.rs`, `checkpoint.rs` | the journal thread: frames and checkpoints to files | the loop |
//! | `journal/obsolete.rs` | the files that a checkpoint makes unnecessary, and their removal | the loop |
//! | `journal/placement.rs` | which core the journal thread runs on | frames, files |
//! | `journal/recovery.rs`, `files.rs` | the start: from files back to a store; their names | sockets, the protocol |
//! | `journal/file_system.rs` | the files of one folder, as a trait, and the real ones | what is in them |
//! | `journal/frame.rs` | payloads with checksums in a file; what is torn, and what is damaged | what the payloads mean |
//! | `journal/record.rs` | puts and removals to the payload of a frame, and back | files |
//! | `journal/replay.rs`, `file_places.rs` | from records back into a store; where the series of a file are | how frames are written |
//! | `journal/cursor.rs`, `marks.rs`, `follower.rs` | puts in their order from the journal's files; where these are; what a reader has done and still needs | receivers |
//! | `journal/position.rs`, `readers.rs`, `spool.rs` | where a reader is, on disk; how readers start; what they and the journal thread share | what puts mean |
//! | `remote_write/sender.rs`, `retry.rs`, `ages.rs` | what is sent next, what follows from the answer, how long to wait | sockets, files |
//! | `remote_write/labels.rs`, `batch.rs`, `snappy.rs` | pure: keys to labels, points to a compressed request | sockets, the journal |
//! | `remote_write/client.rs`, `socket.rs`, `tls.rs` | a request out and its answer in, by a deadline | points, the journal |
//! | `remote_write/url.rs`, `headers.rs`, `receiver.rs` | where a receiver is, what an operator adds to requests, what can be seen of it | sockets |
//! | `store/mod.rs`, `index.rs`, `places.rs`, `order.rs`, `series.rs` | the hash table from key to series, the series, and their order | the protocol, sockets, the clock |
//! | `store/removal.rs` | what is hidden and freed: below a floor, or the oldest | the clock, how much memory there is |
//! | `store/timeline.rs`, `head.rs`, `history.rs`, `block.rs` | the points of one series: all, newest, older, sealed | keys |
//! | `store/chunk.rs`, `packing.rs`, `run.rs` | the codec: up to 160 points in few bytes, and back | series |
//! | `store/snapshot.rs` | the points stored at one moment, and which snapshots are open | what changed |
//! | `store/image.rs` | all points as bytes, in pieces, and back | files |
//! | `store/notes.rs`, `extents.rs` | what changed since the open snapshots were taken, and the memory it takes | how points are packed |

#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[macro_use]
mod logging;

#[cfg(any(feature = "http", feature = "remote-write"))]
mod calendar;
mod config;
mod counters;
mod decimal;
mod error;
mod execute;
#[cfg(feature = "graphite")]
mod graphite;
#[cfg(any(feature = "http", feature = "remote-write"))]
mod http;
mod journal;
mod key;
mod memory;
mod protocol;
mod puts;
#[cfg(feature = "http")]
mod query;
#[cfg(feature = "remote-write")]
mod remote_write;
mod retention;
mod server;
mod session;
mod store;
mod turn;
mod value;
#[cfg(feature = "http")]
mod web;

#[cfg(feature = "remote-write")]
pub use config::RemoteWrite;
pub use config::{Config, Listen, Protocol, SyncPolicy, TimestampUnit, WhenFull};
pub use counters::{Counters, Counts};
pub use error::Error;
pub use key::Key;
pub use server::{Address, Event, Hooks, Progress, Server, StopHandle};
pub use store::{Point, Put, Run, Snapshot, SnapshotError, Store, StoreBytes};
pub use value::Value;

/// Single steps of the path of a byte, for benches and tests. Not part of the stable interface.
#[doc(hidden)]
pub mod internals {
    #[cfg(feature = "http")]
    pub use crate::calendar::push_time;
    pub use crate::execute::Executor;
    pub use crate::memory::Room;
    pub use crate::protocol::{NUMBER_ROOM_BYTES, float, integer, request};
    #[cfg(feature = "remote-write")]
    pub use crate::remote_write::{batch::Batch, labels::Labels, retry::Backoff};
    pub use crate::server::LineBuffer;
    pub use crate::turn::{Allowance, Environment, Turn};
}

/// Serves clients on `host` and `port`, with the default limits, until the process ends. Nothing
/// stops it earlier: no [`StopHandle`] is handed out.
///
/// ```no_run
/// metricd::run_server("127.0.0.1", 8888)?;
/// # Ok::<(), metricd::Error>(())
/// ```
///
/// # Errors
///
/// If the address cannot be listened on, or the system refuses to wait for events.
pub fn run_server(host: &str, port: u16) -> Result<(), Error> {
    // Brackets separate an IPv6 address from its port.
    let address = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    Server::bind(Config {
        listen: vec![address.into()],
        ..Config::default()
    })?
    .run()
    .map(drop)
}

// Compiles the README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
