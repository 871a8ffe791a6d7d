//! What is sent next, and what follows from the answer.
//!
//! Puts are gathered for a while, then all that are written by then are sent, request by request. What a
//! receiver cannot take now is sent again after a pause. What it will never take is left out. Prometheus
//! refuses a whole request for one point that it cannot take, such as one that it has already: what is refused for
//! that is sent again in halves, until the point is alone.
//!
//! Nothing here sleeps or reads a clock.

use std::io;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ages::Ages;
use super::batch::{Batch, Keys};
use super::client::{Response, Transport};
use super::labels::Labels;
use super::receiver::Receiver;
use super::retry::Backoff;
use crate::config::{Config, RemoteWrite, TimestampUnit};
use crate::counters::Tally;
use crate::journal::follower::Follower;
use crate::server::rarely::Rarely;

/// Sends what is put to one receiver.
pub struct Sender<T: Transport> {
    follower: Follower,
    transport: T,
    receiver: Arc<Receiver>,
    labels: Labels,
    unit: TimestampUnit,
    config: RemoteWrite,
    /// What was read last.
    batch: Batch,
    /// How many points are in the request that is under way: none, if there is no request.
    under_way: usize,
    /// The body of that request.
    body: Vec<u8>,
    /// The most points of the next one.
    most: usize,
    /// Frames up to this number are sent without waiting, …
    send_to: u64,
    /// … and until then those after them are gathered.
    gather_until: Option<Instant>,
    /// How long to wait from the next step on, …
    pause: Option<Duration>,
    /// … and until when that is.
    pause_until: Option<Instant>,
    backoff: Backoff,
    failed_log: Rarely,
    refused_log: Rarely,
    dropped_log: Rarely,
    ages: Ages,
    tally: Tally,
}

/// When a sender is to take its next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At once.
    Now,
    /// At this time.
    At(Instant),
    /// When a frame after this number is written.
    Written(u64),
}

impl<T: Transport> Sender<T> {
    /// A sender of what `follower` reads. `seed` makes its pauses different from those of others.
    pub fn new(
        mut follower: Follower,
        transport: T,
        receiver: Arc<Receiver>,
        labels: Labels,
        config: &Config,
        seed: u64,
    ) -> Sender<T> {
        let mut tally = Tally::default();
        tally.publish_to(&receiver.counts);
        let (mut batch, mut body) = (Batch::default(), Vec::new());
        if config.memory_limit_bytes.is_some() {
            // At once all that it will ever take, since the store fills what is left.
            let most = config.remote_write.request_points;
            let bytes = config.remote_write.request_bytes;
            batch.take_room(most, bytes, &mut body);
            let key_bytes = bytes.min(Config::KEYS_HELD_BYTES);
            follower.take_room(most, config.remembered_series(), key_bytes);
        }
        let most = match follower.under_way() {
            0 => config.remote_write.request_points,
            under_way => under_way,
        };
        Sender {
            // What is there at the start has waited long enough.
            send_to: follower.spool.written().newest,
            follower,
            transport,
            receiver,
            labels,
            unit: config.timestamp_unit,
            config: config.remote_write.clone(),
            batch,
            under_way: 0,
            body,
            most,
            gather_until: None,
            pause: None,
            pause_until: None,
            backoff: Backoff::new(seed),
            failed_log: Rarely::new(config.full_log_interval),
            refused_log: Rarely::new(config.full_log_interval),
            ages: Ages::default(),
            dropped_log: Rarely::new(config.full_log_interval),
            tally,
        }
    }

    /// Takes a step: reads, or sends one request. Returns when the next one is to be taken.
    pub fn step(&mut self, now: Instant) -> Next {
        let next = self.try_step(now).unwrap_or_else(|error| {
            self.fail(&format!("cannot read the journal: {error}"), None, now);
            Next::Now
        });
        // Otherwise there is more to do, and what may take long is published before it begins.
        if next != Next::Now {
            self.publish(now);
        }
        next
    }

    fn try_step(&mut self, now: Instant) -> io::Result<Next> {
        self.keep_within_spool(now)?;
        if let Some(pause) = self.pause.take() {
            self.pause_until = Some(now + pause);
        }
        if let Some(until) = self.pause_until.filter(|until| *until > now) {
            // Meanwhile too much may come to be kept.
            return Ok(Next::At(until.min(now + Config::SPOOL_LOOK)));
        }
        if self.follower.unfinished() == 0
            && let Some(next) = self.fill(now)?
        {
            return Ok(next);
        }
        self.send(now)
    }

    /// Leaves out the oldest puts if too much is kept for this receiver.
    fn keep_within_spool(&mut self, now: Instant) -> io::Result<()> {
        let limit_bytes = self.config.spool_bytes as u64;
        while let Some(dropped) = self.follower.keep_within(limit_bytes)? {
            self.forget_batch();
            let why = "the spool is full, see --remote-write-spool";
            self.count_dropped(dropped, why, now);
        }
        Ok(())
    }

    fn forget_batch(&mut self) {
        self.batch.clear();
        self.body.clear();
        self.under_way = 0;
    }

    fn count_dropped(&mut self, points: u64, why: &str, now: Instant) {
        let dropped = &mut self.tally.counts.remote_dropped_points;
        *dropped += points;
        if points > 0 && self.dropped_log.is_due(now) {
            let name = &self.receiver.name;
            warn!("{name}: {why}: {dropped} points were left out so far");
        }
    }

