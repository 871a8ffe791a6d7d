//! The journal as a whole, over a disk that fails or loses power at each of its calls.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::file_system::FileSystem;
use super::follower::Follower;
use super::frame::{self, FileKind};
use super::record::PutRecord;
use super::simulated::{Fault, Simulated};
use super::writer::Writer;
use super::{Journal, Opened, checkpoint, files, recovery};
use crate::config::{Config, SyncPolicy};
use crate::counters::Counters;
use crate::memory::Room;
use crate::server::{Admission, Commit, Outcome};
use crate::store::{Put, Store};

mod readers;

/// What happens to a store.
#[derive(Clone, Debug)]
enum Change {
    /// A key, a timestamp, and a value.
    Put(String, i64, f64),
    /// This series loses all points up to this timestamp.
    Evict(String, i64),
    /// Some of the oldest points go, as the store chooses: it is executed as what it evicts.
    EvictOldest,
    /// Points before this timestamp expire, and are not kept any more. That is not recorded.
    Expire(i64),
}

const POLICIES: [SyncPolicy; 3] = [
    SyncPolicy::Always,
    SyncPolicy::Never,
    SyncPolicy::Every(Duration::from_millis(250)),
];

/// So small that there is a checkpoint every few turns.
const JOURNAL_LIMIT_BYTES: usize = 400;

/// So little that a file of the journal is made longer several times.
const AHEAD_BYTES: u64 = 150;

/// Turns of a life.
const TURNS: u64 = 40;

/// A store with a journal, in which the test takes the turns of the loop and of the journal thread.
struct Life {
    journal: Journal,
    writer: Writer,
    store: Store,
    floor: i64,
    record: PutRecord,
    now: Instant,
    /// All that happened, in order.
    executed: Vec<Change>,
    /// How many of these were executed when each frame was submitted.
    submitted: BTreeMap<u64, usize>,
    /// How many of these are promised to survive the end of the process.
    stored: usize,
    /// How many of these are on the medium.
    synced: usize,
    /// Those who read the journal.
    followers: Vec<Follower>,
}

fn config(sync: SyncPolicy, journal_limit_bytes: usize) -> Config {
    Config {
        sync,
        journal_limit_bytes,
        unjournaled_limit_bytes: usize::MAX,
        ..Config::default()
    }
}

impl Life {
    /// Starts from what a disk has; `executed` has happened before.
    fn start(disk: &Simulated, policy: SyncPolicy, executed: Vec<Change>) -> io::Result<Life> {
        let config = config(policy, JOURNAL_LIMIT_BYTES);
        Life::start_in(disk, &config, &[], Room::default(), executed)
    }

    fn start_in(
        disk: &Simulated,
        config: &Config,
        readers: &[String],
        room: Room,
        executed: Vec<Change>,
    ) -> io::Result<Life> {
        let (store, opened) = Opened::new(disk.share(), config, readers, room, &mut |_| {})?;
        let (mut journal, mut writer) = (opened.journal, opened.writer);
        writer.ahead_bytes = writer.ahead_bytes.min(AHEAD_BYTES);
        // Some series are remembered by readers, and some are not.
        journal.most_series = 2;
        let record = journal.record().expect("a journal records");
        Ok(Life {
            journal,
            writer,
            store,
            floor: i64::MIN,
            record,
            now: Instant::now(),
            stored: executed.len(),
            synced: executed.len(),
            submitted: BTreeMap::new(),
            executed,
            followers: opened.followers,
        })
    }

    fn put(&mut self, key: &str, timestamp: i64, value: f64) {
        let put = Put {
            key: key.into(),
            timestamp,
            value: value.into(),
        };
        let placed = self.store.put_all_noting_places(&[put]);
        self.record.push(placed[0], &put);
        self.executed
            .push(Change::Put(key.into(), timestamp, value));
    }

    fn evict(&mut self, key: &str, up_to: i64) {
        if let Some(place) = self.store.place_of(key) {
            self.store.remove_to(place, up_to);
            self.record.remove(place, key, up_to);
            self.executed.push(Change::Evict(key.into(), up_to));
        }
    }

    fn evict_oldest(&mut self) {
        let (record, executed) = (&mut self.record, &mut self.executed);
        self.store.evict(1, &mut |place, key, up_to| {
            record.remove(place, key, up_to);
            executed.push(Change::Evict(key.into(), up_to));
        });
    }

    fn expire(&mut self, floor: i64) {
        self.floor = self.floor.max(floor);
        self.store.set_floors(self.floor, self.floor);
        self.store.expire(2);
        self.executed.push(Change::Expire(floor));
    }

