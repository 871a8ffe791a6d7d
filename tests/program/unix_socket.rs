//! The file of a Unix socket, as an operator and other programs see it. What clients are promised is
//! in `wire_unix.rs`.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::support::process::{End, METRICD, Process, listening_text};
use crate::support::{Client, Folder, OK, unix_address};

fn command(path: &Path) -> Command {
    let mut command = Command::new(METRICD);
    command.args(["--listen", &unix_address(path)]);
    command
}

/// A process that listens there, and has said so.
#[track_caller]
fn start(path: &Path, options: &[&str]) -> Process {
    let process = Process::spawn(command(path).args(options));
    assert_eq!(listening_text(&process), unix_address(path));
    process
}

#[track_caller]
fn check_serves(path: &Path) {
    Client::connect_unix(path).exchange(b"get none\n", OK);
}

fn mode(path: &Path) -> u32 {
    let file = fs::symlink_metadata(path).expect("a file");
    assert!(file.file_type().is_socket());
    file.permissions().mode() & 0o7777
}

/// Leaves the file of a server that has not removed it.
#[track_caller]
fn leave_dead_file(path: &Path) {
    start(path, &[]).kill();
    let refused = UnixStream::connect(path).expect_err("dead").kind();
    assert_eq!(refused, ErrorKind::ConnectionRefused);
}

#[test]
fn the_file_has_its_mode_and_goes_with_the_server() {
    let folder = Folder::new();
    let path = folder.join("socket");
    for (options, expected) in [
        (&[][..], 0o660),
        (&["--socket-mode", "600"], 0o600),
        (&["--socket-mode", "0777"], 0o777),
        (&["--socket-mode", "0"], 0),
    ] {
        let process = start(&path, options);
        assert_eq!(
            (mode(&path), folder.names()),
            (expected, vec!["socket".into()])
        );
        process.stop();
        assert_eq!(folder.names(), [""; 0]);
    }
}

#[test]
fn the_file_of_a_dead_server_is_replaced() {
    let folder = Folder::new();
    let path = folder.join("socket");
    leave_dead_file(&path);
    // What a start leaves that is killed before the file is in place.
    fs::rename(&path, folder.join("socket~")).expect("is renamed");
    leave_dead_file(&path);
    let process = start(&path, &[]);
    check_serves(&path);
    process.stop();
    assert_eq!(folder.names(), [""; 0]);
}

#[test]
fn a_file_that_is_not_its_own_any_more_stays() {
    let folder = Folder::new();
    let path = folder.join("socket");
    let process = start(&path, &[]);
    fs::remove_file(&path).expect("is removed");
    let other = UnixListener::bind(&path).expect("binds");
    process.stop();
    UnixStream::connect(&path).expect("the other one listens");
    drop(other);
    let process = start(&path, &[]);
    fs::remove_file(&path).expect("is removed");
    // No file is no reason to fail.
    assert_eq!(process.stop().code, Some(0));
}

#[test]
fn a_relative_path_is_one_in_its_folder() {
    let folder = Folder::new();
    for given in ["socket", "./socket", "../.././socket"] {
        fs::create_dir_all(folder.join("a/b")).expect("a folder");
        let at = if given.starts_with("..") { "a/b" } else { "." };
        let mut command = command(given.as_ref());
        let process = Process::spawn(command.current_dir(folder.join(at)));
        listening_text(&process);
        check_serves(&folder.join("socket"));
        process.stop();
        assert!(!folder.join("socket").exists());
    }
}

#[track_caller]
fn refused(command: &mut Command, path: &Path, says: &str) {
    let end: End = Process::spawn(command).end();
    let [line] = &end.stderr[..] else {
        panic!("{end:?}")
    };
    assert_eq!((end.code, &end.stdout[..]), (Some(1), &[][..]), "{line}");
    assert!(
        line.contains(&unix_address(path)) && line.contains(says),
        "{line}"
    );
}

