//! Where a reply ends, and whether it is the right one.

use memchr::memchr_iter;

use crate::generator::READ_BUFFER_BYTES;
use crate::workload::Script;

pub enum Reply {
    /// Puts are not answered.
    None,
    /// Each reply is the same `length` bytes; `repeated` is more of them than one read takes.
    Constant { repeated: Vec<u8>, length: usize },
    /// Each reply has as many newlines as the script says of its request.
    Newlines,
    /// A long reply that ends with its first blank line, and is no shorter than this.
    BlankLine { least_bytes: usize },
}

/// What is still to come.
#[derive(Clone, Copy, Default)]
pub struct Owed {
    /// Bytes or newlines; of a reply that ends with a blank line, 1 until it has come.
    units: usize,
    /// Bytes that have come of it.
    received_bytes: usize,
    ends_in_newline: bool,
}

impl Owed {
    pub fn is_nothing(self) -> bool {
        self.units == 0
    }
}

impl Reply {
    pub fn constant(reply: &[u8]) -> Reply {
        match reply.len() {
            0 => Reply::None,
            length => Reply::Constant {
                repeated: reply.repeat(READ_BUFFER_BYTES / length + 2),
                length,
            },
        }
    }

    /// What is owed once the script's batch has been sent.
    pub fn owed(&self, script: &Script) -> Owed {
        let units = match self {
            Reply::None => 0,
            Reply::Constant { length, .. } => length * script.batch,
            Reply::Newlines => script.reply_newlines(),
            Reply::BlankLine { .. } => 1,
        };
        Owed {
            units,
            ..Owed::default()
        }
    }

    /// Takes what has come off what is owed.
    pub fn take(&self, owed: &mut Owed, bytes: &[u8]) -> Result<(), String> {
        let units = match self {
            Reply::None => 0,
            Reply::Constant { repeated, length } => {
                let into_reply = (length - owed.units % length) % length;
                if bytes != &repeated[into_reply..into_reply + bytes.len()] {
                    return Err(format!("a wrong reply: {}", beginning(bytes)));
                }
                bytes.len()
            }
            Reply::Newlines => memchr_iter(b'\n', bytes).count(),
            // One reply is under way, so that it ends where the bytes do, or later.
            Reply::BlankLine { .. } => match bytes {
                [.., b'\n', b'\n'] => 1,
                [b'\n'] => usize::from(owed.ends_in_newline),
                _ => 0,
            },
        };
        if units > owed.units || matches!(self, Reply::None) {
            return Err(format!("more replies than requests: {}", beginning(bytes)));
        }
        owed.units -= units;
        owed.received_bytes += bytes.len();
        owed.ends_in_newline = bytes.ends_with(b"\n");
        match self {
            Reply::BlankLine { least_bytes } if units > 0 && owed.received_bytes < *least_bytes => {
                Err(format!("a reply of {} bytes only", owed.received_bytes))
            }
            _ => Ok(()),
        }
    }
}

fn beginning(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(60)].escape_ascii().to_string()
}
