//! JSON as the receivers write it.

/// A value. What is neither a list nor a map is kept as its text: VictoriaMetrics writes `+Inf`, which is
/// no JSON.
#[derive(Debug)]
pub enum Json {
    Text(String),
    List(Vec<Json>),
    Map(Vec<(String, Json)>),
}

impl Json {
    /// Reads one value.
    ///
    /// # Panics
    ///
    /// If it is none, here and below as in the tests: with what was read instead.
    #[track_caller]
    pub fn read(text: &str) -> Json {
        value(&mut text.trim_start())
    }

    /// A value of a map, by its name.
    #[track_caller]
    pub fn get(&self, name: &str) -> &Json {
        let mut values = self.entries().iter();
        let found = values.find(|(other, _)| other == name);
        &found.unwrap_or_else(|| panic!("no {name} in {self:?}")).1
    }

    #[track_caller]
    pub fn entries(&self) -> &[(String, Json)] {
        match self {
            Json::Map(entries) => entries,
            _ => panic!("{self:?} is no map"),
        }
    }

    #[track_caller]
    pub fn items(&self) -> &[Json] {
        match self {
            Json::List(items) => items,
            _ => panic!("{self:?} is no list"),
        }
    }

    #[track_caller]
    pub fn text(&self) -> &str {
        match self {
            Json::Text(text) => text,
            _ => panic!("{self:?} is no text"),
        }
    }

    #[track_caller]
    pub fn number(&self) -> f64 {
        let number = self.text().parse();
        number.unwrap_or_else(|_| panic!("{self:?} is no number"))
    }
}

fn value(rest: &mut &str) -> Json {
    match rest.as_bytes()[0] {
        b'[' => Json::List(list(rest, ']', value)),
        b'{' => Json::Map(list(rest, '}', |rest| {
            let name = string(rest);
            assert!(take(rest, ':'), "{}", &rest[..rest.len().min(60)]);
            (name, value(rest))
        })),
        b'"' => Json::Text(string(rest)),
        _ => {
            let end = rest.find([',', ']', '}']).unwrap_or(rest.len());
            let (text, after) = rest.split_at(end);
            *rest = after;
            Json::Text(text.trim().into())
        }
    }
}

/// Steps over this character, if it is the next.
fn take(rest: &mut &str, expected: char) -> bool {
    let after = rest.strip_prefix(expected);
    *rest = after.unwrap_or(rest);
    after.is_some()
}

fn list<T>(rest: &mut &str, end: char, item: impl Fn(&mut &str) -> T) -> Vec<T> {
    // What opens it.
    *rest = &rest[1..];
    let mut items = Vec::new();
    while !take(rest, end) {
        items.push(item(rest));
        take(rest, ',');
    }
    items
}

fn string(rest: &mut &str) -> String {
    assert!(take(rest, '"'), "{}", &rest[..rest.len().min(60)]);
    let mut string = String::new();
    loop {
        let end = rest.find(['"', '\\']).expect("the end of a string");
        string += &rest[..end];
        let escape = rest[end..].starts_with('\\');
        *rest = &rest[end + 1..];
        if !escape {
            return string;
        }
        let mut width = 1;
        string.push(match &rest[..1] {
            "n" => '\n',
            "t" => '\t',
            "r" => '\r',
            "u" => {
                width = 5;
                let code = u32::from_str_radix(&rest[1..5], 16).expect("four digits");
                char::from_u32(code).expect("no half of a pair")
            }
            other => other.chars().next().expect("one"),
        });
        *rest = &rest[width..];
    }
}