    fn execute(&mut self, change: &Change) {
        match change {
            Change::Put(key, timestamp, value) => self.put(key, *timestamp, *value),
            Change::Evict(key, up_to) => self.evict(key, *up_to),
            Change::EvictOldest => self.evict_oldest(),
            Change::Expire(floor) => self.expire(*floor),
        }
    }

    /// Puts a point, and submits it; returns the number of its frame.
    fn put_one(&mut self, key: &str, timestamp: i64) -> u64 {
        self.put(key, timestamp, 0.5);
        self.journal.submit(&mut self.record)
    }

    /// One turn of the loop, in which each of these happens if puts are taken, and one of the thread.
    fn turn(&mut self, changes: &[Change]) {
        self.work();
        if self.journal.admission() == Admission::Open {
            for change in changes {
                self.execute(change);
            }
        }
        if !self.record.is_empty() {
            let number = self.journal.submit(&mut self.record);
            self.submitted.insert(number, self.executed.len());
        }
        self.work();
        let synced = self.writer.synced().unwrap_or(0);
        if let Some((_, &executed)) = self.submitted.range(..=synced).next_back() {
            self.synced = executed;
        }
        for (&number, &executed) in &self.submitted {
            if self.journal.outcome(number) == Outcome::Stored {
                self.stored = executed;
            }
        }
        self.journal.clean_up(&self.store, &mut self.record);
        self.now += Duration::from_millis(100);
    }

    /// Takes turns until the way back from a failure must have been found.
    fn recover(&mut self) {
        for _ in 0..30 {
            self.turn(&[]);
        }
    }

    /// Puts a point more, and takes turns until it must be synced.
    fn put_and_commit(&mut self, case: &str) {
        assert_eq!(self.journal.admission(), Admission::Open, "{case}");
        for turn in 0..5 {
            let last = 10 * TURNS as i64 + turn;
            self.turn(&[Change::Put("last".into(), last, 1.5)][..usize::from(turn == 0)]);
        }
    }

    fn work(&mut self) {
        self.writer.work(&mut self.journal.channel.take(), self.now);
        self.journal.look(false);
    }
}

/// What happens in a turn: puts into a few series, some new, mostly in order; series that lose points,
/// and some of them all, and come again.
fn changes(turn: u64) -> Vec<Change> {
    let mut random = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let change = |_| {
        let series = next(3 + turn / 4);
        let late = if next(4) == 0 { next(20) } else { 0 };
        let key = format!("series {series}");
        match next(16) {
            0 | 1 => return Change::Evict(key, (10 * turn - late.min(turn)) as i64),
            2 => return Change::Evict(key, (5 * turn) as i64),
            3 => return Change::Expire((7 * turn) as i64),
            _ => {}
        }
        let value = match next(10) {
            0 => f64::from_bits(next(u64::MAX)),
            digits => digits as f64 / 10.0,
        };
        Change::Put(key, (10 * turn - late.min(turn)) as i64, value)
    };
    (0..turn % 5).map(change).collect()
}

/// What may happen in a turn.
fn change() -> impl Strategy<Value = Change> {
    let key = || (0..5u8).prop_map(|series| format!("series {series}"));
    prop_oneof![
        8 => (key(), 0..100i64, 0..9u8)
            .prop_map(|(key, at, digit)| Change::Put(key, at, f64::from(digit) / 10.0)),
        2 => (key(), 0..110i64).prop_map(|(key, up_to)| Change::Evict(key, up_to)),
        2 => Just(Change::EvictOldest),
        1 => (0..60i64).prop_map(Change::Expire),
    ]
}

proptest! {
    #[test]
    fn a_start_finds_what_was_there_in_the_same_order(
        lives in proptest::collection::vec(proptest::collection::vec(proptest::collection::vec(change(), 0..12), 1..20), 1..5),
        power_fails in any::<bool>(),
    ) {
        let mut disk = Simulated::new();
        let (mut executed, mut floor) = (Vec::new(), i64::MIN);
        for (seed, turns) in (0..).zip(lives) {
            let mut life = Life::start(&disk, SyncPolicy::Always, executed).expect("no fault");
            let all = life.executed.len();
            prop_assert_eq!(prefix(&life.store, &life.executed, all), Some(all));
            life.expire(floor);
            for changes in turns {
                life.turn(&changes);
            }
            if power_fails {
                disk = disk.after_power_loss(seed);
            }
            (executed, floor) = (life.executed, life.floor);
        }
        let all = executed.len();
        let life = Life::start(&disk, SyncPolicy::Always, Vec::new()).expect("no fault");
        prop_assert_eq!(prefix(&life.store, &executed, all), Some(all));
    }
}

