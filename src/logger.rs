//! The log, on standard error.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use log::{LevelFilter, Log, Metadata, Record};
use metricd::internals::push_time;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use rustix::termios::ttyname;
use simple_logger::SimpleLogger;

/// Formats records with [`SimpleLogger`] and writes them to standard error, after the time. What
/// standard error does not take at once is dropped.
///
/// `SimpleLogger` prints to standard output. It panics if it cannot write, and waits if nobody
/// reads, but a server must do neither for a full disk or a stalled reader. So standard output,
/// which the daemon does not use otherwise, becomes one end of a pair of sockets, and the lines
/// are read from the other end.
struct Logger {
    printer: SimpleLogger,
    /// Locked for one line at a time.
    printed: Mutex<UnixStream>,
    log: File,
}

/// Sends what the library and the daemon log at `level` and above to standard error.
pub fn install(level: LevelFilter) -> io::Result<()> {
    let log = open_log()?;
    let (stdout, printed) = UnixStream::pair()?;
    printed.set_nonblocking(true)?;
    rustix::stdio::dup2_stdout(&stdout)?;
    let printer = SimpleLogger::new().with_level(level);
    let logger = Logger {
        printer,
        printed: Mutex::new(printed),
        log,
    };
    log::set_boxed_logger(Box::new(logger)).map_err(io::Error::other)?;
    log::set_max_level(level);
    Ok(())
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata) -> bool {
        self.printer.enabled(metadata)
    }

    fn log(&self, record: &Record) {
        let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        let message = record.args().to_string();
        let mut cut = Record::builder();
        cut.metadata(record.metadata().clone());
        // To print more than the pair of sockets holds would wait for ever.
        self.printer
            .log(&cut.args(format_args!("{message:.LINE_BYTES$}")).build());
        let mut line = now();
        // Fails when everything that was printed is read, since then reading would block.
        let _would_block = printed.read_to_end(&mut line);
        if line.len() > LINE_BYTES {
            // Not within a character.
            let is_begin = |&at: &usize| line[at] & 0xc0 != 0x80;
            let end = (0..LINE_BYTES).rev().find(is_begin);
            line.truncate(end.unwrap_or(0));
            line.push(b'\n');
        }
        // Where the log cannot be written, nobody can be told.
        let _unwritten = self.write(&line);
    }

    fn flush(&self) {}
}

/// Lines are cut to this length, with their newline. A pipe that is writable according to poll takes
/// that many bytes without waiting, on every system (`_POSIX_PIPE_BUF`).
const LINE_BYTES: usize = 512;

/// The time as RFC 3339 has it, to the millisecond, and a blank.
fn now() -> Vec<u8> {
    // A clock that is set before 1970 is wrong anyway.
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.unwrap_or_default();
    let mut time = Vec::with_capacity(LINE_BYTES);
    push_time(&mut time, since.as_secs() as i64, b'T');
    time.extend_from_slice(format!(".{:03}Z ", since.subsec_millis()).as_bytes());
    time
}

impl Logger {
    fn write(&self, line: &[u8]) -> io::Result<()> {
        match send(&self.log, line, SendFlags::DONTWAIT) {
            Err(Errno::NOTSOCK) if is_writable(&self.log) => (&self.log).write_all(line),
            Err(error) => Err(error.into()),
            Ok(_sent) => Ok(()),
        }
    }
}

fn is_writable(log: &File) -> bool {
    let mut polled = [PollFd::new(log, PollFlags::OUT)];
    poll(&mut polled, Some(&Timespec::default())) == Ok(1)
}

/// Opens standard error in such a way that writing does not wait for a reader.
///
/// Whether writing waits is a mode of the open file, which other processes share, so it must not be
/// changed. A terminal or a pipe is opened a second time instead, in a mode of its own. Where that
/// fails, poll decides, which is not as good: it says that a terminal is writable even if writing
/// waits, and another process may fill a pipe after it has looked.
///
/// A regular file never waits, and is not opened again because its position is to be shared. A
/// socket cannot be opened, but [`send`] can be told not to wait.
fn open_log() -> io::Result<File> {
    let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    if stderr.metadata()?.is_file() {
        return Ok(stderr);
    }
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let reopened = if cfg!(any(target_os = "linux", target_os = "android")) {
        open("/proc/self/fd/2", flags, Mode::empty())
    } else {
        // Elsewhere a pipe has no name.
        ttyname(&stderr, []).and_then(|name| open(name, flags, Mode::empty()))
    };
    Ok(reopened.map_or(stderr, File::from))
}
