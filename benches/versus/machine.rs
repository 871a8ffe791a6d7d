//! The machine the figures come from, and the one thing it may have to be asked for.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

/// Descriptors that this process and each server need: the idle connections and some more.
pub const DESCRIPTORS_NEEDED: u64 = 5_200;

pub fn description() -> String {
    let cores = thread::available_parallelism().map_or(0, |cores| cores.get());
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| {
            rest.trim_start_matches([' ', '\t', ':'])
        });
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"))
        .and_then(|digits| digits.parse::<f64>().ok())
        .unwrap_or_default();
    let gibibytes = kibibytes / f64::from(1 << 20);
    let kernel = kernel.trim();
    format!("{cores} cores of {model}, {gibibytes:.0} GiB of memory, Linux {kernel}")
}

/// Starts this program again under a higher limit of descriptors, where the limit is too low and
/// may be raised. The shell does it, because the system call takes `unsafe` in Rust; the limit
/// is inherited by the servers. Returns when there is nothing to do.
pub fn ensure_descriptors() -> Result<(), String> {
    let Some((soft, hard)) = descriptor_limits() else {
        return Ok(());
    };
    if soft >= DESCRIPTORS_NEEDED {
        return Ok(());
    }
    if hard < DESCRIPTORS_NEEDED {
        return Err(format!(
            "{DESCRIPTORS_NEEDED} descriptors are needed and the hard limit is {hard}"
        ));
    }
    let program = env::current_exe().map_err(|error| format!("no path of my own: {error}"))?;
    let script = format!("ulimit -S -n {DESCRIPTORS_NEEDED} && exec \"$0\" \"$@\"");
    let error = Command::new("sh")
        .args(["-c", &script])
        .arg(program)
        .args(env::args_os().skip(1))
        .exec();
    Err(format!("cannot raise the limit of descriptors: {error}"))
}

fn descriptor_limits() -> Option<(u64, u64)> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    let mut numbers = line
        .split_whitespace()
        .map(|word| word.parse().unwrap_or(u64::MAX));
    Some((numbers.next()?, numbers.next()?))
}
