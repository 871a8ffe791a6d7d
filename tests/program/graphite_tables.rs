//! The tables in `tests/graphite` are still what their scripts make of the installed `graphite-web` and `carbon`.
//!
//! Without these the test passes and says so, unless `METRICD_REQUIRE_PEERS` is set.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{self, Folder};

/// The Python that Debian's packages are for.
const PYTHON: &str = "/usr/bin/python3";

#[test]
fn tables_are_what_graphite_web_makes() {
    let import = Command::new(PYTHON)
        .args(["-c", "import graphite, carbon"])
        .output();
    if !import.is_ok_and(|output| output.status.success()) {
        support::skip_without("graphite-web, or graphite-carbon,");
        return;
    }
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let source = tests.join("graphite");
    let root = Folder::new();
    let copy = root.join("graphite");
    fs::create_dir(&copy).expect("a folder");
    fs::create_dir(root.join("numbers")).expect("a folder");
    // Some take their numbers from there.
    let numbers = "numbers/make_tables.py";
    fs::copy(tests.join(numbers), root.join(numbers)).expect("a copy");
    let mut runs = Vec::new();
    for entry in fs::read_dir(&source).expect("the folder of tables") {
        let script = entry.expect("an entry").file_name();
        let Some(table) = table_of(&script.to_string_lossy()) else {
            continue;
        };
        // A script writes beside itself.
        fs::copy(source.join(&script), copy.join(&script)).expect("a copy");
        let mut command = Command::new(PYTHON);
        command
            .arg(copy.join(&script))
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        runs.push((table, command.spawn().expect("python3 runs")));
    }
    let mut differing = Vec::new();
    for (table, run) in runs {
        let run = run.wait_with_output().expect("ends");
        let made = fs::read(copy.join(&table)).unwrap_or_default();
        if made != fs::read(source.join(&table)).expect("a table") {
            let errors = String::from_utf8_lossy(&run.stderr).into_owned();
            differing.push(format!("{table}: {errors}"));
        }
    }
    assert!(differing.is_empty(), "other than committed: {differing:?}");
}

/// The table that a script makes; `None` of any other file.
fn table_of(script: &str) -> Option<String> {
    let name = script.strip_prefix("make_")?.strip_suffix(".py")?;
    Some(format!("{name}.tsv"))
}
