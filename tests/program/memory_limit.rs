//! What `--memory-limit` promises, of a process as an operator sees it.

use std::collections::HashSet;
use std::fs;
use std::process::Command;
use std::time::{Instant, SystemTime};

use crate::support::process::{Daemon, METRICD};
use crate::support::{Client, DEADLINE, Folder, OK, all_at_once};

/// A limit that is soon reached, with room for points beside the code of a debug build.
const LIMIT: &str = "12M";
const LIMIT_BYTES: usize = 12 << 20;

/// A number of a line of `/proc/PID/status`, such as `VmHWM`: the most that was ever resident.
fn status(daemon: &Daemon, name: &str) -> usize {
    let path = format!("/proc/{}/status", daemon.process.pid().as_raw_nonzero());
    let status = fs::read_to_string(path).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    kilobytes
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("{status}"))
}

/// Asserts that no more than so many bytes were ever resident, and 5 % more.
#[track_caller]
fn assert_within(limit_bytes: usize, daemon: &Daemon) {
    let most = status(daemon, "VmHWM") << 10;
    assert!(most <= limit_bytes / 100 * 105, "{most} bytes");
}

fn limited(limit: &str, when_full: &str) -> Daemon {
    Daemon::start(&["--memory-limit", limit, "--when-full", when_full])
}

/// Sends puts, and says of each whether it was stored.
fn put(client: &mut Client, lines: &str) -> Vec<bool> {
    client.send(lines.as_bytes());
    let (count, mut replies) = (lines.lines().count(), String::new());
    while replies.matches("\n\n").count() < count {
        replies += str::from_utf8(&client.read_once()).expect("text");
    }
    let replies = replies.split_terminator("\n\n").map(|reply| match reply {
        "ok" => true,
        "error\nnot stored" => false,
        _ => panic!("{reply}"),
    });
    replies.collect()
}

/// The reply to `get *`.
fn get_all(client: &mut Client) -> String {
    client.send(b"get *\n");
    let mut reply = String::new();
    while !reply.ends_with("\n\n") {
        reply += str::from_utf8(&client.read_once()).expect("text");
    }
    reply
}

fn series(batch: usize) -> String {
    let line = |number: usize| format!("put rack{number}.cpu 23.7 {batch}\n");
    (batch * 2_000..(batch + 1) * 2_000).map(line).collect()
}

fn large_keys(batch: usize) -> String {
    let key = "x".repeat(60_000);
    (0..20)
        .map(|number| format!("put {key}{batch}.{number} 23.7 {batch}\n"))
        .collect()
}

fn points_in_any_order(batch: usize) -> String {
    let mut timestamp = batch as u64;
    let mut line = |number: u64| {
        timestamp = timestamp
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(number);
        format!(
            "put k{} 0.{} {}\n",
            number % 100,
            timestamp >> 3,
            timestamp >> 32
        )
    };
    (0..2_000).map(&mut line).collect()
}

fn one_series(batch: usize) -> String {
    let line = |at: usize| format!("put k {} {at}\n", (at as f64).sqrt());
    (batch * 2_000..(batch + 1) * 2_000).map(line).collect()
}

/// Makes a batch of puts of some kind.
type Kind = fn(usize) -> String;

/// Kinds of puts, and how many batches of each are more than there is room for.
const KINDS: [(Kind, usize); 3] = [(series, 50), (large_keys, 20), (points_in_any_order, 400)];

#[test]
fn puts_are_refused_beyond_the_limit() {
    all_at_once(KINDS, |(kind, batches)| {
        let daemon = limited(LIMIT, "refuse");
        let mut client = daemon.connect();
        let (mut stored, mut refused) = (0, 0);
        for batch in 0..batches {
            let replies = put(&mut client, &kind(batch));
            stored += replies.iter().filter(|stored| **stored).count();
            refused += replies.iter().filter(|stored| !**stored).count();
            if refused > 10_000.min(stored) {
                break;
            }
        }
        assert!(refused > 0 && stored > 0, "{stored} {refused}");
        // Some room may have come back since.
        let line = |number: &usize| format!("put new.{number} 1 1\n");
        let mut puts = (0..10_000).filter(|number| put(&mut client, &line(number)) == [false]);
        let number = puts.next().expect("is full again");
        stored += number;
        client.exchange(format!("get new.{number}\n").as_bytes(), OK);
        let line = daemon.process.log_line().expect("a line");
        assert!(
            line.contains("puts are refused") && line.contains("--memory-limit"),
            "{line}"
        );
        // All that was stored, in lines of their own.
        let points = get_all(&mut client).lines().count() - 2;
        assert!(
            points == stored || kind(0) == points_in_any_order(0),
            "{points} {stored}"
        );
        assert_within(LIMIT_BYTES, &daemon);
    });
}

