//! The command line: from arguments to a [`Config`] and whatever else the daemon needs to know.

use std::ffi::OsString;
use std::str::FromStr;
use std::time::Duration;

use lexopt::prelude::*;
use log::LevelFilter;
use metricd::{Config, Error};

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub enum Command {
    Serve {
        config: Config,
        log_level: LevelFilter,
    },
    /// Print this on standard output and exit.
    Print(String),
}

/// The page that `--help` prints, which fits a screen of 24 lines by 80 columns.
fn help() -> String {
    let default = Config::default();
    format!(
        "\
metricd: a metrics server; numbers with a timestamp under a key, over TCP

Usage: metricd [OPTION]...

  --listen HOST:PORT      address to listen on, [::1]:PORT too; up to 1024 times
                          [default: {listen}]
  --connection-limit N    connections served at once; others wait [{connections}]
  --line-limit BYTES      longest line; a longer one is a wrong command [{line}]
  --read-buffer BYTES     read from one client at once [{read}]
  --write-buffer BYTES    replies formed at once, at least 65536 [{write}]
  --unsent-limit BYTES    unsent replies of one client in the system [{unsent}]
  --snapshot-limit BYTES  kept for all slow readers together [{snapshot}]
  --accepts-per-turn N    connections accepted in one turn [{accepts}]
  --events-per-turn N     events taken from the system in one turn [{events}]
  --stop-timeout SECONDS  time to write owed replies when stopped [{stop}]
  --log-level LEVEL       off, error, warn, info, debug or trace [info]
  --help, --version       print this, or the version, and exit

Requests are lines: put KEY VALUE TIMESTAMP, get KEY, get *
SIGINT, SIGTERM and SIGHUP stop it after owed replies are written; a second one
stops it at once. Exit status: 0 stopped, 1 cannot run, 2 wrong usage.
",
        listen = default.listen[0].address,
        connections = default.connection_limit,
        line = default.line_limit_bytes,
        read = default.read_buffer_bytes,
        write = default.write_buffer_bytes,
        unsent = default.unsent_limit_bytes,
        snapshot = default.snapshot_limit_bytes,
        accepts = default.accepts_per_turn,
        events = default.events_per_turn,
        stop = default.stop_timeout.as_secs(),
    )
}

/// Reads the arguments, without the program's name. An error is one line that says what is wrong
/// and what is taken instead.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, lexopt::Error> {
    let mut config = Config::default();
    let mut log_level = LevelFilter::Info;
    let mut listen = Vec::new();
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        let Long(option) = argument else {
            return Err(unexpected(argument));
        };
        let option = option.to_owned();
        match option.as_str() {
            "help" => return Ok(Command::Print(help())),
            "version" => {
                return Ok(Command::Print(
                    concat!("metricd ", env!("CARGO_PKG_VERSION"), "\n").into(),
                ));
            }
            "listen" => {
                let takes = "HOST:PORT or [IPV6]:PORT";
                listen.push(value(&mut parser, &option, takes, address)?);
            }
            "connection-limit" => config.connection_limit = number(&mut parser, &option)?,
            "line-limit" => config.line_limit_bytes = number(&mut parser, &option)?,
            "read-buffer" => config.read_buffer_bytes = number(&mut parser, &option)?,
            "write-buffer" => config.write_buffer_bytes = number(&mut parser, &option)?,
            "unsent-limit" => config.unsent_limit_bytes = number(&mut parser, &option)?,
            "snapshot-limit" => config.snapshot_limit_bytes = number(&mut parser, &option)?,
            "accepts-per-turn" => config.accepts_per_turn = number(&mut parser, &option)?,
            "events-per-turn" => config.events_per_turn = number(&mut parser, &option)?,
            "stop-timeout" => {
                config.stop_timeout = Duration::from_secs(number(&mut parser, &option)?);
            }
            "log-level" => {
                let takes = "off, error, warn, info, debug or trace";
                log_level = value(&mut parser, &option, takes, |text| text.parse().ok())?;
            }
            _ => return Err(unexpected(Long(&option))),
        }
    }
    if !listen.is_empty() {
        config.listen = listen.into_iter().map(Into::into).collect();
    }
    Ok(Command::Serve { config, log_level })
}

/// The error for an argument that is not taken, with a hint to those that are.
fn unexpected(argument: lexopt::Arg) -> lexopt::Error {
    format!("{}; see metricd --help", argument.unexpected()).into()
}

/// The number that follows an option. Its range is checked when the server is bound.
fn number<T: FromStr>(parser: &mut lexopt::Parser, option: &str) -> Result<T, lexopt::Error> {
    value(parser, option, "a number", |text| text.parse().ok())
}

/// What `read` makes of the value that follows an option. An error says what the option `takes`.
fn value<T>(
    parser: &mut lexopt::Parser,
    option: &str,
    takes: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, lexopt::Error> {
    let Ok(text) = parser.value() else {
        return Err(format!("--{option} has no value: it takes {takes}").into());
    };
    text.to_str().and_then(read).ok_or_else(|| {
        let text = text.to_string_lossy();
        format!("--{option} does not take {text:?}: it takes {takes}").into()
    })
}

/// The message of an [`Error::Config`], with the option instead of the field of the same name.
pub fn out_of_range(error: &Error) -> lexopt::Error {
    let mut message = error.to_string();
    if let Error::Config { field, .. } = error {
        let option = field.trim_end_matches("_bytes").replace('_', "-");
        message = message.replacen(field, &format!("--{option}"), 1);
    }
    message.into()
}

/// Checks the form of an address. Whether its host exists shows when the server is bound.
fn address(text: &str) -> Option<String> {
    let (host, port) = text.rsplit_once(':')?;
    let is_name = !host.is_empty() && !host.contains(':');
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    ((is_name || is_bracketed) && port.parse::<u16>().is_ok()).then(|| text.into())
}
