//! How a put and a get are said to a server, and what it answers.

use crate::check::POINTS_A_SERIES;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// What metricd and the asyncio reference speak.
    Lines,
    /// The newest point of a series is the value of its key.
    RedisSet,
    /// Every point is a member of a sorted set, its timestamp both the score and, so that equal
    /// values stay apart, a part of the member.
    RedisZadd,
    /// The newest point of a series is the value of its key.
    Memcached,
    /// A line a point, and no reply to any: metricd on its port for Graphite's protocol.
    Graphite,
    /// The same, of VictoriaMetrics.
    Victoria,
    /// The same, of carbon-cache.
    Carbon,
}

use crate::support::*;
use Dialect::{Lines, Memcached, RedisSet, RedisZadd};

impl Dialect {
    /// With two decimals, as a client that formats a measurement would send it.
    pub fn put(self, key: &str, point: &Point) -> String {
        let (Point { timestamp, value }, data) = (point, data(point));
        match self {
            Lines => format!("put {key} {value:.2} {timestamp}\n"),
            Memcached => format!("set {key} 0 0 {}\r\n{data}\r\n", data.len()),
            RedisSet => command(&["SET", key, &data]),
            RedisZadd => command(&["ZADD", key, &timestamp.to_string(), &data]),
            _ => format!("{key} {value:.2} {timestamp}\n"),
        }
    }

    /// Empty where puts are not answered. Redis tells a point that is there already from a new one.
    pub fn put_reply(self, is_there: bool) -> &'static str {
        match self {
            Lines => "ok\n\n",
            Memcached => "STORED\r\n",
            RedisSet => "+OK\r\n",
            RedisZadd if is_there => ":0\r\n",
            RedisZadd => ":1\r\n",
            _ => "",
        }
    }

    /// Asks for the points of one series. Redis: for as many as a series is filled with, so that
    /// the end of the reply is known while others put more.
    pub fn get(self, key: &str) -> String {
        let last = (POINTS_A_SERIES - 1).to_string();
        match self {
            Memcached => format!("get {key}\r\n"),
            RedisSet => command(&["GET", key]),
            RedisZadd => command(&["ZRANGE", key, "0", &last]),
            _ => format!("get {key}\n"),
        }
    }

    /// Asks for the points of all series.
    pub fn get_all(self) -> String {
        match self {
            Lines => self.get("*"),
            _ => (0..SERIES).map(|number| self.get(&key(number))).collect(),
        }
    }

    /// The exact reply to a get, or a get of all, that found these series.
    pub fn reply(self, series: &[(String, Vec<Point>)]) -> String {
        let mut reply = String::from(if self == Lines { "ok\n" } else { "" });
        for (key, points) in series {
            if self == RedisZadd {
                reply += &format!("*{}\r\n", points.len());
            }
            for point in points {
                let (timestamp, value, data) = (point.timestamp, point.value, data(point));
                reply += &match self {
                    Lines => format!("{key} {value:?} {timestamp}\n"),
                    Memcached => format!("VALUE {key} 0 {}\r\n{data}\r\n", data.len()),
                    _ => bulk(&data),
                };
            }
        }
        reply += match self {
            Lines => "\n",
            Memcached => "END\r\n",
            _ => "",
        };
        reply
    }

    /// Lines of that reply: counting them is how its end is found at full speed. Redis gives no
    /// more points than each series was filled with.
    pub fn reply_lines(self, series: usize, points: usize) -> usize {
        match self {
            RedisZadd => series + 2 * points.min(series * POINTS_A_SERIES),
            _ => points + 2,
        }
    }
}

fn data(point: &Point) -> String {
    format!("{:.2} {}", point.value, point.timestamp)
}

fn command(words: &[&str]) -> String {
    let bulks: String = words.iter().map(|word| bulk(word)).collect();
    format!("*{}\r\n{bulks}", words.len())
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}
