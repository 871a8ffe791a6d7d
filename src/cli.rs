//! The command line: from arguments to a [`Config`] and whatever else the daemon needs to know.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use lexopt::prelude::*;
use log::LevelFilter;
use metricd::{Config, Error, Listen, SyncPolicy};

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub enum Command {
    Serve {
        config: Box<Config>,
        log_level: LevelFilter,
    },
    /// Print this on standard output and exit.
    Print(&'static str),
}

/// The options that take a number, each with the field that it sets.
fn numbers(config: &mut Config) -> [(&'static str, &mut usize); 8] {
    [
        ("connection-limit", &mut config.connection_limit),
        ("line-limit", &mut config.line_limit_bytes),
        ("read-buffer", &mut config.read_buffer_bytes),
        ("write-buffer", &mut config.write_buffer_bytes),
        ("unsent-limit", &mut config.unsent_limit_bytes),
        ("snapshot-limit", &mut config.snapshot_limit_bytes),
        ("accepts-per-turn", &mut config.accepts_per_turn),
        ("events-per-turn", &mut config.events_per_turn),
    ]
}

/// The page that `--help` prints, which fits a screen of 24 lines by 80 columns. The defaults are
/// those of [`Config::default`].
const HELP: &str = "\
metricd: a metrics server; numbers with a timestamp under a key, over TCP

Usage: metricd [OPTION]...

  --listen HOST:PORT      address to listen on, [::1]:PORT too; up to 1024 times
                          [default: 127.0.0.1:8888]
  --data DIR              keep points in this folder, not in memory alone
  --sync WHEN             force them to disk: always, never or SECONDS apart [1]
  --salvage               start without what is damaged in the folder
  --connection-limit N    connections served at once; others wait [10000]
  --line-limit BYTES      longest line; a longer one is a wrong command [65536]
  --read-buffer BYTES     read from one client at once [65536]
  --write-buffer BYTES    replies formed at once, at least 65536 [65536]
  --unsent-limit BYTES    unsent replies of one client in the system [131072]
  --snapshot-limit BYTES  kept for all slow readers together [67108864]
  --accepts-per-turn N    connections accepted in one turn [64]
  --events-per-turn N     events taken from the system in one turn [1024]
  --stop-timeout SECONDS  time to write owed replies when stopped [5]
  --log-level LEVEL       off, error, warn, info, debug or trace [info]
  --help, --version       print this, or the version, and exit

Requests are lines: put KEY VALUE TIMESTAMP, get KEY, get *
SIGINT, SIGTERM and SIGHUP stop it after owed replies are written; a second one
stops it at once. Exit status: 0 stopped, 1 cannot run, 2 wrong usage.
";

const VERSION: &str = concat!("metricd ", env!("CARGO_PKG_VERSION"), "\n");

/// Reads the arguments, without the program's name. An error is one line that says what is wrong
/// and what is taken instead.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, lexopt::Error> {
    let mut config = Config::default();
    let mut log_level = LevelFilter::Info;
    let (mut listen, mut needs_data) = (Vec::new(), None);
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        let Long(option) = argument else {
            return Err(unexpected(argument));
        };
        let option = &option.to_owned();
        match option.as_str() {
            "help" => return Ok(Command::Print(HELP)),
            "version" => return Ok(Command::Print(VERSION)),
            "listen" => {
                let takes = "HOST:PORT or [IPV6]:PORT";
                listen.push(value(&mut parser, option, takes, address)?);
            }
            "data" => {
                let path = parser.value().ok().filter(|path| !path.is_empty());
                let path = path.ok_or_else(|| wrong_value(option, None, "a folder"))?;
                config.data = Some(path.into());
            }
            "sync" => {
                let takes = "always, never or seconds from 0.001 up";
                config.sync = value(&mut parser, option, takes, sync_policy)?;
                needs_data = Some("--sync");
            }
            "salvage" => {
                config.salvage = true;
                needs_data = Some("--salvage");
            }
            "stop-timeout" => {
                let seconds: usize = value(&mut parser, option, NUMBER, |text| text.parse().ok())?;
                config.stop_timeout = Duration::from_secs(seconds as u64);
            }
            "log-level" => {
                let takes = "off, error, warn, info, debug or trace";
                log_level = value(&mut parser, option, takes, |text| text.parse().ok())?;
            }
            _ => {
                let mut numbers = numbers(&mut config).into_iter();
                let Some((_, number)) = numbers.find(|(name, _)| name == option) else {
                    return Err(unexpected(Long(option)));
                };
                *number = value(&mut parser, option, NUMBER, |text| text.parse().ok())?;
            }
        }
    }
    if let (None, Some(option)) = (&config.data, needs_data) {
        return Err(format!("{option} needs --data DIR").into());
    }
    if !listen.is_empty() {
        config.listen = listen;
    }
    let config = Box::new(config);
    Ok(Command::Serve { config, log_level })
}