/// What a start finds on a disk where the oldest points make room.
fn evicting(disk: &Simulated, room: Room) -> Store {
    let start = recovery::recover_telling(&mut disk.clone(), false, None, room, &mut |_| {});
    start.expect("no fault").store
}

/// Room of which there is none now and then.
fn fickle_room(seed: u64) -> Room {
    let mut random = seed | 1;
    Room::evicting(1 << 10, move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        Some(if random.is_multiple_of(3) { 1 << 20 } else { 1 })
    })
}

proptest! {
    #[test]
    fn a_start_that_evicts_finds_some_of_what_was_there(
        lives in proptest::collection::vec(proptest::collection::vec(proptest::collection::vec(change(), 0..12), 1..20), 1..4),
        long_file in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let disk = Simulated::new();
        let (mut executed, mut floor) = (Vec::new(), i64::MIN);
        let limit = if long_file { usize::MAX } else { JOURNAL_LIMIT_BYTES };
        for turns in lives {
            let mut life = Life::start_in(&disk, &config(SyncPolicy::Always, limit), &[], Room::default(), executed).expect("no fault");
            life.expire(floor);
            for changes in turns {
                life.turn(&changes);
            }
            (executed, floor) = (life.executed, life.floor);
        }
        let all = recovery::recover(&mut disk.clone(), false).expect("no fault").store;
        let found = evicting(&disk, fickle_room(seed));
        for (key, points) in found_past(&found, floor) {
            let expected: BTreeMap<i64, u64> =
                all.range(&key, ..).map(|point| (point.timestamp, point.value.to_bits())).collect();
            for (timestamp, bits) in points {
                prop_assert_eq!(expected.get(&timestamp), Some(&bits), "{} {}", key, timestamp);
            }
        }
        // None of a series' newest points is missing where there was always room.
        let found = evicting(&disk, Room::evicting(1 << 30, || Some(1)));
        prop_assert_eq!(found_past(&found, floor), found_past(&all, floor));
    }
}

/// The points of a store that have not expired.
fn found_past(store: &Store, floor: i64) -> Points {
    let mut found = points(store);
    remove(&mut found, |_, timestamp| timestamp < floor);
    found
}

#[test]
fn a_start_that_evicts_keeps_the_newest_points() {
    const POINTS: i64 = 40_000;
    for (has_checkpoint, series) in [
        (false, 1),
        (false, 10),
        (false, 10_000),
        (true, 1),
        (true, 10),
        (true, 10_000),
    ] {
        let case = format!("{series} series, checkpoint: {has_checkpoint}");
        let disk = Simulated::new();
        let life = Life::start_in(
            &disk,
            &config(SyncPolicy::Never, usize::MAX),
            &[],
            Room::default(),
            Vec::new(),
        );
        let mut life = life.expect("no fault");
        let value = |at: i64| (at as f64).sqrt();
        for at in 0..POINTS {
            life.put(&format!("k{}", at % series), at / series, value(at));
            if at % 1_000 == 999 {
                life.journal.submit(&mut life.record);
                life.work();
            }
        }
        let journal = FileKind::Journal.name(1);
        let mut frame_bytes = disk.clone().size(&journal).expect("no fault");
        frame_bytes = frame_bytes.min(recovery::LONG_FRAME_BYTES);
        if has_checkpoint {
            frame_bytes = 0;
            let number = life.journal.submitted + 1;
            let name = FileKind::Checkpoint.name(number);
            checkpoint::write(&mut disk.clone(), &name, number, &life.store).expect("no fault");
        }
        let bytes = life.store.allocated_bytes();
        // What is resident is taken to be 4 MiB, and nine eighths of what is counted.
        let most_bytes = (4 << 20) + bytes / 16 * 9 + frame_bytes as usize;
        let room = Room::evicting(most_bytes * 21 / 20, || None);
        let found = evicting(&disk, room);
        assert!(found.allocated_bytes() < bytes / 2 + bytes / 50, "{case}");
        let kept = found.point_count() as i64;
        // A series of few points is evicted as a whole, and comes again with those that follow.
        let least = if series == 10_000 {
            POINTS / 8
        } else {
            POINTS / 4
        };
        assert!((least..POINTS * 5 / 8).contains(&kept), "{case}: {kept}");
        // As many points, if these were the newest, would begin here.
        let begin = (POINTS - kept) / series;
        let slack = 1_280; // a block
        for (key, points) in points(&found) {
            let number: i64 = key[1..].parse().expect("a number");
            for (&timestamp, &bits) in &points {
                let expected = value(timestamp * series + number);
                assert_eq!(f64::from_bits(bits), expected, "{case}: {key} {timestamp}");
            }
            let first = *points.keys().next().expect("a point");
            assert!(
                (begin - first).abs() <= slack || series == 10_000,
                "{case}: {first} {begin}"
            );
            let newest = points.range(first..).count() as i64;
            assert_eq!(newest, POINTS / series - first, "{case}: a gap in {key}");
        }
    }
}

