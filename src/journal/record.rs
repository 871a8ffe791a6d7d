//! Puts as the bytes of a frame, and back.
