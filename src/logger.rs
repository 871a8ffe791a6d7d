//! The log, on standard error.

use std::io::{self, Write};
use std::time::SystemTime;

use log::{LevelFilter, Log, Metadata, Record};
use simple_logger::SimpleLogger;

/// Prints records by [`SimpleLogger`], each behind the time.
///
/// That printer panics where standard error cannot be written, and a log that nobody can read
/// any more is no reason for a server to end. So the time is written first, and where that fails,
/// as on a full disk or a pipe that is closed, the rest is not tried.
struct Logger(SimpleLogger);

/// Sends what the library and the daemon log to standard error, from `level` on up.
pub fn install(level: LevelFilter) {
    let printer = SimpleLogger::new().with_level(level);
    // Fails only where a logger is installed already, which nobody did.
    if log::set_boxed_logger(Box::new(Logger(printer))).is_ok() {
        log::set_max_level(level);
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let time = format!("{} ", humantime::format_rfc3339_millis(SystemTime::now()));
        if io::stderr().write_all(time.as_bytes()).is_ok() {
            self.0.log(record);
        }
    }

    fn flush(&self) {}
}
