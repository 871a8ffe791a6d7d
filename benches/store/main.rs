//! What a point takes, and how fast points are put and read: in the store alone, and over the
//! wire in the real server, all included.
//!
//!     cargo bench --bench store -- [--alone] [--wire]
//!
//! `--alone` is the first part only, `--wire` the second.

mod alone;
#[path = "../versus/machine.rs"]
#[expect(dead_code, reason = "the other bench needs thousands of descriptors")]
mod machine;
#[path = "../versus/process.rs"]
#[expect(dead_code, reason = "the other bench looks at more of a process")]
mod process;
mod series;
mod wire;
mod work;

use std::env;
use std::process::ExitCode;

const USAGE: &str = "cargo bench --bench store -- [--alone] [--wire]";

struct Options {
    alone: bool,
    wire: bool,
}

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let (mut alone, mut wire) = (false, false);
        for argument in arguments {
            match argument.as_str() {
                // What cargo itself passes to every bench.
                "--bench" => {}
                "--alone" => alone = true,
                "--wire" => wire = true,
                _ => return Err(format!("unknown option {argument}; usage: {USAGE}")),
            }
        }
        // None asks for all, as both do.
        Ok(Options {
            alone: alone || !wire,
            wire: wire || !alone,
        })
    }
}

fn main() -> ExitCode {
    let arguments = env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned());
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(usage) => {
            eprintln!("store: {usage}");
            return ExitCode::from(2);
        }
    };
    match measure(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("store: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), String> {
    println!("{}", machine::description());
    if options.alone {
        println!("\nThe store alone\n");
        alone::run()?;
    }
    if options.wire {
        println!("\nThe server over loopback, all included\n");
        wire::run()?;
    }
    Ok(())
}