#[test]
fn what_a_start_evicts_does_not_come_back() {
    let disk = Simulated::new();
    let mut life = live(&disk, SyncPolicy::Always).expect("no fault");
    for at in 0..2_000 {
        life.put(&format!("k{}", at % 100), at, 0.5);
    }
    life.recover();
    let room = fickle_room(7);
    let life = Life::start_in(
        &disk,
        &config(SyncPolicy::Always, usize::MAX),
        &[],
        room,
        Vec::new(),
    );
    let mut life = life.expect("no fault");
    assert!(life.store.evicted_points() > 0);
    let kept = points(&life.store);
    for _ in 0..1_000 {
        life.turn(&[]);
    }
    let found = recovery::recover(&mut disk.clone(), false).expect("no fault");
    assert_eq!(points(&found.store), kept);
}

/// All points of a store, by series in their order.
fn points(store: &Store) -> Points {
    let points = |key: &str| {
        store
            .range(key, ..)
            .map(|point| (point.timestamp, point.value.to_bits()))
            .collect()
    };
    store
        .keys()
        .map(|key| (key.to_owned(), points(key)))
        .collect()
}

/// Series in their order, and their points.
type Points = Vec<(String, BTreeMap<i64, u64>)>;

/// Removes points, and series that have none left.
fn remove(points: &mut Points, mut is_gone: impl FnMut(&str, i64) -> bool) {
    for (key, points) in &mut *points {
        points.retain(|&timestamp, _| !is_gone(key, timestamp));
    }
    points.retain(|(_, points)| !points.is_empty());
}

/// How many of the first changes have happened to a store: exactly these, and `least` at least. It may
/// still hold what has expired.
fn prefix(store: &Store, executed: &[Change], least: usize) -> Option<usize> {
    let mut found = points(store);
    let (mut expected, mut floor) = (Points::new(), i64::MIN);
    for count in 0..=executed.len() {
        remove(&mut found, |_, timestamp| timestamp < floor);
        if count >= least && expected == found {
            return Some(count);
        }
        match executed.get(count)? {
            Change::Put(_, timestamp, _) if *timestamp < floor => {}
            Change::Put(key, timestamp, value) => {
                let place = expected.iter().position(|(other, _)| other == key);
                let place = place.unwrap_or_else(|| {
                    expected.push((key.clone(), BTreeMap::new()));
                    expected.len() - 1
                });
                expected[place].1.insert(*timestamp, value.to_bits());
            }
            Change::Evict(key, up_to) => {
                remove(&mut expected, |other, timestamp| {
                    other == key && timestamp <= *up_to
                });
            }
            Change::EvictOldest => {}
            Change::Expire(at) => {
                floor = floor.max(*at);
                remove(&mut expected, |_, timestamp| timestamp < floor);
            }
        }
    }
    None
}

const FAULTS: [Fault; 4] = [
    Fault::Error,
    Fault::NoSpace,
    Fault::Short,
    Fault::Interrupted,
];

/// How many losses of power are tried at each call.
fn seeds() -> u64 {
    let seeds = std::env::var("METRICD_POWER_LOSSES");
    seeds.map_or(2, |seeds| seeds.parse().expect("a number"))
}

/// A life of all turns on a disk, from its start on.
fn live(disk: &Simulated, policy: SyncPolicy) -> io::Result<Life> {
    live_for(TURNS, disk, policy)
}

fn live_for(turns: u64, disk: &Simulated, policy: SyncPolicy) -> io::Result<Life> {
    let mut life = Life::start(disk, policy, Vec::new())?;
    for turn in 0..turns {
        life.turn(&changes(turn));
    }
    Ok(life)
}

/// How many calls a life makes of which none fails.
fn calls(policy: SyncPolicy) -> u64 {
    let disk = Simulated::new();
    let life = live(&disk, policy).expect("a disk without faults");
    assert_eq!(life.stored, life.executed.len());
    let names = disk.clone().list().expect("a disk without faults");
    assert!(names.iter().any(|name| name.starts_with("checkpoint-")));
    disk.calls()
}

