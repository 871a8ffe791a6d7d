//! Between executing and replying: what makes the puts of a turn durable.

/// Makes puts durable before they are answered.
///
/// A turn's puts are handed over as one, and get a number; what the numbers are reached by may be
/// done elsewhere, and take its time. Replies to puts wait for it, all others do not.
pub trait Commit {
    /// Takes up what was put since the last call, and returns its number, which is not less than
    /// the one before. Does not wait.
    fn submit(&mut self) -> u64;

    /// The highest number of those that are committed. When it grows later than in
    /// [`submit`](Self::submit), an event for [`COMMITTED`](super::COMMITTED) tells the loop.
    fn committed(&self) -> u64;
}

/// Points live in memory: with being stored they are committed.
pub struct InMemory;

impl Commit for InMemory {
    fn submit(&mut self) -> u64 {
        0
    }

    fn committed(&self) -> u64 {
        0
    }
}
