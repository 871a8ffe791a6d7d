//! Frames: what a file of the journal is made of.