#[test]
fn the_oldest_points_are_evicted() {
    all_at_once(KINDS, |(kind, batches)| {
        let daemon = limited(LIMIT, "evict");
        let mut client = daemon.connect();
        let (mut puts, mut evicted) = (0, 0);
        for batch in 0..batches {
            let replies = put(&mut client, &kind(batch));
            assert!(replies.iter().all(|&stored| stored), "{batch}");
            puts += replies.len();
            evicted = daemon.process.counts()["store_evicted_points"] as usize;
            if evicted > puts / 2 {
                break;
            }
        }
        assert!(evicted > 0);
        assert_within(LIMIT_BYTES, &daemon);
    });
}

#[test]
fn records_of_evictions_neither_break_the_limit_nor_empty_the_store() {
    let folder = Folder::new();
    let path = folder.0.to_str().expect("UTF-8");
    let options = ["--memory-limit", "16M", "--when-full", "evict"];
    let daemon = Daemon::start(&[&options[..], &["--data", path]].concat());
    let mut client = daemon.connect();
    for batch in 0..60 {
        let replies = put(&mut client, &large_keys(batch));
        assert!(replies.iter().all(|&stored| stored), "{batch}");
    }
    // Of 60,000 bytes each.
    let series = daemon.process.counts()["store_series"];
    assert!(series > 100, "{series}");
    assert_within(16 << 20, &daemon);
}

#[test]
fn what_is_evicted_is_older_than_what_is_not() {
    let daemon = limited(LIMIT, "evict");
    let mut client = daemon.connect();
    for batch in 0..100 {
        put(&mut client, &series(batch));
    }
    let reply = get_all(&mut client);
    let timestamps = reply
        .lines()
        .filter_map(|line| line.rsplit_once(' ')?.1.parse().ok());
    let mut counts = [0; 100];
    timestamps.for_each(|timestamp: usize| counts[timestamp] += 1);
    let (first, last) = (
        counts.iter().position(|&count| count > 0).expect("points"),
        counts
            .iter()
            .rposition(|&count| count < 2_000)
            .expect("evicted"),
    );
    // A few percent of what is there may be of an age at which some were evicted.
    assert!(last - first <= 10, "{counts:?}");
    assert!(first > 20 && counts[99] == 2_000, "{counts:?}");
}

#[test]
fn clients_that_keep_much_do_not_break_the_limit() {
    let daemon = limited("16M", "refuse");
    let mut client = daemon.connect();
    let mut batch = 0;
    while put(&mut client, &series(batch))
        .iter()
        .all(|&stored| stored)
    {
        batch += 1;
    }
    let half_a_line = vec![b'x'; 60_000];
    let mut others: Vec<Client> = (0..200).map(|_| daemon.connect()).collect();
    for (number, other) in others.iter_mut().enumerate() {
        // Those that are cut off meanwhile do not read.
        let request = if number % 2 == 0 {
            &half_a_line[..]
        } else {
            b"get *\n"
        };
        let _cut_off = std::io::Write::write_all(&mut other.stream, request);
    }
    for _ in 0..20 {
        client.exchange(b"get none\n", OK);
    }
    assert_within(16 << 20, &daemon);
}

/// Seconds since 1970.
fn now() -> u64 {
    let elapsed = SystemTime::UNIX_EPOCH.elapsed();
    elapsed.expect("after 1970").as_secs()
}

