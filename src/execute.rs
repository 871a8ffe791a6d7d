//! A line to its reply: the only place that knows both the grammar and the store.

use std::ops::ControlFlow;

use crate::protocol::float;
use crate::protocol::request::{self, Request, WrongCommand};
use crate::protocol::response::{self, PointWriter};
use crate::store::{Kind, Run, Snapshot, Store};

/// How much of a wrong line is logged.
const LOGGED_BYTES: usize = 100;

/// What came of a line.
pub enum Answer {
    /// The line is blank: nothing was appended.
    Blank,
    /// The whole reply is appended.
    Whole,
    /// The reply is longer than was asked for at once; the rest follows piece by piece.
    Unfinished(Reply),
}

/// Executes one line and appends its reply to `out`, of a long one the first `piece_bytes` bytes
/// and the rest of a point.
pub fn execute(line: &[u8], store: &mut Store, out: &mut Vec<u8>, piece_bytes: usize) -> Answer {
    let snapshot = match request::parse(line) {
        Ok(Request::Blank) => return Answer::Blank,
        Ok(Request::Put {
            key,
            timestamp,
            value,
        }) => {
            store.put(key, timestamp, value);
            None
        }
        Ok(Request::Get { key }) => store.snapshot(key),
        Ok(Request::GetAll) => Some(store.snapshot_all()).filter(|_| store.series_count() > 0),
        Err(WrongCommand) => {
            log::debug!(
                "wrong command: {}",
                line[..line.len().min(LOGGED_BYTES)].escape_ascii()
            );
            out.extend_from_slice(response::WRONG_COMMAND);
            return Answer::Whole;
        }
    };
    let Some(snapshot) = snapshot else {
        out.extend_from_slice(response::OK);
        return Answer::Whole;
    };
    out.extend_from_slice(response::POINTS_BEGIN);
    let mut reply = Reply { snapshot };
    match reply.append_piece(store, out, piece_bytes - response::POINTS_BEGIN.len()) {
        ControlFlow::Continue(()) => Answer::Whole,
        ControlFlow::Break(()) => Answer::Unfinished(reply),
    }
}

/// The rest of a reply to a get.
pub struct Reply {
    snapshot: Snapshot,
}

impl Reply {
    /// Appends points until `piece_bytes` bytes and the rest of a point are appended, which is a
    /// break, or the whole reply is.
    pub fn append_piece(
        &mut self,
        store: &Store,
        out: &mut Vec<u8>,
        piece_bytes: usize,
    ) -> ControlFlow<()> {
        let full = out.len() + piece_bytes;
        let mut run = Run::new();
        while let Some(key) = self.snapshot.next_run(store, &mut run) {
            if let ControlFlow::Break(timestamp) = append_run(out, key, &run, full) {
                self.snapshot.take_back(timestamp);
                return ControlFlow::Break(());
            }
        }
        out.extend_from_slice(response::POINTS_END);
        ControlFlow::Continue(())
    }
}

/// Appends the points of a run until `out` is full; a break says behind which timestamp.
fn append_run(out: &mut Vec<u8>, key: &str, run: &Run, full: usize) -> ControlFlow<i64> {
    let mut writer = PointWriter::new(key);
    let kind = run.kind();
    let mut points = run.timestamps().iter().zip(run.values());
    while points.len() > 0 {
        // So many fit however long their lines turn out to be; most are a good deal shorter.
        let line_room = writer.line_room_bytes();
        let fit = (full.saturating_sub(out.len()) / line_room).clamp(1, points.len());
        let mut length = out.len();
        out.resize(length + fit * line_room, 0);
        let mut last = 0;
        for (&timestamp, &value) in points.by_ref().take(fit) {
            length += writer.write(&mut out[length..], timestamp, |room| match kind {
                Kind::Digits { decimals } => float::write_decimal(room, value, decimals),
                Kind::Bits => float::write(room, f64::from_bits(value as u64)),
            });
            last = timestamp;
        }
        out.truncate(length);
        if length >= full {
            return ControlFlow::Break(last);
        }
    }
    ControlFlow::Continue(())
}
