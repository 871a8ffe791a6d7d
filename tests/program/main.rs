//! The program as operators, clients and other programs see it: a process with options, signals and
//! files, over each of its protocols. All in one, so that tests that wait run beside those that work.

// Reads from /proc what a process uses.
#![cfg(all(feature = "daemon", target_os = "linux"))]

#[path = "../support/mod.rs"]
mod support;

mod daemon;
mod durability;
mod grafana;
mod graphite;
mod graphite_tables;
mod http;
mod memory_limit;
mod page;
mod prometheus;
mod service;
mod unix_socket;
mod webdriver;
