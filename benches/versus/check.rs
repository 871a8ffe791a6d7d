//! One of the servers, running: its answers, before any of them is timed, and stores filled for the cases
//! that read or weigh what is there.
//!
//! The work is 1,000 series, each a random walk with two decimals, a point every ten seconds.
//!
//! A Graphite line is sent and forgotten. To time a server of such lines to the moment when it has the
//! points, and to check that it has the right ones, it is asked at its other port.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;

use memchr::memmem;

use crate::dialect::Dialect::{Carbon, Graphite, Victoria};
use crate::servers::Need::{Answering, Keeping, Pipelining, Reading, Remembering};
use crate::servers::Peer;
use crate::support::*;

/// Points of each, where a store is filled before it is measured.
pub const POINTS_A_SERIES: usize = 1_000;
pub const POINTS: usize = SERIES * POINTS_A_SERIES;

/// Steps of the walk, in hundredths, at most.
const STEP: i64 = 100;

/// Whole series are asked for, which costs the server much more than a point.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Requests sent at once to a server that takes them so.
const PIPELINED: usize = 100;

/// Connections that fill a server which cannot be pipelined.
const FILLING: usize = 50;

/// A series that is filled with so many points. The second half of the values goes back
/// the way it came, so that a ring has no jump where it closes.
pub fn series(number: usize, passes: usize) -> (String, Vec<Point>) {
    let mut points: Vec<Point> = walk(number, STEP, 0).take(passes).collect();
    for pass in passes.div_ceil(2)..passes {
        points[pass].value = points[passes - 1 - pass].value;
    }
    (key(number), points)
}

/// A server that was started for a figure.
pub struct Running {
    pub peer: &'static Peer,
    pub server: Server,
    points_sent: Cell<usize>,
}

impl Running {
    /// Starts it empty.
    pub fn start(peer: &'static Peer) -> Result<Running> {
        Ok(Running {
            peer,
            server: Server::start(peer.1)?,
            points_sent: Cell::new(0),
        })
    }

    /// Clients that put to all series, in batches. Each of them owns its share of the series, so that the points
    /// of a series arrive in order whichever connection is served first. After every nine puts comes a get of
    /// so many points, where this is given.
    pub fn putting(
        &self,
        connections: usize,
        batch: usize,
        get_points: Option<usize>,
    ) -> Result<Fleet> {
        let dialect = self.peer.2;
        let put_reply = dialect.put_reply(false);
        let put_lines = put_reply.matches('\n').count();
        let reply = get_points.map_or_else(|| Reply::same(put_reply), |_| Reply::Lines);
        let script = |connection| {
            let mut requests = Vec::new();
            let bound = |connection| SERIES * connection / connections;
            let share = bound(connection)..bound(connection + 1);
            let share: Vec<_> = share.map(|number| series(number, RING_PASSES)).collect();
            for place in 0..RING_PASSES * share.len() {
                let (name, points) = &share[place % share.len()];
                requests.push((dialect.put(name, &points[place / share.len()]), put_lines));
                if let (Some(points), 8) = (get_points, place % 9) {
                    let get = dialect.get(&key(SERIES + connection));
                    requests.push((get, dialect.reply_lines(1, points)));
                }
            }
            Script::ring(&reply, batch, &requests)
        };
        Fleet::connect(&self.server, (0..connections).map(script))
    }

    /// Puts and gets of two series, and requests in one go.
    pub fn check(&self) -> Result<()> {
        let (peer, dialect) = (self.peer, self.peer.2);
        let mut client = Fleet::one(&self.server)?;
        let mut all: Vec<_> = (0..SERIES)
            .map(|number| (key(number), Vec::new()))
            .collect();
        (all[0], all[1]) = (series(0, 2), series(1, 1));
        // The later point first: a series comes back in the order of time.
        for (number, place) in [(0, 1), (0, 0), (1, 0)] {
            let (key, points) = &all[number];
            let put = dialect.put(key, &points[place]);
            client.expect(&put, dialect.put_reply(false))?;
        }
        self.await_points(3, &client)?;
        if peer.can(&[Remembering]) {
            self.check_series(&all[1])?;
        }
        if peer.can(&[Keeping]) {
            self.check_series(&all[0])?;
        }
        if peer.can(&[Reading]) {
            client.expect(&dialect.get_all(), &dialect.reply(&all))?;
        }
        if peer.can(&[Pipelining, Answering]) {
            let (_, points) = series(2, PIPELINED);
            let puts = points.iter().map(|point| dialect.put("check", point));
            let replies = dialect.put_reply(false).repeat(PIPELINED);
            client.expect(&puts.collect::<String>(), &replies)?;
        }
        client.expect_silence()
    }

