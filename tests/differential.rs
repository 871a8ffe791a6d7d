//! The same random requests go to metricd and to the asyncio reference, one at a time. The replies
//! must be the same bytes, except for the two kinds of requests that only the reference accepts.
//!
//! Both servers store what is put, so each get also checks the puts before it.
//! Without a `python3` the tests pass and say so, unless `METRICD_REQUIRE_PEERS` is set.
//! `METRICD_DIFFERENTIAL_SEED` and `METRICD_DIFFERENTIAL_REQUESTS` choose other requests and how
//! many there are.

mod support;

use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use support::{Client, DEADLINE, OK, Running, WRONG_COMMAND, again, show};

const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/asyncio_reference.py");

const DEFAULT_SEED: u64 = 1_503_319_739;
const DEFAULT_REQUESTS: u64 = 20_000;

/// Differences that are reported before the test gives up: one lost put shows in every later get
/// of its series.
const DIFFERENCES_SHOWN: usize = 10;

#[test]
fn random_requests_get_the_same_replies() {
    let Some(reference) = Reference::start() else {
        return;
    };
    let metricd = Running::start();
    let seed = number_from_environment("METRICD_DIFFERENTIAL_SEED", DEFAULT_SEED);
    let count = number_from_environment("METRICD_DIFFERENTIAL_REQUESTS", DEFAULT_REQUESTS);

    let mut generator = Generator::new(seed);
    let mut pair = Pair {
        metricd: metricd.connect(),
        reference: Client::connect(reference.address),
    };
    let mut tally = Tally::default();
    let mut differences = Vec::new();
    let mut sent = 0;

    let hand_picked = hand_picked_requests().into_iter();
    let random = std::iter::repeat_with(|| generator.request());
    for request in hand_picked.chain(random).take(count as usize) {
        let [ours, theirs] = pair.exchange(&request, seed);
        sent += 1;
        tally.add(&theirs);
        if ours != theirs {
            differences.push(format!(
                "request {sent}: \"{}\"\n{}",
                show(&request),
                first_difference(&ours, &theirs)
            ));
        }
        if differences.len() == DIFFERENCES_SHOWN {
            break;
        }
    }
    support::say(&format!(
        "differential: {sent} requests, {} differ",
        differences.len()
    ));
    assert!(
        differences.is_empty(),
        "METRICD_DIFFERENTIAL_SEED={seed}\n{}",
        differences.join("\n")
    );

    let [ours, theirs] = pair.exchange(b"get *\n", seed);
    assert!(
        ours == theirs,
        "METRICD_DIFFERENTIAL_SEED={seed}: the stores differ at the end\n{}",
        first_difference(&ours, &theirs)
    );
    assert_eq!(
        pair.metricd.finish(),
        b"",
        "METRICD_DIFFERENTIAL_SEED={seed}: one reply too many"
    );
    // If nearly all requests were of one kind, little would be compared.
    let enough = sent / 10;
    assert!(
        sent < 1_000
            || tally.ok >= enough && tally.points >= enough && tally.wrong_commands >= enough,
        "METRICD_DIFFERENTIAL_SEED={seed}: {tally:?}"
    );
}

#[test]
fn only_the_reference_accepts_wider_timestamps_and_digits_of_other_scripts() {
    let Some(reference) = Reference::start() else {
        return;
    };
    let metricd = Running::start();
    let mut ours = metricd.connect();
    let mut theirs = Client::connect(reference.address);
    for request in [
        "put k 1 9223372036854775808\n",
        "put k 1 -9223372036854775809\n",
        "put k 1 +9_223_372_036_854_775_808\n",
        "put k 1 18446744073709551617\n",
        "put k 1 340282366920938463463374607431768211457\n",
        "put k ١ 1\n",
        "put k 1.٠ 1\n",
        "put k １.５ 1\n",
        "put k 1e๑ 1\n",
        "put k 1 ١\n",
        "put k 1 1２\n",
        "put k 1 -𝟏\n",
    ] {
        assert!(may_be_for_reference_only(request.as_bytes()), "{request}");
        ours.exchange(request.as_bytes(), WRONG_COMMAND);
        theirs.exchange(request.as_bytes(), OK);
    }
    ours.exchange(b"get *\n", OK);
}

/// A client of each server.
struct Pair {
    metricd: Client,
    reference: Client,
}

