//! The rules of the protocol, by number and name.

use std::thread;
use std::time::Duration;

use metricd::Config;

use crate::support::{Client, OK, Running, WRONG_COMMAND, assert_same, show};

/// What is sent in one write, and all that comes back before the server closes.
type Case<'a> = (&'a [u8], &'a [u8]);

/// Checks each case on a server and a connection of its own.
#[track_caller]
fn check(cases: &[Case]) {
    for (sent, expected) in cases {
        check_case(sent, expected);
    }
}

#[track_caller]
fn check_case(sent: &[u8], expected: &[u8]) {
    let server = Running::start();
    let mut client = server.connect();
    client.send(sent);
    let received = client.finish();
    assert_eq!(show(&received), show(expected), "sent: {}", show(sent));
}

/// Checks that each line is one wrong command, and does no harm to the request after it.
#[track_caller]
fn check_wrong(lines: &[&[u8]]) {
    for line in lines {
        let sent = [b"put k 1 1\n", *line, b"\nget *\n"].concat();
        check_case(&sent, b"ok\n\nerror\nwrong command\n\nok\nk 1.0 1\n\n");
    }
}

/// Checks how the value and the timestamp of a put are printed by a get.
#[track_caller]
fn check_point(sent: [&str; 2], printed: [&str; 2]) {
    let ([value, timestamp], [printed_value, printed_timestamp]) = (sent, printed);
    check_case(
        format!("put k {value} {timestamp}\nget k\n").as_bytes(),
        format!("ok\n\nok\nk {printed_value} {printed_timestamp}\n\n").as_bytes(),
    );
}

#[test]
fn the_example_session_goes_as_written() {
    let server = Running::start();
    let mut client = server.connect();
    for (request, reply) in [
        ("get test_key\n", "ok\n\n"),
        ("got test_key\n", "error\nwrong command\n\n"),
        ("put test_key 12.0 1503319740\n", "ok\n\n"),
        ("put test_key 13.0 1503319739\n", "ok\n\n"),
        ("put another_key 10 1503319739\n", "ok\n\n"),
        (
            "get *\n",
            "ok\n\
             test_key 13.0 1503319739\n\
             test_key 12.0 1503319740\n\
             another_key 10.0 1503319739\n\
             \n",
        ),
    ] {
        client.exchange(request.as_bytes(), reply.as_bytes());
    }
    assert_same(&client.finish(), b"");
}

#[test]
fn rule_01_points_are_in_order_of_time_and_series_in_order_of_first_put() {
    check(&[
        (b"get *\n", b"ok\n\n"),
        (b"get k\n", b"ok\n\n"),
        (
            b"put k 3 3\nput k 1 1\nput k 5 5\nput k 2 2\nput k -4 -4\nget k\n",
            b"ok\n\nok\n\nok\n\nok\n\nok\n\n\
              ok\nk -4.0 -4\nk 1.0 1\nk 2.0 2\nk 3.0 3\nk 5.0 5\n\n",
        ),
        // Neither by name, nor by the last put, nor by the timestamp.
        (
            b"put zebra 1 9\nput ant 2 5\nput mole 3 1\nput zebra 4 8\nget *\n",
            b"ok\n\nok\n\nok\n\nok\n\n\
              ok\nzebra 4.0 8\nzebra 1.0 9\nant 2.0 5\nmole 3.0 1\n\n",
        ),
        // A wrong put and a get take no place in the order.
        (
            b"put late x 1\nget later\nput first 1 1\nput late 2 2\nput later 3 3\nget *\n",
            b"error\nwrong command\n\nok\n\nok\n\nok\n\nok\n\n\
              ok\nfirst 1.0 1\nlate 2.0 2\nlater 3.0 3\n\n",
        ),
    ]);
}

#[test]
fn rule_01_holds_for_long_series_in_any_order_of_puts() {
    let timestamps: Vec<i64> = (0..5_000).collect();
    let sorted: String = timestamps
        .iter()
        .map(|at| format!("k 0.5 {at}\n"))
        .collect();
    // 5,000 and 1,237 have no common divisor: every timestamp comes up once.
    let shuffled: Vec<i64> = timestamps.iter().map(|at| at * 1_237 % 5_000).collect();
    let descending: Vec<i64> = timestamps.iter().rev().copied().collect();
    for order in [timestamps, descending, shuffled] {
        let server = Running::start();
        let puts: String = order.iter().map(|at| format!("put k 0.5 {at}\n")).collect();
        let mut client = server.connect();
        client.exchange(puts.as_bytes(), &OK.repeat(order.len()));
        client.exchange(b"get k\n", format!("ok\n{sorted}\n").as_bytes());
    }
}

