//! The wire protocol, pure: a line to a [`Request`](request::Request), points to reply bytes,
//! numbers as Python reads and prints them. Nothing here knows a socket or how points are kept.

pub mod float;
pub mod integer;
pub mod request;
pub mod response;
