//! The page in a browser: Chromium opens it from the program, with points that were put.
//!
//! Without `chromium` and `chromedriver` the tests pass and say so, unless `METRICD_REQUIRE_PEERS` is set.
//! `cargo test --test program -- --ignored` makes the README's screenshot again, `tests/page/screenshot.png`.

use std::fs;
use std::net::SocketAddr;

use super::webdriver::{Browser, END, ESCAPE, LEFT, quoted};
use crate::support::OK;
use crate::support::process::{Daemon, listening_line};
use rustix::process::Signal;

const PAGE: &str = include_str!("../../src/web/page.html");

/// 14 November 2023, 22:13:20 in UTC.
const START: u64 = 1_700_000_000;

/// A program that serves the page, and a browser.
struct Scene {
    daemon: Daemon,
    http: SocketAddr,
    browser: Browser,
}

impl Scene {
    /// `None` if there is no browser.
    fn start(name: &str) -> Option<Scene> {
        let browser = Browser::start(name)?;
        let daemon = Daemon::start(&["--http", "127.0.0.1:0"]);
        let http = listening_line(&daemon.process);
        Some(Scene {
            daemon,
            http,
            browser,
        })
    }

    /// Puts points, given as lines of key, value and timestamp.
    fn put(&self, points: &[String]) {
        let puts: String = points
            .iter()
            .map(|point| format!("put {point}\n"))
            .collect();
        let replies = self
            .daemon
            .connect()
            .converse([puts.as_bytes()].into_iter());
        assert!(replies == OK.repeat(points.len()), "all are stored");
    }

    /// Opens the page on what is after the `#` of its address.
    fn open(&self, fragment: &str) {
        self.browser
            .open(&format!("http://{}/#{fragment}", self.http));
    }

