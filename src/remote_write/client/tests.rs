use super::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use proptest::prelude::*;

/// What the receiver of a test does next on a connection.
#[derive(Clone, Debug)]
enum Step {
    /// Reads a request, head and body.
    Request,
    /// Reads so many bytes.
    Bytes(usize),
    /// Sends this.
    Send(Vec<u8>),
    /// Sends this again and again until the client closes.
    Forever(&'static [u8]),
    /// Sends a byte each millisecond until the client closes.
    Trickle,
    /// Waits until the test says so.
    Wait,
    /// Resets the connection.
    Reset,
    /// Waits until the client closes.
    Hold,
}

use Step::*;

fn send(text: impl AsRef<[u8]>) -> Step {
    Send(text.as_ref().to_vec())
}

/// A receiver that accepts one connection after the other, and plays a list of steps on each.
struct Receiver {
    address: std::net::SocketAddr,
    is_over: Arc<AtomicBool>,
    go: mpsc::Sender<()>,
    /// The requests of each connection.
    thread: JoinHandle<Vec<Vec<Vec<u8>>>>,
}

/// More than any test takes.
const LONG: Duration = Duration::from_secs(20);

impl Receiver {
    fn start(scripts: Vec<Vec<Step>>) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let (go, gone) = mpsc::channel();
        Receiver {
            address: listener.local_addr().unwrap(),
            is_over: is_over.clone(),
            go,
            thread: thread::spawn(move || {
                let mut requests = Vec::new();
                for script in scripts {
                    let (stream, _) = listener.accept().unwrap();
                    if is_over.load(Ordering::SeqCst) {
                        break;
                    }
                    requests.push(play(stream, &script, &gone));
                }
                requests
            }),
        }
    }

    fn client(&self, timeout: Duration) -> Client {
        let url = format!("http://{}/write?a=b", self.address);
        Client::new(Url::parse(&url).unwrap(), None, timeout)
    }

    /// The requests of each connection. All clients must be dropped.
    fn requests(self) -> Vec<Vec<Vec<u8>>> {
        self.is_over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address)); // Fails if it has accepted all.
        self.thread.join().unwrap()
    }
}

fn play(mut stream: TcpStream, script: &[Step], go: &mpsc::Receiver<()>) -> Vec<Vec<u8>> {
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_write_timeout(Some(LONG)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut requests = Vec::new();
    for step in script {
        match step {
            Request => match read_request(&mut stream) {
                Some(request) => requests.push(request),
                None => break,
            },
            Bytes(count) => stream.read_exact(&mut vec![0; *count]).unwrap(),
            // The client may close earlier.
            Send(bytes) => drop(stream.write_all(bytes)),
            Forever(bytes) => while stream.write_all(bytes).is_ok() {},
            Trickle => {
                stream
                    .set_read_timeout(Some(Duration::from_millis(1)))
                    .unwrap();
                let is_over = |read: io::Result<usize>| match read {
                    Err(error) => error.kind() != ErrorKind::WouldBlock,
                    Ok(length) => length == 0,
                };
                while stream.write_all(b"x").is_ok() && !is_over(stream.read(&mut [0])) {}
            }
            Wait => go.recv_timeout(LONG).unwrap(),
            Reset => {
                let socket = socket2::SockRef::from(&stream);
                socket.set_linger(Some(Duration::ZERO)).unwrap();
                break;
            }
            Hold => drop(io::copy(&mut stream, &mut io::sink())),
        }
    }
    requests
}

/// A request, if there is another one.
fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        request.push(byte[0]);
    }
    let head = str::from_utf8(&request).unwrap();
    let (_, length) = head.split_once("Content-Length: ").unwrap();
    let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
    let begin = request.len();
    request.resize(begin + length, 0);
    stream.read_exact(&mut request[begin..]).unwrap();
    Some(request)
}