/// The store that a start finds holds a prefix of what was put, and all that was promised.
fn check(disk: Simulated, life: Option<&Life>, promised: usize, case: &str) {
    let executed = life.map_or(&[][..], |life| &life.executed);
    match Life::start(&disk, SyncPolicy::Always, Vec::new()) {
        Ok(found) => assert!(prefix(&found.store, executed, promised).is_some(), "{case}"),
        Err(error) => panic!("{case}: {error}"),
    }
}

#[test]
fn what_was_promised_survives_a_loss_of_power_at_each_call() {
    for policy in POLICIES {
        for call in 1..=calls(policy) {
            let disk = Simulated::new();
            disk.cut_power_at(call);
            let life = live(&disk, policy).ok();
            let promised = life.as_ref().map_or(0, |life| match policy {
                SyncPolicy::Always => life.stored,
                SyncPolicy::Never | SyncPolicy::Every(_) => life.synced,
            });
            for seed in 0..seeds() {
                let case = format!("{policy:?}, call {call}, seed {seed}");
                check(disk.after_power_loss(seed), life.as_ref(), promised, &case);
            }
        }
    }
}

#[test]
fn what_a_start_has_read_is_on_the_medium_with_what_is_put_next() {
    for policy in POLICIES {
        let disk = Simulated::new();
        let before = live(&disk, policy).expect("a disk without faults");
        // The process ends, and the system has not synced yet.
        let life = Life::start(&disk, SyncPolicy::Always, before.executed);
        let mut life = life.expect("a disk without faults");
        life.put_and_commit("after a restart");
        let promised = life.executed.len();
        for seed in 0..10 * seeds() {
            check(
                disk.after_power_loss(seed),
                Some(&life),
                promised,
                &format!("{policy:?}, {seed}"),
            );
        }
    }
}

#[test]
fn what_is_submitted_after_a_failure_is_not_stored() {
    let disk = Simulated::new();
    let life = Life::start(&disk, SyncPolicy::Never, Vec::new());
    let mut life = life.expect("a disk without faults");
    let counters = Counters::default();
    life.writer.tally.publish_to(&counters.journal);
    disk.fail_at(disk.calls() + 1, Fault::Error);
    let numbers = [1, 2].map(|timestamp| {
        life.put("k", timestamp, 0.5);
        let number = life.journal.submit(&mut life.record);
        assert_eq!(life.journal.pending().count(), 1);
        life.work();
        assert!(life.journal.pending().is_empty());
        number
    });
    assert_eq!(counters.read().journal_failures, 1);
    let outcomes = numbers.map(|number| life.journal.outcome(number));
    assert_eq!(outcomes, [Outcome::NotStored; 2]);
    assert_eq!(life.journal.admission(), Admission::Refused);
    // No checkpoint begins while frames are on their way that will be refused.
    life.now += Duration::from_secs(2);
    life.work();
    life.put("new", 1, 0.5);
    let number = life.journal.submit(&mut life.record);
    life.journal.clean_up(&life.store, &mut life.record);
    life.work();
    assert_eq!(life.journal.outcome(number), Outcome::NotStored);
    life.recover();
    life.put_and_commit("after a failure");
    check(disk, Some(&life), life.executed.len(), "after a failure");
}

/// A file cut to each length, and with each of its bytes changed.
fn damaged(whole: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let cut = (0..whole.len()).map(|length| whole[..length].to_vec());
    let changed = (0..whole.len()).map(|place| {
        let mut bytes = whole.to_vec();
        bytes[place] ^= 1 << (place % 8);
        bytes
    });
    cut.chain(changed)
}

#[test]
fn damaged_files_are_read_in_part_or_refused() {
    let disk = Simulated::new();
    let life = live_for(25, &disk, SyncPolicy::Always).expect("a disk without faults");
    let mut names = disk.clone().list().expect("a disk without faults");
    names.retain(|name| disk.content(name).is_some_and(|bytes| !bytes.is_empty()));
    assert!(names.len() > 1, "{names:?}");
    for name in &names {
        let whole = disk.content(name).unwrap_or_default();
        for (case, bytes) in damaged(&whole).enumerate() {
            let copy = Simulated::new();
            for other in &names {
                copy.set_content(other, &disk.content(other).unwrap_or_default());
            }
            copy.set_content(name, &bytes);
            match recovery::recover(&mut copy.clone(), false) {
                Ok(found) => {
                    assert!(
                        prefix(&found.store, &life.executed, 0).is_some(),
                        "{name}, {case}"
                    );
                }
                Err(error) => assert!(error.to_string().contains("byte"), "{error}"),
            }
            // What can be read is read, and is whole after that.
            if case % 5 == 0 {
                recovery::recover(&mut copy.clone(), true).expect("what is left");
                recovery::recover(&mut copy.clone(), false).expect("what was salvaged");
            }
        }
    }
}

