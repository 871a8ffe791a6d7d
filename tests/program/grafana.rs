//! What Grafana's data source for Graphite asks for, and what it is answered.
//!
//! Each request names the place in the source of Grafana 12 from which it is taken:
//! `datasource.ts` is `public/app/plugins/datasource/graphite/datasource.ts`, the files of Go are in
//! `pkg/tsdb/graphite`.

use crate::support::OK;
use crate::support::http::{get, post};
use crate::support::process::{Daemon, listening_line};

/// When the first point is.
const START: u32 = 1_700_000_000;

struct Case {
    /// Where in Grafana.
    from: &'static str,
    target: &'static str,
    /// What is posted, if it is not only asked for.
    form: Option<&'static str>,
    /// The whole body, or with a star at its end what it begins with.
    body: &'static str,
}

const fn case(
    from: &'static str,
    target: &'static str,
    form: Option<&'static str>,
    body: &'static str,
) -> Case {
    Case {
        from,
        target,
        form,
        body,
    }
}

const CASES: &[Case] = &[
    case(
        "datasource.ts, testDatasource: the test button",
        "/render",
        Some(
            "target=aliasSub(constantLine(100)%2C%20%22(%5E.*%24)%22%2C%20%22%5C1%20A%22)&from=-1h&until=now&format=json&maxDataPoints=300",
        ),
        r#"[{"target": "100.0 A", *"#,
    ),
    case(
        "healthcheck.go, CheckHealth: the same where the server asks",
        "/render",
        Some(
            "format=json&from=1700000000&maxDataPoints=100&target=constantLine%28100%29&until=1700003600",
        ),
        r#"[{"target": "100.0", "tags": {"name": "100.0"}, "datapoints": [[100.0, 1700000000], [100.0, 1700001800], [100.0, 1700003600]]}]"#,
    ),
    case(
        "datasource.ts, requestMetricFind: the metric browser",
        "/metrics/find?from=-1h&until=now",
        Some("query=*"),
        r#"[{"text": "collectd", "id": "collectd", "allowChildren": 1, "expandable": 1, "leaf": 0}]"#,
    ),
    case(
        "datasource.ts, requestMetricFind: one node below, of several hosts",
        "/metrics/find?from=1700000000&until=1700003600",
        Some("query=collectd.{web1,web2}.*"),
        r#"[{"text": "cpu", "id": "collectd.{web1,web2}.cpu", "allowChildren": 1, "expandable": 1, "leaf": 0}, {"text": "load", "id": "collectd.{web1,web2}.load", "allowChildren": 0, "expandable": 0, "leaf": 1}]"#,
    ),
    case(
        "resource_handler.go, handleMetricsFind: the same where the server asks",
        "/metrics/find",
        Some("query=collectd.%2A"),
        r#"[{"text": "web1", "id": "collectd.web1", "allowChildren": 1, "expandable": 1, "leaf": 0}, {"text": "web2", *"#,
    ),
    case(
        "datasource.ts of Grafana 6, metricFindQuery: a template variable",
        "/metrics/find?query=collectd.*&from=-6h&until=now",
        None,
        r#"[{"text": "web1", "id": "collectd.web1", "allowChildren": 1, *"#,
    ),
    case(
        "datasource.ts, requestMetricExpand: a template variable expand(…)",
        "/metrics/expand?query=collectd.*.load&from=-6h&until=now",
        None,
        r#"{"results": ["collectd.web1.load", "collectd.web2.load"]}"#,
    ),
    case(
        "datasource.ts, query and buildGraphiteParams: a panel",
        "/render",
        Some(
            "target=aliasSub(sumSeries(collectd.*.load)%2C%20%22(%5E.*%24)%22%2C%20%22%5C1%20A%22)&from=1700000000&until=1700000040&format=json&maxDataPoints=1000",
        ),
        r#"[{"target": "sumSeries(collectd.*.load) A", "tags": {"name": "sumSeries(collectd.*.load)"}, "datapoints": [[4.0, 1700000010], [6.0, 1700000020], [8.0, 1700000030], [10.0, 1700000040]]}]"#,
    ),
    case(
        "query.go, createGraphiteRequest: a panel where the server asks, or an alert",
        "/render",
        Some(
            "format=json&from=1700000000&maxDataPoints=1000&target=collectd.web1.load&until=1700000040",
        ),
        r#"[{"target": "collectd.web1.load", "tags": {"name": "collectd.web1.load"}, "datapoints": [[2.0, 1700000010], [3.0, 1700000020], [4.0, 1700000030], [5.0, 1700000040]]}]"#,
    ),
    case(
        "query.go, createGraphiteRequest: fewer points than there are",
        "/render",
        Some(
            "format=json&from=1699999999&maxDataPoints=2&target=collectd.web1.load&until=1700000040",
        ),
        r#"[{"target": "collectd.web1.load", "tags": {"name": "collectd.web1.load"}, "datapoints": [[3.0, 1700000010], [5.0, 1700000040]]}]"#,
    ),
    case(
        "query.go, createGraphiteRequest: nothing is found",
        "/render",
        Some(
            "format=json&from=1700000000&maxDataPoints=1000&target=no.such.series&until=1700000040",
        ),
        "[]",
    ),
    case(
        "datasource.ts, annotationEvents with a target",
        "/render",
        Some(
            "target=aliasSub(collectd.web2.load%2C%20%22(%5E.*%24)%22%2C%20%22%5C1%20Anno%22)&from=1700000000&until=1700000040&format=json&maxDataPoints=100",
        ),
        r#"[{"target": "collectd.web2.load Anno", *"#,
    ),
    case(
        "datasource.ts, events: annotations by tag",
        "/events/get_data?from=-1h&until=now&tags=deploy",
        None,
        "[]",
    ),
    case(
        "resource_handler.go, handleEvents: the same where the server asks",
        "/events/get_data?from=1700000000&tags=deploy&until=1700003600",
        None,
        "[]",
    ),
    case(
        "datasource.ts, getTagsAutoComplete: tags()",
        "/tags/autoComplete/tags?expr=name%3Da&tagPrefix=h&limit=10000&from=-1h&until=now",
        None,
        "[]",
    ),
    case(
        "datasource.ts, getTagValuesAutoComplete: tag_values(host)",
        "/tags/autoComplete/values?tag=host&limit=10000",
        None,
        "[]",
    ),
    case(
        "datasource.ts, getVersion: must be a semantic version",
        "/version",
        None,
        "1.1.8\n",
    ),
    case(
        "datasource.ts, getFuncDefs: an object of functions by name",
        "/functions",
        None,
        r#"{"*"#,
    ),
];

