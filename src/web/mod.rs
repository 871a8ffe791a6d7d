//! What is served under which path. It only reads.

mod exposition;
mod page;

use crate::config::Config;
use crate::http::{Answer, Body, Failure, Method, Pieces, Request};
use crate::protocol::integer::parse_digits;
use crate::query::find::{Find, Shape};
use crate::query::functions::describe;
use crate::query::listing::Listing;
use crate::query::render;
use crate::server::Admission;
use crate::turn::Turn;

/// Makes the answer to a request.
type Handler = fn(&Request, &mut Turn) -> Result<Answer, Failure>;

/// The methods of what is only read, and of what takes parameters in the body too.
const READ: &str = "GET, HEAD";
const QUERY: &str = "GET, HEAD, POST";

/// What is served under which path, by which methods. A path with a star at its end stands for all that begin
/// so. All may end in a slash, as those of graphite-web.
const ROUTES: &[(&str, &str, Handler)] = &[
    ("/", READ, |_, _| Ok(page::answer())),
    ("/healthz", READ, |_, turn| health(turn)),
    ("/metrics", READ, |_, turn| Ok(exposition::answer(turn))),
    ("/metrics/find", QUERY, find),
    ("/metrics/expand", QUERY, expand),
    ("/metrics/index.json", QUERY, |_, turn| {
        Ok(pieces(JSON, Listing::all(turn)))
    }),
    ("/metrics/search", QUERY, search),
    ("/render", QUERY, |request, turn| {
        let (content_type, series) = render(&request.parameters, turn)?;
        Ok(pieces(content_type, series))
    }),
    ("/functions", QUERY, |_, _| Ok(json(describe::all()))),
    ("/functions/*", QUERY, function),
    ("/version", QUERY, |_, _| Ok(text(200, GRAPHITE_VERSION))),
    ("/tags", QUERY, nothing),
    ("/tags/autoComplete/tags", QUERY, nothing),
    ("/tags/autoComplete/values", QUERY, nothing),
    ("/tags/findSeries", QUERY, nothing),
    ("/events/get_data", QUERY, nothing),
];

/// The version of graphite-web that answers the same, by which clients choose what to ask for.
const GRAPHITE_VERSION: &str = "1.1.8";

/// How many series a search lists, unless it says otherwise.
const SEARCH_RESULTS: i64 = 100;

/// Answers a request.
pub fn answer(request: &Request, turn: &mut Turn) -> Answer {
    let path = match request.path.strip_suffix('/') {
        Some(path) if !path.is_empty() && !path.ends_with('/') => path,
        _ => &request.path,
    };
    let is_here = |route: &&(&str, &str, Handler)| match route.0.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => route.0 == path,
    };
    let Some((_, methods, handler)) = ROUTES.iter().find(is_here) else {
        return text(404, "there is nothing at this path");
    };
    let is_allowed = match request.method {
        Method::Get | Method::Head => true,
        Method::Post => *methods == QUERY,
        Method::Other => false,
    };
    if is_allowed {
        return handler(request, turn).unwrap_or_else(Answer::from);
    }
    let mut answer = text(405, "this path is only read");
    answer.head.headers.push(("Allow", methods));
    answer
}

/// There are no series by tag, and no events.
fn nothing(_: &Request, _: &mut Turn) -> Result<Answer, Failure> {
    Ok(json(b"[]".into()))
}

/// Series and nodes for which a pattern stands, as of graphite-web's `find_view`. Their time is not
/// looked at.
fn find(request: &Request, turn: &mut Turn) -> Result<Answer, Failure> {
    let pattern = request.parameters.get("query");
    let pattern = pattern.ok_or("Missing required parameter 'query'")?;
    if pattern.is_empty() {
        return Err("Required parameter 'query' is empty".into());
    }
    let with_wildcard = flag(request, "wildcards")?;
    let leaves_only = flag(request, "leavesOnly")?;
    let (shape, pattern) = match request.parameters.get("format") {
        None | Some("treejson") => (Shape::Tree, pattern.into()),
        Some("completer") => {
            let star = if pattern.ends_with('*') { "" } else { "*" };
            // A star stands for a node that is left empty.
            (Shape::Completer, pattern.replace("..", "*.") + star)
        }
        Some(_) => return Err("Invalid value for 'format' parameter".into()),
    };
    let mut found = Find::new(&mut [&*pattern].into_iter(), shape, leaves_only, turn)?;
    found.with_wildcard = with_wildcard;
    Ok(pieces(JSON, found))
}

/// Whole names for which patterns stand, as of graphite-web's `expand_view`.
fn expand(request: &Request, turn: &mut Turn) -> Result<Answer, Failure> {
    let shape = match flag(request, "groupByExpr")? {
        true => Shape::ExpandByPattern,
        false => Shape::Expand,
    };
    let leaves_only = flag(request, "leavesOnly")?;
    let patterns = &mut request.parameters.all("query");
    let found = Find::new(patterns, shape, leaves_only, turn)?;
    Ok(pieces(JSON, found))
}

/// Series in whose names words occur: what the page asks for.
fn search(request: &Request, turn: &mut Turn) -> Result<Answer, Failure> {
    let words = request.parameters.get("query").unwrap_or_default();
    let most = number(request, "max_results", SEARCH_RESULTS)?.min(Config::SEARCH_RESULTS_MAX);
    let most = usize::try_from(most).map_err(|_| "Invalid int value for param max_results")?;
    Ok(pieces(JSON, Listing::search(words, most, turn)?))
}

/// A function, by the last part of the path.
fn function(request: &Request, _: &mut Turn) -> Result<Answer, Failure> {
    let name = request.path.trim_end_matches('/').rsplit('/').next();
    let described = name.and_then(describe::one).map(json);
    described.ok_or_else(|| Failure::new(404, "there is no such function"))
}

/// Whether puts are taken.
fn health(turn: &mut Turn) -> Result<Answer, Failure> {
    let reason = match turn.admission() {
        Admission::Refused => "the disk refuses what is put",
        Admission::Full => "the disk is behind: puts wait for it",
        Admission::Open if turn.room.is_refusing(turn.store) => "the memory is full",
        Admission::Open => return Ok(text(200, "ok")),
    };
    Ok(text(503, reason))
}

fn flag(request: &Request, name: &str) -> Result<bool, Failure> {
    Ok(number(request, name, 0)? != 0)
}

fn number(request: &Request, name: &str, default: i64) -> Result<i64, Failure> {
    let Some(text) = request.parameters.get(name) else {
        return Ok(default);
    };
    let wrong = || format!("Invalid int value {text:?} for param {name}");
    Ok(parse_digits(text.trim()).ok_or_else(wrong)?)
}

fn text(status: u16, line: &'static str) -> Answer {
    Answer::from(Failure::new(status, line))
}

const JSON: &str = "application/json";

/// What is there, and may be another thing a moment later.
fn fresh(content_type: &'static str, body: Body) -> Answer {
    let mut answer = Answer::new(200, content_type, body);
    answer.head.headers.push(("Cache-Control", "no-cache"));
    answer
}

fn json(body: Vec<u8>) -> Answer {
    fresh(JSON, Body::Whole(body.into()))
}

fn pieces(content_type: &'static str, pieces: impl Pieces + 'static) -> Answer {
    fresh(content_type, Body::Pieces(Box::new(pieces)))
}

#[cfg(test)]
mod tests;
