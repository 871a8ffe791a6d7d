//! The service manager: what it is told, and the sockets that it hands over. The protocol is that of
//! systemd: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3).

use std::env;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::process;
use std::time::Duration;

use listenfd::ListenFd;
use metricd::{Event, Hooks};
use socket2::{Domain, SockAddr, Socket, Type};

/// The most sockets that are taken over: as many as a server has.
const MOST_SOCKETS: u32 = 1_024;

/// The time within which a start that goes on has more to tell, or the manager may give it up: far
/// more than reading one piece of a file takes, and writing a checkpoint if files are damaged.
const START_PATIENCE_MICROSECONDS: u64 = 60_000_000;

/// How long to wait for a manager that does not read. The loop, which serves others meanwhile, waits
/// less than anyone notices.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);
const SEND_TIMEOUT_OF_LOOP: Duration = Duration::from_millis(1);

/// What a server is to do for the manager that started the process, if one did. To be called before
/// anything opens a file, since sockets are handed over by the numbers of their descriptors.
///
/// # Errors
///
/// If a descriptor is not that of a socket that can be listened on.
pub fn hooks() -> io::Result<Hooks> {
    Ok(Hooks {
        listeners: handed_over()?,
        on_event: Box::new(tell_event),
        // Twice as often as the manager looks.
        alive_interval: watchdog_interval().map(|interval| interval / 2),
    })
}

/// Tells the manager that clients can connect.
pub fn tell_ready() {
    tell("READY=1\nSTATUS=listening", SEND_TIMEOUT);
}

fn tell_event(event: Event) {
    match event {
        Event::Loading(progress) => {
            let microseconds = START_PATIENCE_MICROSECONDS;
            let state = format!("STATUS={progress}\nEXTEND_TIMEOUT_USEC={microseconds}");
            tell(&state, SEND_TIMEOUT);
        }
        Event::Alive => tell("WATCHDOG=1", SEND_TIMEOUT_OF_LOOP),
        Event::Stopping => tell("STOPPING=1\nSTATUS=stopping", SEND_TIMEOUT_OF_LOOP),
        _ => {}
    }
}

fn tell(state: &str, timeout: Duration) {
    if let Err(error) = send(state, timeout) {
        log::warn!("cannot tell the service manager how it goes: {error}");
    }
}

fn send(state: &str, timeout: Duration) -> io::Result<()> {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else {
        return Ok(());
    };
    let mut path = path.into_vec();
    if let Some(first @ b'@') = path.first_mut() {
        // A name of its own, not that of a file.
        *first = 0;
    }
    let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
    socket.set_write_timeout(Some(timeout))?;
    let address = SockAddr::unix(OsString::from_vec(path))?;
    socket.send_to(state.as_bytes(), &address).map(drop)
}

/// How often the manager wants a sign of life, if it does.
fn watchdog_interval() -> Option<Duration> {
    let is_for_this = env::var_os("WATCHDOG_PID").is_none() || is_own_id("WATCHDOG_PID");
    let microseconds = number("WATCHDOG_USEC").filter(|&number| is_for_this && number > 1);
    microseconds.map(Duration::from_micros)
}

fn handed_over() -> io::Result<Vec<OwnedFd>> {
    if !is_own_id("LISTEN_PID") || env::var_os("LISTEN_FDS").is_none() {
        return Ok(Vec::new());
    }
    let is_possible = number("LISTEN_FDS").is_some_and(|count| count <= MOST_SOCKETS.into());
    if !is_possible {
        let message = format!("LISTEN_FDS is not a number up to {MOST_SOCKETS}");
        return Err(io::Error::new(ErrorKind::InvalidInput, message));
    }
    let (mut sockets, mut taken) = (ListenFd::from_env(), Vec::new());
    for at in 0..sockets.len() {
        taken.push(take(&mut sockets, at)?);
    }
    Ok(taken)
}

fn take(sockets: &mut ListenFd, at: usize) -> io::Result<OwnedFd> {
    if let Ok(Some(listener)) = sockets.take_tcp_listener(at) {
        return Ok(listener.into());
    }
    let listener = sockets.take_unix_listener(at);
    listener.ok().flatten().map(OwnedFd::from).ok_or_else(|| {
        let message =
            format!("socket {at} is not a stream socket of TCP or Unix: use ListenStream=");
        io::Error::new(ErrorKind::InvalidInput, message)
    })
}

fn is_own_id(variable: &str) -> bool {
    number(variable) == Some(process::id().into())
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}