impl Pair {
    /// Sends one request to both and returns the reply of metricd and that of the reference.
    fn exchange(&mut self, request: &[u8], seed: u64) -> [Vec<u8>; 2] {
        // One write, and the next only after the reply: on loopback the reference receives it as
        // one chunk, and it takes a chunk that ends in a newline as one request.
        self.metricd.send(request);
        self.reference.send(request);
        [
            ("metricd", &mut self.metricd),
            ("the reference", &mut self.reference),
        ]
        .map(|(name, client)| {
            read_reply(client).unwrap_or_else(|error| {
                let request = show(request);
                panic!(
                    "METRICD_DIFFERENTIAL_SEED={seed}: {name} does not answer \"{request}\": {error}"
                )
            })
        })
    }
}

/// Reads up to a blank line, which ends every reply and is inside none.
fn read_reply(client: &mut Client) -> io::Result<Vec<u8>> {
    let mut reply = Vec::new();
    let mut chunk = [0; 16 * 1024];
    while !reply.ends_with(b"\n\n") {
        match again(|| client.stream.read(&mut chunk))? {
            0 => {
                let message = format!("closed after \"{}\"", show(&reply));
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
            }
            count => reply.extend_from_slice(&chunk[..count]),
        }
    }
    Ok(reply)
}

/// Both replies around the first byte that differs: a reply may be long.
fn first_difference(ours: &[u8], theirs: &[u8]) -> String {
    let pairs = ours.iter().zip(theirs);
    let at = pairs.take_while(|(one, other)| one == other).count();
    let part = |reply: &[u8]| {
        let from = at.saturating_sub(60);
        let shown = show(&reply[from..reply.len().min(at + 200)]);
        format!("from byte {from} of {}: \"{shown}\"", reply.len())
    };
    format!("  metricd   {}\n  reference {}", part(ours), part(theirs))
}

/// How many replies of each kind there were.
#[derive(Debug, Default)]
struct Tally {
    ok: u64,
    points: u64,
    wrong_commands: u64,
}

impl Tally {
    fn add(&mut self, reply: &[u8]) {
        match reply {
            OK => self.ok += 1,
            WRONG_COMMAND => self.wrong_commands += 1,
            _ => self.points += 1,
        }
    }
}

/// The asyncio server as a child process, killed when this is dropped.
struct Reference {
    child: Child,
    address: SocketAddr,
}

impl Reference {
    /// Starts it on a free port. Without Python says so and returns `None`.
    fn start() -> Option<Reference> {
        // Isolated (-I): no environment variable changes what Python reads as a number.
        let spawned = Command::new("python3")
            .args(["-I", REFERENCE, "127.0.0.1", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let child = match spawned {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                support::skip_without("python3");
                return None;
            }
            Err(error) => panic!("python3 does not start: {error}"),
        };
        // Owned from here on, so that a panic below also ends the child.
        let mut reference = Reference {
            child,
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
        };
        let stdout = reference.child.stdout.take().expect("a pipe was asked for");
        let (read, line) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let outcome = BufReader::new(stdout).read_line(&mut line).map(|_| line);
            // The receiver is gone only if the test has failed.
            read.send(outcome).ok();
        });
        let line = line.recv_timeout(DEADLINE).expect("the reference starts");
        let line = line.expect("a line of text");
        let address = line.trim_end().strip_prefix("listening on ");
        let address = address.unwrap_or_else(|| panic!("the reference said {line:?}"));
        reference.address = address.parse().expect("an address and a port");
        Some(reference)
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // Both fail only if the child has already ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Prints to standard error directly, since the test runner captures what the print macros print
/// in a test that passes.
fn number_from_environment(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|error| panic!("{name}={text}: {error}")),
        Err(std::env::VarError::NotPresent) => default,
        Err(error) => panic!("{name}: {error}"),
    }
}

/// Whether this may be a put that the reference stores and metricd refuses: a timestamp beyond
/// 64 bits, or a digit of another script in a number. True if in doubt.
fn may_be_for_reference_only(request: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(request) else {
        return false;
    };
    let is_space =
        |character: char| character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character);
    let words: Vec<&str> = text
        .split(is_space)
        .filter(|word| !word.is_empty())
        .collect();
    let ["put", _, value, timestamp] = words[..] else {
        return false;
    };
    let mut digits_of_both = value.chars().chain(timestamp.chars());
    if digits_of_both.any(|character| !character.is_ascii() && character.is_numeric()) {
        return true;
    }
    let plain = timestamp.replace('_', "");
    let digits = plain.strip_prefix(['-', '+']).unwrap_or(&plain);
    digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.is_empty()
        && plain.parse::<i64>().is_err()
}

