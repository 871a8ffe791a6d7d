//! HTTP, pure: bytes to a request, an answer to bytes, and for a client bytes to the head of an answer.
//! Nothing here knows a socket, or what is asked for.

#[cfg(feature = "http")]
mod answer;
mod body;
mod date;
mod failure;
mod framing;
#[cfg(feature = "http")]
mod head;
#[cfg(feature = "http")]
mod request;
#[cfg(feature = "remote-write")]
mod response;

#[cfg(feature = "http")]
pub use self::answer::{
    Answer, AnswerHead, Body, CHUNK_END, CONTINUE, LAST_CHUNK, Manner, Pieces, Tail,
    append_chunk_size, push, push_all,
};
pub use self::body::BodyReader;
#[cfg(feature = "remote-write")]
pub use self::body::is_of_token;
#[cfg(feature = "remote-write")]
pub use self::date::parse_date;
#[cfg(feature = "http")]
pub use self::failure::{Failure, Halt};
#[cfg(feature = "remote-write")]
pub use self::framing::Framing;
#[cfg(feature = "http")]
pub use self::head::{End, Head, find_end};
#[cfg(feature = "http")]
pub use self::request::{Method, Parameters, Request};
#[cfg(feature = "remote-write")]
pub use self::response::ResponseHead;
