//! Hands every point on to another engine, by Prometheus Remote-Write 1.0.
//!
//! ```text
//! journal ─ follower ─ batch ─ write request ─ compressed ─ client ─ receiver
//!    ▲                                                        │
//!    └──────────────── position ◀── 2xx ──────────────────────┘
//! ```
//!
//! Each receiver has a thread, and a position in the journal of its own. What the thread does next is
//! decided in [`sender`], which neither sleeps nor reads a clock; how a request goes out and its answer
//! comes in stands in [`client`].

pub mod batch;
pub mod client;
pub mod headers;
pub mod labels;
pub mod retry;
pub mod sender;
mod snappy;
mod socket;
#[cfg(feature = "tls")]
mod tls;
pub mod url;
