//! What a head says of the end of the body, and of the connection. It is the same in requests and answers.

use std::str;

use httparse::Header;

use super::failure::Failure;

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(u64),
    /// After the last chunk, and the trailers.
    Chunked,
}

/// Where the body ends, if the head says so: RFC 9112, section 6.3. Whatever two readers could take for
/// different lengths is refused.
pub fn framing(headers: &[Header], is_modern: bool) -> Result<Option<Framing>, Failure> {
    let length = only(headers, "Content-Length")?;
    match (only(headers, "Transfer-Encoding")?, length) {
        (Some(_), Some(_)) => Err("there are both Content-Length and Transfer-Encoding".into()),
        (Some(_), None) if !is_modern => Err("HTTP/1.0 has no Transfer-Encoding".into()),
        (Some(codings), None) => chunked(codings).map(Some),
        (None, Some(digits)) => length_of(digits).map(Some),
        (None, None) => Ok(None),
    }
}

/// Chunks are the one coding that is offered, and without them the end of a body is unknown.
fn chunked(codings: &[u8]) -> Result<Framing, Failure> {
    let mut codings = words(codings).rev();
    let is_chunked = |coding: &[u8]| is_word(coding, "chunked");
    if !codings.next().is_some_and(is_chunked) || codings.clone().any(is_chunked) {
        return Err("chunked is not the last Transfer-Encoding, and only the last".into());
    }
    if codings.next().is_some() {
        let message = "chunked is the only Transfer-Encoding that is offered";
        return Err(Failure::new(501, message));
    }
    Ok(Framing::Chunked)
}

fn length_of(digits: &[u8]) -> Result<Framing, Failure> {
    let is_number = digits.iter().all(u8::is_ascii_digit);
    let number = str::from_utf8(digits).ok().filter(|_| is_number);
    let length = number.and_then(|number| number.parse().ok());
    let length = length.ok_or("Content-Length is no number of bytes")?;
    Ok(Framing::Length(length))
}

/// Whether another request may follow: RFC 9112, section 9.3.
pub fn is_persistent(headers: &[Header], is_modern: bool) -> bool {
    let has = |wanted| {
        let is_one = |options| words(options).any(|option| is_word(option, wanted));
        all(headers, "Connection").any(is_one)
    };
    !has("close") && (is_modern || has("keep-alive"))
}

/// What commas separate.
fn words(list: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> + Clone {
    list.split(|&byte| byte == b',')
}

/// Whether a text is this word, letters in either case, with or without white space around it.
#[inline(never)]
pub fn is_word(text: &[u8], word: &str) -> bool {
    text.trim_ascii().eq_ignore_ascii_case(word.as_bytes())
}

/// All values of a header.
pub fn all<'head>(headers: &'head [Header], name: &'head str) -> impl Iterator<Item = &'head [u8]> {
    let is_named = move |header: &&Header| is_word(header.name.as_bytes(), name);
    headers.iter().filter(is_named).map(|header| header.value)
}

/// The value of a header, which may be given once at the most.
pub fn only<'head>(
    headers: &'head [Header],
    name: &'static str,
) -> Result<Option<&'head [u8]>, Failure> {
    let mut values = all(headers, name);
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => Err(Failure::new(400, format!("{name} is there twice"))),
    }
}