#[test]
fn a_journal_with_nothing_to_do_makes_no_call() {
    for policy in POLICIES {
        let disk = Simulated::new();
        let mut life = live(&disk, policy).expect("a disk without faults");
        life.recover();
        let calls = disk.calls();
        life.recover();
        assert_eq!(disk.calls(), calls, "{policy:?}");
        assert_eq!(life.writer.due(), None, "{policy:?}");
    }
}

#[test]
fn what_was_answered_survives_the_end_of_the_process_after_each_fault() {
    for policy in POLICIES {
        for call in 1..=calls(policy) {
            for fault in [Fault::Error, Fault::NoSpace, Fault::Short] {
                let disk = Simulated::new();
                disk.fail_from(call, fault);
                let life = live(&disk, policy).ok();
                let promised = life.as_ref().map_or(0, |life| life.stored);
                disk.repair();
                let case = format!("{policy:?}, {fault:?} from call {call} on");
                check(disk, life.as_ref(), promised, &case);
            }
        }
    }
}

#[test]
fn puts_are_stored_again_after_each_fault() {
    for policy in POLICIES {
        for call in 1..=calls(policy) {
            for fault in FAULTS {
                let case = format!("{policy:?}, {fault:?} at call {call}");
                let disk = Simulated::new();
                disk.fail_at(call, fault);
                // A start that fails says so.
                let Ok(mut life) = live(&disk, policy) else {
                    continue;
                };
                disk.repair();
                life.recover();
                life.put_and_commit(&case);
                assert_eq!(life.stored, life.executed.len(), "{case}");
                let promised = life.executed.len();
                check(disk.clone(), Some(&life), promised, &case);
                // All is synced, as far as the policy says.
                let promised = match policy {
                    SyncPolicy::Never => life.synced,
                    SyncPolicy::Always | SyncPolicy::Every(_) => promised,
                };
                check(disk.after_power_loss(call), Some(&life), promised, &case);
            }
        }
    }
}

/// A start over the files of a disk.
fn start(disk: &Simulated) -> Life {
    let life = Life::start(disk, SyncPolicy::Always, Vec::new());
    life.expect("files that can be read")
}

#[test]
fn a_checkpoint_does_not_begin_while_a_failure_is_on_its_way() {
    let disk = Simulated::new();
    let mut life = start(&disk);
    for at in 0..60 {
        life.put_one("k", at);
        life.work();
    }
    // One turn: a frame that will fail, and the beginning of a checkpoint after it.
    disk.fail_from(disk.calls() + 1, Fault::Error);
    life.put_one("k", 1_000);
    let mut before = life.journal.channel.take();
    life.journal.clean_up(&life.store, &mut life.record);
    // The next turn: nobody has told the loop yet.
    assert_eq!(life.journal.admission(), Admission::Open);
    let refused = life.put_one("new", 1);
    life.writer.work(&mut before, life.now);
    disk.repair();
    life.work();
    assert_eq!(life.journal.outcome(refused), Outcome::NotStored);
    life.recover();
    for at in 0..3 {
        let number = life.put_one("new", 10 + at);
        life.work();
        assert_eq!(life.journal.outcome(number), Outcome::Stored);
    }
    check(
        disk,
        Some(&life),
        life.executed.len(),
        "a failure and a beginning",
    );
}

#[test]
fn a_start_does_not_build_on_what_a_failed_sync_has_left_in_memory() {
    for seed in 0..20 {
        let disk = Simulated::new();
        let mut life = start(&disk);
        life.put_one("a", 1);
        life.work();
        disk.fail_at(disk.calls() + 2, Fault::Error);
        let number = life.put_one("b", 1);
        life.work();
        assert_eq!(life.journal.outcome(number), Outcome::NotStored);
        let mut life = start(&disk);
        let number = life.put_one("c", 1);
        life.work();
        assert_eq!(life.journal.outcome(number), Outcome::Stored);
        let found = start(&disk.after_power_loss(seed));
        assert!(found.store.keys().any(|key| key == "c"), "{seed}");
    }
}