#[test]
fn rule_02_the_last_put_at_a_timestamp_wins() {
    check(&[
        (
            b"put k 1 7\nput k 2 7\nget k\nput k nan 7\nget k\nput k 3 7\nget k\n",
            b"ok\n\nok\n\nok\nk 2.0 7\n\nok\n\nok\nk nan 7\n\nok\n\nok\nk 3.0 7\n\n",
        ),
        // First, middle and last point, and the same timestamp written in other ways.
        (
            b"put k 1 1\nput k 2 2\nput k 3 3\nput k 20 02\nput k 10 +1\nput k 30 0_3\nget k\n",
            b"ok\n\nok\n\nok\n\nok\n\nok\n\nok\n\nok\nk 10.0 1\nk 20.0 2\nk 30.0 3\n\n",
        ),
        (
            b"put k 1 0\nput k 2 -0\nget k\n",
            b"ok\n\nok\n\nok\nk 2.0 0\n\n",
        ),
        // Another series is not touched, and a wrong put replaces nothing.
        (
            b"put a 1 1\nput b 2 1\nput a 3 1\nput b x 1\nget *\n",
            b"ok\n\nok\n\nok\n\nerror\nwrong command\n\nok\na 3.0 1\nb 2.0 1\n\n",
        ),
    ]);
}

#[test]
fn rule_02_a_value_replaces_any_other_value_bit_by_bit() {
    const VALUES: [&str; 6] = ["0.0", "-0.0", "nan", "inf", "1.5", "0.1234567890123457"];
    const POINTS: usize = 400;
    let server = Running::start();
    let mut client = server.connect();
    for first in VALUES {
        for second in VALUES {
            let put = |value: &str, at| format!("put {first}to{second} {value} {at}\n");
            let all = |value| (0..POINTS).map(|at| put(value, at)).collect::<String>();
            // Each while it is the newest point, and then all of them when they are old.
            let newest: String = (0..POINTS)
                .map(|at| put(second, at) + &put(first, at))
                .collect();
            for (puts, value) in [(newest, first), (all(second), second), (all(first), first)] {
                let count = puts.lines().count();
                client.exchange(puts.as_bytes(), &OK.repeat(count));
                let points = all(value).replace("put ", "");
                let get = format!("get {first}to{second}\n");
                client.exchange(get.as_bytes(), format!("ok\n{points}\n").as_bytes());
            }
        }
    }
}

const WHITE_SPACE: &str = "\t\u{b}\u{c}\r \u{1c}\u{1d}\u{1e}\u{1f}\u{85}\u{a0}\u{1680}\
    \u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\u{2006}\u{2007}\u{2008}\u{2009}\u{200a}\
    \u{2028}\u{2029}\u{202f}\u{205f}\u{3000}";

/// Controls and invisible characters at which Python does not split.
const NOT_WHITE_SPACE: &str = "\0\u{1}\u{7}\u{8}\u{e}\u{1a}\u{1b}\u{7f}\u{84}\u{86}\u{9f}\
    \u{a1}\u{ad}\u{180e}\u{200b}\u{200c}\u{200d}\u{200e}\u{2027}\u{202a}\u{202e}\u{2030}\
    \u{205e}\u{2060}\u{2fff}\u{3001}\u{feff}";

#[test]
fn rule_03_words_are_split_as_python_splits() {
    for space in WHITE_SPACE.chars() {
        let sent = format!(
            "put{space}k{space}1{space}2\n\
             {space}{space}put{space} k{space}\t3{space}{space}4{space} {space}\n\
             {space}get{space}k{space}\n"
        );
        check_case(sent.as_bytes(), b"ok\n\nok\n\nok\nk 1.0 2\nk 3.0 4\n\n");
    }
    for character in NOT_WHITE_SPACE.chars() {
        let sent = format!(
            "put a{character}b 1 2\nget a{character}b\nget a\n\
             get{character}a\n{character}get a\nget a {character}\nput a 1{character} 2\n"
        );
        let wrong = "error\nwrong command\n\n".repeat(4);
        let expected = format!("ok\n\nok\na{character}b 1.0 2\n\nok\n\n{wrong}");
        check_case(sent.as_bytes(), expected.as_bytes());
    }
    // Only the newline ends a request.
    check(&[
        (b"put k 1 1\r\nget k\r\n", b"ok\n\nok\nk 1.0 1\n\n"),
        (b"put k 1 1\rget k\n", WRONG_COMMAND),
        ("put k 1 1\u{2028}get k\n".as_bytes(), WRONG_COMMAND),
    ]);
}