    /// Puts so many points of each series as fast as the server takes them, in the order of time in
    /// each, and reads one series back.
    pub fn fill(&self, keys: Range<usize>, passes: usize) -> Result<()> {
        let (is_pipelined, dialect) = (self.peer.can(&[Pipelining]), self.peer.2);
        let clients = if is_pipelined { 1 } else { FILLING };
        let mut fleet = Fleet::same(&self.server, clients, &Script::default())?;
        let all: Vec<_> = keys.clone().map(|number| series(number, passes)).collect();
        let put = |pass, (key, points): &(String, Vec<Point>)| dialect.put(key, &points[pass]);
        let puts = (0..passes).flat_map(|pass| all.iter().map(move |series| put(pass, series)));
        let count = fleet.put(puts, dialect.put_reply(false), is_pipelined)?;
        self.await_points(count, &fleet)?;
        let middle = keys.start + keys.len() / 2;
        self.check_series(&series(middle, passes))
    }

    /// Returns when the server has this many more points, of which the fleet sent the last: at once
    /// where each is answered.
    pub fn await_points(&self, count: usize, fleet: &Fleet) -> Result<()> {
        self.points_sent.set(self.points_sent.get() + count);
        let counter = match self.peer.2 {
            Victoria => "vm_rows_inserted_total{type=\"graphite\"}",
            Graphite => "metricd_graphite_points_total",
            // It takes the lines of a connection in order: who has the last has them all.
            Carbon => {
                let mut batches = fleet.last_batches();
                return batches.try_for_each(|batch| self.check_series(&last_point(batch)?));
            }
            _ => return Ok(()),
        };
        until_each(POLL_INTERVAL, "it has all points", || {
            let (count, sent) = (self.server.metric(counter)?, self.points_sent.get() as f64);
            ensure!(count <= sent, "{count} points counted of {sent} sent");
            Ok(count == sent)
        })
    }

    /// A get of one whole series, byte for byte where puts are answered. Others may count points a moment
    /// before they can be asked for them.
    fn check_series(&self, series: &(String, Vec<Point>)) -> Result<()> {
        let ((key, points), dialect) = (series, self.peer.2);
        let (from, until_then) = (FIRST_TIMESTAMP - 1, points[points.len() - 1].timestamp);
        let has_points = || match dialect {
            Victoria => self.server.exports("__name__", key, points),
            Graphite => {
                let range = format!("from={from}&until={until_then}");
                let path = format!("/render?target={key}&format=json&{range}");
                let answer = self.server.get(&path)?;
                let datum = |point: &Point| format!("[{:?}, {}]", point.value, point.timestamp);
                Ok(points.iter().all(|point| answer.contains(&datum(point))))
            }
            Carbon => {
                let cached = self.cached(key)?;
                let pair = |point: &Point| [point.timestamp as f64, point.value].map(pickled);
                let has = |point| memmem::find(&cached, &pair(point).concat()).is_some();
                Ok(points.iter().all(has))
            }
            _ => {
                let reply = dialect.reply(std::slice::from_ref(series));
                Fleet::one(&self.server)?.expect(&dialect.get(key), &reply)?;
                Ok(true)
            }
        };
        until_each(POLL_INTERVAL, "it has what was put", has_points)
    }

    /// What carbon-cache answers to a query: the points of a series, pickled.
    fn cached(&self, key: &str) -> Result<Vec<u8>> {
        let query = format!("(S'type'\nS'cache-query'\nS'metric'\nS'{key}'\nd.");
        let mut stream = TcpStream::connect(("127.0.0.1", self.server.ports[1]))?;
        let length = (query.len() as u32).to_be_bytes();
        stream.write_all(&[&length, query.as_bytes()].concat())?;
        let mut length = [0; 4];
        stream.read_exact(&mut length).context("cache query")?;
        let mut reply = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut reply).context("cache query")?;
        Ok(reply)
    }
}

/// What the last of these lines puts.
fn last_point(lines: &[u8]) -> Result<(String, Vec<Point>)> {
    let mut words = str::from_utf8(lines)?.split_whitespace().rev();
    let mut word = || words.next().context("no line");
    let (timestamp, value) = (word()?.parse()?, word()?.parse()?);
    Ok((word()?.into(), vec![Point { timestamp, value }]))
}

/// A float in Python's pickle: `G` and its eight bytes, the highest first.
fn pickled(value: f64) -> Vec<u8> {
    [b"G", &value.to_be_bytes()[..]].concat()
}