#[test]
fn what_was_salvaged_is_found_by_the_next_start_and_what_was_damaged_is_kept() {
    let disk = Simulated::new();
    live(&disk, SyncPolicy::Always).expect("a disk without faults");
    let mut names = disk.clone().list().expect("a disk without faults");
    names.retain(|name| name != files::PARTIAL);
    for name in &names {
        let Some(mut bytes) = disk.content(name).filter(|bytes| bytes.len() > 60) else {
            continue;
        };
        bytes[40] ^= 1;
        // With all other files, and alone; killed at each call.
        for is_alone in [false, true] {
            for call in 1.. {
                let copy = Simulated::new();
                for other in names.iter().filter(|_| !is_alone) {
                    copy.set_content(other, &disk.content(other).unwrap_or_default());
                }
                copy.set_content(name, &bytes);
                copy.fail_from(call, Fault::Error);
                let is_killed = recovery::recover(&mut copy.clone(), true).is_err();
                copy.repair();
                let found = recovery::recover(&mut copy.clone(), true).expect("what is left");
                let again = recovery::recover(&mut copy.clone(), false).expect("what was salvaged");
                let case = format!("{name}, {is_alone}, {call}");
                assert_eq!(points(&found.store), points(&again.store), "{case}");
                for name in copy.share().before(again.next, None).expect("files") {
                    copy.clone().remove(&name).expect("a file");
                }
                let left = copy.clone().list().expect("files");
                let is_kept = |name: &String| copy.content(name).as_ref() == Some(&bytes);
                assert!(left.iter().any(is_kept), "{case}: {left:?}");
                if !is_killed {
                    break;
                }
            }
        }
    }
}

