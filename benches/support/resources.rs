//! What the system knows about a process: processor time and memory, from `/proc`.

use procfs_core::process::{Schedstat, SmapsRollup, Status};
use procfs_core::{CpuInfo, FromRead, Meminfo};

use super::*;

/// A server is at rest when its memory is the same and it did next to nothing from one look to
/// the next. The share is what a garbage collector and timers of an idle Go program take.
const REST_INTERVAL: Duration = Duration::from_millis(50);
const REST_RUNNING_SECONDS: f64 = 5e-4;

/// Processor time since a process began, in seconds.
#[derive(Clone, Copy, Default)]
pub struct Cpu {
    /// Time on a core, to the nanosecond: the sum over the threads.
    pub running: f64,
    /// Time ready to run while the cores were busy with others: how noisy the machine was.
    pub waiting: f64,
}

impl Cpu {
    pub fn of(process_id: u32) -> Result<Cpu> {
        let mut cpu = Cpu::default();
        for task in fs::read_dir(format!("/proc/{process_id}/task"))? {
            // A thread may end meanwhile.
            if let Ok(times) = Schedstat::from_file(task?.path().join("schedstat")) {
                cpu.running += times.sum_exec_runtime as f64 / 1e9;
                cpu.waiting += times.run_delay as f64 / 1e9;
            }
        }
        ensure!(cpu.running > 0.0, "the kernel counts no time by the task");
        Ok(cpu)
    }

    pub fn since(self, earlier: Cpu) -> Cpu {
        Cpu {
            running: self.running - earlier.running,
            waiting: self.waiting - earlier.waiting,
        }
    }
}

/// Bytes from `/proc/PID/smaps_rollup`, which walks the pages and is exact. `VmRSS` and `RssAnon`
/// of `/proc/PID/status` are counted per core and lag by up to some hundred KiB, which is more
/// than 5,000 idle connections of a frugal server hold.
#[derive(Clone, Copy, PartialEq)]
pub struct Memory {
    /// All pages present, those of shared libraries and of the program's file included.
    pub resident: f64,
    /// Pages that no other process maps and that were written: heap, stack, relocated data. What the process really
    /// costs, and what grows with connections and points.
    pub written: f64,
}

impl Server {
    pub fn cpu(&self) -> Result<Cpu> {
        Cpu::of(self.child.id())
    }

    /// Nanoseconds of processor time that this takes the server.
    pub fn nanos_of(&self, work: impl FnOnce() -> Result<()>) -> Result<f64> {
        let before = self.cpu()?;
        work()?;
        Ok(self.cpu()?.since(before).running * 1e9)
    }

    pub fn memory(&self) -> Result<Memory> {
        let rollup = SmapsRollup::from_file(self.proc("smaps_rollup"))?;
        let map = rollup.memory_map_rollup.0.first().context("no memory")?;
        let all = &map.extension.map;
        let bytes = |name| all.get(name).map_or(0.0, |&bytes| bytes as f64);
        Ok(Memory {
            resident: bytes("Rss"),
            written: bytes("Private_Dirty"),
        })
    }

    /// Its memory when it has nothing to do.
    pub fn memory_at_rest(&self) -> Result<Memory> {
        let look = || anyhow::Ok((self.memory()?, self.cpu()?.running));
        let mut before = look()?;
        until("it comes to rest", || {
            thread::sleep(REST_INTERVAL);
            let now = look()?;
            let is_at_rest = now.0 == before.0 && now.1 - before.1 < REST_RUNNING_SECONDS;
            before = now;
            Ok(is_at_rest)
        })?;
        Ok(before.0)
    }

    /// The most bytes that were ever resident, or since the peak was reset.
    pub fn peak_bytes(&self) -> Result<f64> {
        let peak = Status::from_file(self.proc("status"))?.vmhwm;
        Ok(peak.context("no peak of memory")? as f64 * 1024.0)
    }

    pub fn reset_peak(&self) -> Result<()> {
        Ok(fs::write(self.proc("clear_refs"), "5")?)
    }

    /// A file of `/proc` about it.
    pub fn proc(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.child.id())
    }
}

/// What the figures come from.
pub fn machine() -> Result<String> {
    let processors = CpuInfo::from_file("/proc/cpuinfo")?;
    let model = processors.model_name(0).unwrap_or("unknown processor");
    let cores = thread::available_parallelism()?;
    let gibibytes = Meminfo::from_file("/proc/meminfo")?.mem_total >> 30;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let machine = format!("{cores} cores of {model}, {gibibytes} GiB of memory");
    Ok(format!("{machine}, Linux {}", kernel.trim()))
}
