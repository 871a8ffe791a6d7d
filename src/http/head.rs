//! The head of a request: what is asked for, and where its body ends.

use httparse::{Error, Status};

use super::answer::Manner;
use super::failure::Failure;
use super::framing::{Framing, framing, is_persistent, is_word, only};
use super::request::{Method, Parameters, Request, decode};
use crate::config::Config;

/// What the head of a request says.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// The request, without what its body has.
    pub request: Request,
    /// Where the body ends.
    pub framing: Framing,
    /// The client waits for [`CONTINUE`](super::CONTINUE) before it sends the body.
    pub expects_continue: bool,
    /// The body is in the format of forms, or in none that is named.
    pub has_form: bool,
    /// How it is to be answered.
    pub manner: Manner,
}

impl Head {
    /// Reads a whole head, with the empty line at its end.
    ///
    /// # Errors
    ///
    /// What is wrong with it, or not offered. Then it is not sure where the request ends.
    pub fn parse(bytes: &[u8]) -> Result<Head, Failure> {
        let mut headers = [httparse::EMPTY_HEADER; Config::HEADERS_MAX];
        let mut parsed = httparse::Request::new(&mut headers);
        let length = parsed.parse(bytes).map_err(|error| refusal(error, bytes))?;
        if length != Status::Complete(bytes.len()) {
            return Err("the head does not end where it should".into());
        }
        let parts = (parsed.method, parsed.path, parsed.version);
        let (Some(method), Some(target), Some(minor)) = parts else {
            return Err("the request line is not whole".into());
        };
        let (method, is_modern) = (method_of(method)?, minor > 0);
        let headers = &*parsed.headers;
        check_host(only(headers, "Host")?, is_modern)?;
        let content_type = only(headers, "Content-Type")?;
        let (path, query) = split_target(target)?;
        let mut parameters = Parameters::default();
        parameters.add_encoded(query.as_bytes())?;
        Ok(Head {
            request: Request {
                method,
                path: decode(path.as_bytes(), false)?,
                parameters,
            },
            framing: match framing(headers, is_modern)? {
                None if method == Method::Post => {
                    return Err(Failure::new(411, "Content-Length is missing"));
                }
                framing => framing.unwrap_or(Framing::Length(0)),
            },
            // A client of HTTP/1.0 does not know what that is.
            expects_continue: expects_continue(only(headers, "Expect")?)? && is_modern,
            has_form: content_type.is_none_or(is_form),
            manner: Manner {
                is_head: method == Method::Head,
                takes_chunks: is_modern,
                is_persistent: is_persistent(headers, is_modern),
            },
        })
    }
}

/// Why the parser does not take a head.
fn refusal(error: Error, head: &[u8]) -> Failure {
    let not_allowed =
        |part| format!("the {part} of a header has a character that it must not have").into();
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let version = line.split(|&byte| byte == b' ').nth(2).unwrap_or_default();
    let is_http = matches!(
        version,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']
    );
    let (status, message) = match error {
        Error::Version if is_http => (505, "the version is neither HTTP/1.1 nor HTTP/1.0"),
        Error::TooManyHeaders => (431, "there are more than 100 headers"),
        Error::HeaderName => return not_allowed("name"),
        Error::HeaderValue => return not_allowed("value"),
        _ => (400, "the request line is malformed"),
    };
    Failure::new(status, message)
}

fn method_of(name: &str) -> Result<Method, Failure> {
    match name {
        "GET" => Ok(Method::Get),
        "HEAD" => Ok(Method::Head),
        "POST" => Ok(Method::Post),
        "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE" | "PATCH" => Ok(Method::Other),
        _ => Err(Failure::new(501, format!("there is no method {name}"))),
    }
}

/// RFC 9112, section 3.2: exactly one, which may be empty. What it says is of no use to a server
/// that has one site.
fn check_host(host: Option<&[u8]>, is_needed: bool) -> Result<(), Failure> {
    let is_of_host = |byte: &u8| byte.is_ascii_graphic() && !b"/\\?#@\"<>^`{|}".contains(byte);
    match host {
        Some(host) if !host.iter().all(is_of_host) => {
            Err("Host has a character that it must not have".into())
        }
        None if is_needed => Err("Host is missing".into()),
        _ => Ok(()),
    }
}

fn expects_continue(expectation: Option<&[u8]>) -> Result<bool, Failure> {
    match expectation {
        Some(value) if !is_word(value, "100-continue") => {
            let message = "100-continue is the only expectation that is met";
            Err(Failure::new(417, message))
        }
        value => Ok(value.is_some()),
    }
}

/// Whether this is the type of forms, whatever its parameters.
fn is_form(content_type: &[u8]) -> bool {
    let name = content_type.split(|&byte| byte == b';').next();
    is_word(
        name.unwrap_or_default(),
        "application/x-www-form-urlencoded",
    )
}

/// The path and the query of a target, which is a path or a whole URL: RFC 9112, section 3.2.
fn split_target(target: &str) -> Result<(&str, &str), Failure> {
    let scheme = target.get(..7).unwrap_or_default();
    let begin = match is_word(scheme.as_bytes(), "http://") {
        true => target[7..]
            .find(['/', '?'])
            .map_or(target.len(), |length| 7 + length),
        false => 0,
    };
    let (path, query) = target[begin..]
        .split_once('?')
        .unwrap_or((&target[begin..], ""));
    match path {
        "" if begin > 7 => Ok(("/", query)),
        _ if path.starts_with('/') && begin != 7 => Ok((path, query)),
        _ => Err("the target is not a path".into()),
    }
}
