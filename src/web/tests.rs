use super::*;
use crate::http::{Halt, Parameters};
use crate::query::budget::Budget;
use crate::query::pattern::{Pattern, next_node};
use crate::store::Store;
use crate::turn::{Allowance, Environment};
use flate2::read::GzDecoder;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

/// What is answered to a request, if the turns allow so much: status, headers, body, and in how many
/// pieces it came.
struct Answered {
    status: u16,
    headers: BTreeMap<&'static str, String>,
    body: String,
    pieces: usize,
}

fn ask(
    store: &mut Store,
    method: Method,
    target: &str,
    reply_bytes: usize,
    time: Duration,
) -> Answered {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut parameters = Parameters::default();
    parameters
        .add_encoded(query.as_bytes())
        .expect("parameters");
    let request = Request {
        method,
        path: path.into(),
        parameters,
    };
    let mut replies = Vec::new();
    let mut answered = None;
    let mut pieces = 0;
    loop {
        let before = replies.len();
        let mut allowance = Allowance::new(0, reply_bytes, time, Instant::now);
        let (mut rest, environment) = Default::default();
        let mut turn =
            Turn::unlimited(store, &mut replies, &mut allowance, &mut rest, &environment);
        let Answer { head, body } = answered.get_or_insert_with(|| answer(&request, &mut turn));
        let status = head.status;
        let headers = head
            .headers
            .iter()
            .map(|(name, value)| (*name, value.to_string()));
        let headers: BTreeMap<_, _> = headers.collect();
        let done = match body {
            Body::Whole(body) => {
                replies.extend_from_slice(body);
                true
            }
            Body::Pieces(body) => {
                assert!(body.kept_bytes() < 20 << 20 && !body.is_cut_off());
                match body.append(&mut turn) {
                    Ok(()) => true,
                    Err(Halt::Pause) => false,
                    Err(Halt::Failed(failure)) => {
                        assert_eq!(before, 0, "it comes before the body");
                        answered = Some(failure.into());
                        continue;
                    }
                }
            }
        };
        pieces += 1;
        assert!(replies.len() < before + reply_bytes.saturating_add(1_000) || pieces == 1);
        if done {
            let body = if headers.contains_key("Content-Encoding") {
                io::read_to_string(GzDecoder::new(&*replies)).expect("gzip")
            } else {
                String::from_utf8(replies).expect("UTF-8")
            };
            return Answered {
                status,
                headers,
                body,
                pieces,
            };
        }
    }
}

fn get(store: &mut Store, target: &str) -> (u16, String) {
    let answered = ask(
        store,
        Method::Get,
        target,
        usize::MAX >> 1,
        Duration::MAX / 4,
    );
    (answered.status, answered.body)
}

fn store_of<'key>(keys: impl IntoIterator<Item = &'key str>) -> Store {
    let mut store = Store::new();
    keys.into_iter().for_each(|key| store.put(key, 1, 1.0));
    store
}

/// Seconds since 1970.
fn now() -> i64 {
    Environment::default().now()
}

/// Requests, and what the views of graphite-web 1.1.8 answered.
const TABLE: &str = include_str!("../../tests/graphite/finds.tsv");

#[test]
fn names_are_found_as_by_graphite() {
    let mut lines = TABLE.lines();
    let mut keys: Vec<&str> = lines.next().expect("a line of keys").split('\t').collect();
    keys.sort_unstable();
    let mut store = store_of(keys);
    let mut count = 0;
    for line in lines {
        let (target, expected) = line.split_once('\t').expect("a body");
        assert_eq!(get(&mut store, target), (200, expected.into()), "{target}");
        let in_pieces = ask(&mut store, Method::Post, target, 1, Duration::ZERO);
        assert_eq!(in_pieces.body, expected, "{target}");
        assert!(in_pieces.pieces > 1 || expected.len() < 100, "{target}");
        count += 1;
    }
    assert!(count > 200, "{count} requests");
}

