//! Write requests are what Google's own libraries read, in Python.
//!
//! Without these the test passes and says so, unless `METRICD_REQUIRE_PEERS` is set.
#![cfg(feature = "remote-write")]

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use metricd::internals::{Batch, Labels};

/// The Python that Debian's packages are for.
const PYTHON: &str = "/usr/bin/python3";

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/write_request/decode.py");

const KEYS: [&str; 4] = [
    "cpu;core=0;host=a\"b",
    "palm.cpu",
    "größe🦀",
    "cpu;key=x;__name__=y",
];

/// In the order of their puts: number of the key, timestamp, bits of the value.
const POINTS: [(u64, i64, u64); 12] = [
    (0, 1_763_000_000_000, 0x4037_b333_3333_3333),
    (1, i64::MIN, 0x8000_0000_0000_0000),
    (0, 1_763_000_010_000, 0x4037_b333_3333_3333),
    (2, i64::MAX, 0x7ff0_0000_0000_0000),
    (1, -1, 0xfff0_0000_0000_0000),
    (1, 0, 0),
    (1, 1, 1),
    // The mark of Prometheus for the end of a series, what Python and Rust have for NaN, and others.
    (3, 127, 0x7ff0_0000_0000_0002),
    (3, 128, 0x7ff8_0000_0000_0000),
    (3, 129, 0xfff8_0000_0000_0000),
    (3, 16_384, 0x7ff0_0000_0000_0001),
    (3, 16_384, 0xffff_ffff_ffff_ffff),
];

/// By the first points of the series.
const EXPECTED: &str = r#"[["Zone", "\u20ac"], ["__name__", "cpu"], ["core", "0"], ["host", "a\"b"]]
1763000000000 4037b33333333333
1763000010000 4037b33333333333
[["Zone", "\u20ac"], ["__name__", "palm_cpu"], ["key", "palm.cpu"]]
-9223372036854775808 8000000000000000
-1 fff0000000000000
0 0000000000000000
1 0000000000000001
[["Zone", "\u20ac"], ["__name__", "gr__e_"], ["key", "gr\u00f6\u00dfe\ud83e\udd80"]]
9223372036854775807 7ff0000000000000
[["Zone", "\u20ac"], ["__name__", "cpu"], ["key", "cpu;key=x;__name__=y"]]
127 7ff0000000000002
128 7ff8000000000000
129 fff8000000000000
16384 7ff0000000000001
16384 ffffffffffffffff
"#;

/// What the script reads; `None` if its libraries are not installed.
fn decode(body: &[u8]) -> Option<String> {
    let import = Command::new(PYTHON)
        .args(["-c", "import google.protobuf, snappy"])
        .output();
    if !import.is_ok_and(|output| output.status.success()) {
        support::skip_without("python3-snappy, or python3-protobuf,");
        return None;
    }
    let mut child = Command::new(PYTHON)
        .arg(SCRIPT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut input = child.stdin.take().expect("a pipe was asked for");
    input
        .write_all(body)
        .expect("Python reads all before it writes");
    drop(input);
    let output = child.wait_with_output().expect("Python ends");
    assert!(output.status.success(), "the request can be read");
    Some(String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn edge_values_arrive() {
    let labels = Labels::new(&[("Zone".into(), "€".into())]).expect("a label");
    let (mut batch, mut body) = (Batch::default(), Vec::new());
    for (series, timestamp, bits) in POINTS {
        batch.push(series, timestamp, f64::from_bits(bits));
    }
    let keys = &mut &KEYS[..];
    let taken = batch.encode(0..batch.len(), usize::MAX, &labels, keys, &mut body);
    assert_eq!(taken.ok(), Some(POINTS.len()));
    if let Some(text) = decode(&body) {
        assert_eq!(text, EXPECTED);
    }
}

/// So many that the request is more than a few of snappy's windows.
#[test]
fn many_points_arrive() {
    const SERIES: u32 = 100;
    let keys: Vec<String> = (0..SERIES)
        .map(|number| format!("host;n={number}"))
        .collect();
    let (mut batch, mut body) = (Batch::default(), Vec::new());
    let value = |place: u32| f64::from(place * 7_919 % 10_007) / 100.0;
    for place in 0..20_000 {
        batch.push(
            u64::from(place % SERIES),
            i64::from(place) * 1_000_003,
            value(place),
        );
    }
    let taken = batch.encode(
        0..batch.len(),
        usize::MAX,
        &Labels::default(),
        &mut &keys[..],
        &mut body,
    );
    assert_eq!(taken.ok(), Some(20_000));
    let Some(text) = decode(&body) else { return };
    let mut lines = text.lines();
    for series in 0..SERIES {
        let labels = format!(r#"[["__name__", "host"], ["n", "{series}"]]"#);
        assert_eq!(lines.next(), Some(&*labels));
        for place in (series..20_000).step_by(SERIES as usize) {
            let (timestamp, bits) = (i64::from(place) * 1_000_003, value(place).to_bits());
            assert_eq!(lines.next(), Some(&*format!("{timestamp} {bits:016x}")));
        }
    }
    assert_eq!(lines.next(), None);
}
