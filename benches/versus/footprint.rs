//! What a server weighs: at its start, and by the idle connection.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::blocks;
use crate::check;
use crate::process::{self, Memory};
use crate::report::Setup;
use crate::running::Running;
use crate::servers::Server;
use crate::workload;

const IDLE_CONNECTIONS: usize = 5_000;

/// A server is at rest when its memory is the same and it did next to nothing from one look to
/// the next. The share is what a garbage collector and timers of an idle Go program take.
const REST_INTERVAL: Duration = Duration::from_millis(100);
const REST_RUNNING_MOST: Duration = Duration::from_millis(1);
const REST_TIMEOUT: Duration = Duration::from_secs(20);

pub fn measure_start(setup: &mut Setup) -> Result<(), String> {
    let memory = memory_at_rest(setup.running)?;
    let bytes = [
        memory.resident_bytes,
        memory.private_bytes,
        memory.written_bytes,
    ];
    setup.record(
        &blocks::START,
        &bytes.map(|bytes| Some(bytes as f64 / 1024.0)),
    );
    Ok(())
}

/// Written private memory, because pages of code that are touched on the way (they count as
/// private where one process runs the program) are no cost of a connection. One request goes
/// before the first look for the same reason: what the first client costs is not counted.
pub fn measure_idle(setup: &mut Setup) -> Result<(), String> {
    let (server, running) = (setup.server, setup.running);
    let first = &mut running.connect(1)?[0];
    put_first(server, running, first)?;
    let before = memory_at_rest(running)?;
    let mut connections = running.connect(IDLE_CONNECTIONS)?;
    let silent = memory_at_rest(running)?;
    for connection in &mut connections {
        let reply = server.dialect.put_again_reply;
        check::expect(connection, &first_put(server), reply)?;
    }
    await_puts(server, running, IDLE_CONNECTIONS)?;
    let spoken = memory_at_rest(running)?;
    let a_connection = |memory: Memory| {
        let growth = memory.written_bytes as f64 - before.written_bytes as f64;
        Some(growth / IDLE_CONNECTIONS as f64)
    };
    setup.record(&blocks::IDLE, &[a_connection(silent), a_connection(spoken)]);
    Ok(())
}

/// One point to a series of its own, so that neither the store nor other cases' series grow
/// when everybody puts it.
pub fn put_first(
    server: &Server,
    running: &Running,
    connection: &mut TcpStream,
) -> Result<(), String> {
    check::expect(connection, &first_put(server), server.dialect.put_reply)?;
    await_puts(server, running, 1)
}

fn first_put(server: &Server) -> Vec<u8> {
    let mut request = Vec::new();
    (server.dialect.put)(&mut request, "first", 5_000, workload::timestamp(0));
    request
}

fn await_puts(server: &Server, running: &Running, count: usize) -> Result<(), String> {
    let inlet = running.inlet.as_ref();
    inlet.map_or(Ok(()), |inlet| {
        inlet.await_points(count as u64, &[&first_put(server)])
    })
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
