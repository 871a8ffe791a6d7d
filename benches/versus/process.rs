//! What the system knows about a process: its processor time, memory, waiting connections.

use std::fs;
use std::io::{BufRead, BufReader};
use std::time::Duration;

/// A tick of the counters in `/proc/PID/stat`: 100 a second on every Linux there is.
const TICK: Duration = Duration::from_millis(10);

/// Processor time since the process began.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTime {
    /// Time on a core, to the nanosecond: the sum over the threads.
    pub running: Duration,
    /// Time ready to run while the cores were busy with others: how noisy the machine was.
    pub waiting: Duration,
    /// Ticks found in user mode and in the kernel. Coarse, so that only their ratio is used.
    pub user_ticks: u64,
    pub system_ticks: u64,
}

impl CpuTime {
    pub fn since(self, earlier: CpuTime) -> CpuTime {
        CpuTime {
            running: self.running.saturating_sub(earlier.running),
            waiting: self.waiting.saturating_sub(earlier.waiting),
            user_ticks: self.user_ticks.saturating_sub(earlier.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(earlier.system_ticks),
        }
    }

    /// The part of the running time in user mode, 0 to 1.
    pub fn user_share(self) -> f64 {
        let ticks = self.user_ticks + self.system_ticks;
        self.user_ticks as f64 / ticks.max(1) as f64
    }
}

pub fn cpu_time(process_id: u32) -> Result<CpuTime, String> {
    let (user_ticks, system_ticks) = ticks(process_id)?;
    let mut time = CpuTime {
        user_ticks,
        system_ticks,
        ..CpuTime::default()
    };
    let tasks = format!("/proc/{process_id}/task");
    for task in fs::read_dir(&tasks).map_err(|error| format!("{tasks}: {error}"))? {
        // A thread may end, and a kernel may come without this file: both read as nothing.
        let Some(text) = task
            .ok()
            .and_then(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        else {
            continue;
        };
        let mut nanoseconds = text
            .split_whitespace()
            .map(|word| word.parse().unwrap_or(0));
        time.running += Duration::from_nanos(nanoseconds.next().unwrap_or(0));
        time.waiting += Duration::from_nanos(nanoseconds.next().unwrap_or(0));
    }
    if time.running.is_zero() {
        time.running = TICK.saturating_mul((user_ticks + system_ticks) as u32);
    }
    Ok(time)
}

fn ticks(process_id: u32) -> Result<(u64, u64), String> {
    let path = format!("/proc/{process_id}/stat");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    // The program's name, in parentheses, may hold blanks; the fields after it are plain.
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next().and_then(|field| field.parse().ok());
    match (next(), next()) {
        (Some(user), Some(system)) => Ok((user, system)),
        _ => Err(format!("{path}: no utime and stime in it")),
    }
}

/// Memory from `/proc/PID/smaps_rollup`, which walks the pages and is exact. `VmRSS` and `RssAnon`
/// of `/proc/PID/status` are counted per core and lag by up to some hundred KiB, which is more
/// than 5,000 idle connections of a frugal server hold.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// All pages present, those of shared libraries and of the program's file included.
    pub resident_bytes: u64,
    /// Pages that no other process maps. Pages of the program's own file are among them as
    /// long as one process runs it, although the kernel can drop and read them again.
    pub private_bytes: u64,
    /// Private pages that were written: heap, stack, relocated data. What the process really
    /// costs, and what grows with connections and points.
    pub written_bytes: u64,
}

pub fn memory(process_id: u32) -> Result<Memory, String> {
    let path = format!("/proc/{process_id}/smaps_rollup");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let bytes = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok())
            .map(|kibibytes| kibibytes << 10)
            .ok_or_else(|| format!("{path}: no {name} in it"))
    };
    let written_bytes = bytes("Private_Dirty")?;
    Ok(Memory {
        resident_bytes: bytes("Rss")?,
        private_bytes: bytes("Private_Clean")? + written_bytes,
        written_bytes,
    })
}

/// Connections to a listening port that the kernel has completed and the server has not
/// accepted yet: how a client learns that all of its connections were.
pub fn accept_queue(port: u16) -> Result<u64, String> {
    const PATH: &str = "/proc/net/tcp";
    const LISTENING: &str = "0A";
    let file = fs::File::open(PATH).map_err(|error| format!("{PATH}: {error}"))?;
    let local_port = format!(":{port:04X}");
    // Listening sockets come first, so that this ends long before the thousands of others.
    for line in BufReader::new(file).lines().map_while(Result::ok) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let [_, local, _, LISTENING, queues, ..] = fields[..]
            && local.ends_with(&local_port)
        {
            let received = queues.rsplit(':').next().unwrap_or_default();
            return u64::from_str_radix(received, 16).map_err(|error| format!("{PATH}: {error}"));
        }
    }
    Err(format!("nothing listens on port {port}"))
}
