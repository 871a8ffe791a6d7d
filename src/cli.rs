//! The command line: arguments to a [`Config`] and what else the daemon needs to know.

use std::ffi::{OsStr, OsString};
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
    /// Print this on standard output and end.
    Print(String),
}

/// The page that `--help` prints: one screen of 24 lines by 80 columns.
fn help() -> String {
    let default = Config::default();
    format!(
        "\
metricd: a metrics server; numbers with a timestamp under a key, over TCP

Usage: metricd [OPTION]...

  --listen HOST:PORT      address to listen on, [::1]:PORT too; may be repeated
                          [default: {listen}]
  --connection-limit N    connections served at once; others wait [{connections}]
  --line-limit BYTES      longest line; a longer one is a wrong command [{line}]
  --read-buffer BYTES     read from one client in one turn [{read}]
  --write-buffer BYTES    replies formed at once, 65536 at least [{write}]
  --accepts-per-turn N    connections accepted in one turn [{accepts}]
  --events-per-turn N     events taken from the system in one turn [{events}]
  --stop-timeout SECONDS  time to write owed replies when stopped [{stop}]
  --log-level LEVEL       off, error, warn, info, debug or trace [info]
  --help, --version       print this, or the version, and exit

Requests are lines: put KEY VALUE TIMESTAMP, get KEY, get *
SIGINT and SIGTERM stop it: replies owed are written first; a second one ends
it at once. Exit status: 0 stopped, 1 cannot run, 2 wrong usage.
",
        listen = default.listen[0].address,
        connections = default.connection_limit,
        line = default.line_limit_bytes,
        read = default.read_buffer_bytes,
        write = default.write_buffer_bytes,
        accepts = default.accepts_per_turn,
        events = default.events_per_turn,
        stop = default.stop_timeout.as_secs(),
    )
}

/// Reads the arguments, which come without the program's name. An error is one line that says
/// what is wrong and what is taken.
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
            "listen" => listen.push(address(parser.value()?)?),
            "connection-limit" => config.connection_limit = number(&mut parser, &option)?,
            "line-limit" => config.line_limit_bytes = number(&mut parser, &option)?,
            "read-buffer" => config.read_buffer_bytes = number(&mut parser, &option)?,
            "write-buffer" => config.write_buffer_bytes = number(&mut parser, &option)?,
            "accepts-per-turn" => config.accepts_per_turn = number(&mut parser, &option)?,
            "events-per-turn" => config.events_per_turn = number(&mut parser, &option)?,
            "stop-timeout" => {
                config.stop_timeout = Duration::from_secs(number(&mut parser, &option)?);
            }
            "log-level" => log_level = level(&parser.value()?)?,
            _ => return Err(unexpected(Long(&option))),
        }
    }
    if !listen.is_empty() {
        config.listen = listen.into_iter().map(Into::into).collect();
    }
    Ok(Command::Serve { config, log_level })
}

/// An argument that is not taken, with a hint to those that are.
fn unexpected(argument: lexopt::Arg) -> lexopt::Error {
    format!("{}; see metricd --help", argument.unexpected()).into()
}

/// The number that follows an option; whether it is in range shows when it is used.
fn number<T: FromStr>(parser: &mut lexopt::Parser, option: &str) -> Result<T, lexopt::Error> {
    let text = parser.value()?;
    let number = text.to_str().and_then(|text| text.parse().ok());
    number.ok_or_else(|| format!("--{option} does not take {text:?}: it takes a number").into())
}

/// An [`Error::Config`] in terms of options, whose names are those of the fields.
pub fn out_of_range(error: &Error) -> lexopt::Error {
    let mut message = error.to_string();
    if let Error::Config { field, .. } = error {
        let option = field.trim_end_matches("_bytes").replace('_', "-");
        message = message.replacen(field, &format!("--{option}"), 1);
    }
    message.into()
}

fn level(text: &OsStr) -> Result<LevelFilter, lexopt::Error> {
    let level = text.to_str().and_then(|text| text.parse().ok());
    level.ok_or_else(|| {
        let text = text.to_string_lossy();
        format!(
            "--log-level does not take {text:?}: it takes off, error, warn, info, debug or trace"
        )
        .into()
    })
}

/// Checks the form of an address; whether its host exists shows when it is listened on.
fn address(text: OsString) -> Result<String, lexopt::Error> {
    let taken = text.to_str().filter(|text| {
        text.rsplit_once(':').is_some_and(|(host, port)| {
            let bare = !host.is_empty() && !host.contains(':');
            let bracketed = host.starts_with('[') && host.ends_with(']');
            (bare || bracketed) && port.parse::<u16>().is_ok()
        })
    });
    match taken {
        Some(address) => Ok(address.into()),
        None => {
            let text = text.to_string_lossy();
            Err(
                format!("--listen does not take {text:?}: it takes HOST:PORT or [IPV6]:PORT")
                    .into(),
            )
        }
    }
}
