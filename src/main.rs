//! The daemon: a command line, a logger and signals around [`metricd::Server`].

#![forbid(unsafe_code)]

mod cli;
mod logger;

use std::io::{self, Write};
use std::process::ExitCode;

use metricd::{Config, Error, Server, StopHandle};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use crate::cli::Command;

const CANNOT_RUN: u8 = 1;
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os().skip(1)) {
        Ok(Command::Print(text)) => print(&text),
        Ok(Command::Serve { config, log_level }) => {
            logger::install(log_level);
            match serve(config) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error @ Error::Config { .. }) => fail(WRONG_USAGE, &error),
                Err(error) => fail(CANNOT_RUN, &error),
            }
        }
        Err(error) => fail(WRONG_USAGE, &error),
    }
}

fn serve(config: Config) -> Result<(), Error> {
    let server = Server::bind(config)?;
    stop_at_signals(&server.stop_handle()).map_err(|source| Error::EventLoop {
        doing: "handle signals",
        source,
    })?;
    server.run()
}

/// Makes SIGINT and SIGTERM requests to stop.
fn stop_at_signals(handle: &StopHandle) -> io::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        pipe::register(signal, handle.descriptor()?)?;
    }
    Ok(())
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(CANNOT_RUN, &error),
    }
}

/// Says on standard error, in one line, why the program ends.
fn fail(status: u8, error: &dyn std::error::Error) -> ExitCode {
    // Where standard error cannot be written, the exit status still tells.
    let _unwritten = writeln!(io::stderr(), "metricd: {error}");
    ExitCode::from(status)
}
