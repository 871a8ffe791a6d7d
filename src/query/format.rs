//! What series look like in an answer: as graphite-web 1.1.8 prints them (`renderViewJson`,
//! `renderViewCsv` and `renderViewRaw` in `graphite/render/views.py`).

use super::json::push_string;
use super::series::Series;
use super::text::{cut, has_any};
use crate::calendar::push_time;
use crate::decimal::{decimals_of, digits_of};
use crate::http::{push, push_all};
use crate::protocol::integer::{self, AscendingWriter};
use crate::protocol::{NUMBER_ROOM_BYTES, float};

/// Steps that are written at once, in a microsecond or two.
const STEPS_AT_ONCE: usize = 64;

/// The room that a point needs in JSON, `[value, time]`, with what separates it from the last one.
const POINT_ROOM_BYTES: usize = 2 * NUMBER_ROOM_BYTES + 8;

/// So many values of a series are looked at to learn how many decimals they have.
const VALUES_LOOKED_AT: usize = 8;

/// How series are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A list of objects. JSON has no infinities: a value that is none of its numbers is `null`. Or
    /// such points are left out, and series that have no other.
    Json { null_points: bool },
    /// A line for each step: name, date, value.
    Csv,
    /// A line for each series: name, start, end, step, and the values.
    Raw,
}

impl Format {
    /// The media type of the answer.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Json { .. } => "application/json",
            Format::Csv => "text/csv; charset=utf-8",
            Format::Raw => "text/plain; charset=utf-8",
        }
    }
}

/// Writes series one after the other, each in pieces.
pub struct Writer {
    format: Format,
    /// Whether a series was begun.
    any_series: bool,
    /// The series that is begun and not complete.
    series: Option<Series>,
    /// How many of its steps are written.
    steps_done: usize,
    /// Whether a point of it was written.
    any_points: bool,
    /// How many decimals most of its values are likely to have.
    decimals: u8,
    /// Its name, as each line of CSV begins.
    name_field: Vec<u8>,
}

impl Writer {
    pub fn new(format: Format) -> Writer {
        Writer {
            format,
            any_series: false,
            series: None,
            steps_done: 0,
            any_points: false,
            decimals: 0,
            name_field: Vec::new(),
        }
    }

    /// Bytes that it keeps.
    pub fn kept_bytes(&self) -> usize {
        self.name_field.capacity() + self.series.as_ref().map_or(0, Series::kept_bytes)
    }

    /// Begins a series. The one before is complete.
    pub fn begin(&mut self, series: Series, out: &mut Vec<u8>) {
        match self.format {
            Format::Json { null_points } => {
                if !null_points && !series.values.iter().any(|value| value.is_finite()) {
                    return;
                }
                let mark = if self.any_series { ", " } else { "[" };
                push_all(out, &[mark, "{\"target\": "]);
                push_string(out, &series.name);
                push(out, ", \"tags\": {");
                let is_aliased = !series.unaliased.is_empty();
                let names = [&series.name, &series.unaliased];
                write_json_tags(out, names[usize::from(is_aliased)]);
                push(out, "}, \"datapoints\": [");
            }
            Format::Csv => {
                self.name_field.clear();
                write_csv_field(&mut self.name_field, &series.name);
            }
            Format::Raw => {
                push(out, &series.name);
                let end = series.time(series.values.len());
                for number in [series.start, end, series.step] {
                    out.push(b',');
                    append(out, NUMBER_ROOM_BYTES, |room| integer::write(room, number));
                }
                out.push(b'|');
            }
        }
        let looked_at = series.values.iter().take(VALUES_LOOKED_AT);
        let decimals = looked_at.filter_map(|&value| decimals_of(value)).max();
        self.decimals = decimals.unwrap_or(0);
        (self.any_series, self.steps_done, self.any_points) = (true, 0, false);
        self.series = Some(series);
    }