/// What an option that sets a number takes. The range is checked when the server is bound.
const NUMBER: &str = "a number";

/// The error for an argument that is not taken, with a hint to those that are.
fn unexpected(argument: lexopt::Arg) -> lexopt::Error {
    format!("{}; see metricd --help", argument.unexpected()).into()
}

/// What `read` makes of the value that follows an option. An error says what the option `takes`.
fn value<T>(
    parser: &mut lexopt::Parser,
    option: &str,
    takes: &str,
    read: fn(&str) -> Option<T>,
) -> Result<T, lexopt::Error> {
    let text = parser.value().ok();
    let value = text.as_deref().and_then(OsStr::to_str).and_then(read);
    value.ok_or_else(|| wrong_value(option, text.as_deref(), takes))
}

fn wrong_value(option: &str, text: Option<&OsStr>, takes: &str) -> lexopt::Error {
    let what = match text.map(OsStr::to_string_lossy) {
        None => "has no value".into(),
        Some(text) => format!("does not take {text:?}"),
    };
    format!("--{option} {what}: it takes {takes}").into()
}

/// The message of an error, with the name of the option where the error has that of the field.
pub fn message(error: &Error) -> String {
    let message = error.to_string();
    let Error::Config { field, .. } = error else {
        return message;
    };
    let option = field.strip_suffix("_bytes").unwrap_or(field);
    let rest = message.strip_prefix(field).unwrap_or_default();
    format!("--{}{rest}", option.replace('_', "-"))
}

/// When to sync, in words or in seconds.
fn sync_policy(text: &str) -> Option<SyncPolicy> {
    match text {
        "always" => Some(SyncPolicy::Always),
        "never" => Some(SyncPolicy::Never),
        _ => {
            let (seconds, decimals) = text.split_once('.').unwrap_or((text, ""));
            let nanoseconds = format!("{decimals:0<9}");
            let nanoseconds = nanoseconds.get(..9)?.parse().ok()?;
            let interval = Duration::new(seconds.parse().ok()?, nanoseconds);
            (interval >= Duration::from_millis(1)).then_some(SyncPolicy::Every(interval))
        }
    }
}

/// Checks the form of an address. Whether its host exists shows when the server is bound.
fn address(text: &str) -> Option<Listen> {
    let (host, port) = text.rsplit_once(':')?;
    let is_name = !host.is_empty() && !host.contains(':');
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    ((is_name || is_bracketed) && port.parse::<u16>().is_ok()).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_on_disk() {
        let parsed = |options: &str| match parse(options.split(' ').map(OsString::from)) {
            Ok(Command::Serve { config, .. }) => (config.data, config.sync, config.salvage),
            other => panic!("{options}: {other:?}"),
        };
        let data = Some("some/folder".into());
        let every = |ms| SyncPolicy::Every(Duration::from_millis(ms));
        for (options, sync, salvage) in [
            ("--data some/folder", every(1_000), false),
            (
                "--sync always --data some/folder",
                SyncPolicy::Always,
                false,
            ),
            ("--data=some/folder --sync never", SyncPolicy::Never, false),
            ("--data some/folder --sync 2.5", every(2_500), false),
            ("--data some/folder --sync 0.001 --salvage", every(1), true),
        ] {
            assert_eq!(parsed(options), (data.clone(), sync, salvage), "{options}");
        }
    }

    #[test]
    fn help_tells_the_defaults() {
        let mut config = Config::default();
        let listen = config.listen[0].address.clone();
        assert!(HELP.contains(&format!("[default: {listen}]\n")), "{HELP}");
        let stop_timeout = &mut (config.stop_timeout.as_secs() as usize);
        let stop_timeout = ("stop-timeout", stop_timeout);
        for (option, number) in numbers(&mut config).into_iter().chain([stop_timeout]) {
            let is_default = |line: &str| {
                line.starts_with(&format!("  --{option} "))
                    && line.ends_with(&format!("[{number}]"))
            };
            assert!(HELP.lines().any(is_default), "{option} {number}");
        }
    }
}
