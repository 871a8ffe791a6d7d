//! What is logged, through one function. Each of the log crate's macros makes a whole record where it is
//! used, which takes three times the code.

use std::fmt;

use log::{Level, Record};

/// Defines a macro that logs as that of the log crate does, but with no line in its record, and with
/// arguments that are worked out even if nothing is logged. The dollar is an argument, since it would
/// mean one of this macro's own.
macro_rules! define {
    ($dollar:tt $name:ident $level:ident) => {
        macro_rules! $name {
                            ($dollar($dollar message:tt)+) => {{
                                let message = format_args!($dollar($dollar message)+);
                                $crate::logging::log(log::Level::$level, module_path!(), message)
                            }};
                        }
    };
}

define!($ error Error);
define!($ warn Warn);
define!($ info Info);
define!($ debug Debug);

/// Gives the logger of the process a record of a module, if it takes those of this level.
#[cold]
#[inline(never)]
pub fn log(level: Level, module: &'static str, message: fmt::Arguments) {
    if level > log::max_level() {
        return;
    }
    let mut record = Record::builder();
    record.level(level).target(module).args(message);
    log::logger().log(&record.module_path_static(Some(module)).build());
}