/// Sends requests one after the other. Returns their answers, and the number of requests on each connection.
fn exchange(
    timeout: Duration,
    body: &[u8],
    posts: usize,
    scripts: Vec<Vec<Step>>,
) -> (Vec<io::Result<Response>>, Vec<usize>) {
    let receiver = Receiver::start(scripts);
    let mut client = receiver.client(timeout);
    let answers = (0..posts).map(|_| client.post(body)).collect();
    drop(client);
    (answers, receiver.requests().iter().map(Vec::len).collect())
}

/// The status and text of an answer, or the message of the error.
fn told(answer: &io::Result<Response>) -> String {
    match answer {
        Ok(response) => format!("{} {}", response.status, response.text),
        Err(error) => error.to_string(),
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const NONE: &str = "HTTP/1.1 204 No Content\r\n\r\n";

#[test]
fn requests_are_those_of_the_standard() {
    let receiver = Receiver::start(vec![vec![Request, send(NONE), Request, send(OK), Hold]]);
    let mut client = receiver.client(LONG);
    assert_eq!(told(&client.post(b"\0\r\n\xff")), "204 ");
    assert_eq!(told(&client.post(b"")), "200 ok");
    drop(client);
    let address = receiver.address;
    let requests = receiver.requests();
    let head = |length| {
        format!(
            "POST /write?a=b HTTP/1.1\r\nHost: {address}\r\nUser-Agent: metricd/{}\r\n\
             Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
             X-Prometheus-Remote-Write-Version: 0.1.0\r\nContent-Length: {length}\r\n\r\n",
            env!("CARGO_PKG_VERSION")
        )
    };
    let expected = [
        [head(4).as_bytes(), b"\0\r\n\xff"].concat(),
        head(0).into_bytes(),
    ];
    assert_eq!(requests, [expected]);
}

#[test]
fn lines_of_a_file_are_in_the_head_and_change_with_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("headers");
    let write = |text: &str| {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    };
    write("X-Scope-OrgID: 1");
    let receiver = Receiver::start(vec![vec![Request, send(OK), Request, send(OK), Hold]]);
    let mut client = receiver.client(LONG);
    client.header_file = Some(path.clone());
    client.post(b"x").unwrap();
    write("X-Scope-OrgID: 2");
    client.post(b"x").unwrap();
    std::fs::remove_file(&path).unwrap();
    let error = client.post(b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().starts_with(path.to_str().unwrap()));
    drop(client);
    let requests = receiver.requests();
    for (request, line) in requests[0].iter().zip(["1", "2"]) {
        let line = format!("\r\nContent-Length: 1\r\nX-Scope-OrgID: {line}\r\n\r\nx");
        assert!(request.ends_with(line.as_bytes()));
    }
}

/// Checks what is made of an answer, and whether the next request goes over the same connection.
#[track_caller]
fn check_answer(answer: &str, expected: &str, is_kept: bool) {
    let first = vec![Request, send(answer), Request, send(OK), Hold];
    let second = vec![Request, send(OK), Hold];
    let (answers, requests) = exchange(LONG, b"x", 2, vec![first, second]);
    assert_eq!(told(&answers[0]), expected, "{answer}");
    assert_eq!(told(&answers[1]), "200 ok", "{answer}");
    let expected = if is_kept { vec![2] } else { vec![1, 1] };
    assert_eq!(requests, expected, "{answer}");
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn answers_are_read_to_their_end_and_no_further() {
    for (answer, expected) in [
        (OK, "200 ok"),
        (NONE, "204 "),
        (
            &format!("{CHUNKED}3;x=y\r\nabc\r\n0a\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"),
            "200 abc0123456789",
        ),
        (
            &format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n{OK}"),
            "200 ok",
        ),
        ("HTTP/1.1 204 None\r\nContent-Length: 5\r\n\r\n", "204 "),
        (
            "HTTP/1.1 304 Same\r\nTransfer-Encoding: chunked\r\n\r\n",
            "304 ",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
            "302 ",
        ),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
            "200 ok",
        ),
    ] {
        check_answer(answer, expected, true);
    }
}

#[test]
fn a_connection_that_is_to_end_or_has_more_than_the_answer_is_not_kept() {
    for (answer, expected) in [
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "200 ok"),
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
            "200 ok",
        ),
        (&format!("{OK}x"), "200 ok"),
        (&format!("{OK}{OK}"), "200 ok"),
        (&format!("{NONE}0\r\n\r\n"), "204 "),
        (
            &format!("{CHUNKED}0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
            "200 ",
        ),
    ] {
        check_answer(answer, expected, false);
    }
}