/// Requests that random ones would hardly contain.
fn hand_picked_requests() -> Vec<Vec<u8>> {
    let texts = [
        "get test_key\n",
        "got test_key\n",
        "put test_key 12.0 1503319740\n",
        "put test_key 13.0 1503319739\n",
        "put another_key 10 1503319739\n",
        "get *\n",
        "get test_key\n\n",
        "\n\n \t\r\nget test_key\n\u{3000}\n\n",
        "\n",
        "\n\n\n",
        " \u{a0}\r\n\u{2028}\n",
        "put * 1 1\n",
        "get *\n",
        "get **\n",
        "put k 1 9223372036854775807\n",
        "put k 1 -9223372036854775808\n",
        "put k ² 1\n",
        "put k ½ 1\n",
        "put k 1 ²\n",
        "put k −1 1\n",
        "get k\n",
    ];
    let mut requests: Vec<Vec<u8>> = texts.map(|text| text.as_bytes().to_vec()).to_vec();
    // Python's int() reads up to 4,300 digits. Leading zeros count, underscores do not.
    for count in [4_300, 4_301] {
        requests.push(format!("put zeros 1 {}\n", "0".repeat(count)).into_bytes());
        requests.push(format!("put zeros 2 -{}7\n", "0".repeat(count - 1)).into_bytes());
        requests.push(format!("put zeros 3 0{}\n", "_0".repeat(count - 1)).into_bytes());
        requests.push(format!("put zeros {} 4\n", "1".repeat(count)).into_bytes());
    }
    requests.push(b"get zeros\n".to_vec());
    // Every byte, every white space and what looks like it, in every place of a request.
    for byte in (0..=255).filter(|&byte| byte != b'\n') {
        requests.push([b"put bytes".as_slice(), &[byte], b"1 1\n"].concat());
        requests.push([b"put bytes 1", [byte].as_slice(), b" 2\n"].concat());
        requests.push([b"put bytes 1 3", [byte].as_slice(), b"\n"].concat());
        requests.push([[byte].as_slice(), b"get bytes\n"].concat());
    }
    for character in SPACES.iter().chain(SPACE_LOOKALIKES) {
        requests.push(format!("{character}get{character}bytes{character}\n").into_bytes());
        requests.push(format!("get bytes{character}\n").into_bytes());
        requests.push(format!("put bytes 1 {character}4\n").into_bytes());
        requests.push(format!("{character}\n").into_bytes());
    }
    requests.push(b"get *\n".to_vec());
    requests
}

/// All characters that Python splits at, except the newline, which ends the request.
const SPACES: &[&str] = &[
    " ", "\t", "\u{b}", "\u{c}", "\r", "\u{1c}", "\u{1d}", "\u{1e}", "\u{1f}", "\u{85}", "\u{a0}",
    "\u{1680}", "\u{2000}", "\u{2001}", "\u{2002}", "\u{2003}", "\u{2004}", "\u{2005}", "\u{2006}",
    "\u{2007}", "\u{2008}", "\u{2009}", "\u{200a}", "\u{2028}", "\u{2029}", "\u{202f}", "\u{205f}",
    "\u{3000}",
];

/// Characters that look like white space, or are next to it, but do not split words.
const SPACE_LOOKALIKES: &[&str] = &[
    "\u{200b}", "\u{200c}", "\u{200d}", "\u{feff}", "\u{180e}", "\u{2060}", "\u{84}", "\u{86}",
    "\u{9f}", "\u{a1}", "\u{ad}", "\u{167f}", "\u{1681}", "\u{1fff}", "\u{2027}", "\u{202a}",
    "\u{202e}", "\u{2030}", "\u{205e}", "\u{2800}", "\u{2fff}", "\u{3001}", "\u{3164}", "\u{0}",
    "\u{8}", "\u{1b}", "\u{7f}", "_", "\\n",
];

// The following tables are formatted by hand: a line for each word would take pages.

/// Few keys, so that series get several points, and points are replaced.
#[rustfmt::skip]
const KEYS: &[&str] = &[
    "k", "k", "k", "test_key", "test_key", "another_key", "K", "*", "**", "put", "get", "ok", "error",
    "1", "-1.5", "１", "servers.web-1.cpu;core=3", "\"quoted\"", "a,b", "\\x00", "ключ", "日本語",
    "é", "e\u{301}", "\u{1f600}", "\u{10ffff}", "\u{fffe}", "\u{e000}", "\u{202e}k", "k\u{200b}",
    "\u{feff}k", "k\u{180e}", "\0", "a\0b", "\u{1}", "\u{1b}[31m", "\u{7f}", "\u{80}",
];

