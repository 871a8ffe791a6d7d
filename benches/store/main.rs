//! The store alone: what a point takes, and how fast points are put and read.
//!
//!     cargo bench --bench store

mod alone;
mod series;
mod work;

use std::process::ExitCode;

fn main() -> ExitCode {
    match alone::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("store: {error}");
            ExitCode::FAILURE
        }
    }
}