#[test]
fn rule_03_everything_else_is_a_wrong_command() {
    check_wrong(&[
        b"nonsense",
        b"put",
        b"get",
        b"put k",
        b"put k 1",
        b"put k 1 1 1",
        b"put  1 1",
        b"get a b",
        b"get k *",
        b"get * *",
        b"PUT k 2 2",
        b"Put k 2 2",
        b"puT k 2 2",
        b"GET k",
        b"Get *",
        b"putk 2 2",
        b"put_ k 2 2",
        b"pu k 2 2",
        b"getk",
        b"get* k",
        b"k 2 2",
        b"\"put k 2 2\"",
        b"put,k,2,2",
        b"put k 2, 2",
        b"*",
        b"ok",
        b"\0",
        b"\0put k 2 2",
        b"delete k",
        b"stat",
        b"quit",
        "\u{feff}get k".as_bytes(),
        "\u{ff47}et k".as_bytes(),
    ]);
}

#[test]
fn rule_03_a_long_line_in_capitals_is_no_http_request_line() {
    let (server, x) = (Running::start(), "x".repeat(70_000));
    for line in [
        format!("PUT a {x}"),
        format!("A {x}"),
        format!("GET /{x} HTTP/2"),
        format!("POST {x}HTTP/1.1"),
    ] {
        let mut client = server.connect();
        client.exchange(
            format!("{line}\nget k\n").as_bytes(),
            &[WRONG_COMMAND, OK].concat(),
        );
    }
}

#[test]
fn rule_03_an_http_request_line_ends_the_connection() {
    let long_target = "x".repeat(100_000);
    let lines = [
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:8888\r\n\r\n".to_string(),
        "POST / HTTP/1.1\r\nContent-Type: text/plain\r\n\r\n".into(),
        format!("POST /{long_target} HTTP/1.1\r\n\r\n"),
    ];
    for line in lines {
        let server = Running::start();
        let request = format!("put k 1 1\n{line}put k 2 2\nput k 3 3\n");
        for cut in [request.len(), "put k 1 1\nG".len(), request.len() - 1] {
            let mut client = server.connect();
            let (first, rest) = request.split_at(cut);
            client.send(first.as_bytes());
            client.send(rest.as_bytes());
            // The server closes, though the client has not.
            assert_same(&client.rest(), &[OK, WRONG_COMMAND].concat());
        }
        server.connect().exchange(b"get *\n", b"ok\nk 1.0 1\n\n");
    }
}

#[test]
fn rule_03_an_http_request_line_ends_the_connection_however_it_is_cut() {
    let request = b"put k 1 1\nPOST /x HTTP/1.1\r\nHost: x\r\n\r\nput k 2 2\n";
    // The request line is within the first limit, and longer than the second.
    for line_limit_bytes in [64 << 10, 10] {
        let server = Running::start_with(Config {
            line_limit_bytes,
            ..Config::default()
        });
        let mut witness = server.connect();
        let cuts = (0..=request.len()).map(|cut| {
            let (head, tail) = request.split_at(cut);
            vec![head, tail]
        });
        for pieces in cuts.chain([request.chunks(1).collect()]) {
            let mut client = server.connect();
            for piece in &pieces {
                client.send(piece);
                witness.wait_for_a_turn();
            }
            let received = client.rest();
            let expected = [OK, WRONG_COMMAND].concat();
            assert_eq!(show(&received), show(&expected), "{:?}", show(pieces[0]));
        }
        witness.exchange(b"get *\n", b"ok\nk 1.0 1\n\n");
    }
}

#[test]
fn rule_03_replies_to_requests_before_an_http_request_line_are_written() {
    let server = Running::start();
    let mut client = server.connect();
    let reply = client.begin_long_reply();
    client.send(b"put k 1 1\nPOST / HTTP/1.1\r\n\r\nput k 2 2\n");
    assert_same(&client.rest(), &[&reply, OK, WRONG_COMMAND].concat());
    server.connect().exchange(b"get k\n", b"ok\nk 1.0 1\n\n");
}

#[test]
fn rule_03_bytes_that_are_not_utf8_are_a_wrong_command() {
    check_wrong(&[
        b"\xff",
        b"\xfe\xff",
        b"\x80",
        b"put k\xff 2 2",
        b"put \xc3 2 2",
        b"put k 2 2\xff",
        b"put k 2\xa0 2",
        // White space in Latin-1, which is not UTF-8.
        b"put k 2 2\xa0",
        b"get k\x85",
        b"\xffget k",
        // Overlong forms of "/" and of NUL, a surrogate, and one above U+10FFFF.
        b"get \xc0\xaf",
        b"get \xc0\x80",
        b"get \xe0\x80\xaf",
        b"get \xed\xa0\x80",
        b"get \xf4\x90\x80\x80",
        b"get \xf8\x88\x80\x80\x80",
        // Characters that the end of the line cuts off.
        b"get \xe2\x82",
        b"get \xf0\x9f\x98",
    ]);
}

