//! The log, on standard error.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::SystemTime;

use log::{LevelFilter, Log, Metadata, Record};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use simple_logger::SimpleLogger;

/// Formats records by [`SimpleLogger`] and writes them to standard error, each behind the time.
///
/// That printer panics where it cannot write, and waits where nobody reads; and a log that is on
/// a full disk, or in a pipe that nobody empties, is no reason for a server to end or to stand
/// still. So it prints on standard output, which the daemon has no other use for and makes a
/// socket into this very process; what comes out of it is written to standard error if that takes
/// it at once, and else is dropped.
struct Logger {
    printer: SimpleLogger,
    printed: UnixStream,
}

/// Sends what the library and the daemon log to standard error, from `level` on up.
pub fn install(level: LevelFilter) -> io::Result<()> {
    let (stdout, printed) = UnixStream::pair()?;
    printed.set_nonblocking(true)?;
    rustix::stdio::dup2_stdout(&stdout)?;
    let printer = SimpleLogger::new().with_level(level);
    log::set_boxed_logger(Box::new(Logger { printer, printed })).map_err(io::Error::other)?;
    log::set_max_level(level);
    Ok(())
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata) -> bool {
        self.printer.enabled(metadata)
    }

    fn log(&self, record: &Record) {
        if !self.enabled(record.metadata()) {
            return;
        }
        self.printer.log(record);
        let mut line = format!("{} ", humantime::format_rfc3339_millis(SystemTime::now()));
        // Ends where all is read that was printed: by then reading would block.
        let _would_block = (&self.printed).read_to_string(&mut line);
        if takes_a_line(io::stderr().as_fd()) {
            // An error is that of a log that is gone.
            let _unwritten = io::stderr().write_all(&line.as_bytes()[..line.len().min(LINE_BYTES)]);
        }
    }

    fn flush(&self) {}
}

/// The most bytes of a line: what a pipe that is ready takes without waiting (`PIPE_BUF`).
const LINE_BYTES: usize = 4_096;

fn takes_a_line(descriptor: BorrowedFd) -> bool {
    let mut polled = [PollFd::new(&descriptor, PollFlags::OUT)];
    poll(&mut polled, Some(&Timespec::default())) == Ok(1)
}
