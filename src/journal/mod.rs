//! What makes puts durable, and brings them back: a journal of frames, and checkpoints.

pub mod file_system;
pub mod frame;
pub mod record;
#[cfg(test)]
pub mod simulated;