#[test]
fn rule_04_keys_are_any_word() {
    for key in [
        "*",
        "**",
        "put",
        "get",
        "ok",
        "error",
        "0",
        "-1.5",
        "nan",
        "\"",
        "'",
        "\\n",
        "%s",
        "{}",
        "\0",
        "a/b.c;d=e",
        "ключ",
        "键",
        "🔑",
        "e\u{301}",
        "é",
        "\u{200b}",
        "\u{10ffff}",
    ] {
        let sent = format!("put {key} 1 2\nput other 3 4\nget *\n");
        let expected = format!("ok\n\nok\n\nok\n{key} 1.0 2\nother 3.0 4\n\n");
        check_case(sent.as_bytes(), expected.as_bytes());
        if key != "*" {
            let sent = format!("put {key} 1 2\nput other 3 4\nget {key}\n");
            let expected = format!("ok\n\nok\n\nok\n{key} 1.0 2\n\n");
            check_case(sent.as_bytes(), expected.as_bytes());
        }
    }
    // Keys are compared by their bytes: no case folding, no normal forms, no prefixes.
    check(&[
        (
            b"put Key 1 1\nget key\nget Ke\nget Key1\n",
            b"ok\n\nok\n\nok\n\nok\n\n",
        ),
        ("put é 1 1\nget e\u{301}\n".as_bytes(), b"ok\n\nok\n\n"),
    ]);
}

#[test]
fn rule_05_values_are_read_as_python_reads_floats() {
    for (value, printed) in [
        ("1", "1.0"),
        ("+1", "1.0"),
        ("-1", "-1.0"),
        ("-0", "-0.0"),
        ("007", "7.0"),
        (".5", "0.5"),
        ("-.5", "-0.5"),
        ("5.", "5.0"),
        ("1_000.5", "1000.5"),
        ("1_0.0_1", "10.01"),
        ("1_0e1_0", "100000000000.0"),
        ("0_0", "0.0"),
        ("1e3", "1000.0"),
        ("1E3", "1000.0"),
        ("1e+3", "1000.0"),
        ("1.e-3", "0.001"),
        (".1e1", "1.0"),
        ("1e00000000000000000000003", "1000.0"),
        ("inf", "inf"),
        ("+Inf", "inf"),
        ("-INF", "-inf"),
        ("infinity", "inf"),
        ("-iNfInItY", "-inf"),
        ("nan", "nan"),
        ("NaN", "nan"),
        ("+nAn", "nan"),
        ("-nan", "nan"),
        ("1e308", "1e+308"),
        ("1e309", "inf"),
        ("-1e309", "-inf"),
        ("1.7976931348623158e308", "1.7976931348623157e+308"),
        ("1.7976931348623159e308", "inf"),
        ("1e99999999999999999999", "inf"),
        ("0e99999999999999999999", "0.0"),
        ("-1e-400", "-0.0"),
        ("1e-99999999999999999999", "0.0"),
        ("2.4703282292062327e-324", "0.0"),
        ("2.4703282292062328e-324", "5e-324"),
        ("9007199254740993", "9007199254740992.0"),
        ("9007199254740993.0000000000000001", "9007199254740994.0"),
    ] {
        check_point([value, "1"], [printed, "1"]);
    }
    let zeros = "0".repeat(400);
    check_point([&format!("0.{zeros}1e401"), "1"], ["1.0", "1"]);
    check_point([&format!("1{zeros}e-400"), "1"], ["1.0", "1"]);
    let long = "1234567890".repeat(1_000);
    check_point([&format!("0.{long}"), "1"], ["0.12345678901234568", "1"]);
}

#[test]
fn rule_05_what_python_does_not_read_as_a_float_is_wrong() {
    let lines: Vec<Vec<u8>> = [
        "x",
        "+",
        "-",
        ".",
        "+.",
        "e",
        "e5",
        ".e5",
        "1e",
        "1e+",
        "1e-",
        "1e1.5",
        "1.2.3",
        "1..2",
        "++1",
        "--1",
        "+-1",
        "1-",
        "1+1",
        "1,5",
        "1f",
        "1.0d",
        "1L",
        "1j",
        "0x10",
        "0b1",
        "0o7",
        "1__0",
        "_1",
        "1_",
        "_",
        "1_.5",
        "1._5",
        "1_e5",
        "1e_5",
        "1e5_",
        "1e-_5",
        "-_1",
        "in_f",
        "infinit",
        "infinityx",
        "inf1",
        "--inf",
        "na",
        "nan(1)",
        "nan1",
        "nan_",
        "true",
        "None",
        "\"1\"",
        "'1'",
        "1%",
        "$1",
        "1\0",
        "1\u{feff}",
        "½",
        "∞",
        "−1",
    ]
    .iter()
    .map(|value| format!("put k {value} 2").into_bytes())
    .collect();
    check_wrong(&lines.iter().map(Vec::as_slice).collect::<Vec<_>>());
}