#[test]
fn the_status_counts_whatever_is_wrong_with_the_body() {
    let text = "a".repeat(BODY_MAX_BYTES);
    for (body, expected) in [
        ("2\r\nokay", "200 ok"),
        ("no", "200 "),
        ("2\r\nok\r\nffffffffffffffff\r\n", "200 ok"),
        (&format!("1;{text}"), "200 "),
        (&format!("0\r\nX: {text}{text}"), "200 "),
    ] {
        check_answer(&format!("{CHUNKED}{body}"), expected, false);
    }
}

#[test]
fn bodies_are_read_up_to_a_limit() {
    let text = "a".repeat(BODY_MAX_BYTES);
    let shown = format!("400 {}", &text[..TEXT_CHARACTERS]);
    for (length, more, is_kept) in [
        (Some(text.len()), "", true),
        (Some(text.len() + 1), "b", false),
        (Some(usize::MAX), "", false),
        (None, "more", false),
    ] {
        let length = length.map(|length| format!("Content-Length: {length}\r\n"));
        let length = length.unwrap_or_default();
        let answer = format!("HTTP/1.1 400 Bad Request\r\n{length}\r\n{text}{more}");
        check_answer(&answer, &shown, is_kept);
    }
}

/// Checks that the request fails for this reason, and is sent once.
#[track_caller]
fn check_error(script: Vec<Step>, reason: &str) {
    let shown = format!("{script:?}");
    let (answers, requests) = exchange(LONG, b"x", 1, vec![[vec![Request], script].concat()]);
    let told = told(&answers[0]);
    assert!(
        answers[0].is_err() && told.contains(reason),
        "{shown}: {told}"
    );
    assert_eq!(requests, [1], "{shown}");
}

#[test]
fn a_malformed_head_is_an_error() {
    for (head, reason) in [
        ("HTTP/2.0 200 OK", "malformed: "),
        ("HTTP/1.1 999 OK", "malformed: there is no such status"),
        ("HTTP/1.1 101 Switching Protocols", "another protocol"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3",
            "Content-Length is there twice",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked",
            "both Content-Length and",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: ten", "no number"),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked",
            "HTTP/1.0 has no",
        ),
        ("HTTP/1.1 200 OK\r\nno header", "malformed: "),
    ] {
        check_error(vec![send(format!("{head}\r\n\r\n")), Hold], reason);
    }
}

#[test]
fn a_head_that_does_not_end_is_an_error() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(HEAD_MAX_BYTES));
    let begin = "HTTP/1.1 200 OK\r\n";
    let interim = "HTTP/1.1 100 Continue\r\n\r\n";
    let is_long = "longer than 16384 bytes";
    for (script, reason) in [
        (vec![], "answered nothing"),
        (vec![send(begin)], "closed the connection in the head"),
        (vec![send("SSH-2.0-OpenSSH_9.6\r\n"), Hold], "malformed: "),
        (vec![send(long), Hold], is_long),
        (vec![send(interim.repeat(1_000)), Hold], is_long),
        (vec![Forever(interim.as_bytes())], is_long),
        (vec![send(begin), Forever(b"X: Y\r\n")], "malformed: "),
        (vec![Forever(b"\r\n")], is_long),
        (vec![Forever(b"\0")], "malformed: "),
    ] {
        check_error(script, reason);
    }
}