/// Puts new series, of which those with odd numbers expire later, until there is no room; then waits
/// until there is some again.
fn fill_and_expire(client: &mut Client, prefix: &str, later_seconds: u64) {
    let mut number = 0u64;
    loop {
        let line = |number| {
            let time = now() + number % 2 * later_seconds;
            format!("put {prefix}{number}.cpu 23.7 {time}\n")
        };
        let lines: String = (number..number + 2_000).map(line).collect();
        number += 2_000;
        if !put(client, &lines).iter().all(|&stored| stored) {
            break;
        }
    }
    let start = Instant::now();
    while put(client, &format!("put new.key 1 {}\n", now() + 60)) == [false] {
        assert!(start.elapsed() < DEADLINE, "no room came back");
        std::thread::yield_now();
    }
}

#[test]
fn puts_are_stored_again_when_points_are_too_old() {
    let daemon = Daemon::start(&["--memory-limit", LIMIT, "--retention", "2s"]);
    fill_and_expire(&mut daemon.connect(), "rack", 0);
    for text in ["puts are refused", "there is room for puts again"] {
        let line = daemon.process.log_line().expect("a line");
        assert!(line.contains(text), "{line}");
    }
    assert_within(LIMIT_BYTES, &daemon);
}

#[test]
fn points_that_do_not_fit_where_others_were_freed_do_not_break_the_limit() {
    let daemon = Daemon::start(&["--memory-limit", LIMIT, "--retention", "2s"]);
    let mut client = daemon.connect();
    fill_and_expire(&mut client, &"k".repeat(900), 600);
    let mut stored = 0;
    for time in (now() + 60..).step_by(100) {
        let line = |at: u64| {
            format!(
                "put long{} {} {}\n",
                at % 10,
                (at as f64).sqrt(),
                time + at / 10
            )
        };
        let before = stored;
        stored += put(&mut client, &(0..1_000).map(line).collect::<String>())
            .iter()
            .filter(|&&stored| stored)
            .count();
        if stored == before {
            break;
        }
    }
    assert!(stored > 5_000, "{stored}");
    assert_within(LIMIT_BYTES, &daemon);
}

#[test]
fn a_start_evicts_what_does_not_fit_or_loses_nothing() {
    // Whether it is read from a checkpoint, or else from the journal.
    let kinds: [(Kind, usize, bool); 3] = [
        (series, 50, false),
        (large_keys, 20, true),
        (one_series, 700, true),
    ];
    all_at_once(kinds, |(kind, batches, has_checkpoint)| {
        let folder = Folder::new();
        let data = ["--data", folder.0.to_str().expect("UTF-8")];
        let daemon = Daemon::start(&data);
        let mut client = daemon.connect();
        for batch in 0..batches {
            put(&mut client, &kind(batch));
        }
        daemon.process.kill();
        let limited = |when_full| {
            let mut command = Command::new(METRICD);
            command.args(["--listen", "127.0.0.1:0", "--memory-limit", LIMIT]);
            Daemon::start_hearing(command.args(data).args(["--when-full", when_full]))
        };

        let (daemon, _) = limited("refuse");
        let line = daemon.process.log_line().expect("a line");
        assert!(line.contains("puts are refused"), "{line}");
        let all = get_all(&mut daemon.connect());
        let expected = batches * kind(0).lines().count();
        assert_eq!(all.lines().count(), expected + 2, "it has lost points");
        match has_checkpoint {
            true => daemon.process.stop(),
            false => daemon.process.kill(),
        };

        let all: HashSet<&str> = all.lines().collect();
        let mut most = all.len();
        for is_killed in [true, false] {
            let (daemon, said) = limited("evict");
            let is_said = said.iter().any(|line| line.contains("are evicted"));
            assert!(is_said || most < all.len(), "{said:?}");
            let kept = get_all(&mut daemon.connect());
            assert!(kept.lines().all(|line| all.contains(line)), "invented");
            let last = kind(batches - 1);
            let last = last.lines().last().and_then(|put| put.strip_prefix("put "));
            assert!(kept.lines().any(|line| Some(line) == last), "{last:?}");
            let count = kept.lines().count();
            assert!(count < all.len() && count > most / 10, "{count} of {most}");
            most = count;
            assert_within(LIMIT_BYTES, &daemon);
            match is_killed {
                true => daemon.process.kill(),
                false => daemon.process.stop(),
            };
        }
    });
}