    /// Fails if the page logged an error, or its policy forbade something.
    #[track_caller]
    fn expect_calm_console(&self) {
        assert_eq!(self.browser.console(), r#"{"value":[]}"#);
    }
}

#[test]
fn it_is_one_small_file_that_fetches_nothing_from_elsewhere() {
    assert!(PAGE.len() <= 40_000, "{} bytes", PAGE.len());
    for tag in ["<style>", "</style>", "<script>", "</script>"] {
        assert_eq!(PAGE.matches(tag).count(), 1, "{tag}");
    }
    // The name of SVG's elements is no address.
    let without_names = PAGE.replace("http://www.w3.org/2000/svg", "");
    for forbidden in [
        "http:",
        "https:",
        "//cdn",
        "@import",
        "innerHTML",
        " style=",
        "eval(",
    ] {
        assert!(!without_names.contains(forbidden), "{forbidden}");
    }
}

#[test]
fn the_numbers_in_its_table_are_those_that_were_put() {
    let Some(scene) = Scene::start("numbers") else {
        return;
    };
    let series = ["page.extreme", "page.plain"];
    let extremes = [1.5e300, -2.5e-7, 0.1, -3.0, 123_456_789.125];
    // The first series has points only in the first and the last third.
    let value = |which, at: usize| match which {
        0 => (!(10..20).contains(&at)).then(|| extremes[at % extremes.len()]),
        _ => Some(at as f64 / 4.0),
    };
    let points = (0..30).flat_map(|at| (0..2).map(move |which| (which, at)));
    let points = points.filter_map(|(which, at)| {
        let (value, timestamp) = (value(which, at)?, START + 10 * at as u64);
        Some(format!("{} {value:e} {timestamp}", series[which]))
    });
    scene.put(&points.collect::<Vec<_>>());

    let until = START + 300;
    scene.open(&format!(
        "target=page.*&from={}&until={until}&numbers=on",
        START - 10
    ));
    let rows = "document.querySelectorAll('#rows tr')";
    let table = scene.browser.wait_for(&format!(
        "[...{rows}].map(row => [...row.cells].map(cell => cell.textContent).join('|')).join('\\n')"
    ));
    let mut rows = table.lines().rev();
    for at in 0..30 {
        let cells: Vec<_> = rows
            .next()
            .expect("a row for each time")
            .split('|')
            .collect();
        let seconds = 22 * 3600 + 13 * 60 + 20 + 10 * at;
        let time = format!(
            "14 Nov, {:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        );
        assert_eq!(cells[0], time);
        for which in 0..2 {
            assert_eq!(
                cells[1 + which].parse().ok(),
                value(which, at),
                "{} at {at}",
                series[which]
            );
        }
    }
    let names =
        "[...document.querySelectorAll('#legend bdi')].map(name => name.textContent).join()";
    assert_eq!(scene.browser.wait_for(names), series.join(","));
    // A curve begins again after a gap.
    let begins = "[...document.querySelectorAll('.curve:not(.dots)')].map(curve => curve.getAttribute('d')?.split('M').length - 1)";
    assert!(scene.browser.wait_for(begins).starts_with("2,1"));
    scene.expect_calm_console();
}

#[test]
fn hostile_keys_are_only_text() {
    let Some(scene) = Scene::start("hostile") else {
        return;
    };
    let long = "long.".to_string() + &"k".repeat(9_990);
    let keys = [
        "<img/src=x/onerror=alert(1)>.x",
        "<script>document.title=1</script>.y",
        "&lt;b&gt;",
        "\"quoted'key\".z",
        "rtl.\u{202e}abc\u{202c}",
        "عربى.قيمة",
        "glob.a*b[c]{d,e}?",
        "call(a,b)|c",
        "tags;host=a;dc=b",
        "per%cent&x=1+2#3",
        "back\\slash",
        "a..b",
        ".",
        "42",
        "true",
        long.as_str(),
    ];
    let points = keys.map(|key| format!("{key} 7.25 {START}"));
    scene.put(&points);
    scene.open(&format!("from={}&until={}", START - 60, START + 60));
    let browser = &scene.browser;
    for key in keys {
        let text: String = key.chars().take(20).collect();
        let find = format!(
            "(found => found && !found.disabled && found)([...document.querySelectorAll('#found button')].find(found => found.textContent === {}))",
            quoted(key)
        );
        browser.wait_for(&format!(
            "(page.search.value = {}, page.search.oninput(), true)",
            quoted(&text)
        ));
        browser.wait_for(&format!("{find} && ({find}.click(), true)"));
        let names = "[...document.querySelectorAll('#legend bdi')].map(name => name.textContent)";
        browser.wait_for(&format!("{names}.join() === {}", quoted(key)));
        browser.wait_for(&format!("({find}.click(), true)"));
        browser.wait_for(&format!("!{names}.length"));
    }
    // Through the tree, too.
    let press = |text: &str| {
        let button = format!(
            "[...document.querySelectorAll('#tree button')].find(button => button.textContent === {})",
            quoted(text)
        );
        browser.wait_for(&format!("{button} && ({button}.click(), true)"));
    };
    browser.wait_for("(page.search.value = '', page.search.oninput(), true)");
    press("<img/src=x/onerror=alert(1)>");
    press("x");
    browser.wait_for("document.title === '<img/src=x/onerror=alert(1)>.x – metricd'");
    assert_eq!(
        browser.wait_for("document.querySelectorAll('img, script').length"),
        "1"
    );
    // On a small phone nothing is wider than the screen, a long key included.
    scene.open(&format!(
        "target=long.*&target=servers&from={}&until={}&numbers=on&edit=on",
        START - 60,
        START + 60
    ));
    browser.resize(360, 640);
    browser.wait_for("document.querySelector('#legend li')");
    assert_eq!(
        browser.wait_for("document.documentElement.scrollWidth"),
        "360"
    );
    scene.expect_calm_console();
}

#[test]
fn it_zooms_reads_values_aloud_and_says_what_is_wrong() {
    let Some(scene) = Scene::start("zoom") else {
        return;
    };
    let browser = &scene.browser;
    let points = (0..100).map(|at| format!("page.cpu {at} {}", START + 10 * at));
    scene.put(&points.collect::<Vec<_>>());
    let fragment = format!("target=page.cpu&from={START}&until={}", START + 1_000);
    scene.open(&fragment);
    browser.wait_for("document.querySelector('.curve')");

    browser.press(END); // not on the plot: does nothing
    browser.wait_for("(page.plot.focus(), true)");
    browser.press(END);
    browser.press(LEFT);
    browser.press(LEFT);
    browser.wait_for("page.spoken.textContent === '14 Nov, 22:29:40: 98, page.cpu'");

    browser.drag((500, 300), (700, 300));
    let range = "['from', 'until'].map(name => Number(new URLSearchParams(location.hash.slice(1)).get(name)))";
    let zoomed = browser.wait_for(&format!(
        "location.hash !== {} && {range}",
        quoted(&format!("#{fragment}"))
    ));
    let (from, until) = zoomed.split_once(',').expect("two times");
    let (from, until): (u64, u64) = (
        from.parse().expect("a time"),
        until.parse().expect("a time"),
    );
    assert!(
        START < from && from < until && until < START + 1_000,
        "{zoomed}"
    );
    browser.press(ESCAPE);
    browser.wait_for(&format!("String({range}) === '{START},{}'", START + 1_000));
    browser.wait_for("(history.back(), true)");
    browser.wait_for(&format!("String({range}) === '{zoomed}'"));
    scene.expect_calm_console();

    let target = "page.targets.querySelector('input')";
    browser.wait_for(&format!(
        "({target}.value = 'nonsense(page.cpu)', {target}.onchange(), true)"
    ));
    let wrong = browser.wait_for("page.targets.querySelector('.bad')?.textContent");
    assert!(
        wrong.contains("nonsense") && wrong.contains("character 1 "),
        "{wrong}"
    );

    scene.daemon.process.signal(Signal::TERM);
    browser.wait_for(&format!(
        "({target}.value = 'page.cpu', {target}.onchange(), true)"
    ));
    browser.wait_for("page.status.textContent.includes('No answer')");
}

/// Makes the README's screenshot, of points that are the same each time.
#[test]
#[ignore = "writes tests/page/screenshot.png"]
fn screenshot() {
    let Some(scene) = Scene::start("screenshot") else {
        return;
    };
    let wave = |at: f64, period: f64, phase: f64| (at / period + phase).sin();
    let value = |host: usize, at: f64| {
        let phase = host as f64 * 1.7;
        38.0 + 9.0 * host as f64
            + 11.0 * wave(at, 900.0, phase)
            + 4.0 * wave(at, 170.0, 2.0 * phase)
    };
    let points = (0..4).flat_map(|host| (0..240).map(move |at| (host, at)));
    // One host was away for a while.
    let points = points.filter(|&(host, at)| host != 2 || !(130..150).contains(&at));
    let points = points.map(|(host, at)| {
        let (value, timestamp) = (value(host, at as f64 * 30.0), START + 30 * at);
        format!("servers.web-{host}.cpu {value:.2} {timestamp}")
    });
    scene.put(&points.collect::<Vec<_>>());
    scene.open(&format!(
        "target=servers.*.cpu&target=alias(averageSeries(servers.*.cpu),%22average%22)&from={}&until={}",
        START, START + 7_170,
    ));
    let browser = &scene.browser;
    for name in ["servers", "web-1", "web-2"] {
        let button = format!(
            "[...page.tree.querySelectorAll('button')].find(button => button.textContent === '{name}')"
        );
        browser.wait_for(&format!("{button} && ({button}.click(), true)"));
    }
    browser.wait_for("page.tree.querySelectorAll('ul ul ul button').length === 2");
    browser.wait_for("document.querySelectorAll('#legend li').length === 5");
    // Without the time of day, so that the same page makes the same picture.
    browser.wait_for("(page.status.textContent = '', true)");
    browser.drag((700, 330), (700, 330));
    let png = browser.screenshot();
    assert!(png.len() <= 100_000, "{} bytes", png.len());
    fs::write(
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page/screenshot.png"),
        png,
    )
    .expect("is written");
}