#[test]
fn resets_are_errors_or_the_answer_that_came_before_them() {
    let body = vec![0; 32 << 20];
    let refusal = "HTTP/1.1 413 Too Large\r\nContent-Length: 8\r\n\r\ntoo long";
    for (body, script, expected) in [
        (&body[..1], vec![Reset], "Connection reset"),
        (&body[..1], vec![Request, Reset], "Connection reset"),
        (
            &body[..1],
            vec![Request, send("HTTP/1.1 200"), Reset],
            "Connection reset",
        ),
        (
            &body[..1],
            vec![
                Request,
                send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"),
                Reset,
            ],
            "200 o",
        ),
        (&body, vec![Bytes(1_000), Reset], "cannot send the request"),
        // Closing with something unread resets as well.
        (&body, vec![Bytes(1_000), send(refusal)], "413 too long"),
        (
            &body,
            vec![Bytes(1_000), send(refusal), Reset],
            "413 too long",
        ),
        // A request that was not sent to its end is not stored.
        (
            &body,
            vec![Bytes(1_000), send(OK)],
            "cannot send the request",
        ),
    ] {
        let shown = format!("{script:?}");
        let (answers, _) = exchange(LONG, body, 1, vec![script]);
        let told = told(&answers[0]);
        // After a reset, a system may lose what came before it.
        let is_lost = told.contains("reset") && !cfg!(target_os = "linux");
        assert!(told.contains(expected) || is_lost, "{shown}: {told}");
    }
}

