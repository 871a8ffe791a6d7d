//! A server as a process of its own, and what the system knows about it.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use procfs_core::process::{Schedstat, SmapsRollup, Stat};
use procfs_core::{CpuInfo, FromRead, Meminfo};
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};

const START_TIMEOUT: Duration = Duration::from_secs(15);
const POLL_INTERVAL: Duration = Duration::from_millis(5);

const ACCEPT_TIME: Duration = Duration::from_micros(100);

/// A server is at rest when its memory is the same and it did next to nothing from one look to
/// the next. The share is what a garbage collector and timers of an idle Go program take.
const REST_INTERVAL: Duration = Duration::from_millis(100);
const REST_RUNNING_SECONDS: f64 = 1e-3;
const REST_TIMEOUT: Duration = Duration::from_secs(20);

/// A started server. It is killed when this goes, whatever the way out.
pub struct Process {
    pub child: Child,
    pub address: SocketAddr,
    /// Its Unix socket, if that is where it listens.
    path: Option<PathBuf>,
    /// Shared with threads that connect.
    log: Mutex<Receiver<String>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // Either fails only where the process has already ended and been waited for.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Process {
    /// Starts this build of metricd with these options, on a port of its own choice.
    pub fn metricd<S: AsRef<OsStr>>(options: impl IntoIterator<Item = S>) -> Result<Process> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_metricd"));
        Process::start(command.args(["--listen", "127.0.0.1:0"]).args(options), &[])
    }

    /// Returns once the server can be connected to: at all the addresses that it was given, or,
    /// if none, at the one that it says it is `listening on`.
    pub fn start(command: &mut Command, given: &[SocketAddr]) -> Result<Process> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let (lines, log) = mpsc::channel();
        follow(child.stdout.take().context("no output")?, lines.clone());
        follow(child.stderr.take().context("no errors")?, lines);
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut process = Process {
            child,
            address: *given.first().unwrap_or(&address),
            path: None,
            log: Mutex::new(log),
        };
        for address in given {
            process.await_accepting(address)?;
        }
        if given.is_empty() {
            let announced = process.announced()?;
            match announced.strip_prefix("unix:") {
                Some(path) => process.path = Some(path.into()),
                None => process.address = announced.parse()?,
            }
        }
        Ok(process)
    }

    fn await_accepting(&mut self, address: &SocketAddr) -> Result<()> {
        let begin = Instant::now();
        while TcpStream::connect_timeout(address, START_TIMEOUT).is_err() {
            let has_ended = self.child.try_wait()?.is_some();
            ensure!(!has_ended, "it ended; {}", self.log());
            ensure!(begin.elapsed() < START_TIMEOUT, "no port {address}");
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// The next address that the server says it is `listening on`.
    pub fn announced(&self) -> Result<String> {
        let log = self.log_until("listening on ")?;
        let address = log.rsplit("listening on ").next();
        Ok(address.unwrap_or_default().trim().into())
    }

    /// The next lines of the log, up to the first with this text.
    pub fn log_until(&self, text: &str) -> Result<String> {
        let mut log = String::new();
        while !log.contains(text) {
            let line = self.lines().recv_timeout(START_TIMEOUT);
            log += &line.with_context(|| format!("it never said: {text}"))?;
            log += "\n";
        }
        Ok(log)
    }

    fn lines(&self) -> MutexGuard<'_, Receiver<String>> {
        self.log.lock().expect("nobody panics with it")
    }

    /// What the server logged, at most the last few lines.
    pub fn log(&self) -> String {
        let lines: Vec<String> = self.lines().try_iter().collect();
        let last = &lines[lines.len().saturating_sub(4)..];
        format!("it logged: {}", last.join(" | "))
    }

    /// Gives the server a moment to accept the connection: a full accept queue (50 is the
    /// shortest in use, Twisted's) would delay others by seconds.
    pub fn connect(&self) -> Result<TcpStream> {
        let stream = match &self.path {
            // All that is called is the same for either kind of socket.
            Some(path) => OwnedFd::from(UnixStream::connect(path)?).into(),
            None => {
                let stream = TcpStream::connect_timeout(&self.address, START_TIMEOUT)?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        thread::sleep(ACCEPT_TIME);
        Ok(stream)
    }

    pub fn cpu(&self) -> Result<Cpu> {
        Cpu::of(self.child.id())
    }

    /// Has the server stand still, or go on.
    pub fn hold(&self, is_held: bool) -> Result<()> {
        let signal = if is_held { Signal::STOP } else { Signal::CONT };
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    pub fn memory_at_rest(&self) -> Result<Memory> {
        let begin = Instant::now();
        let look = || anyhow::Ok((Memory::of(self.child.id())?, self.cpu()?.running));
        let mut before = look()?;
        while begin.elapsed() < REST_TIMEOUT {
            thread::sleep(REST_INTERVAL);
            let now = look()?;
            if now.0 == before.0 && now.1 - before.1 < REST_RUNNING_SECONDS {
                return Ok(now.0);
            }
            before = now;
        }
        bail!("it does not come to rest in {REST_TIMEOUT:?}")
    }
}

/// Whether a program is there to be started; if not, says so.
pub fn is_installed(program: &str) -> bool {
    let is_installed = Command::new(program).arg("--version").output().is_ok();
    if !is_installed {
        println!("{program} is not installed");
    }
    is_installed
}

/// Lets this process, and those it starts, have as many files open as the system allows.
pub fn open_many_files() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// An address of TCP that was free a moment ago.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Reads a server's output on a thread, to its end: a pipe that fills up would stop the server.
fn follow(output: impl Read + Send + 'static, lines: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Where nobody takes the lines, the server has been killed.
            lines.send(line).ok();
        }
    });
}

/// Processor time since a process began, in seconds.
#[derive(Clone, Copy, Default)]
pub struct Cpu {
    /// Time on a core, to the nanosecond: the sum over the threads.
    pub running: f64,
    /// Time ready to run while the cores were busy with others: how noisy the machine was.
    pub waiting: f64,
    /// The part of the running time in user mode. It is counted in ticks of 10 ms.
    pub user: f64,
}

impl Cpu {
    pub fn of(process_id: u32) -> Result<Cpu> {
        let folder = format!("/proc/{process_id}");
        let stat = Stat::from_file(format!("{folder}/stat"))?;
        let mut cpu = Cpu {
            user: stat.utime as f64 / 100.0,
            ..Cpu::default()
        };
        for task in fs::read_dir(format!("{folder}/task"))? {
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
            user: self.user - earlier.user,
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
    /// Pages that no other process maps. Pages of the program's own file are among them as
    /// long as one process runs it, although the kernel can drop and read them again.
    pub private: f64,
    /// Private pages that were written: heap, stack, relocated data. What the process really
    /// costs, and what grows with connections and points.
    pub written: f64,
}

impl Memory {
    pub fn of(process_id: u32) -> Result<Memory> {
        let rollup = SmapsRollup::from_file(format!("/proc/{process_id}/smaps_rollup"))?;
        let map = rollup.memory_map_rollup.0.first().context("no memory")?;
        let all = &map.extension.map;
        let bytes = |name| all.get(name).map_or(0.0, |&bytes| bytes as f64);
        Ok(Memory {
            resident: bytes("Rss"),
            private: bytes("Private_Clean") + bytes("Private_Dirty"),
            written: bytes("Private_Dirty"),
        })
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
