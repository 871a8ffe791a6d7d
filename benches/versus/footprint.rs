//! What a server weighs: at its start, and by the idle connection.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::check;
use crate::process::{self, Memory};
use crate::report::Recorder;
use crate::servers::{Running, Server};
use crate::workload;

pub const START_TITLE: &str = "memory at the start";
pub const START_ROWS: [&str; 3] = [
    "resident, KiB",
    "  of it private, KiB",
    "  of it private and written, KiB",
];

pub const IDLE_TITLE: &str = "memory of an idle connection";
pub const IDLE_ROWS: [&str; 2] = ["that never spoke, bytes", "after one put, bytes"];

const IDLE_CONNECTIONS: usize = 5_000;

/// A server is at rest when its memory is the same and it did not run from one look to the next.
const REST_INTERVAL: Duration = Duration::from_millis(100);
const REST_RUNNING_MOST: Duration = Duration::from_millis(1);
const REST_TIMEOUT: Duration = Duration::from_secs(20);

pub fn measure_start(running: &Running, recorder: &mut Recorder) -> Result<(), String> {
    let memory = memory_at_rest(running)?;
    let values = [
        memory.resident_bytes as f64 / 1024.0,
        memory.private_bytes as f64 / 1024.0,
        memory.written_bytes as f64 / 1024.0,
    ];
    recorder.record(START_TITLE, &START_ROWS, &values);
    Ok(())
}

/// Written private memory, because pages of code that are touched on the way (they count as
/// private where one process runs the program) are no cost of a connection. One request goes
/// before the first look for the same reason: what the first client costs is not counted.
pub fn measure_idle(
    server: &Server,
    running: &Running,
    recorder: &mut Recorder,
) -> Result<(), String> {
    let mut first = running.connect(1)?;
    put(server, &mut first[0])?;
    let before = memory_at_rest(running)?;
    let mut connections = running.connect(IDLE_CONNECTIONS)?;
    let silent = memory_at_rest(running)?;
    for connection in &mut connections {
        put(server, connection)?;
    }
    let spoken = memory_at_rest(running)?;
    let a_connection = |memory: Memory| {
        (memory.written_bytes as f64 - before.written_bytes as f64) / IDLE_CONNECTIONS as f64
    };
    let values = [a_connection(silent), a_connection(spoken)];
    recorder.record(IDLE_TITLE, &IDLE_ROWS, &values);
    Ok(())
}

/// The same point from everybody, so that the store does not grow.
fn put(server: &Server, connection: &mut TcpStream) -> Result<(), String> {
    let mut request = Vec::new();
    let (key, timestamp) = (workload::key(0), workload::timestamp(0));
    (server.dialect.put)(&mut request, &key, 5_000, timestamp);
    check::expect(connection, &request, server.dialect.put_reply)
}

/// The memory of a server that has nothing more to do.
pub fn memory_at_rest(running: &Running) -> Result<Memory, String> {
    let begin = Instant::now();
    loop {
        let memory_before = process::memory(running.process_id)?;
        let time_before = process::cpu_time(running.process_id)?;
        thread::sleep(REST_INTERVAL);
        let memory = process::memory(running.process_id)?;
        let time = process::cpu_time(running.process_id)?.since(time_before);
        let same = memory.written_bytes == memory_before.written_bytes;
        if same && time.running < REST_RUNNING_MOST {
            return Ok(memory);
        }
        if begin.elapsed() > REST_TIMEOUT {
            let seconds = REST_TIMEOUT.as_secs();
            return Err(format!("does not come to rest in {seconds} s"));
        }
    }
}
