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
            match logger::install(log_level)
                .map_err(system("log"))
                .and_then(|()| serve(config))
            {
                Ok(()) => ExitCode::SUCCESS,
                Err(error @ Error::Config { .. }) => fail(WRONG_USAGE, &cli::out_of_range(&error)),
                Err(error) => fail(CANNOT_RUN, &error),
            }
        }
        Err(error) => fail(WRONG_USAGE, &error),
    }
}

fn serve(config: Config) -> Result<(), Error> {
    let server = Server::bind(config)?;
    stop_at_signals(&server.stop_handle()).map_err(system("handle signals"))?;
    server.run()
}

/// For `map_err`: what the system refused.
fn system(doing: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::System { doing, source }
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
    let mut line = String::from("metricd: ");
    for character in error.to_string().chars() {
        // What an operator typed may have any character.
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line.push('\n');
    // Where standard error cannot be written, the exit status still tells.
    let _unwritten = io::stderr().write_all(line.as_bytes());
    ExitCode::from(status)
}
