//! HTTP, pure: bytes to a request, an answer to bytes. Nothing here knows a socket, or what is
//! asked for.

mod answer;
mod body;
mod date;
mod head;
mod request;

pub use self::answer::{
    Answer, AnswerHead, Body, CHUNK_END, CONTINUE, Failure, LAST_CHUNK, Manner, Pieces, Tail,
    append_chunk_size,
};
pub use self::body::BodyReader;
pub use self::head::{End, Head, find_end};
pub use self::request::{Method, Parameters, Request};
