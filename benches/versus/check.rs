//! Each server's answers, before any of them is timed, and stores filled for the cases that read
//! or weigh what is there.

use std::ops::Range;

use anyhow::Result;
use metricd::Point;

use crate::servers::Need::{Answering, Keeping, Pipelining, Reading, Remembering};
use crate::servers::Running;
use crate::support::client::Client;
use crate::support::series::key;
use crate::workload::{self, KEYS, Script};

/// Requests sent at once to a server that takes them so.
const PIPELINED: usize = 100;

/// Connections that fill a server which cannot be pipelined.
const UNPIPELINED_CONNECTIONS: usize = 50;

/// Puts and gets of two series, and requests in one go.
pub fn check(running: &Running) -> Result<()> {
    let (server, dialect) = (running.server, running.server.dialect);
    let mut client = Client::connect(&running.process)?;
    let mut all: Vec<_> = (0..KEYS).map(|number| (key(number), Vec::new())).collect();
    (all[0].1, all[1].1) = (workload::points(0, 2), workload::points(1, 1));
    // The later point first: a series comes back in the order of time.
    let puts = [(0, 1), (0, 0), (1, 0)].map(|(series, place): (usize, usize)| {
        let (key, points) = &all[series];
        dialect.put(key, &points[place])
    });
    for put in &puts {
        client.expect(put, dialect.put_reply(false))?;
    }
    running.await_points(puts.len(), &[&puts[2]])?;
    if server.can(&[Remembering]) {
        check_series(running, &all[1])?;
    }
    if server.can(&[Keeping]) {
        check_series(running, &all[0])?;
    }
    if server.can(&[Reading]) {
        client.expect(&dialect.get_all(), &dialect.reply(&all))?;
    }
    if server.can(&[Pipelining, Answering]) {
        let points = workload::points(2, PIPELINED);
        let puts = points.iter().flat_map(|point| dialect.put("check", point));
        let replies = dialect.put_reply(false).repeat(PIPELINED);
        client.expect(&puts.collect::<Vec<_>>(), &replies)?;
    }
    client.expect_silence()
}

/// A get of one whole series, byte for byte.
fn check_series(running: &Running, series: &(String, Vec<Point>)) -> Result<()> {
    if let Some(inlet) = &running.inlet {
        return inlet.check_series(&series.0, &series.1);
    }
    let dialect = running.server.dialect;
    let reply = dialect.reply(std::slice::from_ref(series));
    Client::connect(&running.process)?.expect(&dialect.get(&series.0), &reply)
}

/// Puts so many points of each series as fast as the server takes them, in the order of time in
/// each, and reads one series back.
pub fn fill(running: &Running, keys: Range<usize>, passes: usize) -> Result<()> {
    let (dialect, points) = (running.server.dialect, keys.len() * passes);
    let (connections, batch) = match running.server.can(&[Pipelining]) {
        true => (1, keys.len()),
        false => (UNPIPELINED_CONNECTIONS, 1),
    };
    let replies = dialect.put_reply(false).repeat(batch);
    let mut clients = Vec::with_capacity(connections);
    for connection in 0..connections {
        let share = workload::share(keys.clone(), connection, connections);
        let script = Script::ring(dialect, share, passes, batch, None);
        clients.push((Client::connect(&running.process)?, script));
    }
    for _ in 0..points / batch / connections {
        for (client, script) in &mut clients {
            client.send(script.next_batch())?;
        }
        for (client, _) in &mut clients {
            client.expect_replies(&replies)?;
        }
    }
    let scripts = clients.iter().map(|(_, script)| script.last_request());
    running.await_points(points, &scripts.collect::<Vec<_>>())?;
    let middle = keys.start + keys.len() / 2;
    check_series(running, &(key(middle), workload::points(middle, passes)))
}
