//! The daemon: a command line, a logger and signals around [`metricd::Server`].

#![forbid(unsafe_code)]

mod cli;
mod logger;
mod service;

use std::env;
use std::fs::File;
use std::io::{self, Read, Write};
use std::mem;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use metricd::{Error, Listen, Protocol, Server, StopHandle, Store};
use nix::sys::signal::{SigSet, SigmaskHow};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::low_level::pipe;

use crate::cli::{Command, Settings};

const CANNOT_RUN: u8 = 1;
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    match cli::parse(env::args_os().skip(1), env::vars_os()) {
        Ok(Command::Print(text)) => print(text),
        Ok(Command::Serve(mut settings)) => match serve(&mut settings) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error @ Error::Setting { .. }) => fail(WRONG_USAGE, &settings.message(&error)),
            Err(error) => fail(CANNOT_RUN, &settings.message(&error)),
        },
        Err(error) => fail(WRONG_USAGE, &error.to_string()),
    }
}

/// Has writes fail past the limit of a file's size. Else the system would end the process.
fn ignore_file_size_signal() -> io::Result<()> {
    // The other end is closed at once: it is enough that there is a handler.
    let (unread, _) = UnixStream::pair()?;
    pipe::register(SIGXFSZ, OwnedFd::from(unread)).map(|_id| ())
}

fn serve(settings: &mut Settings) -> Result<(), Error> {
    // First of all, since sockets are handed over by the numbers of their descriptors.
    let hooks = service::hooks().map_err(system("take over sockets"))?;
    // Before anything that takes long, so that a signal that comes during the start stops the server
    // when it runs.
    let stop_handle = handle_signals().map_err(system("handle signals"))?;
    ignore_file_size_signal().map_err(system("handle signals"))?;
    logger::install(settings.log_level).map_err(system("log"))?;
    if !settings.ignored_variables.is_empty() {
        let ignored = settings.ignored_variables.join(", ");
        log::warn!("ignored, since metricd --help lists no such option: {ignored}");
    }
    let mut config = mem::take(&mut settings.config);
    let speaks_lines = |listen: &Listen| listen.protocol == Protocol::Lines;
    if !config.listen.iter().any(speaks_lines) && hooks.listeners.is_empty() {
        config.listen.insert(0, Listen::default());
    }
    let server = Server::bind_with(config, stop_handle, Store::new(), hooks)?;
    service::tell_ready();
    let store = server.run()?;
    // The system takes back all memory at once, which is faster than freeing it piece by piece.
    mem::forget(store);
    Ok(())
}

/// For `map_err`: what the system refused.
fn system(doing: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::System { doing, source }
}

/// Makes SIGINT, SIGTERM and SIGHUP requests to stop, and SIGUSR1 one to report.
fn handle_signals() -> io::Result<StopHandle> {
    let handle = StopHandle::new()?;
    // A program that `nohup` starts must not stop with the terminal.
    let hangup = (!is_ignored(SIGHUP)).then_some(SIGHUP);
    // Handlers are installed before it is noted what they do: a signal that came in between would be lost.
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    for signal in [SIGINT, SIGTERM].into_iter().chain(hangup) {
        pipe::register(signal, handle.descriptor()?)?;
    }
    pipe::register(SIGUSR1, handle.report_descriptor()?)?;
    mask.thread_set_mask()?;
    Ok(handle)
}

/// Whether the program was started with this signal ignored. Systems other than Linux do not tell,
/// and it is taken not to be.
fn is_ignored(signal: i32) -> bool {
    // It has some 1,500 bytes, which one read returns.
    let mut status = [0; 8 << 10];
    let file = File::open("/proc/self/status");
    let length = file.and_then(|mut file| file.read(&mut status));
    let status = str::from_utf8(&status[..length.unwrap_or(0)]).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(CANNOT_RUN, &error.to_string()),
    }
}

/// Says on standard error, in one line, why the program ends.
fn fail(status: u8, message: &str) -> ExitCode {
    let mut line = String::from("metricd: ");
    for character in message.chars() {
        // What an operator typed may hold any character.
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