#[rustfmt::skip]
const COMMANDS: &[&str] = &[
    "put", "get", "Put", "PUT", "Get", "GET", "got", "pu", "putt", "gett", "put*", "get*", "put\0",
    "\u{feff}put", "\u{feff}get", "ｇｅｔ", "*", "del", "ok", "quit", "k",
];

#[rustfmt::skip]
const TIMESTAMPS: &[&str] = &[
    "0", "-0", "+0", "00", "1", "1", "+1", "01", "0_1", "2", "-2", "-02", "3", "10", "1_0", "0010",
    "1503319739", "1503319740", "1_503_319_739", "+1503319739", "-1503319739", "9223372036854775807",
    "-9223372036854775808", "9_223_372_036_854_775_806", "-9223372036854775807", "4294967296",
];

#[rustfmt::skip]
const WRONG_NUMBERS: &[&str] = &[
    "", "-", "+", "--1", "+-1", "1-", "_1", "1_", "1__0", "_", "1.5.5", "1e", "e5", "0x10", "0b1",
    "1,5", "1L", "one", "None", "1\0", "\0", "1\u{200b}", "\u{feff}1", "−1", "1\u{301}", "\u{ff0b}1",
    "nano", "infin", "in_f", "1._5", "1_.5", "1e_5", "1_e5", ".", "-.", ".e1", "nan(1)", "1 1",
];

#[rustfmt::skip]
const NOT_UTF_8: &[&[u8]] = &[
    b"\x80", b"\xbf", b"\xff", b"\xfe", b"\xc3", b"\xe2\x80", b"\xf0\x9f\x98", b"\xc0\x80",
    b"\xc0\xaf", b"\xc1\xbf", b"\xe0\x80\xa0", b"\xe0\x9f\xbf", b"\xf0\x80\x80\xa0",
    b"\xf0\x8f\xbf\xbf", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80",
    b"\xf8\x88\x80\x80\x80", b"\xc3\xa9\xa9", b"\xc3k", b"\x85", b"\xa0",
];

/// The tables of numbers, which have the oddest ones.
const NUMBER_TABLES: &[&str] = &[
    include_str!("numbers/floats.tsv"),
    include_str!("numbers/integers.tsv"),
];

/// Makes requests from a seed, always the same ones (SplitMix64).
struct Generator {
    state: u64,
    numbers: Vec<&'static str>,
}

impl Generator {
    fn new(seed: u64) -> Generator {
        let rows = NUMBER_TABLES.iter().flat_map(|table| table.lines());
        let numbers = rows
            .filter(|row| !row.starts_with('#'))
            .map(|row| row.split('\t').next().expect("a text before the tab"))
            .collect();
        Generator {
            state: seed,
            numbers,
        }
    }

    fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.bits() % limit as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn choice<T: Copy>(&mut self, options: &[T]) -> T {
        options[self.below(options.len())]
    }

    /// A request to which both servers must give the same reply.
    fn request(&mut self) -> Vec<u8> {
        loop {
            let mut request = self.blank_lines();
            request.extend(self.line());
            request.push(b'\n');
            request.extend(self.blank_lines());
            if !may_be_for_reference_only(&request) {
                return request;
            }
        }
    }

    /// Lines of white space that may come in one chunk with a request; mostly none.
    fn blank_lines(&mut self) -> Vec<u8> {
        let mut lines = Vec::new();
        if self.one_in(10) {
            for _ in 0..=self.below(3) {
                if self.one_in(2) {
                    lines.extend(self.spaces(SPACES));
                }
                lines.push(b'\n');
            }
        }
        lines
    }

    /// A request line without a newline.
    fn line(&mut self) -> Vec<u8> {
        let words = match self.below(100) {
            0 => vec![b"get".to_vec(), b"*".to_vec()],
            1..=2 => return Vec::new(),
            3..=4 => return self.junk(),
            5..=54 => vec![b"put".to_vec(), self.key(), self.value(), self.timestamp()],
            55..=84 => vec![b"get".to_vec(), self.key()],
            _ => self.words_of_any_count(),
        };
        let mut line = self.join(&words);
        if self.one_in(16) {
            self.damage(&mut line);
        }
        line
    }

    /// Words that are a valid request only by chance.
    fn words_of_any_count(&mut self) -> Vec<Vec<u8>> {
        let mut words = vec![self.choice(COMMANDS).into()];
        for _ in 0..self.below(6) {
            let word = match self.below(3) {
                0 => self.key(),
                1 => self.value(),
                _ => self.timestamp(),
            };
            words.push(word);
        }
        words
    }

