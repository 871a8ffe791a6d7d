//! HTTP, pure: bytes to a request, an answer to bytes. Nothing here knows a socket, or what is
//! asked for.

mod answer;
mod request;

pub use self::answer::{Answer, Body, Failure, Pieces};
pub use self::request::{Method, Parameters, Request};