#[test]
fn damage_to_what_a_start_has_read_before_is_found() {
    for has_more in [false, true] {
        let disk = Simulated::new();
        let life = Life::start(&disk, SyncPolicy::Never, Vec::new());
        let mut life = life.expect("a disk without faults");
        for at in 0..8 {
            life.put_one("k", at);
            life.work();
        }
        let mut life = start(&disk);
        if has_more {
            life.put_one("k", 100);
            life.work();
        }
        let name = "journal-0000000000000001";
        let mut bytes = disk.content(name).unwrap_or_default();
        bytes[100] ^= 1;
        disk.set_content(name, &bytes);
        let refused = recovery::recover(&mut disk.clone(), false).err();
        let message = refused.map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn a_checkpoint_that_is_given_up_takes_no_room() {
    let disk = Simulated::new();
    let mut life = start(&disk);
    for at in 0..60 {
        life.put_one(&format!("series {at}"), at);
        life.work();
    }
    life.journal.clean_up(&life.store, &mut life.record);
    life.work();
    life.now += Duration::from_secs(1);
    life.work();
    life.journal.clean_up(&life.store, &mut life.record);
    assert!(disk.content("checkpoint.tmp").is_some());
    disk.fail_at(disk.calls() + 1, Fault::NoSpace);
    life.work();
    assert_eq!(disk.content("checkpoint.tmp"), None);
}

#[test]
fn a_file_under_the_name_of_another_is_refused() {
    let disk = Simulated::new();
    let mut life = start(&disk);
    life.put_one("k", 1);
    life.work();
    let bytes = disk.content("journal-0000000000000001").unwrap_or_default();
    disk.set_content("journal-0000000000000007", &bytes);
    assert!(recovery::recover(&mut disk.clone(), false).is_err());
}

#[test]
fn what_is_evicted_while_the_disk_fails_stays_so() {
    for turns in 0..40 {
        let disk = Simulated::new();
        let mut life = start(&disk);
        for at in 0..10 {
            life.put("early", at, 0.5);
            life.put_one(&format!("series {at}"), at);
        }
        life.work();
        disk.fail_at(disk.calls() + 1, Fault::Error);
        life.put_one("early", 10);
        for turn in 0..40 {
            life.turn(&[]);
            if turn == turns {
                life.evict("early", 5);
                life.evict("series 3", 3);
                life.evict("series 9", 9);
            }
        }
        life.put_and_commit("after a failure");
        let case = format!("evicted after {turns} turns");
        check(disk, Some(&life), life.executed.len(), &case);
    }
}

#[test]
fn what_is_evicted_after_the_commit_of_a_turn_stays_so_though_a_checkpoint_begins_and_fails() {
    let disk = Simulated::new();
    let mut life = start(&disk);
    for at in 0..60 {
        life.put_one("k", at);
        life.work();
    }
    life.evict("k", 30);
    disk.fail_from(disk.calls() + 10, Fault::NoSpace);
    life.journal.clean_up(&life.store, &mut life.record);
    assert!(life.record.is_empty());
    life.work();
    let executed = life.executed.len();
    assert!(
        disk.content("journal-000000000000003e").is_some(),
        "it has begun"
    );
    disk.repair();
    check(disk, Some(&life), executed, "a checkpoint that fails");
}

#[test]
fn many_starts_leave_few_files() {
    let disk = Simulated::new();
    let mut executed = Vec::new();
    for at in 0..60 {
        let life = Life::start_in(
            &disk,
            &config(SyncPolicy::Always, usize::MAX),
            &[],
            Room::default(),
            executed,
        );
        let mut life = life.expect("a disk without faults");
        life.turn(&[Change::Put("k".into(), at, 0.5)]);
        life.recover();
        let files = disk.clone().list().expect("a disk without faults").len();
        assert!(files <= Config::JOURNAL_FILES_MAX + 2, "{files}");
        executed = life.executed;
    }
}

#[test]
fn a_file_is_made_longer_ahead_if_each_frame_is_synced_and_cut_where_it_ends() {
    for policy in POLICIES {
        let disk = Simulated::new();
        let life = Life::start_in(
            &disk,
            &config(policy, JOURNAL_LIMIT_BYTES),
            &[],
            Room::default(),
            Vec::new(),
        );
        let mut life = life.expect("a disk without faults");
        let content = |number| disk.content(&FileKind::Journal.name(number));
        let (mut written, mut lengths) = (0, BTreeSet::new());
        for at in 0..60 {
            let number = life.put_one("k", at);
            life.work();
            let bytes = content(1).expect("a file");
            lengths.insert(bytes.len());
            written = life.writer.end().bytes as usize;
            let ahead = AHEAD_BYTES as usize * usize::from(policy == SyncPolicy::Always);
            assert!((written..=written + ahead).contains(&bytes.len()));
            assert!(bytes[written..].iter().all(|&byte| byte == 0));
            assert_eq!(number, at as u64 + 1);
        }
        let is_ahead = lengths.len() < 30;
        assert_eq!(is_ahead, policy == SyncPolicy::Always, "{lengths:?}");
        // A start counts what is written, and leaves the rest out.
        let copy = Simulated::new();
        copy.set_content(&FileKind::Journal.name(1), &content(1).unwrap_or_default());
        let found = recovery::recover(&mut copy.clone(), false).expect("a whole file");
        assert_eq!(found.extent.journal_bytes, written as u64);
        let end = frame::end(61);
        let is_ended = |bytes: Option<Vec<u8>>| {
            bytes.is_some_and(|bytes| bytes.ends_with(&end) && bytes.len() == written + end.len())
        };
        assert!(is_ended(copy.content(&FileKind::Journal.name(1))));
        // The checkpoint that is due begins another file, …
        life.journal.clean_up(&life.store, &mut life.record);
        life.work();
        assert!(is_ended(content(1)), "{policy:?}");
        // … which ends with the process.
        life.put_one("k", 100);
        life.work();
        life.writer.close(life.now).expect("no fault");
        let last = content(61).expect("a file");
        assert!(last.ends_with(&frame::end(62)), "{policy:?}");
    }
}

#[test]
fn a_file_that_cannot_be_made_longer_grows_as_it_is_written() {
    let disk = Simulated::new();
    let mut life = start(&disk);
    // What makes it longer comes before the first frame.
    disk.fail_at(disk.calls() + 1, Fault::NoSpace);
    let mut lengths = Vec::new();
    for at in 0..10 {
        let number = life.put_one("k", at);
        life.work();
        assert_eq!(life.journal.outcome(number), Outcome::Stored);
        let bytes = disk.content(&FileKind::Journal.name(1));
        lengths.push(bytes.map_or(0, |bytes| bytes.len()) as u64 - life.writer.end().bytes);
    }
    // Once it has grown so much, it is tried again.
    assert!(lengths.starts_with(&[0, 0]), "{lengths:?}");
    assert!(lengths.iter().any(|&ahead| ahead > 0), "{lengths:?}");
}

#[test]
fn long_files_are_removed_little_by_little() {
    let disk = Simulated::new();
    let life = Life::start(&disk, SyncPolicy::Never, Vec::new());
    let mut life = life.expect("a disk without faults");
    let key = "k".repeat(100_000);
    for at in 0..50 {
        life.put_one(&format!("{key}{at}"), 1);
    }
    let name = "journal-0000000000000001";
    let bytes = |disk: &Simulated| disk.content(name).map(|bytes| bytes.len() as u64);
    life.work();
    let (mut before, mut parts) = (bytes(&disk), 0);
    for _ in 0..200 {
        life.turn(&[]);
        let now = bytes(&disk);
        if now < before {
            let least = before
                .unwrap_or(0)
                .saturating_sub(Config::REMOVED_AT_ONCE_BYTES);
            assert!(
                life.writer.due().is_some() && now.unwrap_or(0) == least,
                "{now:?}"
            );
            parts += 1;
        }
        before = now;
    }
    assert_eq!((before, parts), (None, 3));
    assert_eq!(life.writer.due(), None);
    check(disk, Some(&life), 50, "a checkpoint");
}