    /// The words with white space between them, or sometimes characters that only look like it.
    fn join(&mut self, words: &[Vec<u8>]) -> Vec<u8> {
        let odd = self.one_in(4);
        let mut line = Vec::new();
        if odd && self.one_in(2) {
            line.extend(self.spaces(SPACES));
        }
        for (index, word) in words.iter().enumerate() {
            if index > 0 {
                match odd {
                    true if self.one_in(16) => line.extend(self.spaces(SPACE_LOOKALIKES)),
                    true => line.extend(self.spaces(SPACES)),
                    false => line.push(b' '),
                }
            }
            line.extend(word);
        }
        if odd && self.one_in(2) {
            line.extend(self.spaces(SPACES));
        } else if self.one_in(8) {
            line.push(b'\r');
        }
        line
    }

    fn spaces(&mut self, of: &[&str]) -> Vec<u8> {
        let count = 1 + self.below(3);
        (0..count).flat_map(|_| self.choice(of).bytes()).collect()
    }

    fn key(&mut self) -> Vec<u8> {
        match self.below(40) {
            0 => "long".repeat(500).into_bytes(),
            1 => self.choice(SPACE_LOOKALIKES).into(),
            2 => {
                let mut key: Vec<u8> = self.choice(KEYS).into();
                key.extend(self.choice(NOT_UTF_8));
                key
            }
            3 => format!("series-{}", self.below(100)).into_bytes(),
            _ => self.choice(KEYS).into(),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        let text = match self.below(8) {
            0 => self.choice(WRONG_NUMBERS).into(),
            1..=2 => {
                let index = self.below(self.numbers.len());
                self.numbers[index].into()
            }
            3 => format!("{:e}", f64::from_bits(self.bits())),
            4 => self.decimal(),
            5 => {
                let mut text = self.decimal().into_bytes();
                self.misspell(&mut text);
                return text;
            }
            6 => format!("{}", self.bits() as i64 >> self.below(64)),
            _ => format!("{}.{}", self.below(100), self.below(1_000)),
        };
        text.into_bytes()
    }

    fn timestamp(&mut self) -> Vec<u8> {
        match self.below(32) {
            0 => self.choice(WRONG_NUMBERS).into(),
            1 => {
                let index = self.below(self.numbers.len());
                self.numbers[index].into()
            }
            2 => {
                let mut text: Vec<u8> = self.choice(TIMESTAMPS).into();
                self.misspell(&mut text);
                text
            }
            3..=5 => format!("{}", self.bits() as i64 >> self.below(64)).into_bytes(),
            _ => self.choice(TIMESTAMPS).into(),
        }
    }

    /// A number as people write them: a sign, digits with a point and underscores, an exponent.
    fn decimal(&mut self) -> String {
        let mut text = String::from(self.choice(&["", "", "-", "+"]));
        let count = self.below(22);
        let point = self.below(count + 8);
        for place in 0..count {
            if place == point {
                text.push('.');
            } else if place > 0 && self.one_in(12) {
                text.push('_');
            }
            text.push(self.choice(b"0123456789").into());
        }
        if self.one_in(3) {
            let sign = self.choice(&["", "-", "+", "+0", "-00"]);
            let letter = self.choice(&["e", "E"]);
            let limit = self.choice(&[10, 30, 400]);
            text += &format!("{letter}{sign}{}", self.below(limit));
        }
        text
    }

    /// Adds, removes or replaces a character or two of a number.
    fn misspell(&mut self, text: &mut Vec<u8>) {
        for _ in 0..=self.below(2) {
            let character = self.choice(b"0123456789+-_.eEinfNATYx");
            let place = self.below(text.len() + 1);
            if place == text.len() || self.one_in(2) {
                text.insert(place, character);
            } else if self.one_in(2) {
                text[place] = character;
            } else {
                text.remove(place);
            }
        }
    }

    /// Changes or inserts a byte or two of any kind, or bytes that are not UTF-8.
    fn damage(&mut self, line: &mut Vec<u8>) {
        for _ in 0..=self.below(2) {
            let place = self.below(line.len() + 1);
            if self.one_in(2) {
                let odd = self.choice(NOT_UTF_8);
                line.splice(place..place, odd.iter().copied());
            } else if place < line.len() {
                line[place] = self.byte();
            } else {
                line.push(self.byte());
            }
        }
    }

    /// A few bytes of any kind.
    fn junk(&mut self) -> Vec<u8> {
        let count = self.below(40);
        (0..count).map(|_| self.byte()).collect()
    }

    /// Any byte but a newline, which would end the request.
    fn byte(&mut self) -> u8 {
        match self.bits() as u8 {
            b'\n' => b' ',
            byte => byte,
        }
    }
}
