//! What the server counts, in Prometheus's text format 0.0.4.

use super::fresh;
use crate::counters::{Counts, Kind};
use crate::http::{Answer, Body, push_all};
use crate::memory::resident_bytes_now;
use crate::turn::Turn;

/// All counts, as they were published last, and what is known of the process.
pub fn answer(turn: &Turn) -> Answer {
    let mut out = Vec::with_capacity(8 << 10);
    append_counts(&mut out, &turn.environment.counters.read());
    let version = concat!(
        "metricd_build_info{version=\"",
        env!("CARGO_PKG_VERSION"),
        "\"}"
    );
    append(&mut out, version, Kind::Now, "Which version this is.", "1");
    if let Some(bytes) = resident_bytes_now() {
        let name = "process_resident_memory_bytes";
        let help = "Bytes of the process that are resident.";
        append(&mut out, name, Kind::Now, help, &bytes.to_string());
    }
    let body = Body::Whole(out.into());
    fresh("text/plain; version=0.0.4; charset=utf-8", body)
}

fn append_counts(out: &mut Vec<u8>, counts: &Counts) {
    for ((name, count), (kind, description)) in counts.named().zip(Counts::descriptions()) {
        let help = description.trim();
        let total = if kind == Kind::Total { "_total" } else { "" };
        // Prometheus has all times in seconds.
        if let Some((name, help)) = name
            .strip_suffix("microseconds")
            .zip(help.strip_prefix("Micros"))
        {
            let seconds = format!("{}.{:06}", count / 1_000_000, count % 1_000_000);
            let (name, help) = (format!("metricd_{name}seconds{total}"), format!("S{help}"));
            append(out, &name, kind, &help, &seconds);
        } else {
            let name = format!("metricd_{name}{total}");
            append(out, &name, kind, help, &count.to_string());
        }
    }
}

/// Appends a metric, whose name may have labels in braces after it, with a help of one line and the value.
fn append(out: &mut Vec<u8>, labeled: &str, kind: Kind, help: &str, value: &str) {
    let name = labeled.split('{').next().unwrap_or(labeled);
    let kind = match kind {
        Kind::Total => "counter",
        Kind::Now => "gauge",
    };
    push_all(out, &["# HELP ", name, " ", help, "\n"]);
    push_all(out, &["# TYPE ", name, " ", kind, "\n"]);
    push_all(out, &[labeled, " ", value, "\n"]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn each_count_is_exposed_once() {
        let counts = Counts {
            requests_put: 12,
            loop_longest_turn_microseconds: 2_500,
            ..Counts::default()
        };
        let mut out = Vec::new();
        append_counts(&mut out, &counts);
        let text = String::from_utf8(out).expect("UTF-8");
        let mut values = BTreeMap::new();
        for metric in text.lines().collect::<Vec<_>>().chunks(3) {
            let [help, kind, value] = metric else {
                panic!("{metric:?}");
            };
            let (name, value) = value.split_once(' ').expect("a value");
            let help = help
                .strip_prefix(&format!("# HELP {name} "))
                .expect("a help");
            assert!(
                help.ends_with('.') && !help.contains("icroseconds"),
                "{help}"
            );
            let kind = kind
                .strip_prefix(&format!("# TYPE {name} "))
                .expect("a type");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            assert_eq!(values.insert(name, value), None, "{name}");
        }
        assert_eq!(values.len(), counts.named().count());
        assert_eq!(values["metricd_requests_put_total"], "12");
        assert_eq!(values["metricd_loop_longest_turn_seconds"], "0.002500");
    }
}
