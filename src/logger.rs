//! The log, on standard error.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::SystemTime;

use log::{LevelFilter, Log, Metadata, Record};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use rustix::termios::ttyname;
use simple_logger::SimpleLogger;

/// Formats records with [`SimpleLogger`] and writes them to standard error, after the time. What
/// standard error does not take at once is dropped.
///
/// `SimpleLogger` prints by itself: it panics if it cannot write, and waits if nobody reads. A full
/// disk or a reader that stands still is no reason for a server to do either. So `SimpleLogger`
/// prints on standard output, which the daemon has no other use for. That is made one end of a pair
/// of sockets, and the lines are taken from the other end.
struct Logger {
    printer: SimpleLogger,
    printed: UnixStream,
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
        printed,
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
        self.printer.log(record);
        let time = humantime::format_rfc3339_millis(SystemTime::now());
        let mut line = format!("{time} ").into_bytes();
        // Ends when all that was printed is read: then reading would block.
        let _would_block = (&self.printed).read_to_end(&mut line);
        line.truncate(LINE_BYTES);
        // Where the log cannot be written, nobody can be told.
        let _unwritten = self.write(&line);
    }

    fn flush(&self) {}
}

/// The most bytes of a line, which all lines of today are shorter than. A pipe that poll says is
/// writable takes so many without waiting, on every system (`_POSIX_PIPE_BUF`).
const LINE_BYTES: usize = 512;

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

/// Opens what standard error refers to in such a way that writing does not wait for a reader.
///
/// Whether a descriptor waits is a mode that all processes share which have inherited it, so it is
/// not for us to change. A terminal or pipe is opened once more instead, in a mode of our own: poll
/// says that a terminal is writable even if writing to it waits, and another process may fill a
/// pipe after poll has looked. Where that fails, poll alone must do. Files never wait, and have a
/// position that is to be shared. Sockets cannot be opened, but [`send`] can be told not to wait.
fn open_log() -> io::Result<File> {
    let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    if stderr.metadata()?.is_file() {
        return Ok(stderr);
    }
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let reopened = if cfg!(any(target_os = "linux", target_os = "android")) {
        open("/proc/self/fd/2", flags, Mode::empty())
    } else {
        // Pipes have no name there.
        ttyname(&stderr, []).and_then(|name| open(name, flags, Mode::empty()))
    };
    Ok(reopened.map_or(stderr, File::from))
}
