//! The command line and the environment: to a [`Config`] and whatever else the daemon needs to know.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use lexopt::prelude::*;
use log::LevelFilter;
use metricd::{Config, Error, Listen, Protocol, SyncPolicy, TimestampUnit, WhenFull};

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub enum Command {
    Serve(Box<Settings>),
    /// Print this on standard output and exit.
    Print(&'static str),
}

/// How the daemon is to serve.
#[derive(Debug, PartialEq)]
pub struct Settings {
    pub config: Config,
    pub log_level: LevelFilter,
    /// Names of the options that were given, flags that are off left out, and how they were written: `--data` or
    /// `METRICD_DATA`.
    given: Vec<(&'static str, String)>,
    /// Names of the environment variables that look like an option and are none.
    pub ignored_variables: Vec<String>,
}

/// An option of the command line, and of the environment.
struct CommandOption {
    /// After `--`.
    name: &'static str,
    /// What errors call the values that it takes. None of a flag: that is true or false, and true if it is
    /// on the command line, where it has no value.
    takes: Option<&'static str>,
    /// Sets its field; `None` if it does not take this value.
    set: fn(&mut Settings, &OsStr) -> Option<()>,
}

const FLAG: Option<&str> = None;
const NUMBER: Option<&str> = Some("a number");
const BYTES: Option<&str> = Some("bytes, such as 65536, 64K or 32M");
const TIME: Option<&str> = Some("seconds, or a time such as 45s, 30m or 12h");
const TIME_OR_NEVER: Option<&str> =
    Some("never, or a time from 1s up such as 45s, 30m, 12h or 90d");
const ADDRESSES: Option<&str> = Some("HOST:PORT, [IPV6]:PORT or unix:PATH");

/// Declares options, each by its name, what it takes, its field, and a function that sets the field to a
/// value or adds the value to it.
macro_rules! options {
    ($($name:literal, $takes:expr, $($field:ident).+, $set:expr;)+) => {
        &[$(CommandOption {
            name: $name,
            takes: $takes,
            set: |settings, value| ($set)(&mut settings.$($field).+, value),
        },)+]
    };
}

/// All options. The range of a number is checked when the server is bound.
const OPTIONS: &[CommandOption] = options! {
    "listen", ADDRESSES, config.listen, |list, value| listen(list, value, Protocol::Lines);
    "graphite", ADDRESSES, config.listen, |list, value| listen(list, value, Protocol::Graphite);
    "http", ADDRESSES, config.listen, |list, value| listen(list, value, Protocol::Http);
    "socket-mode", Some("an octal number up to 777"), config.socket_mode, to(permissions);
    "log-level", Some("off, error, warn, info, debug or trace"), log_level, to(parsed);
    "memory-limit", Some("none, or bytes such as 33554432 or 32M"), config.memory_limit_bytes, to(memory);
    "when-full", Some("refuse or evict"), config.when_full, to(when_full);
    "retention", TIME_OR_NEVER, config.retention, to(time_or_never);
    "timestamp-unit", Some("s, ms, us or ns"), config.timestamp_unit, to(timestamp_unit);
    "data", Some("a folder"), config.data, path;
    "sync", Some("always, never, or a time from 0.001s up such as 1s"), config.sync, to(sync_policy);
    "salvage", FLAG, config.salvage, to(parsed);
    "remote-write", Some("http://HOST[:PORT]/PATH"), config.remote_write.urls, urls;
    "remote-write-label", Some("NAME=VALUE"), config.remote_write.labels, labels;
    "remote-write-header-file", Some("a file"), config.remote_write.header_file, path;
    "remote-write-spool", BYTES, config.remote_write.spool_bytes, to(bytes);
    "connection-limit", NUMBER, config.connection_limit, to(parsed);
    "idle-timeout", TIME_OR_NEVER, config.idle_timeout, to(time_or_never);
    "request-timeout", TIME, config.request_timeout, to(time);
    "stall-timeout", TIME_OR_NEVER, config.stall_timeout, to(time_or_never);
    "stop-timeout", TIME, config.stop_timeout, to(time);
    "line-limit", BYTES, config.line_limit_bytes, to(bytes);
    "read-buffer", BYTES, config.read_buffer_bytes, to(bytes);
    "write-buffer", BYTES, config.write_buffer_bytes, to(bytes);
    "unsent-limit", BYTES, config.unsent_limit_bytes, to(bytes);
    "snapshot-limit", BYTES, config.snapshot_limit_bytes, to(bytes);
    "accepts-per-turn", NUMBER, config.accepts_per_turn, to(parsed);
    "events-per-turn", NUMBER, config.events_per_turn, to(parsed);
};

/// Options that mean nothing without another one.
const NEEDS: [(&str, &str); 7] = [
    ("sync", "data"),
    ("salvage", "data"),
    ("remote-write", "data"),
    ("remote-write-label", "remote-write"),
    ("remote-write-header-file", "remote-write"),
    ("remote-write-spool", "remote-write"),
    ("when-full", "memory-limit"),
];

/// The page that `--help` prints, 80 columns wide. The defaults are those of [`Config::default`].
const HELP: &str = "\
metricd: a metrics server; numbers with a timestamp under a key, over TCP

Usage: metricd [OPTION]...

  --listen ADDRESS        HOST:PORT, [IPV6]:PORT or unix:PATH; up to 1024, by
                          commas or more options [127.0.0.1:8888]
  --graphite ADDRESS      take points in Graphite's plaintext protocol there
  --http ADDRESS          serve a page, Grafana and Prometheus there; read only
  --socket-mode OCTAL     permissions of the files of Unix sockets [660]
  --log-level LEVEL       off, error, warn, info, debug or trace [info]
  --help, --version       print this, or the version, and exit

What is kept:
  --memory-limit BYTES    the most memory that the process takes [none]
  --when-full WHAT        then refuse puts, or evict the oldest points [refuse]
  --retention TIME        remove points that are older than this [never]
  --timestamp-unit UNIT   what timestamps count: s, ms, us or ns [s]

On disk:
  --data DIR              keep points in this folder, not in memory alone
  --sync WHEN             force them to disk: always, never or TIME apart [1s]
  --salvage               start without what is damaged in the folder

Handed on, by Prometheus remote write:
  --remote-write URL      send all points there: http://HOST[:PORT]/PATH; up to
                          8, by commas or more options; needs --data
  --remote-write-label NAME=VALUE    add labels to every series, by commas
  --remote-write-header-file FILE    header lines, such as Authorization: ...
  --remote-write-spool BYTES         journal kept for an absent receiver [1G]

Clients:
  --connection-limit N    connections served at once; others wait [10000]
  --idle-timeout TIME     close a connection on which nothing is sent [never]
  --request-timeout TIME  refuse a request of HTTP that takes longer [30s]
  --stall-timeout TIME    cut off a client that does not take its replies [5m]
  --stop-timeout TIME     time to write owed replies when stopped [5s]
  --line-limit BYTES      longest line; a longer one is a wrong command [64K]
  --read-buffer BYTES     read from one client at once [64K]
  --write-buffer BYTES    replies formed at once, at least 64K [64K]
  --unsent-limit BYTES    unsent replies of one client in the system [128K]
  --snapshot-limit BYTES  kept for all slow readers together [64M]
  --accepts-per-turn N    connections accepted in one turn [64]
  --events-per-turn N     events taken from the system in one turn [1024]

BYTES may end in K, M or G. TIMEs are seconds, or end in s, m, h or d.
Each option is an environment variable too: METRICD_LISTEN for --listen, with
commas between addresses; METRICD_SALVAGE=true. The command line wins.

Requests are lines: put KEY VALUE TIMESTAMP, get KEY, get *
SIGINT, SIGTERM and SIGHUP stop it after owed replies are written; a second one
stops it at once. SIGUSR1 has it log what it has counted.
Exit status: 0 stopped, 1 cannot run, 2 wrong usage.
";

const VERSION: &str = concat!("metricd ", env!("CARGO_PKG_VERSION"), "\n");

/// Reads the arguments, without the program's name, and the environment. An error is one line that
/// says what is wrong and what is taken instead.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Command, lexopt::Error> {
    let mut settings = Settings::default();
    let mut parser = lexopt::Parser::from_args(arguments);
    // What is wrong with a value is told only if all arguments are options.
    let mut all_set = Ok(());
    while let Some(argument) = parser.next()? {
        let option = match argument {
            Long("help") => return Ok(Command::Print(HELP)),
            Long("version") => return Ok(Command::Print(VERSION)),
            Long(name) => OPTIONS.iter().find(|option| option.name == name),
            _ => None,
        };
        let Some(option) = option else {
            return Err(format!("{}; see metricd --help", argument.unexpected()).into());
        };
        let value = match option.takes {
            FLAG => Some("true".into()),
            Some(_) => parser.value().ok(),
        };
        all_set = all_set.and(settings.set(option, format!("--{}", option.name), value));
    }
    all_set?;
    settings.read(environment)?;
    for (option, needed) in NEEDS {
        if let (Some(source), None) = (settings.source(option), settings.source(needed)) {
            return Err(format!("{source} needs --{needed}").into());
        }
    }
    Ok(Command::Serve(Box::new(settings)))
}

impl Default for Settings {
    fn default() -> Settings {
        let mut config = Config::default();
        // Each address that is given adds to the list.
        config.listen.clear();
        Settings {
            config,
            log_level: LevelFilter::Info,
            given: Vec::new(),
            ignored_variables: Vec::new(),
        }
    }
}

impl Settings {
    /// Sets the field of an option that was given, written like `source`.
    fn set(
        &mut self,
        option: &CommandOption,
        source: String,
        value: Option<OsString>,
    ) -> Result<(), lexopt::Error> {
        let value = value.as_deref();
        if value.and_then(|value| (option.set)(self, value)).is_none() {
            let what = match value.map(OsStr::to_string_lossy) {
                None => "has no value".into(),
                Some(text) => format!("does not take {text:?}"),
            };
            let takes = option.takes.unwrap_or("true or false");
            return Err(format!("{source} {what}: it takes {takes}").into());
        }
        let is_off = option.takes == FLAG && value == Some(OsStr::new("false"));
        if !is_off {
            self.given.push((option.name, source));
        }
        Ok(())
    }

    /// Sets what the command line has not set, and the environment does. An empty variable sets nothing.
    fn read(
        &mut self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(), lexopt::Error> {
        for (variable, value) in environment {
            let source = variable.to_string_lossy().into_owned();
            let Some(rest) = source.strip_prefix("METRICD_") else {
                continue;
            };
            let is_of = |option: &&CommandOption| {
                option.name.to_ascii_uppercase().replace('-', "_") == rest
            };
            // Kubernetes sets these for a service that is called metricd.
            let is_of_service = rest.starts_with("PORT") || rest.starts_with("SERVICE_");
            match OPTIONS.iter().find(is_of) {
                None if is_of_service => {}
                None => self.ignored_variables.push(source),
                Some(option) if value.is_empty() || self.source(option.name).is_some() => {}
                Some(option) => self.set(option, source, Some(value))?,
            }
        }
        Ok(())
    }

    /// How an option was written, if it was given.
    fn source(&self, option: &str) -> Option<&str> {
        let mut given = self.given.iter();
        given.find_map(|(name, source)| (*name == option).then_some(source.as_str()))
    }

    /// The message of an error, after the option that it is about, if there is one, or after the variable that
    /// was read instead. A message that begins with the name of a field has that in its place.
    pub fn message(&self, error: &Error) -> String {
        let message = error.to_string();
        let (field, rest) = match error {
            Error::Setting { field, .. } => (*field, message.strip_prefix(field)),
            Error::Listen { listen, .. } | Error::Resolve { listen, .. } => {
                let option = match listen.protocol {
                    Protocol::Graphite => "graphite",
                    Protocol::Http => "http",
                    _ => "listen",
                };
                (option, None)
            }
            Error::Data { .. } => ("data", None),
            Error::HeaderFile { .. } => ("remote_write_header_file", None),
            _ => return message,
        };
        let option = field
            .strip_suffix("_bytes")
            .unwrap_or(field)
            .replace('_', "-");
        let source = match self.source(&option) {
            Some(source) => source.to_owned(),
            None => format!("--{option}"),
        };
        source + rest.unwrap_or(&[": ", &message].concat())
    }
}

/// Sets a field to what `read` makes of a text.
fn to<T>(read: fn(&str) -> Option<T>) -> impl Fn(&mut T, &OsStr) -> Option<()> {
    move |field, value| {
        *field = read(value.to_str()?)?;
        Some(())
    }
}

/// Whatever the standard library reads.
fn parsed<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// Bytes, plain or in units of 1,024.
fn bytes(text: &str) -> Option<usize> {
    let units = [("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30)];
    let (number, unit) = split_unit(text, &units);
    number.parse::<usize>().ok()?.checked_mul(unit as usize)
}

fn memory(text: &str) -> Option<Option<usize>> {
    match text {
        "none" => Some(None),
        _ => bytes(text).map(Some),
    }
}

/// A time, in seconds or with its unit, to the nanosecond.
fn time(text: &str) -> Option<Duration> {
    let units = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
    let (number, unit) = split_unit(text, &units);
    let is_plain = number
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let nanoseconds = format!("{decimals:0<9}").get(..9)?.parse().ok()?;
    let time = Duration::new(whole.parse().ok()?, nanoseconds).checked_mul(unit);
    time.filter(|_| is_plain)
}

/// The number before its unit, and what the unit stands for: 1 without one.
fn split_unit<'text>(text: &'text str, units: &[(&str, u32)]) -> (&'text str, u32) {
    let in_unit = |(unit, factor): &(&str, u32)| Some((text.strip_suffix(unit)?, *factor));
    units.iter().find_map(in_unit).unwrap_or((text, 1))
}

/// A time of at least a second, or none: `never`, or 0 as other servers have it.
fn time_or_never(text: &str) -> Option<Option<Duration>> {
    if text == "never" {
        return Some(None);
    }
    let is_zero = !text.contains(|digit| matches!(digit, '1'..='9'));
    let time = Some(time(text)?).filter(|_| !is_zero);
    let is_long = time.is_none_or(|time| time >= Duration::from_secs(1));
    is_long.then_some(time)
}

fn sync_policy(text: &str) -> Option<SyncPolicy> {
    match text {
        "always" => Some(SyncPolicy::Always),
        "never" => Some(SyncPolicy::Never),
        _ => time(text)
            .filter(|&time| time >= Duration::from_millis(1))
            .map(SyncPolicy::Every),
    }
}

fn when_full(text: &str) -> Option<WhenFull> {
    match text {
        "refuse" => Some(WhenFull::Refuse),
        "evict" => Some(WhenFull::Evict),
        _ => None,
    }
}

fn timestamp_unit(text: &str) -> Option<TimestampUnit> {
    match text {
        "s" => Some(TimestampUnit::Seconds),
        "ms" => Some(TimestampUnit::Milliseconds),
        "us" => Some(TimestampUnit::Microseconds),
        "ns" => Some(TimestampUnit::Nanoseconds),
        _ => None,
    }
}

/// Permissions of a file.
fn permissions(text: &str) -> Option<u32> {
    let mode = u32::from_str_radix(text, 8).ok();
    mode.filter(|&mode| mode <= 0o777)
}

fn path(path: &mut Option<PathBuf>, value: &OsStr) -> Option<()> {
    *path = Some(value.into());
    (!value.is_empty()).then_some(())
}

/// Adds addresses.
fn listen(list: &mut Vec<Listen>, value: &OsStr, protocol: Protocol) -> Option<()> {
    for address in value.to_str()?.split(',').map(str::trim) {
        let address = is_address(address).then(|| address.into())?;
        list.push(Listen { address, protocol });
    }
    Some(())
}

/// Checks the form of an address. Whether its host exists shows when the server is bound.
fn is_address(text: &str) -> bool {
    if let Some(path) = text.strip_prefix("unix:") {
        // It is logged, on one line.
        return !path.is_empty() && !path.contains(char::is_control);
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let is_name = !host.is_empty() && !host.contains(':');
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    (is_name || is_bracketed) && port.parse::<u16>().is_ok()
}

/// Adds receivers of remote write.
fn urls(urls: &mut Vec<String>, value: &OsStr) -> Option<()> {
    let list = value.to_str()?.split(',');
    urls.extend(list.map(|url| url.trim().into()));
    Some(())
}

/// Adds labels.
fn labels(labels: &mut Vec<(String, String)>, value: &OsStr) -> Option<()> {
    for label in value.to_str()?.split(',') {
        let (name, value) = label.trim().split_once('=')?;
        labels.push((name.into(), value.into()));
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use metricd::RemoteWrite;

    fn settings(options: &str, environment: &[(&str, &str)]) -> Result<Box<Settings>, String> {
        let options = options.split_whitespace().map(OsString::from);
        let environment = environment
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        match parse(options, environment) {
            Ok(Command::Serve(settings)) => Ok(settings),
            Ok(Command::Print(text)) => Err(text.into()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_environment_sets_what_the_command_line_does_not() {
        let config =
            |options, environment: &[_]| settings(options, environment).map(|all| all.config);
        for (options, environment, same) in [
            ("", &[][..], ""),
            (
                "",
                &[("METRICD_LISTEN", "a:1,[::1]:2")],
                "--listen a:1 --listen [::1]:2",
            ),
            ("--listen b:2", &[("METRICD_LISTEN", "a:1")], "--listen b:2"),
            (
                "",
                &[("METRICD_DATA", "d"), ("METRICD_SYNC", "never")],
                "--data d --sync never",
            ),
            (
                "--data d",
                &[("METRICD_SALVAGE", "true")],
                "--data d --salvage",
            ),
            ("--data d", &[("METRICD_SALVAGE", "false")], "--data d"),
            (
                "",
                &[("METRICD_SALVAGE", "false"), ("METRICD_LINE_LIMIT", "")],
                "",
            ),
            ("", &[("METRICD_LINE_LIMIT", "1K")], "--line-limit 1024"),
            // Not read, and so not wrong.
            (
                "--idle-timeout 5",
                &[("METRICD_IDLE_TIMEOUT", "x")],
                "--idle-timeout 5s",
            ),
        ] {
            assert_eq!(
                config(options, environment),
                config(same, &[]),
                "{options} {environment:?}"
            );
        }
    }

    #[test]
    fn what_the_environment_has_wrong_is_called_by_its_name() {
        for (name, value, said) in [
            (
                "METRICD_LISTEN",
                "a:1,b",
                "METRICD_LISTEN does not take \"a:1,b\": it takes HOST",
            ),
            (
                "METRICD_SALVAGE",
                "1",
                "METRICD_SALVAGE does not take \"1\": it takes true or",
            ),
            ("METRICD_SYNC", "1", "METRICD_SYNC needs --data"),
            (
                "METRICD_WHEN_FULL",
                "evict",
                "METRICD_WHEN_FULL needs --memory-limit",
            ),
        ] {
            let error = settings("", &[(name, value)]).expect_err(name);
            assert!(error.starts_with(said), "{error}");
        }
        let read = settings("", &[("METRICD_LINE_LIMIT", "0")]).expect("a number");
        for (field, said) in [
            (
                "line_limit_bytes",
                "METRICD_LINE_LIMIT is 0: it takes at least 1",
            ),
            ("retention", "--retention is 0: it takes at least 1"),
        ] {
            let message = format!("{field} is 0: it takes at least 1");
            let error = Error::Setting { field, message };
            assert_eq!(read.message(&error), said);
        }
    }

    #[test]
    fn what_cannot_be_used_is_told_after_its_option() {
        let options = "--listen a:1 --graphite a:1 --data d";
        let read = settings(options, &[("METRICD_HTTP", "a:1")]).expect("is taken");
        let source = || std::io::ErrorKind::AddrInUse.into();
        let listen = |protocol| {
            let address = "a:1".into();
            Error::Listen {
                listen: Listen { address, protocol },
                source: source(),
            }
        };
        let path = PathBuf::from("d");
        for (error, said) in [
            (listen(Protocol::Lines), "--listen: cannot listen on a:1: "),
            (
                listen(Protocol::Graphite),
                "--graphite: cannot listen on a:1: ",
            ),
            (
                listen(Protocol::Http),
                "METRICD_HTTP: cannot listen on a:1: ",
            ),
            (
                Error::Data {
                    path,
                    source: source(),
                },
                "--data: cannot keep points in d: ",
            ),
            (Error::FilledStore, "the store is not empty"),
        ] {
            let message = read.message(&error);
            assert!(message.starts_with(said), "{message}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_value_is_told_after_what_is_no_option() {
        for (options, said) in [
            (
                "--line-limit x",
                "--line-limit does not take \"x\": it takes bytes",
            ),
            ("--line-limit x --help", "metricd: a metrics server"),
            ("--line-limit x --no", "invalid option '--no'; see"),
            ("--line-limit x --data", "--line-limit does not take"),
            ("--data", "--data has no value: it takes a folder"),
        ] {
            let error = settings(options, &[]).expect_err(options);
            assert!(error.starts_with(said), "{error}");
        }
    }

    #[test]
    fn variables_of_no_option_are_told_but_those_of_kubernetes() {
        let environment = [
            ("METRICD_LISTN", "a:1"),
            ("METRICD_PORT", "tcp://10.0.0.1:8888"),
            ("METRICD_PORT_8888_TCP_ADDR", "10.0.0.1"),
            ("METRICD_SERVICE_HOST", "10.0.0.1"),
            ("METRICD_HELP", "true"),
            ("PATH", "x"),
        ];
        let read = settings("", &environment).expect("is taken");
        assert_eq!(read.ignored_variables, ["METRICD_LISTN", "METRICD_HELP"]);
        assert_eq!(read.config, Settings::default().config);
    }

    #[test]
    fn times_and_sizes_have_units() {
        let ms = |ms| Some(Duration::from_millis(ms));
        for (text, expected) in [
            ("0", ms(0)),
            ("45", ms(45_000)),
            ("45s", ms(45_000)),
            ("2.5", ms(2_500)),
            ("0.001", ms(1)),
            ("30m", ms(1_800_000)),
            ("1.5h", ms(5_400_000)),
            ("90d", ms(90 * 86_400_000)),
            ("18446744073709551615", Some(Duration::from_secs(u64::MAX))),
            ("18446744073709551615d", None),
            ("", None),
            ("s", None),
            (".5", None),
            ("-1", None),
            ("1ms", None),
            ("1 s", None),
            ("1D", None),
            ("1e3", None),
            ("inf", None),
            ("1.5.5", None),
            ("1.-5", None),
            ("1.+5", None),
            ("+1", None),
            ("1.000000000é", None),
        ] {
            assert_eq!(time(text), expected, "{text}");
        }
        for (text, expected) in [
            ("never", Some(None)),
            ("0", Some(None)),
            ("0.9", None),
            ("1", Some(ms(1_000))),
            ("none", None),
        ] {
            assert_eq!(time_or_never(text), expected, "{text}");
        }
        for (text, expected) in [
            ("0", Some(0)),
            ("65536", Some(1 << 16)),
            ("64K", Some(1 << 16)),
            ("32M", Some(32 << 20)),
            ("1G", Some(1 << 30)),
            ("99999999999G", None),
            ("1k", None),
            ("1.5M", None),
            ("K", None),
            ("", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn every_field_is_set_by_its_option() {
        let all = "--listen a:1 --log-level debug --memory-limit 8M --when-full evict \
            --retention 90d --timestamp-unit ms --data d --sync 2.5 --salvage \
            --connection-limit 1 --idle-timeout 2 --request-timeout 12 --stall-timeout 3 --stop-timeout 4 \
            --line-limit 5 --read-buffer 6 --write-buffer 7 --unsent-limit 8 --snapshot-limit 9 \
            --accepts-per-turn 10 --events-per-turn 11 --remote-write http://a,http://b/c \
            --remote-write http://d --remote-write-label x=1,y=2=3 --remote-write-label z= \
            --remote-write-header-file f --remote-write-spool 2K";
        let label = |name: &str, value: &str| (name.into(), value.into());
        let seconds = Duration::from_secs;
        let expected = Config {
            listen: vec!["a:1".into()],
            memory_limit_bytes: Some(8 << 20),
            when_full: WhenFull::Evict,
            retention: Some(seconds(90 * 86_400)),
            timestamp_unit: TimestampUnit::Milliseconds,
            data: Some("d".into()),
            sync: SyncPolicy::Every(Duration::from_millis(2_500)),
            salvage: true,
            connection_limit: 1,
            idle_timeout: Some(seconds(2)),
            stall_timeout: Some(seconds(3)),
            request_timeout: seconds(12),
            stop_timeout: seconds(4),
            line_limit_bytes: 5,
            read_buffer_bytes: 6,
            write_buffer_bytes: 7,
            unsent_limit_bytes: 8,
            snapshot_limit_bytes: 9,
            accepts_per_turn: 10,
            events_per_turn: 11,
            remote_write: RemoteWrite {
                urls: ["http://a", "http://b/c", "http://d"]
                    .map(String::from)
                    .into(),
                labels: vec![label("x", "1"), label("y", "2=3"), label("z", "")],
                header_file: Some("f".into()),
                spool_bytes: 2_048,
                ..RemoteWrite::default()
            },
            ..Config::default()
        };
        let read = settings(all, &[]).expect("is taken");
        assert_eq!(
            (read.config, read.log_level),
            (expected, LevelFilter::Debug)
        );
    }

    #[test]
    fn help_has_every_option_with_its_default() {
        let none = [
            "graphite",
            "http",
            "data",
            "salvage",
            "remote-write",
            "remote-write-label",
            "remote-write-header-file",
        ];
        for CommandOption { name, set, .. } in OPTIONS {
            let lines = HELP.split_once(&format!("\n  --{name} ")).expect(name).1;
            let mut read = Settings::default();
            if !none.contains(name) {
                let default = lines.split_once("]\n").expect(name).0;
                let default = default.rsplit_once('[').expect(name).1;
                assert_eq!(
                    set(&mut read, OsStr::new(default)),
                    Some(()),
                    "{name} {default}"
                );
            }
            if *name == "listen" {
                assert_eq!(read.config.listen, Config::default().listen);
                read.config.listen.clear();
            }
            assert_eq!(read, Settings::default(), "{name}");
        }
        let options = HELP.lines().filter(|line| line.starts_with("  --")).count();
        // Those that print share a line.
        assert_eq!(options, OPTIONS.len() + 1);
    }
}