#[test]
fn where_it_cannot_listen_it_says_what_to_do() {
    let folder = Folder::new();
    let path = folder.join("socket");
    let check = |path: &Path, says| refused(&mut command(path), path, says);

    let process = start(&path, &[]);
    check(
        &path,
        "has a server already: stop that, or choose another path",
    );
    check_serves(&path);
    process.stop();
    let _datagrams = UnixDatagram::bind(&path).expect("binds");
    check(&path, "has a server already");
    fs::remove_file(&path).expect("is removed");

    let no_socket = "is not a socket: remove it, or choose another path";
    fs::write(&path, "precious").expect("is written");
    check(&path, no_socket);
    check(&path.join("socket"), "Not a directory");
    assert_eq!(fs::read(&path).expect("is there"), b"precious");
    fs::rename(&path, folder.join("other~")).expect("is renamed");
    check(&folder.join("other"), no_socket);
    assert_eq!(
        fs::read(folder.join("other~")).expect("is there"),
        b"precious"
    );
    symlink("nowhere", &path).expect("a link");
    check(&path, no_socket);
    check(&folder.0, no_socket);
    check(&folder.join("missing/socket"), "create it");
    fs::remove_file(&path).expect("is removed");

    for option in ["--listen", "--graphite"] {
        let mut twice = command(&path);
        let address = unix_address(&path);
        let shown = path.display();
        let says = format!("{option}: cannot listen on {address}: {shown} has a server already");
        refused(twice.args([option, &address]), &path, &says);
        // The first of the two was in place already.
        assert_eq!(folder.names(), ["other~"]);
    }
}

#[test]
fn a_path_may_have_106_bytes() {
    let folder = Folder::new();
    let name = "n".repeat(106 - folder.0.as_os_str().len() - 1);
    let path = folder.join(&name);
    let process = start(&path, &[]);
    check_serves(&path);
    process.stop();
    let path = folder.join(&(name + "n"));
    refused(
        &mut command(&path),
        &path,
        "a path of 107 bytes is too long for a socket: choose a shorter",
    );
}

#[test]
fn without_permission_it_says_which_is_missing() {
    const NOBODY: u32 = 65_534;
    let folder = Folder::new();
    let path = folder.join("socket");
    leave_dead_file(&path);
    let check = |folder_mode, socket_mode, says| {
        fs::set_permissions(&path, Permissions::from_mode(socket_mode)).expect("takes the mode");
        let permissions = Permissions::from_mode(folder_mode);
        fs::set_permissions(&folder.0, permissions).expect("takes the mode");
        let mut command = command(&path);
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY);
        }
        refused(&mut command, &path, says);
    };
    check(0o555, 0o777, "must be allowed to create files in");
    check(0o777, 0o000, "may not be connected to");
}

/// How many bytes of a long reply the system holds for a client that does not read: what the client
/// can still read after the process is killed.
fn bytes_held_for_a_stalled_reader(path: &Path, unsent_limit: &str) -> usize {
    let process = start(path, &["--unsent-limit", unsent_limit]);
    let puts: String = (0..2_000)
        .map(|at| format!("put {} 1 {at}\n", "k".repeat(1_000)))
        .collect();
    Client::connect_unix(path).converse(puts.as_bytes().chunks(1 << 16));
    let (mut reader, mut other) = (Client::connect_unix(path), Client::connect_unix(path));
    reader.send(b"get *\n");
    assert!(reader.wait_for_input());
    // In each turn the reader gets another piece, until the system takes no more.
    for _ in 0..200 {
        other.wait_for_a_turn();
    }
    process.kill();
    reader.rest().len()
}

#[test]
fn the_unsent_limit_bounds_what_the_system_holds_for_a_stalled_reader() {
    let folder = Folder::new();
    let path = folder.join("socket");
    let [little, much] =
        ["4096", "131072"].map(|limit| bytes_held_for_a_stalled_reader(&path, limit));
    assert!(little <= 16 << 10 && much > 64 << 10, "{little}, {much}");
}