#[test]
fn rule_06_timestamps_are_read_as_python_reads_integers() {
    for (timestamp, printed) in [
        ("0", "0"),
        ("-0", "0"),
        ("+5", "5"),
        ("-1", "-1"),
        ("007", "7"),
        ("-007", "-7"),
        ("0_0", "0"),
        ("00_1", "1"),
        ("1_503_319_740", "1503319740"),
        ("9223372036854775807", "9223372036854775807"),
        ("+9223372036854775807", "9223372036854775807"),
        ("9_223_372_036_854_775_807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
        (
            "00000000000000000000000000009223372036854775807",
            "9223372036854775807",
        ),
        (
            "-0000000000000000000000000009223372036854775808",
            "-9223372036854775808",
        ),
    ] {
        check_point(["1", timestamp], ["1.0", printed]);
    }
    let lines: Vec<Vec<u8>> = [
        "x",
        "+",
        "-",
        "1.0",
        "1.",
        "1e3",
        "0x1",
        "0b1",
        "1L",
        "++1",
        "--1",
        "+-1",
        "1-",
        "1__0",
        "_1",
        "1_",
        "_",
        "+_1",
        "-_1",
        "0x_1",
        "inf",
        "nan",
        "1,000",
        "1\0",
        // Python takes these, metricd does not: more than 64 bits.
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "18446744073709551617",
        "-18446744073709551617",
        "99999999999999999999999999999999",
        "340282366920938463463374607431768211457",
    ]
    .iter()
    .map(|timestamp| format!("put k 2 {timestamp}").into_bytes())
    .collect();
    check_wrong(&lines.iter().map(Vec::as_slice).collect::<Vec<_>>());
}

#[test]
fn rule_06_the_range_of_timestamps_is_in_order() {
    check(&[(
        b"put k 1 9223372036854775807\nput k 2 0\nput k 3 -9223372036854775808\nput k 4 -1\n\
          put k 5 9223372036854775808\nget k\n",
        b"ok\n\nok\n\nok\n\nok\n\nerror\nwrong command\n\nok\n\
          k 3.0 -9223372036854775808\nk 4.0 -1\nk 2.0 0\nk 1.0 9223372036854775807\n\n",
    )]);
}

#[test]
fn rule_07_digits_of_other_scripts_are_wrong() {
    let digits = [
        "١", "२", "３", "៤", "𝟓", "1٢", "٣1", "1.٤", "1e٥", "1_٦", "-７",
    ];
    let lines: Vec<Vec<u8>> = digits
        .iter()
        .flat_map(|digit| [format!("put k {digit} 2"), format!("put k 2 {digit}")])
        .map(String::into_bytes)
        .collect();
    check_wrong(&lines.iter().map(Vec::as_slice).collect::<Vec<_>>());
    // A key may have them.
    let reply = "ok\n\nok\n١２ 1.0 1\n\n";
    check_case("put ١２ 1 1\nget ١２\n".as_bytes(), reply.as_bytes());
}

#[test]
fn rule_08_values_are_printed_as_python_prints_them() {
    for (value, printed) in [
        ("10", "10.0"),
        ("0", "0.0"),
        ("-0.0", "-0.0"),
        ("0.1", "0.1"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("0.1000000000000000055511151231257827", "0.1"),
        ("100", "100.0"),
        ("123456.789", "123456.789"),
        ("0.001", "0.001"),
        ("0.0001", "0.0001"),
        ("0.00012345", "0.00012345"),
        ("0.000099999", "9.9999e-05"),
        ("0.00001", "1e-05"),
        ("-0.00001", "-1e-05"),
        ("0.0000123", "1.23e-05"),
        ("1e15", "1000000000000000.0"),
        ("123456789012345.67", "123456789012345.67"),
        ("9999999999999998", "9999999999999998.0"),
        ("1e16", "1e+16"),
        ("-1e16", "-1e+16"),
        ("12345678901234567", "1.2345678901234568e+16"),
        ("1e17", "1e+17"),
        ("123456789e15", "1.23456789e+23"),
        ("1e22", "1e+22"),
        ("1e23", "1e+23"),
        ("1e100", "1e+100"),
        ("1.5e300", "1.5e+300"),
        ("1e-9", "1e-09"),
        ("1e-10", "1e-10"),
        ("1e-100", "1e-100"),
        ("5e-324", "5e-324"),
        ("2.2250738585072014e-308", "2.2250738585072014e-308"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ("3.141592653589793", "3.141592653589793"),
        ("2e0", "2.0"),
        ("inf", "inf"),
        ("-inf", "-inf"),
        ("nan", "nan"),
    ] {
        check_point([value, "1"], [printed, "1"]);
    }
}

#[test]
fn rule_08_odd_values_among_decimals_are_printed_as_they_were_put() {
    const ODD: [&str; 7] = [
        "nan",
        "inf",
        "-inf",
        "-0.0",
        "5e-324",
        "0.1234567890123457",
        "1.7976931348623157e+308",
    ];
    const POINTS: usize = 2_000;
    type Order = (&'static str, fn(usize) -> usize);
    // Each timestamp comes up once in each: 2,000 and 1,237 have no common divisor.
    const ORDERS: [Order; 3] = [
        ("up", |at| at),
        ("down", |at| POINTS - 1 - at),
        ("mixed", |at| at * 1_237 % POINTS),
    ];
    // From all values odd to one in a thousand.
    for odd_every in [1, 2, 7, 40, 160, 1_000] {
        let server = Running::start();
        let mut client = server.connect();
        let value = |at: usize| match at % odd_every {
            0 => ODD[at / odd_every % ODD.len()].to_string(),
            _ => format!("{}.{}", at % 100, at % 10),
        };
        for (key, order) in ORDERS {
            let put = |at: usize| format!("put {key} {} {at}\n", value(at));
            let puts: String = (0..POINTS).map(order).map(put).collect();
            client.exchange(puts.as_bytes(), &OK.repeat(POINTS));
            let line = |at: usize| format!("{key} {} {at}\n", value(at));
            let lines: String = (0..POINTS).map(line).collect();
            let reply = format!("ok\n{lines}\n");
            client.exchange(format!("get {key}\n").as_bytes(), reply.as_bytes());
        }
    }
}

#[test]
fn rule_09_blank_lines_belong_to_the_request_of_their_chunk() {
    const FOUND: &[u8] = b"ok\n\nok\nk 1.0 1\n\n";
    check(&[
        (b"put k 1 1\n\nget k\n\n", FOUND),
        (b"put k 1 1\n\n\n\n \t\r\n\nget k\n", FOUND),
        (b"\nput k 1 1\nget k\n", FOUND),
        (b"\r\n\n  \nput k 1 1\r\n\r\nget k\r\n\r\n", FOUND),
        (
            "put k 1 1\n\u{3000}\u{85}\nget k\n \u{2028} \n".as_bytes(),
            FOUND,
        ),
        // A wrong command is a request like any other.
        (b"\nnonsense\n\n", WRONG_COMMAND),
        (b"\n\xff\n\n", WRONG_COMMAND),
        // Only blank lines.
        (b"\n", WRONG_COMMAND),
        (b"\n\n\n\n\n", WRONG_COMMAND),
        (b" \t\r\n", WRONG_COMMAND),
        (b"\r\n\r\n", WRONG_COMMAND),
        ("\u{3000}\n\u{a0}\n".as_bytes(), WRONG_COMMAND),
        // White space without a newline is no line yet.
        (b"", b""),
        (b"  ", b""),
    ]);
}

#[test]
fn rule_09_blank_lines_count_by_the_chunk_that_brings_them() {
    const FOUND: &[u8] = b"ok\nk 1.0 1\n\n";
    // Chunks, each with the reply that comes before the next chunk is sent.
    let sessions: &[&[Case]] = &[
        &[
            (b"get k\n", FOUND),
            (b"\n", WRONG_COMMAND),
            (b"get k\n", FOUND),
        ],
        &[
            (b"\n", WRONG_COMMAND),
            (b"\n", WRONG_COMMAND),
            (b"\n\n", WRONG_COMMAND),
        ],
        &[(b"get k\n\n", FOUND), (b"get k\n\n", FOUND)],
        // The request that they belong to is not complete yet.
        &[(b"\nge", b""), (b"t k\n", FOUND)],
        &[(b"\n\nge", b""), (b"t", b""), (b" k\n\n\n", FOUND)],
        &[(b"get k\n\nge", FOUND), (b"t k\n\n", FOUND)],
        // White space whose newline comes later.
        &[(b"  ", b""), (b"\n", WRONG_COMMAND), (b"get k\n", FOUND)],
        &[(b"  ", b""), (b"\n\n", WRONG_COMMAND)],
        &[(b"get k\n  ", FOUND), (b"\n", WRONG_COMMAND)],
        &[(b"get k\n  ", FOUND), (b"\nget k\n", FOUND)],
        &[(b" ", b""), (b"\t", b""), (b"get k\n", FOUND)],
    ];
    for (number, session) in sessions.iter().enumerate() {
        let server = Running::start();
        let mut witness = server.connect();
        witness.exchange(b"put k 1 1\n", OK);
        let mut client = server.connect();
        for (chunk, reply) in *session {
            client.exchange(chunk, reply);
            witness.wait_for_a_turn();
            assert!(
                !client.has_input(),
                "session {number}: \"{}\" follows \"{}\"",
                show(&client.read_once()),
                show(chunk),
            );
        }
        assert_eq!(show(&client.finish()), "", "session {number}");
    }
}

#[test]
fn rule_10_pipelined_requests_are_answered_in_order() {
    let requests: &[u8] =
        b"put k 1 1\nget k\nwrong\nput k 2 1\nget k\nget none\nput j 1 1\nget *\n";
    let replies: &[u8] = b"ok\n\nok\nk 1.0 1\n\nerror\nwrong command\n\n\
        ok\n\nok\nk 2.0 1\n\nok\n\nok\n\nok\nk 2.0 1\nj 1.0 1\n\n";
    check(&[(requests, replies)]);
    // In two pieces, cut at every place, and in single bytes.
    for cut in 1..requests.len() {
        let server = Running::start();
        let (head, tail) = requests.split_at(cut);
        let received = server.connect().converse([head, tail].into_iter());
        assert_eq!(show(&received), show(replies), "cut at {cut}");
    }
    let server = Running::start();
    assert_same(&server.connect().converse(requests.chunks(1)), replies);
}

#[test]
fn rule_11_a_get_answers_what_was_stored_when_it_was_executed() {
    let server = Running::start();
    let [mut one, mut other] = [server.connect(), server.connect()];
    // The reply is longer than any write buffer: most of it is still to be formed.
    let puts: String = (0..20_000)
        .map(|at| format!("put k 1 {}\n", at * 2))
        .collect();
    let lines: String = (0..20_000)
        .map(|at| format!("k 1.0 {}\n", at * 2))
        .collect();
    let reply = format!("ok\n{lines}\n").into_bytes();
    one.exchange(puts.as_bytes(), &OK.repeat(20_000));

    one.send(b"get k\n");
    one.expect(&reply[..100]);
    // Before, between, after and in place of what is stored.
    let puts = b"put k 2 -1\nput k 2 39997\nput k 2 50000\nput k 2 39998\n";
    other.exchange(puts, &OK.repeat(4));
    one.expect(&reply[100..]);
    one.send(b"get k\n");
    let later = String::from_utf8(one.reply()).expect("text");
    assert_eq!(later.matches("k 2.0 ").count(), 4);
    assert_eq!(later.matches("k 1.0 ").count(), 19_999);
}

#[test]
fn rule_12_the_end_of_input_is_the_end_of_the_session() {
    check(&[
        (b"", b""),
        (b"put k 1 1\n", OK),
        (b"put k 1 1\nget k\n", b"ok\n\nok\nk 1.0 1\n\n"),
        // The unfinished line is neither executed nor answered.
        (b"put k 1 1", b""),
        (b"nonsense", b""),
        (b"put k 1 1\nget k\nput k 2 2", b"ok\n\nok\nk 1.0 1\n\n"),
        (b"put k 1 1\nget k", OK),
        (b"put k 1 1\n\r", OK),
    ]);
    let server = Running::start();
    let mut client = server.connect();
    client.send(b"put k 1 1\nput k 2 2");
    assert_same(&client.finish(), OK);
    server.connect().exchange(b"get k\n", b"ok\nk 1.0 1\n\n");
}

#[test]
fn rule_13_a_reply_comes_in_one_piece() {
    let server = Running::start();
    let mut client = server.connect();
    let puts: String = (0..600)
        .map(|at| format!("put long-key 0.5 {}\n", 1_000 + at))
        .collect();
    let lines: String = (0..600)
        .map(|at| format!("long-key 0.5 {}\n", 1_000 + at))
        .collect();
    let long = format!("ok\n{lines}\n").into_bytes();
    client.exchange(puts.as_bytes(), &OK.repeat(600));
    client.exchange(b"put k 1 1\n", OK);

    let several = [OK, b"ok\nk 1.0 1\n\n", WRONG_COMMAND, &long, b"ok\n\n"].concat();
    let cases: &[Case] = &[
        (b"put k 1 1\n", OK),
        (b"nonsense\n", WRONG_COMMAND),
        (b"get k\n", b"ok\nk 1.0 1\n\n"),
        (b"get long-key\n", &long),
        (
            b"put k 1 1\nget k\nnonsense\nget long-key\nget none\n",
            &several,
        ),
    ];
    // Many times: the pieces of a reply may by chance all arrive before the read.
    for _ in 0..50 {
        for (request, reply) in cases {
            client.send(request);
            assert_same(&client.read_once(), reply);
        }
    }
}

#[test]
fn rule_13_replies_to_one_read_come_in_one_piece_while_others_are_busy() {
    const KEPT_BYTES: usize = 40_000;
    // In its first turn nobody gets more than one get, or some dozens of puts, or a piece of the
    // long reply.
    let server = Running::start_with(Config {
        turn_time: Duration::ZERO,
        kept_limit_bytes: KEPT_BYTES,
        ..Config::default()
    });
    // Half a line is kept, so that all get the least shares.
    let mut keeper = server.connect();
    keeper.send(&[b'x'; KEPT_BYTES]);
    let mut client = server.connect();
    let puts: String = (0..1_000)
        .map(|at| format!("put long 0.5 {at}\n"))
        .collect();
    let long = format!("ok\n{}\n", puts.replace("put ", ""));
    client.exchange(puts.as_bytes(), &OK.repeat(1_000));
    let mut others: Vec<Client> = (0..10).map(|_| server.connect()).collect();
    let requests = b"put k 1 1\nget k\nnonsense\n".repeat(50);
    let replies = [OK, b"ok\nk 1.0 1\n\n", WRONG_COMMAND].concat().repeat(50);
    let cases: [Case; 2] = [(&requests, &replies), (b"get long\n", long.as_bytes())];
    for (requests, replies) in cases.repeat(10) {
        for other in &mut others {
            other.send(&b"get -\n".repeat(100));
        }
        client.send(requests);
        assert_same(&client.read_once(), replies);
        for other in &mut others {
            other.expect(&OK.repeat(100));
        }
    }
}

#[test]
fn rule_13_nothing_is_added_to_or_left_out_of_a_reply() {
    let server = Running::start();
    let mut client = server.connect();
    // Each reply is one byte longer, from below the size of the write buffer to above it.
    let write_buffer_bytes = Config::default().write_buffer_bytes;
    for (series, length) in (write_buffer_bytes - 40..write_buffer_bytes + 40).enumerate() {
        // Two points: the key sets the length, and a digit more makes it odd.
        let key = format!("{series:02}{}", "x".repeat(length / 2 - 2 - 9));
        let (put, get) = (format!("put {key} 1 "), format!("get {key}\n"));
        let odd = if length % 2 == 0 { "1" } else { "10" };
        client.exchange(format!("{put}{odd}\n{put}0\n").as_bytes(), &OK.repeat(2));
        let reply = format!("ok\n{key} 1.0 0\n{key} 1.0 {odd}\n\n");
        assert_eq!(reply.len(), length);
        client.exchange(get.as_bytes(), reply.as_bytes());
    }
    assert_same(&client.finish(), b"");
}

#[test]
fn rule_14_clients_that_vanish_do_not_disturb_others() {
    let server = Running::start();
    let mut witness = server.connect();
    for round in 1..=50 {
        // One sends nothing, one stops within a line, one resets with its reply unread.
        drop(server.connect());
        server.connect().send(b"put k 9");
        let mut hasty = server.connect();
        hasty.send(format!("put k 0.5 {round}\nget *").as_bytes());
        hasty.reset();
        witness.exchange(b"put other 1 1\n", OK);
    }
    let points: String = (1..=50).map(|at| format!("k 0.5 {at}\n")).collect();
    witness.exchange(b"get k\n", format!("ok\n{points}\n").as_bytes());
}

#[test]
fn rule_15_an_acknowledged_put_is_seen_by_all_clients() {
    let server = Running::start();
    let [mut writer, mut reader]: [Client; 2] = [server.connect(), server.connect()];
    for round in 0..300 {
        writer.exchange(format!("put k {round} 1\n").as_bytes(), OK);
        reader.exchange(b"get k\n", format!("ok\nk {round}.0 1\n\n").as_bytes());
    }
    // Several writers at a time, each of which checks its own puts.
    let address = server.address;
    thread::scope(|scope| {
        for name in ["a", "b", "c", "d"] {
            scope.spawn(move || {
                let mut client = Client::connect(address);
                for round in 0..200 {
                    client.exchange(format!("put {name} {round} 1\n").as_bytes(), OK);
                    let mut other = Client::connect(address);
                    let reply = format!("ok\n{name} {round}.0 1\n\n");
                    other.exchange(format!("get {name}\n").as_bytes(), reply.as_bytes());
                }
            });
        }
    });
}
