//! Numbers are read and printed as CPython does: checked against tables that CPython made
//! (`tests/numbers/make_tables.py`), so that no Python is needed to run this.

use metricd::internals::{NUMBER_ROOM_BYTES, float, integer};

fn written(write: impl FnOnce(&mut [u8]) -> usize) -> String {
    let mut room = [0; NUMBER_ROOM_BYTES];
    let length = write(&mut room);
    String::from_utf8(room[..length].to_vec()).expect("numbers are ASCII")
}

/// Checks `ours` against each row of a table that has at least so many rows.
#[track_caller]
fn check(table: &str, least_rows: usize, ours: impl Fn(&str) -> Option<String>) {
    let mut rows = 0;
    let mut differing = Vec::new();
    for row in table.lines().filter(|row| !row.starts_with('#')) {
        let (text, theirs) = row.split_once('\t').expect("a text, a tab, a result");
        let ours = ours(text).unwrap_or("error".into());
        if ours != theirs {
            differing.push(format!("{text}: {ours}, in Python {theirs}"));
        }
        rows += 1;
    }
    assert!(rows >= least_rows, "only {rows} rows");
    assert!(
        differing.is_empty(),
        "{} differ:\n{}",
        differing.len(),
        differing.join("\n")
    );
}

#[test]
fn floats_are_read_and_printed_as_python_does() {
    check(include_str!("numbers/floats.tsv"), 4_000, |text| {
        let value = float::parse(text.as_bytes())?;
        Some(written(|room| float::write(room, value)))
    });
}

#[test]
fn integers_are_read_as_python_does() {
    check(include_str!("numbers/integers.tsv"), 1_500, |text| {
        let value = integer::parse(text.as_bytes())?;
        Some(written(|room| integer::write(room, value)))
    });
}
