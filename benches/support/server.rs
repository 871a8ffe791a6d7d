//! A server as a process of its own, started by a line of a shell.

use std::fs::File;
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Resource, getrlimit, kill_process, setrlimit};
use tempfile::TempDir;

use super::*;

const ACCEPT_TIME: Duration = Duration::from_micros(100);

/// A server that sends nothing for so long has failed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// A started server. It is killed when this goes, whatever the way out.
pub struct Server {
    pub child: Child,
    /// Its folder, for data and for what it logs. It goes with the last server that was started in it.
    pub folder: Arc<TempDir>,
    /// For points, and for HTTP or queries.
    pub ports: [u16; 2],
}

impl Drop for Server {
    fn drop(&mut self) {
        // Either fails only where the process has already ended and been waited for.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Server {
    /// Starts this build of metricd with these options.
    pub fn metricd(options: &str) -> Result<Server> {
        Server::start(&format!("metricd --listen 127.0.0.1:$port {options}"))
    }

    /// The same, after one client has put these.
    pub fn filled(options: &str, puts: impl Iterator<Item = String>) -> Result<Server> {
        let server = Server::metricd(options)?;
        server.put(puts)?;
        Ok(server)
    }

    pub fn start(command: &str) -> Result<Server> {
        Server::start_in(&Arc::new(tempfile::tempdir()?), command)
    }

    /// Returns once the server listens. In the command, `$data` is the folder, `$own` this program; `$port`
    /// and `$http` are ports for points and for all else. `$data/socket` takes the place of the first.
    pub fn start_in(folder: &Arc<TempDir>, command: &str) -> Result<Server> {
        // Between the choice of a free port and its use, another program may take it.
        let started = || Server::start_once(folder, command);
        let outcome = started().or_else(|_| started()).or_else(|_| started());
        outcome.with_context(|| format!("`{command}` does not start"))
    }

    fn start_once(folder: &Arc<TempDir>, command: &str) -> Result<Server> {
        // Both at once, so that they differ.
        let free = || TcpListener::bind("127.0.0.1:0");
        let (port, http) = (free()?, free()?);
        let ports = [port.local_addr()?.port(), http.local_addr()?.port()];
        drop((port, http));
        let log = File::create(folder.path().join("log"))?;
        let mut shell = shell(command);
        shell.envs([
            ("port", ports[0].to_string()),
            ("http", ports[1].to_string()),
        ]);
        shell
            .env("data", folder.path())
            .env("own", env::current_exe()?);
        let mut server = Server {
            child: shell.stdout(log.try_clone()?).stderr(log).spawn()?,
            folder: folder.clone(),
            ports,
        };
        // Some say so. Others are connected to; to look for their ports in `/proc` takes milliseconds.
        let says_so = ["metricd ", "asyncio", "$own"];
        let says_so = says_so.iter().any(|name| command.contains(name));
        let counts = ["$port", "$http", "unix:"].map(|address| command.matches(address).count());
        until("it listens", || {
            ensure!(server.child.try_wait()?.is_none(), "{}", server.log()?);
            if says_so {
                return Ok(server.log()?.matches("listening on ").count() >= counts.iter().sum());
            }
            let listens = |port: &u16| TcpStream::connect(("127.0.0.1", *port)).is_ok();
            let mut ports = counts.iter().zip(&server.ports);
            Ok(ports.all(|(&count, port)| count == 0 || listens(port)))
        })?;
        Ok(server)
    }

    /// What it has logged.
    pub fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.path().join("log"))?)
    }

    /// Gives the server a moment to accept the connection: a full accept queue (50 is the
    /// shortest in use, Twisted's) would delay others by seconds.
    pub fn connect(&self) -> Result<TcpStream> {
        let socket = self.folder.path().join("socket");
        let stream = if socket.exists() {
            // All that is called is the same for either kind of socket.
            OwnedFd::from(UnixStream::connect(socket)?).into()
        } else {
            let stream = TcpStream::connect(("127.0.0.1", self.ports[0]))?;
            stream.set_nodelay(true)?;
            stream
        };
        thread::sleep(ACCEPT_TIME);
        Ok(stream)
    }

    /// One client puts these, in batches. Returns the nanoseconds of processor time that a put took the server.
    pub fn put(&self, puts: impl Iterator<Item = String>) -> Result<f64> {
        let (mut client, mut count) = (Fleet::one(self)?, 0);
        let nanos = self.nanos_of(|| {
            count = client.put(puts, "ok\n\n", true)?;
            Ok(())
        })?;
        Ok(nanos / count as f64)
    }

    /// A series that is compared byte for byte, and the number of points of all series.
    pub fn check(&self, key: &str, series: &[Point], all_points: usize) -> Result<()> {
        let mut client = Fleet::one(self)?;
        let lines: String = series.iter().map(|point| put_line(key, point)).collect();
        let reply = format!("ok\n{}\n", lines.replace("put ", ""));
        client.expect(&format!("get {key}\n"), &reply)?;
        client.read("get *\n", all_points + 2)?;
        client.expect_silence()
    }

    /// The body of an answer of status 200. By HTTP 1.0 nothing comes in chunks.
    pub fn get(&self, target: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports[1]))?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        write!(stream, "GET {target} HTTP/1.0\r\n\r\n")?;
        let answer = io::read_to_string(stream)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no end of a head")?;
        ensure!(head.contains(" 200 "), "GET {target}: {head}");
        Ok(body.into())
    }

    /// Whether VictoriaMetrics, which counts in milliseconds, has just these points of the series whose label
    /// is this key.
    pub fn exports(&self, label: &str, key: &str, points: &[Point]) -> Result<bool> {
        self.get("/internal/force_flush")?;
        let selector = format!("match%5B%5D=%7B{label}%3D%22{key}%22%7D");
        let export = self.get(&format!("/api/v1/export?start=1&{selector}"))?;
        let values: Vec<_> = points.iter().map(|point| point.value.to_string()).collect();
        let timestamps = points.iter().map(|point| format!("{}000", point.timestamp));
        let (values, timestamps) = (values.join(","), timestamps.collect::<Vec<_>>().join(","));
        Ok(export.contains(&format!(
            "\"values\":[{values}],\"timestamps\":[{timestamps}]"
        )))
    }

    /// The value of the first series of `/metrics` that begins so.
    pub fn metric(&self, series: &str) -> Result<f64> {
        let metrics = self.get("/metrics")?;
        let line = metrics.lines().find(|line| line.starts_with(series));
        let value = line.and_then(|line| line.split(' ').next_back());
        Ok(value.with_context(|| format!("no {series}"))?.parse()?)
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Has the server stand still, or go on.
    pub fn hold(&self, is_held: bool) -> Result<()> {
        self.signal(if is_held { Signal::STOP } else { Signal::CONT })
    }
}

/// A shell that finds the metricd of this build, and whose place the command takes.
pub fn shell(command: &str) -> Command {
    let path = env::var("PATH").unwrap_or_default();
    let built = Path::new(env!("CARGO_BIN_EXE_metricd")).with_file_name("");
    let mut shell = Command::new("sh");
    shell.env("PATH", format!("{}:{path}", built.display()));
    shell
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null());
    shell.arg("-c").arg(format!("exec {command}"));
    shell
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