#[test]
fn requests_and_answers() {
    let mut store = store_of(["b", "a.Bc", "a.x+y%20z", "c;host=x.y", "é\"\\\u{1}"]);
    for (target, status, body) in [
        ("/", 200, include_str!("page.html")),
        ("/version", 200, "1.1.8\n"),
        ("/version/", 200, "1.1.8\n"),
        ("/healthz", 200, "ok\n"),
        ("/functions/", 200, "{"),
        ("/tags/autoComplete/tags?expr=a", 200, "[]"),
        ("/tags/autoComplete/values?expr=a&tag=b", 200, "[]"),
        ("/events/get_data?from=-1h&until=now", 200, "[]"),
        (
            "/metrics",
            200,
            "# HELP metricd_connections_open Connections that are open.\n",
        ),
        (
            "/metrics/find/?query=a.x*",
            200,
            r#"[{"text": "x+y%20z", "id": "a.x+y%20z", "#,
        ),
        (
            "/metrics/find?query=c*",
            200,
            r#"[{"text": "c;host=x.y", "id": "c;host=x.y", "#,
        ),
        (
            "/metrics/find?query=c&format=completer",
            200,
            r#"{"metrics": [{"path": "c;host=x.y", "name": "c;host=x.y", "is_leaf": "1"}]}"#,
        ),
        ("/metrics/find", 400, "Missing required parameter 'query'\n"),
        (
            "/metrics/find?query=",
            400,
            "Required parameter 'query' is empty\n",
        ),
        (
            "/metrics/find?query=a&wildcards=x",
            400,
            "Invalid int value \"x\" for param wildcards\n",
        ),
        (
            "/metrics/find?query=a&format=pickle",
            400,
            "Invalid value for 'format' parameter\n",
        ),
        (
            "/metrics/expand?query={a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}",
            400,
            "a query has too many calls, or patterns with too many alternatives\n",
        ),
        (
            "/metrics/index.json",
            200,
            r#"["b", "a.Bc", "a.x+y%20z", "c;host=x.y", "\u00e9\"\\\u0001"]"#,
        ),
        (
            "/metrics/search",
            200,
            r#"{"metrics": [{"path": "b", "is_leaf": true}, "#,
        ),
        (
            "/metrics/search?query=+bC++A.",
            200,
            r#"{"metrics": [{"path": "a.Bc", "is_leaf": true}]}"#,
        ),
        (
            "/metrics/search?query=.&max_results=1",
            200,
            r#"{"metrics": [{"path": "a.Bc", "is_leaf": true}]}"#,
        ),
        (
            "/metrics/search?query=.&max_results=0",
            200,
            r#"{"metrics": []}"#,
        ),
        ("/metrics/search?max_results=-1", 400, "Invalid int value"),
        ("/nothing", 404, "there is nothing at this path\n"),
        ("//", 404, "there"),
        ("/metrics//", 404, "there"),
    ] {
        let (answered, text) = get(&mut store, target);
        assert_eq!(answered, status, "{target} {text}");
        assert!(text.starts_with(body), "{target} {text}");
    }
    let long = format!("/metrics/search?query={}", "a".repeat(257));
    assert_eq!(get(&mut store, &long).0, 400);
}

#[test]
fn methods_and_headers() {
    let mut store = Store::new();
    for (method, target, status, header) in [
        (
            Method::Post,
            "/metrics/find?query=*",
            200,
            ("Content-Type", "application/json"),
        ),
        (
            Method::Head,
            "/",
            200,
            ("Content-Type", "text/html; charset=utf-8"),
        ),
        (Method::Get, "/", 200, ("Content-Encoding", "gzip")),
        (
            Method::Get,
            "/metrics",
            200,
            ("Content-Type", "text/plain; version=0.0.4; charset=utf-8"),
        ),
        (Method::Post, "/metrics", 405, ("Allow", "GET, HEAD")),
        (
            Method::Other,
            "/metrics/find",
            405,
            ("Allow", "GET, HEAD, POST"),
        ),
        (
            Method::Other,
            "/nothing",
            404,
            ("Content-Type", "text/plain; charset=utf-8"),
        ),
    ] {
        let answered = ask(
            &mut store,
            method,
            target,
            usize::MAX >> 1,
            Duration::MAX / 4,
        );
        assert_eq!(answered.status, status, "{target}");
        assert_eq!(
            answered.headers.get(header.0).map(String::as_str),
            Some(header.1),
            "{target}"
        );
    }
}

#[test]
fn what_is_found_is_limited() {
    let mut store = Store::new();
    for number in 0..300 {
        store.put(&format!("{number}{}", "a".repeat(60_000)), 1, 1.0);
    }
    let (status, body) = get(&mut store, "/metrics/find?query=*");
    assert_eq!(status, 422, "{body}");
    assert_eq!(get(&mut store, "/metrics/find?query=12*").0, 200);
    assert_eq!(get(&mut store, "/metrics/index.json").0, 200);
    // All patterns of a request together.
    let patterns = (0..100).map(|number| format!("query={number}{}", "{a,b}".repeat(7)));
    let patterns: Vec<String> = patterns.collect();
    for (count, status) in [(1, 200), (100, 400)] {
        let target = format!("/metrics/expand?{}", patterns[..count].join("&"));
        assert_eq!(get(&mut store, &target).0, status, "{count} patterns");
    }
}

#[test]
fn what_takes_long_is_interrupted_and_what_takes_too_long_refused() {
    let long_key = |length: usize| format!("{}{length}", "a".repeat(length));
    let keys: Vec<String> = (8_000..8_010).map(long_key).collect();
    let mut store = store_of(keys.iter().map(String::as_str));
    let expand = format!("/metrics/expand?query=*{}*", "a".repeat(100));
    let search = format!("/metrics/search?query={}+A", "A".repeat(200));
    for (target, status) in [(expand, 422), (search, 200)] {
        let answered = ask(&mut store, Method::Get, &target, 1 << 20, Duration::ZERO);
        assert!(answered.pieces > 10, "{} pieces", answered.pieces);
        assert!(keys.iter().all(|key| answered.body.contains(key)));
        store.put(&long_key(60_000), 1, 1.0);
        let (answered, body) = get(&mut store, &target);
        assert_eq!(answered, status, "{body}");
        assert!(body.contains(&long_key(60_000)) || body.contains("a key of 60005 bytes"));
        store.remove(&long_key(60_000));
    }
}

