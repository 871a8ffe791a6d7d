//! Between executing and replying: what makes the puts of a turn durable.

/// Makes puts durable before they are answered.
///
/// The puts of a turn are submitted together and get one number. Committing them may take time, on
/// another thread. Replies to puts wait for it; other replies do not.
pub trait Commit {
    /// Submits what was put since the last call, and returns its number, which is never less than
    /// the one before. Does not wait.
    fn submit(&mut self) -> u64;

    /// The highest number up to which all is committed. When it grows outside
    /// [`submit`](Self::submit), an event for [`COMMITTED`](super::COMMITTED) wakes the loop.
    fn committed(&self) -> u64;
}

/// Points live in memory only: a put is committed once it is stored.
pub struct InMemory;

impl Commit for InMemory {
    fn submit(&mut self) -> u64 {
        0
    }

    fn committed(&self) -> u64 {
        0
    }
}