    /// Goes on with the series that is begun, by some of its steps, and completes it with the last. Returns
    /// whether there was one that was not complete.
    pub fn write_piece(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(series) = &self.series else {
            return false;
        };
        let rest = &series.values[self.steps_done..];
        // Each line of CSV has the whole name.
        let most_steps = STEPS_AT_ONCE.min(STEPS_AT_ONCE * 64 / self.name_field.len().max(1));
        let piece = &rest[..rest.len().min(most_steps.max(1))];
        let steps = piece.iter().zip(self.steps_done..);
        let points = steps.map(|(&value, step)| (series.time(step), value));
        let decimals = self.decimals;
        match self.format {
            Format::Json { null_points } => {
                let mut points = points.filter(|(_, value)| null_points || value.is_finite());
                let is_first = !self.any_points;
                self.any_points |= write_json_points(out, &mut points, decimals, is_first);
            }
            Format::Csv => {
                for (time, value) in points {
                    out.extend_from_slice(&self.name_field);
                    out.push(b',');
                    push_time(out, time, b' ');
                    out.push(b',');
                    push_value(out, value, decimals, b"");
                    out.extend_from_slice(b"\r\n");
                }
            }
            Format::Raw => {
                for (_, value) in points {
                    push(out, if self.any_points { "," } else { "" });
                    push_value(out, value, decimals, b"None");
                    self.any_points = true;
                }
            }
        }
        self.steps_done += piece.len();
        if self.steps_done == series.values.len() {
            self.series = None;
            let end = match self.format {
                Format::Json { .. } => "]}",
                Format::Csv => "",
                Format::Raw => "\n",
            };
            push(out, end);
        }
        true
    }

    /// Ends the answer, after the last series.
    pub fn end(&self, out: &mut Vec<u8>) {
        if let Format::Json { .. } = self.format {
            push(out, if self.any_series { "]" } else { "[]" });
        }
    }
}

/// Appends what `write` writes at the front of so much room, whose length it returns.
fn append(out: &mut Vec<u8>, room_bytes: usize, write: impl FnOnce(&mut [u8]) -> usize) {
    let start = out.len();
    out.resize(start + room_bytes, 0);
    let length = write(&mut out[start..]);
    out.truncate(start + length);
}

/// Appends a value as `repr()` writes it, or `nothing` if there is none.
#[inline(never)]
fn push_value(out: &mut Vec<u8>, value: f64, decimals: u8, nothing: &[u8]) {
    append(out, NUMBER_ROOM_BYTES, |room| {
        write_value(room, value, decimals, nothing)
    });
}

/// Writes a value as `repr()` does, or `nothing` if there is none, and returns its length.
#[inline]
fn write_value(room: &mut [u8], value: f64, decimals: u8, nothing: &[u8]) -> usize {
    if let Some(digits) = digits_of(value, decimals) {
        return float::write_decimal(room, digits, decimals);
    }
    if !value.is_nan() {
        return float::write(room, value);
    }
    room[..nothing.len()].copy_from_slice(nothing);
    nothing.len()
}

/// Writes up to [`STEPS_AT_ONCE`] points, and says whether there were any.
fn write_json_points(
    out: &mut Vec<u8>,
    points: &mut dyn Iterator<Item = (i64, f64)>,
    decimals: u8,
    mut is_first: bool,
) -> bool {
    let mut times = AscendingWriter::default();
    let before = out.len();
    append(out, STEPS_AT_ONCE * POINT_ROOM_BYTES, |room| {
        let mut length = 0;
        for (time, value) in points {
            let mut write = |text: &[u8]| {
                room[length..][..text.len()].copy_from_slice(text);
                length += text.len();
            };
            write(if is_first { b"[" } else { b", [" });
            is_first = false;
            // Infinities too.
            let value = if value.is_finite() { value } else { f64::NAN };
            length += write_value(&mut room[length..], value, decimals, b"null");
            room[length..][..2].copy_from_slice(b", ");
            length += 2;
            length += times.write(&mut room[length..], time);
            room[length] = b']';
            length += 1;
        }
        length
    });
    out.len() > before
}