    /// Reads the next batch. Returns what to wait for if there is none to be sent.
    fn fill(&mut self, now: Instant) -> io::Result<Option<Next>> {
        let next_frame = self.follower.next_frame();
        if next_frame > self.send_to {
            let written = self.follower.spool.written().newest;
            if written < next_frame {
                self.store_position();
                self.gather_until = None;
                return Ok(Some(Next::Written(next_frame - 1)));
            }
            let until = self.gather_until.get_or_insert(now + self.config.interval);
            if *until > now {
                return Ok(Some(Next::At(*until)));
            }
            self.gather_until = None;
            self.send_to = written;
        }
        self.forget_batch();
        let (batch, unit) = (&mut self.batch, self.unit);
        let most = self.config.request_points;
        self.follower.read(self.send_to, most, &mut |put| {
            let timestamp_ms = milliseconds(put.timestamp, unit);
            if let Some(timestamp_ms) = timestamp_ms {
                batch.push(put.series, timestamp_ms, put.value);
            }
            timestamp_ms.is_some()
        })?;
        if !self.batch.is_empty() {
            return Ok(None);
        }
        self.finish_request(now);
        Ok(Some(Next::Now))
    }

    /// Sends the next part of the batch, or the same once more if it has failed.
    fn send(&mut self, now: Instant) -> io::Result<Next> {
        if self.under_way == 0 {
            self.begin_request()?;
        } else {
            self.tally.counts.remote_retried_points += self.under_way as u64;
        }
        // Until the answer comes, nothing is published.
        self.publish(now);
        match self.transport.post(&self.body) {
            Ok(response) if matches!(response.status, 200..=299) => self.taken(now),
            Ok(response) if response.is_refusal() => self.refused(&response, now),
            Ok(response) => self.fail(&response.to_string(), response.retry_after, now),
            Err(error) => self.fail(&error.to_string(), None, now),
        }
        Ok(Next::Now)
    }

    fn begin_request(&mut self) -> io::Result<()> {
        let begin = self.batch.len() - self.follower.unfinished();
        let end = self.batch.len().min(begin + self.most);
        self.under_way = self.batch.encode(
            begin..end,
            self.config.request_bytes,
            &self.labels,
            &mut self.follower,
            &mut self.body,
        )?;
        self.store_position();
        Ok(())
    }

    /// Stores how far all is done, and what is under way. If that fails, more is sent again after a start.
    fn store_position(&mut self) {
        if let Err(error) = self.follower.store_position(self.under_way) {
            let name = &self.receiver.name;
            debug!("{name}: cannot store how far points are sent: {error}");
        }
    }

    /// Goes past the points of a request, and those among and after them that have no room in one.
    fn finish_request(&mut self, now: Instant) {
        let left_out = self.follower.finish(mem::take(&mut self.under_way));
        let why = "timestamps have no room as milliseconds, or the journal is damaged";
        self.count_dropped(left_out, why, now);
    }

    fn taken(&mut self, now: Instant) {
        self.tally.counts.remote_sent_points += self.under_way as u64;
        self.tally.counts.remote_sent_bytes += self.body.len() as u64;
        self.backoff.reset();
        self.most = (2 * self.most).min(self.config.request_points);
        self.finish_request(now);
    }

    fn fail(&mut self, why: &str, retry_after: Option<Duration>, now: Instant) {
        self.receiver.set_last_error(why);
        self.tally.counts.remote_failures += 1;
        if self.failed_log.is_due(now) {
            let name = &self.receiver.name;
            warn!("{name}: {why}; points wait in the journal and are sent again");
        }
        // From the end of the request on, which may have taken long.
        self.pause = Some(self.backoff.next(retry_after));
    }

    fn refused(&mut self, response: &Response, now: Instant) {
        if response.is_about_a_part() && self.under_way > 1 {
            self.most = self.under_way / 2;
            self.under_way = 0;
            return;
        }
        let points = self.under_way as u64;
        self.tally.counts.remote_rejected_points += points;
        self.receiver.set_last_error(&response.to_string());
        if self.refused_log.is_due(now) {
            let name = &self.receiver.name;
            warn!("{name} has refused {points} points, which are not sent again: {response}");
        }
        self.backoff.reset();
        self.finish_request(now);
    }

    /// Ends, and stores how far it has come, with the request that has failed, if one has.
    pub fn close(&mut self) {
        self.store_position();
        self.tally.publish();
    }

    fn publish(&mut self, now: Instant) {
        let (points, bytes) = self.follower.lag();
        self.ages.note(self.follower.spool.written().newest, now);
        let age = self.ages.of(self.follower.unsent_frame(), now);
        let counts = &mut self.tally.counts;
        counts.remote_lag_points = points;
        counts.remote_lag_bytes = bytes;
        counts.remote_lag_seconds = age.as_secs();
        self.tally.publish();
    }
}

impl Keys for Follower {
    fn key_bytes(&self, series: u64) -> usize {
        self.key_bytes(series)
    }

    fn key(&mut self, series: u64) -> io::Result<&str> {
        self.key(series)
    }
}

/// A timestamp in milliseconds, rounded down; `None` if that has no room.
fn milliseconds(timestamp: i64, unit: TimestampUnit) -> Option<i64> {
    match unit.per_second() {
        1 => timestamp.checked_mul(1_000),
        per_second => Some(timestamp.div_euclid(per_second / 1_000)),
    }
}

#[cfg(test)]
mod tests;