#[test]
fn no_request_takes_longer_than_its_time() {
    let (short, body) = (Duration::from_millis(100), vec![0; 32 << 20]);
    let refusal = "HTTP/1.1 413 Too Large\r\nContent-Length: 8\r\n\r\ntoo long";
    for (body, script, expected) in [
        (
            &body[..1],
            vec![Request, Hold],
            "cannot read the answer: timed out",
        ),
        (&body[..1], vec![Request, Trickle], "malformed"),
        (
            &body[..1],
            vec![Request, send("HTTP/1.1 200 OK"), Hold],
            "cannot read the answer: timed out",
        ),
        (
            &body[..1],
            vec![Request, send("HTTP/1.1 200 "), Trickle],
            "cannot read the answer: timed out",
        ),
        (
            &body[..1],
            vec![
                Request,
                send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n1"),
                Hold,
            ],
            "200 1",
        ),
        (
            &body[..1],
            vec![Request, send("HTTP/1.1 400 Bad\r\n\r\n"), Trickle],
            "400 x",
        ),
        (
            &body,
            vec![Bytes(1_000), Trickle],
            "cannot send the request: timed out",
        ),
        (
            &body,
            vec![Bytes(1_000), send(refusal), Trickle],
            "413 too long",
        ),
    ] {
        let shown = format!("{script:?}");
        let receiver = Receiver::start(vec![script]);
        let mut client = receiver.client(short);
        let began = Instant::now();
        let told = told(&client.post(body));
        // The machine may be busy.
        assert!(began.elapsed() < short * 30, "{shown}");
        assert!(told.contains(expected), "{shown}: {told}");
        drop(client);
        receiver.requests();
    }
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_replaced_once() {
    // It ends between two requests, …
    let fresh = vec![Request, send(OK), Hold];
    for end in [vec![], vec![Reset], vec![send("HTTP/1.1 408 Late\r\n\r\n")]] {
        let receiver = Receiver::start(vec![
            [vec![Request, send(OK), Wait], end].concat(),
            fresh.clone(),
        ]);
        let mut client = receiver.client(LONG);
        assert_eq!(told(&client.post(b"x")), "200 ok");
        receiver.go.send(()).unwrap();
        let kept = client.kept.as_ref().unwrap();
        while kept.stream.is_idle() {
            thread::yield_now();
        }
        assert_eq!(told(&client.post(b"x")), "200 ok");
        drop(client);
        let requests = receiver.requests();
        assert_eq!(requests.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
    }
    // … or while one is sent, …
    let gone = |last: Vec<Step>| [vec![Request, send(OK), Request], last].concat();
    for end in [gone(vec![]), gone(vec![Reset])] {
        let (answers, requests) = exchange(LONG, b"x", 2, vec![end.clone(), fresh.clone()]);
        assert_eq!(told(&answers[1]), "200 ok");
        assert_eq!(requests, [2, 1]);
        // … but if a new connection ends, this is an error.
        let (answers, requests) = exchange(LONG, b"x", 2, vec![end, vec![Request], fresh.clone()]);
        assert!(told(&answers[1]).contains("answered nothing"));
        assert_eq!(requests, [2, 1]);
    }
    // So is a part of an answer, or none in time: the request may have been taken.
    for (end, reason) in [
        (vec![send("HTTP/1.1 2")], "in the head"),
        (vec![Hold], "timed out"),
    ] {
        let scripts = vec![gone(end), fresh.clone()];
        let (answers, requests) = exchange(Duration::from_millis(300), b"x", 2, scripts);
        assert!(told(&answers[1]).contains(reason), "{answers:?}");
        assert_eq!(requests, [2]);
    }
}

#[test]
fn receivers_that_are_not_there_are_errors() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    // A label of a name has at most 63 bytes, which the resolver knows without asking.
    for (host, reason) in [
        (free.to_string(), "cannot connect: Connection refused"),
        ("x".repeat(64), "cannot connect: failed to lookup"),
    ] {
        let mut client = Client::new(Url::parse(&format!("http://{host}/")).unwrap(), None, LONG);
        let error = client.post(b"x").unwrap_err().to_string();
        assert!(error.starts_with(reason), "{error}");
    }
}

#[test]
fn all_addresses_of_a_name_are_tried() {
    let receiver = Receiver::start(vec![vec![Request, send(OK), Hold]]);
    // On most machines, its first address is ::1, where nobody listens.
    let url = format!("http://localhost:{}/", receiver.address.port());
    let mut client = Client::new(Url::parse(&url).unwrap(), None, LONG);
    assert_eq!(told(&client.post(b"x")), "200 ok");
    drop(client);
    receiver.requests();
}

#[cfg(target_os = "linux")]
#[test]
fn connecting_takes_no_longer_than_the_time_of_the_request() {
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let local = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    listener.bind(&local.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    // Linux does not answer when the queue of connections is full.
    let short = Duration::from_millis(100);
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, short) {
        waiting.push(stream);
        assert!(waiting.len() < 10);
    }
    let mut client = Client::new(
        Url::parse(&format!("http://{address}/")).unwrap(),
        None,
        short,
    );
    let began = Instant::now();
    let error = client.post(b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(began.elapsed() < short * 30);
}

/// A TLS server that sends what is written to its standard input.
#[cfg(feature = "tls")]
struct TlsServer {
    process: std::process::Child,
    address: std::net::SocketAddr,
    /// Its certificate and the key to it.
    folder: tempfile::TempDir,
}

#[cfg(feature = "tls")]
impl TlsServer {
    /// `None` if `openssl` is not installed.
    fn start() -> Option<TlsServer> {
        use std::io::BufRead;
        use std::process::{Command, Stdio};
        let folder = tempfile::tempdir().unwrap();
        let [key, certificate] = ["key", "certificate"].map(|name| folder.path().join(name));
        let made = Command::new("openssl")
            .args("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=metricd".split(' '))
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .stderr(Stdio::null())
            .status();
        assert!(made.ok()?.success());
        let mut process = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-key"])
            .arg(&key)
            .arg("-cert")
            .arg(&certificate)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = io::BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.find_map(|line| Some(line.unwrap().strip_prefix("ACCEPT ")?.to_owned()));
        let address = line.unwrap().parse().unwrap();
        // It would block if nobody read what it prints.
        thread::spawn(|| lines.for_each(drop));
        Some(TlsServer {
            process,
            address,
            folder,
        })
    }

    /// Connects to it under this name, trusting it.
    fn connect(&self, name: &str) -> io::Result<Connection> {
        let certificate = self.folder.path().join("certificate");
        let trusted = rustls_native_certs::load_certs_from_paths(Some(&certificate), None);
        let stream = crate::remote_write::tls::encrypt_trusting(trusted, self.socket(), name)?;
        Ok(Connection::new(stream))
    }

    fn socket(&self) -> Socket {
        Socket::connect("127.0.0.1", self.address.port(), Instant::now() + LONG).unwrap()
    }
}

#[cfg(feature = "tls")]
impl Drop for TlsServer {
    fn drop(&mut self) {
        // Fails only if it has ended.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[cfg(feature = "tls")]
#[test]
fn receivers_of_https_prove_who_they_are() {
    let Some(mut server) = TlsServer::start() else {
        eprintln!("skipped: openssl is not installed");
        return;
    };
    for name in ["localhost", "127.0.0.1"] {
        let mut connection = server.connect(name).unwrap();
        for _ in 0..2 {
            server
                .process
                .stdin
                .as_mut()
                .unwrap()
                .write_all(OK.as_bytes())
                .unwrap();
            let answer = connection
                .exchange(b"POST / HTTP/1.1\r\n\r\n", &[b'x'; 100_000])
                .unwrap();
            assert_eq!(told(&Ok(answer)), "200 ok");
            assert!(connection.is_reusable);
            // Not before: the tickets of TLS 1.3 come at any time after the handshake, but before the answer.
            assert!(connection.stream.is_idle());
        }
    }
    let refusal = server
        .connect("example.com")
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(
        refusal.starts_with("TLS failed: invalid peer certificate"),
        "{refusal}"
    );
    // The system does not trust its certificate.
    let refusal = crate::remote_write::tls::encrypt(server.socket(), "localhost").map(drop);
    let refusal = refusal.unwrap_err().to_string();
    assert!(refusal.starts_with("TLS failed: "), "{refusal}");
}

#[cfg(feature = "tls")]
#[test]
fn a_receiver_of_https_that_says_nothing_or_something_else_is_given_up() {
    let encrypt = |script, timeout| {
        let receiver = Receiver::start(vec![script]);
        let url = format!("https://{}/", receiver.address);
        let mut client = Client::new(Url::parse(&url).unwrap(), None, timeout);
        let error = client.post(b"x").unwrap_err().to_string();
        drop(client);
        receiver.requests();
        error
    };
    let error = encrypt(vec![Hold], Duration::from_millis(100));
    assert!(
        error.ends_with("timed out") || error.contains("no certificate is trusted"),
        "{error}"
    );
    let error = encrypt(vec![send("HTTP/1.1 400 Bad Request\r\n\r\n"), Hold], LONG);
    assert!(error.starts_with("TLS failed: "), "{error}");
}

/// A connection in memory: these pieces arrive, then it ends.
struct Pieces(Vec<Vec<u8>>);

impl Stream for Pieces {
    fn set_deadline(&mut self, _: Instant) {}

    fn is_idle(&self) -> bool {
        self.0.is_empty()
    }

    fn send(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(piece) = self.0.first_mut() else {
            return Ok(0);
        };
        let length = piece.len().min(buffer.len());
        buffer[..length].copy_from_slice(&piece[..length]);
        piece.drain(..length);
        if piece.is_empty() {
            self.0.remove(0);
        }
        Ok(length)
    }
}

/// Reads an answer that arrives in these pieces. Returns it, and whether the connection can be used again.
fn read_pieces(pieces: Vec<Vec<u8>>) -> io::Result<(Response, bool)> {
    let pieces = pieces
        .into_iter()
        .filter(|piece| !piece.is_empty())
        .collect();
    let mut connection = Connection::new(Pieces(pieces));
    let response = connection.exchange(b"head", b"body")?;
    Ok((response, connection.is_reusable))
}

const ANSWERS: [&str; 4] = [
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 Wait\r\nRetry-After: 7\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 503 Away\r\nretry-after:  7 \r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x\r\nllo\r\n0\r\nX: y\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.0 200 OK\r\n\r\nhello",
];

#[test]
fn an_answer_in_any_pieces_is_the_same() {
    for answer in ANSWERS {
        let whole = read_pieces(vec![answer.into()]).unwrap();
        let bytes = answer.bytes().map(|byte| vec![byte]).collect();
        assert_eq!(read_pieces(bytes).unwrap(), whole);
        for cut in 0..=answer.len() {
            let (begin, end) = answer.as_bytes().split_at(cut);
            assert_eq!(read_pieces(vec![begin.into(), end.into()]).unwrap(), whole);
        }
    }
}

#[test]
fn an_answer_that_is_cut_is_an_error_or_has_the_same_status() {
    for answer in ANSWERS {
        let (whole, is_reusable) = read_pieces(vec![answer.into()]).unwrap();
        // The end of the last head: before it, a cut is an error.
        let head_end = answer
            .rfind("\r\n\r\nhe")
            .or(answer.find("\r\n\r\n2"))
            .or(answer.rfind("\r\n\r\n"));
        for cut in 0..answer.len() {
            match read_pieces(vec![answer.as_bytes()[..cut].into()]) {
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
                    assert!(cut < head_end.unwrap() + 4, "{cut} of {answer}");
                }
                Ok((response, is_still_reusable)) => {
                    assert_eq!(response.status, whole.status);
                    assert_eq!(response.retry_after, whole.retry_after);
                    assert!(whole.text.starts_with(&response.text));
                    assert!(!is_still_reusable || is_reusable && cut == answer.len());
                }
            }
        }
    }
}

#[test]
fn retry_after_is_told() {
    for (value, seconds) in [
        ("7", Some(7)),
        ("soon", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
    ] {
        let answer =
            format!("HTTP/1.1 503 Away\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n");
        let (response, is_reusable) = read_pieces(vec![answer.into()]).unwrap();
        assert_eq!(response.retry_after, seconds.map(Duration::from_secs));
        assert!(is_reusable);
    }
}

#[test]
fn bodies_become_one_line() {
    for (body, expected) in [
        ("".as_bytes(), "".to_owned()),
        (b" \r\n out of order\n", "out of order".to_owned()),
        (b"{\"a\": 'b\\c'}", "{\"a\": 'b\\c'}".to_owned()),
        (
            b"a\r\nb\tc\0\x1b[31m\x7f",
            "a\\r\\nb\\tc\\0\\u{1b}[31m\\u{7f}".to_owned(),
        ),
        (
            "ä\u{85}\u{2028}\u{202e}€".as_bytes(),
            "ä\\u{85}\\u{2028}\\u{202e}€".to_owned(),
        ),
        (b"\xff\xfe", "\u{fffd}\u{fffd}".to_owned()),
        (
            "ä".repeat(TEXT_CHARACTERS + 1).as_bytes(),
            "ä".repeat(TEXT_CHARACTERS),
        ),
    ] {
        assert_eq!(one_line(body), expected);
    }
}

proptest! {
    #[test]
    fn no_bytes_panic_or_are_kept(
        begin in prop_oneof![Just(""), Just("HTTP/1.1 200 OK\r\n"), Just("HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n")],
        pieces in prop::collection::vec(prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"\r\n:;0123456789abcdef HTP/."[..])], 0..200), 0..20),
    ) {
        let pieces = [vec![begin.into()], pieces].concat();
        if let Ok((response, _)) = read_pieces(pieces) {
            prop_assert!((200..600).contains(&response.status));
            prop_assert!(response.text.chars().count() <= 10 * TEXT_CHARACTERS);
            prop_assert!(!response.text.contains(char::is_control));
        }
    }
}