/// Writes the tags of a series: its name, and those that follow it after semicolons.
fn write_json_tags(out: &mut Vec<u8>, name: &str) {
    let mut parts = name.split(';');
    push(out, "\"name\": ");
    push_string(out, parts.next().unwrap_or(name));
    let tags = parts.filter_map(|part| cut(part, '='));
    for (tag, value) in tags.filter(|&(tag, _)| tag != "name") {
        push(out, ", ");
        push_string(out, tag);
        push(out, ": ");
        push_string(out, value);
    }
}

/// Writes a field of CSV, in quotes if it needs them (RFC 4180, section 2).
fn write_csv_field(out: &mut Vec<u8>, text: &str) {
    match has_any(text, b"\",\r\n") {
        true => push_all(out, &["\"", &text.replace('"', "\"\""), "\""]),
        false => push(out, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text without its percent-encoding.
    fn decoded(text: &str) -> String {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let [first, after @ ..] = rest {
            let is_encoded = *first == b'%';
            let hex = || u8::from_str_radix(std::str::from_utf8(&after[..2]).unwrap(), 16).unwrap();
            bytes.push(if is_encoded { hex() } else { *first });
            rest = &after[if is_encoded { 2 } else { 0 }..];
        }
        String::from_utf8(bytes).unwrap()
    }

    fn series(text: &str) -> Series {
        let parts: Vec<&str> = text.split(';').collect();
        let value = |text: &str| text.parse().unwrap_or(f64::NAN);
        Series {
            name: decoded(parts[0]),
            start: parts[1].parse().unwrap(),
            step: parts[2].parse().unwrap(),
            values: parts[3].split(',').map(value).collect(),
            ..Series::default()
        }
    }

    fn written(format: Format, list: impl Iterator<Item = Series>) -> String {
        let (mut writer, mut out) = (Writer::new(format), Vec::new());
        for series in list {
            writer.begin(series, &mut out);
            while writer.write_piece(&mut out) {}
        }
        writer.end(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn series_look_as_in_graphite() {
        let mut rows = 0;
        let table = include_str!("../../tests/graphite/formats.tsv").lines();
        for row in table.filter(|row| !row.starts_with('#')) {
            let [format, list, answer] = row.split('\t').collect::<Vec<&str>>()[..] else {
                panic!("{row:?} is not format, series, answer");
            };
            let format = match format {
                "csv" => Format::Csv,
                "raw" => Format::Raw,
                json => Format::Json {
                    null_points: json == "json",
                },
            };
            let list = list.split(' ').filter(|text| !text.is_empty());
            assert_eq!(written(format, list.map(series)), decoded(answer));
            rows += 1;
        }
        assert!(rows >= 200);
    }

    #[test]
    fn json_has_no_infinities() {
        let list = || {
            ["a;0;1;inf,1.5,-inf,nan", "b;0;1;inf"]
                .into_iter()
                .map(series)
        };
        assert_eq!(
            written(Format::Json { null_points: true }, list()),
            r#"[{"target": "a", "tags": {"name": "a"}, "datapoints": [[null, 0], [1.5, 1], [null, 2], [null, 3]]}, {"target": "b", "tags": {"name": "b"}, "datapoints": [[null, 0]]}]"#
        );
        assert_eq!(
            written(Format::Json { null_points: false }, list()),
            r#"[{"target": "a", "tags": {"name": "a"}, "datapoints": [[1.5, 1]]}]"#
        );
    }

    #[test]
    fn tags_follow_the_name() {
        let list = ["a.b%3Bhost=\"x%3B=%3Bname=y%3Bz;0;1;nan"]
            .into_iter()
            .map(series);
        let json = written(Format::Json { null_points: true }, list);
        let tags = r#""tags": {"name": "a.b", "host": "\"x", "": ""}, "#;
        assert!(json.contains(tags), "{json}");
    }
}
