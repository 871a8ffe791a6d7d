//! A checkpoint: how long puts take while it is written, and what memory it takes.
//!
//! Nobody else puts meanwhile, so that what differs is the checkpoint's.

use std::fs;
use std::time::Instant;

use anyhow::Result;

use crate::durable::{ROUNDS, memory, start, until};
use crate::support::client::{BATCH, Client, PUT_REPLY};
use crate::support::folder::Folder;
use crate::support::table::{figure, median};
use crate::wire::{Growing, SERIES, Server, row};

/// A checkpoint begins when the journal is longer than this, and than the last checkpoint.
const JOURNAL_BYTES: f64 = (64 << 20) as f64;

/// What single puts add to the journal before a checkpoint begins: in so many seconds that what was
/// put at full speed before them is synced.
const PROBED_BYTES: f64 = (2 << 20) as f64;

/// Puts one by one before checkpoints, and while they are written.
pub fn run(points: usize) -> Result<()> {
    let folder = Folder::new()?;
    let partial = folder.0.join("checkpoint.tmp");
    let mut growing = Growing::on(Server::over(start(&folder.0)?)?);
    growing.put(points / SERIES * SERIES)?;
    let mut server = growing.server;
    let (mut before, mut during, mut grown, mut seconds) = (vec![], vec![], 0f64, vec![]);
    // The first round is not counted: buffers grow to what they need.
    for round in 0..=ROUNDS {
        until("no checkpoint is written", || Ok(!partial.exists()))?;
        approach_checkpoint(&mut server.client, &folder)?;
        server.process.memory_at_rest()?;
        // From now on the peak is that since now.
        let clear = format!("/proc/{}/clear_refs", server.process.child.id());
        fs::write(clear, "5")?;
        let memory_before = memory(&server.process)?[0];
        let idle = probe(&mut server.client, || partial.exists())?;
        let begin = Instant::now();
        let busy = probe(&mut server.client, || !partial.exists())?;
        if round > 0 {
            seconds.push(begin.elapsed().as_secs_f64());
            grown = grown.max(memory(&server.process)?[0] - memory_before);
            before.extend(idle);
            during.extend(busy);
        }
    }
    let ([p99_before, longest_before], [p99, longest]) = (slowest(before)?, slowest(during)?);
    let name = format!("a checkpoint of {} points: seconds", figure(points as f64));
    row(&name, median(seconds).unwrap_or(f64::NAN), None);
    let rows = [
        ("  single puts during it: p99, ms", p99, None),
        ("    more than before it, ms", p99 - p99_before, Some(1.0)),
        ("    the longest, ms", longest, None),
        ("    the longest before it, ms", longest_before, None),
        (
            "  memory at its peak: more MB than before",
            grown,
            Some(2.0),
        ),
    ];
    for (name, value, most) in rows {
        row(name, value, most);
    }
    Ok(())
}

/// Replaces a point, until not much more must be put for a checkpoint to begin.
fn approach_checkpoint(client: &mut Client, folder: &Folder) -> Result<()> {
    // A double of many digits takes the most bytes of journal.
    let puts = "put replaced 0.12345678901234567 1\n".repeat(BATCH);
    let end = JOURNAL_BYTES.max(folder.bytes("checkpoint-")?) - PROBED_BYTES;
    until("the journal grows", || {
        client.expect(puts.as_bytes(), &PUT_REPLY.repeat(BATCH))?;
        Ok(folder.bytes("journal-")? >= end)
    })
}

/// Milliseconds that a put takes, one after the other, until the end.
fn probe(client: &mut Client, mut is_end: impl FnMut() -> bool) -> Result<Vec<f64>> {
    let mut millis = Vec::new();
    until("probes end", || {
        let begin = Instant::now();
        client.expect(b"put probe 21.5 1\n", PUT_REPLY)?;
        millis.push(begin.elapsed().as_secs_f64() * 1e3);
        Ok(is_end())
    })?;
    Ok(millis)
}

/// The 99th percentile, and the greatest.
fn slowest(mut values: Vec<f64>) -> Result<[f64; 2]> {
    values.sort_by(f64::total_cmp);
    Ok([values[values.len() * 99 / 100], values[values.len() - 1]])
}