/// A server with five points each of four series.
fn start() -> (Daemon, std::net::SocketAddr) {
    let daemon = Daemon::start(&["--http", "127.0.0.1:0"]);
    let http = listening_line(&daemon.process);
    let mut client = daemon.connect();
    for key in ["web1.load", "web1.cpu.user", "web2.load", "web2.cpu.user"] {
        for number in 1..=5 {
            let time = START + 10 * (number - 1);
            client.exchange(
                format!("put collectd.{key} {number} {time}\n").as_bytes(),
                OK,
            );
        }
    }
    (daemon, http)
}

#[test]
fn requests_of_grafana_are_answered() {
    let (daemon, http) = start();
    for case in CASES {
        let answer = match case.form {
            Some(form) => post(http, case.target, form),
            None => get(http, case.target),
        };
        let from = case.from;
        assert_eq!(answer.status, 200, "{from}: {answer:?}");
        match case.body.strip_suffix('*') {
            Some(start) => assert!(answer.body.starts_with(start), "{from}: {answer:?}"),
            None => assert_eq!(answer.body, case.body, "{from}"),
        }
        let is_json = answer.body.starts_with(['[', '{']);
        let content_type = answer.header("Content-Type").expect("a type");
        assert_eq!(
            content_type == "application/json",
            is_json,
            "{from}: {content_type}"
        );
    }
    daemon.process.stop();
}

#[test]
fn what_is_wrong_is_told_in_a_line() {
    let (daemon, http) = start();
    // query.go, parseResponse and parseGraphiteError: what is not 2xx is shown as it is.
    for (form, status, part) in [
        (
            "target=noSuchFunction(a)&from=-1h&until=now",
            400,
            "noSuchFunction",
        ),
        ("target=scale(a)&from=-1h&until=now", 400, "scale"),
        ("target=a&from=sometime&until=now", 400, "from"),
    ] {
        let answer = post(http, "/render", form);
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(
            answer.body.contains(part) && answer.body.lines().count() == 1,
            "{answer:?}"
        );
    }
    daemon.process.stop();
}
