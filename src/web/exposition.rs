//! What the server counts, in Prometheus's text format 0.0.4.

use super::fresh;
use crate::counters::{Counts, Kind};
use crate::http::{Answer, Body};
use crate::memory::resident_bytes_now;
use crate::turn::Turn;

/// All counts, as they were published last, and what is known of the process.
pub fn answer(turn: &Turn) -> Answer {
    let mut text = String::with_capacity(8 << 10);
    append_counts(&mut text, &turn.environment.counters.read());
    let version = concat!("{version=\"", env!("CARGO_PKG_VERSION"), "\"}");
    let help = "Which version this is.";
    append(
        &mut text,
        ("metricd_build_info", version),
        Kind::Now,
        help,
        "1",
    );
    if let Some(bytes) = resident_bytes_now() {
        let name = "process_resident_memory_bytes";
        let help = "Bytes of the process that are resident.";
        append(&mut text, (name, ""), Kind::Now, help, &bytes.to_string());
    }
    let body = Body::Whole(text.into_bytes().into());
    fresh("text/plain; version=0.0.4; charset=utf-8", body)
}

fn append_counts(text: &mut String, counts: &Counts) {
    for ((name, count), (kind, description)) in counts.named().zip(Counts::descriptions()) {
        let suffix = match kind {
            Kind::Total => "_total",
            Kind::Now => "",
        };
        // Prometheus has all times in seconds.
        let (name, value, help) = match name.strip_suffix("_microseconds") {
            Some(name) => (
                format!("metricd_{name}_seconds{suffix}"),
                format!("{}.{:06}", count / 1_000_000, count % 1_000_000),
                description.replace("Microseconds", "Seconds"),
            ),
            None => (
                format!("metricd_{name}{suffix}"),
                count.to_string(),
                description.into(),
            ),
        };
        append(text, (&name, ""), kind, help.trim(), &value);
    }
}

/// Appends a metric with its labels, a help of one line and the value.
fn append(text: &mut String, (name, labels): (&str, &str), kind: Kind, help: &str, value: &str) {
    let kind = match kind {
        Kind::Total => "counter",
        Kind::Now => "gauge",
    };
    for piece in [
        "# HELP ",
        name,
        " ",
        help,
        "\n# TYPE ",
        name,
        " ",
        kind,
        "\n",
        name,
        labels,
        " ",
        value,
        "\n",
    ] {
        text.push_str(piece);
    }
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
        let mut text = String::new();
        append_counts(&mut text, &counts);
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
