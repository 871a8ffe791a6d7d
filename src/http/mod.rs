//! HTTP, pure: bytes to a request, an answer to bytes, and for a client bytes to the head of an answer.
//! Nothing here knows a socket, or what is asked for.

#[cfg(feature = "http")]
mod answer;
mod body;
#[cfg(feature = "remote-write")]
mod date;
mod failure;
mod framing;
#[cfg(feature = "http")]
mod head;
#[cfg(feature = "http")]
mod request;
#[cfg(feature = "remote-write")]
mod response;

pub use self::body::BodyReader;
#[cfg(feature = "http")]
pub use self::{
    answer::{
        Answer, AnswerHead, Body, CHUNK_END, CONTINUE, LAST_CHUNK, Manner, Pieces, Tail,
        append_chunk_size, push, push_all,
    },
    failure::{Failure, Halt},
    head::Head,
    request::{Method, Parameters, Request},
};
#[cfg(feature = "remote-write")]
pub use self::{body::is_of_token, date::parse_date, framing::Framing, response::ResponseHead};
