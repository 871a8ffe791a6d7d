//! HTTP through the socket: the library's server, the program, and `curl`.
#![cfg(feature = "http")]

mod support;

use metricd::{Config, Listen, Protocol, Server};

/// An address for HTTP on a free port.
fn http() -> Listen {
    Listen {
        address: "127.0.0.1:0".into(),
        protocol: Protocol::Http,
    }
}

#[test]
fn it_is_known_what_is_spoken_at_each_address() {
    let server = Server::bind(Config {
        listen: vec![http(), "127.0.0.1:0".into(), http()],
        ..Config::default()
    });
    let server = server.expect("binds");
    let all = server.local_addrs();
    let of = |protocol| server.local_addrs_of(protocol).collect::<Vec<_>>();
    assert_eq!(of(Protocol::Http), [&all[0], &all[2]]);
    assert_eq!(of(Protocol::Lines), [&all[1]]);
}
