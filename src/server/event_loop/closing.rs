//! Which connections the loop closes: those that are still for too long and, if memory is short, those that
//! keep the most.

use std::collections::BinaryHeap;
use std::time::Instant;

use super::EventLoop;
use crate::config::Config;
use crate::server::client::Standing;
use crate::server::shared::Shared;
use crate::server::timeouts::Stillness;

impl EventLoop {
    /// Closes connections that have been still for too long, of those that are to be looked at now.
    pub(super) fn close_still(&mut self) {
        for key in self.timeouts.keys_to_look_at(self.clients.capacity()) {
            let client = self.clients.get_mut(key);
            let Some(client) = client.filter(|client| client.standing == Standing::Idle) else {
                continue;
            };
            if client.connection.pushes_on() {
                self.make_ready(key);
                continue;
            }
            let stillness = client.stillness();
            if !self.timeouts.is_over(stillness, client.still_since) {
                continue;
            }
            let counts = &mut self.shared.tally.counts;
            match stillness {
                Stillness::Awaited if client.connection.expire() => {
                    counts.connections_late += 1;
                    self.make_ready(key);
                    continue;
                }
                Stillness::Idle => counts.connections_idle += 1,
                _ => counts.connections_stalled += 1,
            }
            debug!("connection {key} is closed: {stillness:?}");
            self.close(key);
        }
    }

    /// Says that a connection is over.
    pub(super) fn close(&mut self, key: usize) {
        self.clients[key].standing = Standing::Closed;
        self.closed.push(key);
    }

    /// Whether memory is short, and all connections together keep more than they may then. Some are
    /// closed before others are read from.
    pub(super) fn keeps_too_much(&mut self) -> bool {
        if self.shared.kept_bytes <= self.shared.most_kept_bytes(self.config()) {
            return false;
        }
        let other_bytes = self.other_bytes();
        let Shared { room, store, .. } = &mut self.shared;
        room.set_other_bytes(other_bytes, store);
        !room.has(store)
    }

    /// If memory is short, and all connections together keep more than they may then, closes those
    /// that keep the most: some of them, if they are too many for one turn.
    pub(super) fn shed_connections(&mut self, now: Instant) {
        self.is_shedding = false;
        if !self.keeps_too_much() {
            return;
        }
        // Well below the limit, or the next connection that is served would pass it again.
        let most_bytes = self.shared.most_kept_bytes(self.config());
        let down_to_bytes = most_bytes - self.config().connections_part_bytes() / 4;
        let mut kept_bytes = self.shared.kept_bytes;
        let candidates = self
            .clients
            .iter()
            .filter(|(_, client)| matches!(client.standing, Standing::Idle | Standing::Ready));
        let sized = candidates.map(|(key, client)| (client.connection.kept_bytes(), key));
        let mut sized: BinaryHeap<_> = sized.filter(|&(bytes, _)| bytes > 0).collect();
        while kept_bytes > down_to_bytes
            && let Some((bytes, key)) = sized.pop()
        {
            if self.closed.len() == Config::SHED_PER_TURN {
                self.is_shedding = true;
                break;
            }
            debug!("connection {key} is closed: it keeps {bytes} bytes");
            kept_bytes -= bytes;
            self.close(key);
        }
        if self.closed.is_empty() {
            return;
        }
        self.ready
            .retain(|key| self.clients[key].standing != Standing::Closed);
        self.shared.tally.counts.connections_shed += self.closed.len() as u64;
        self.remove_closed();
        if self.shed_log.is_due(now) {
            warn!(
                "connections that keep much are closed, since memory is short: see --memory-limit"
            );
        }
    }

    /// Takes those that are over out of the slab.
    pub(super) fn remove_closed(&mut self) {
        if self.closed.is_empty() {
            return;
        }
        for key in self.closed.drain(..) {
            let client = self.clients.remove(key);
            self.shared.kept_bytes -= client.connection.kept_bytes();
            debug!("connection {key} closed");
        }
        self.server.acceptor.make_room();
    }
}