#[test]
fn all_patterns_of_a_request_are_compared_or_it_is_refused() {
    for (path, name) in [("/metrics/expand", "query"), ("/render", "target")] {
        let patterns = (0..1_000).map(|number| format!("{name}=**.x{number}"));
        let target = format!("{path}?{}", patterns.collect::<Vec<_>>().join("&"));
        for (length, status) in [(50, 200), (522, 200), (523, 422)] {
            let key = format!("{}.x999", "a".repeat(length - 5));
            let mut store = store_of([&*key]);
            store.put(&key, now(), 1.0);
            let (answered, body) = get(&mut store, &target);
            assert_eq!(answered, status, "{path} {length}");
            assert_eq!(body.contains(&key), status == 200, "{path} {length} {body}");
        }
    }
}

#[test]
fn series_whose_points_are_hidden_are_not_found() {
    let mut store = store_of(["a.b", "a.c"]);
    store.put("a.c", 10, 1.0);
    store.set_floors(5, i64::MIN);
    let expected = r#"{"results": ["a.c"]}"#;
    assert_eq!(get(&mut store, "/metrics/expand?query=a.*").1, expected);
}

proptest! {
    #[test]
    fn finds_what_a_naive_walk_does(
        keys in proptest::collection::vec("[ab]{1,2}(\\.[abc]{1,2}){0,3}(;a=b\\.c)?", 0..60),
        patterns in proptest::collection::vec("([ab?*]{1,2}|\\*\\*|\\{a,b\\}\\*)(\\.([abc*]{1,2}|\\*\\*)){0,3}", 1..4),
        (leaves_only, by_pattern, reply_bytes) in (any::<bool>(), any::<bool>(), 1usize..200),
    ) {
        let mut store = store_of(keys.iter().map(String::as_str));
        let mut expected: Vec<(String, Vec<&str>)> = Vec::new();
        for text in &patterns {
            let pattern = Pattern::parse(text, &mut Budget::default()).expect("a pattern");
            let mut names: Vec<&str> = Vec::new();
            for key in &keys {
                let mut rest = Some(key.as_str());
                while next_node(&mut rest).is_some() {
                    let name = &key[..key.len() - rest.map_or(0, |rest| rest.len() + 1)];
                    if pattern.matches(name) && (rest.is_none() || !leaves_only) {
                        names.push(name);
                    }
                }
            }
            if expected.iter().all(|(known, _)| known != text) {
                expected.push((text.clone(), names));
            }
        }
        if !by_pattern {
            expected = vec![(String::new(), expected.into_iter().flat_map(|(_, names)| names).collect())];
        }
        let lists = expected.into_iter().map(|(pattern, mut names)| {
            names.sort_unstable();
            names.dedup();
            let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
            let pattern = if by_pattern { format!("{pattern:?}: ") } else { pattern };
            format!("{pattern}[{}]", names.join(", "))
        });
        let lists = lists.collect::<Vec<_>>().join(", ");
        let lists = if by_pattern { format!("{{{lists}}}") } else { lists };
        let queries: String = patterns.iter().map(|pattern| format!("&query={pattern}")).collect();
        let (leaves_only, by_pattern) = (u8::from(leaves_only), u8::from(by_pattern));
        let target = format!("/metrics/expand?leavesOnly={leaves_only}&groupByExpr={by_pattern}{queries}");
        let answered = ask(&mut store, Method::Get, &target, reply_bytes, Duration::ZERO);
        prop_assert_eq!(answered.body, format!("{{\"results\": {lists}}}"), "{}", target);
    }

    #[test]
    fn any_request_is_answered(
        path in "/(metrics/(find|expand|search|index.json)|functions|version|tags/x|healthz|)/?",
        names in proptest::collection::vec("query|format|wildcards|leavesOnly|groupByExpr|max_results|[a-z]{1,3}", 0..5),
        values in proptest::collection::vec("\\PC{0,20}|[*?{}\\[\\],.]{0,300}|completer|-?[0-9]{1,20}", 5),
        keys in proptest::collection::vec("\\PC{1,20}|[a.;]{1,100}", 0..20),
    ) {
        let mut store = store_of(keys.iter().map(String::as_str));
        let pairs = names.iter().zip(&values).map(|(name, value)| {
            let value: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
            format!("{name}={value}&")
        });
        let target = format!("{path}?{}", pairs.collect::<String>());
        let answered = ask(&mut store, Method::Get, &target, 100, Duration::ZERO);
        prop_assert!([200, 400, 404].contains(&answered.status), "{} {}", target, answered.body);
    }
}
