//! The labels of a series: those of its key, and those that all series get.
//!
//! A key is a name and tags after semicolons, `name;tag=value;tag=value`. The name becomes the label
//! `__name__`, and each tag becomes a label. Characters that Prometheus does not allow in a name become `_`. If
//! the key cannot be rebuilt from these labels, the label `key` holds it unchanged.

use std::borrow::Cow;

/// The label of the name.
const NAME: &str = "__name__";

/// The label of the unchanged key, where it is needed.
const KEY: &str = "key";

/// The most tags of a key that become labels. VictoriaMetrics and Mimir take fewer by default: 30 labels.
const TAGS_MAX: usize = 64;

/// Labels that all series get.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// Names and values.
    pub common: Vec<(String, String)>,
}

impl Labels {
    /// Checks the labels that all series get.
    ///
    /// # Errors
    ///
    /// What is wrong with the first label that is not allowed, as a message for an operator.
    pub fn new(common: &[(String, String)]) -> Result<Labels, String> {
        for (number, (name, value)) in common.iter().enumerate() {
            let is_same = |(other, _): &(String, String)| other == name;
            let wrong = if allowed(name, false) != *name {
                "a name consists of letters, digits and _, and does not begin with a digit"
            } else if name.starts_with("__") || name == KEY {
                "the name key and names that begin with __ are reserved"
            } else if common[..number].iter().any(is_same) {
                "it is given twice"
            } else if value.is_empty() {
                "it has no value"
            } else {
                continue;
            };
            return Err(format!("label {name:?}: {wrong}"));
        }
        Ok(Labels {
            common: common.to_vec(),
        })
    }

    /// Calls `take` with the name and value of each label of the series with this key. Names are ascending in
    /// the order of their bytes, and each is there once. Two keys never have the same labels.
    ///
    /// Tags without a value and tags after the first `TAGS_MAX` do not become labels. Of two tags with the same
    /// name, the first one counts. A tag replaces a common label of its name, but never `__name__` or `key`. The
    /// label `key` is left out if the other labels, apart from the common ones, make up exactly the key: its tags
    /// have ascending names, none of them that of a common label, and nothing was changed or left out.
    pub fn for_each(&self, key: &str, take: &mut dyn FnMut(&str, &str)) {
        let mut parts = key.split(';');
        let whole_name = parts.next().unwrap_or_default();
        let name = allowed(whole_name, true);
        let mut is_exact = name == whole_name;
        // Enough for most keys.
        let mut labels = Vec::with_capacity(8);
        labels.push((Cow::Borrowed(NAME), &*name));
        let mut previous = "";
        for part in parts {
            let (tag, value) = part.split_once('=').unwrap_or((part, ""));
            let name = allowed(tag, false);
            let is_label = !value.is_empty() && name != KEY && labels.len() <= TAGS_MAX;
            is_exact &= is_label && name == tag && previous < tag && self.is_free(tag);
            previous = tag;
            if is_label {
                insert(&mut labels, name, value);
            }
        }
        if !is_exact {
            insert(&mut labels, KEY.into(), key);
        }
        for (name, value) in &self.common {
            insert(&mut labels, name.into(), value);
        }
        for (name, value) in labels {
            take(&name, value);
        }
    }

    /// Whether neither the name nor a common label has this name.
    fn is_free(&self, tag: &str) -> bool {
        tag != NAME && self.common.iter().all(|(name, _)| name != tag)
    }
}

/// Inserts a label by its name, unless there is one with this name already.
fn insert<'a>(labels: &mut Vec<(Cow<'a, str>, &'a str)>, name: Cow<'a, str>, value: &'a str) {
    if let Err(place) = labels.binary_search_by(|label| label.0.cmp(&name)) {
        labels.insert(place, (name, value));
    }
}

/// The text as a name that Prometheus allows: other characters are replaced by `_`, and a `_` is put before a
/// first digit or in place of an empty text. Only names of metrics may have colons.
fn allowed(text: &str, is_metric: bool) -> Cow<'_, str> {
    let is_allowed =
        |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || (*byte == b':' && is_metric);
    let begins_well = text.starts_with(|first: char| !first.is_ascii_digit());
    if begins_well && text.as_bytes().iter().all(is_allowed) {
        return text.into();
    }
    let mut changed = String::with_capacity(1 + text.len());
    if !begins_well {
        changed.push('_');
    }
    for c in text.chars() {
        let byte = u8::try_from(c).ok().filter(is_allowed);
        changed.push(byte.map_or('_', char::from));
    }
    changed.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn labels_of(common: &[(&str, &str)], key: &str) -> Vec<(String, String)> {
        let owned = |&(name, value): &(&str, &str)| (name.to_string(), value.to_string());
        let common: Vec<_> = common.iter().map(owned).collect();
        let mut found = Vec::new();
        let labels = Labels::new(&common).expect("labels");
        labels.for_each(key, &mut |name, value| {
            found.push((name.to_string(), value.to_string()));
        });
        found
    }

    /// Keys and their labels, as Prometheus writes them, in the order of their names.
    #[test]
    fn keys_become_labels() {
        for (key, expected) in [
            ("palm.cpu", "__name__=palm_cpu key=palm.cpu"),
            ("palm_cpu", "__name__=palm_cpu"),
            ("job:rate:5m", "__name__=job:rate:5m"),
            ("cpu;core=0;host=a.b", "__name__=cpu core=0 host=a.b"),
            ("cpu;Z=1;a=2", "Z=1 __name__=cpu a=2"),
            ("cpu;zone=ä=;€", "__name__=cpu key=cpu;zone=ä=;€ zone=ä="),
            ("cpu;zone=ä=", "__name__=cpu zone=ä="),
            ("cpu;b=1;a=2", "__name__=cpu a=2 b=1 key=cpu;b=1;a=2"),
            ("cpu;a=1;a=2", "__name__=cpu a=1 key=cpu;a=1;a=2"),
            ("cpu;a.b=1;a:b=2", "__name__=cpu a_b=1 key=cpu;a.b=1;a:b=2"),
            ("cpu;a=", "__name__=cpu key=cpu;a="),
            ("cpu;=a", "_=a __name__=cpu key=cpu;=a"),
            ("cpu;", "__name__=cpu key=cpu;"),
            (";a=1", "__name__=_ a=1 key=;a=1"),
            ("", "__name__=_ key="),
            ("9lives", "__name__=_9lives key=9lives"),
            ("cpu;9=1", "_9=1 __name__=cpu key=cpu;9=1"),
            ("größe€", "__name__=gr__e_ key=größe€"),
            ("cpu;key=a", "__name__=cpu key=cpu;key=a"),
            ("cpu;__name__=a", "__name__=cpu key=cpu;__name__=a"),
        ] {
            let labels = labels_of(&[], key);
            let pair = |(name, value): &(String, String)| format!("{name}={value}");
            let text: Vec<String> = labels.iter().map(pair).collect();
            assert_eq!(text.join(" "), expected, "{key}");
        }
    }

    #[test]
    fn tags_count_more_than_common_labels() {
        let common = [("site", "here"), ("Zone", "1")];
        let pairs = |pairs: &[(&str, &str)]| {
            let owned = |&(name, value): &(&str, &str)| (name.to_string(), value.to_string());
            pairs.iter().map(owned).collect::<Vec<_>>()
        };
        let expected = [("Zone", "1"), ("__name__", "cpu"), ("site", "here")];
        assert_eq!(labels_of(&common, "cpu"), pairs(&expected));
        let key = "cpu;site=there";
        let expected = [
            ("Zone", "1"),
            ("__name__", "cpu"),
            ("key", key),
            ("site", "there"),
        ];
        assert_eq!(labels_of(&common, key), pairs(&expected));
    }

    #[test]
    fn common_labels_are_checked() {
        for (labels, wrong) in [
            (&[("a", "1"), ("_b9", "ä \"")][..], None),
            (&[("a b", "1")], Some("a name consists")),
            (&[("a:b", "1")], Some("a name consists")),
            (&[("9a", "1")], Some("a name consists")),
            (&[("ä", "1")], Some("a name consists")),
            (&[("", "1")], Some("a name consists")),
            (&[("__name__", "1")], Some("are reserved")),
            (&[("__a", "1")], Some("are reserved")),
            (&[("key", "1")], Some("are reserved")),
            (&[("a", "")], Some("no value")),
            (&[("a", "1"), ("b", "1"), ("a", "2")], Some("twice")),
        ] {
            let owned = |&(name, value): &(&str, &str)| (name.to_string(), value.to_string());
            let made = Labels::new(&labels.iter().map(owned).collect::<Vec<_>>());
            match wrong {
                None => assert!(made.is_ok(), "{labels:?}"),
                Some(wrong) => assert!(made.expect_err("wrong").contains(wrong), "{labels:?}"),
            }
        }
    }

    #[test]
    fn tags_become_labels_up_to_a_limit() {
        let key_of = |count: usize| {
            let tag = |number| format!(";t{number:05}=1");
            std::iter::once("cpu".into())
                .chain((0..count).map(tag))
                .collect::<String>()
        };
        assert_eq!(labels_of(&[], &key_of(TAGS_MAX)).len(), 1 + TAGS_MAX);
        for count in [TAGS_MAX + 1, TAGS_MAX + 2, 8_000] {
            let labels = labels_of(&[], &key_of(count));
            assert_eq!(labels.len(), 2 + TAGS_MAX);
            assert_eq!(labels[1], (KEY.to_string(), key_of(count)));
        }
    }

    /// Of few letters, so that parts are often equal.
    const KEY_PATTERN: &str = "([ab:;=.0_ä\u{0}\u{1f980}]|key|__name__|a=b){0,12}";

    proptest! {
        /// The key can be rebuilt from the labels alone, so no two keys have the same labels.
        #[test]
        fn keys_come_back(
            key in prop_oneof![KEY_PATTERN, "[ab](;[ab_A]{1,2}=[ab;]{1,2}){0,4}", ".{0,40}"],
            common in vec("[ab]", 0..3),
        ) {
            let mut common: Vec<(&str, &str)> = common.iter().map(|name| (&**name, "b")).collect();
            common.sort();
            common.dedup();
            let labels = labels_of(&common, &key);
            let is_ascending = labels.is_sorted_by(|one, other| one.0.as_bytes() < other.0.as_bytes());
            prop_assert!(is_ascending, "{:?}", labels);
            for (name, value) in &labels {
                let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
                prop_assert!(name.starts_with(is_letter) && !name.contains(|c: char| !is_letter(c) && !c.is_ascii_digit()));
                prop_assert!(!value.is_empty() || (key.is_empty() && name == KEY));
            }
            let value_of = |wanted: &str| labels.iter().find(|(name, _)| name == wanted).map(|label| &*label.1);
            let name = value_of(NAME).expect("a name");
            prop_assert!(!name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()));
            prop_assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':'));
            let told = match value_of(KEY) {
                Some(key) => key.to_string(),
                None => labels.iter()
                    .filter(|(label, _)| label != NAME && !common.contains(&(&**label, "b")))
                    .fold(name.to_string(), |told, (name, value)| format!("{told};{name}={value}")),
            };
            prop_assert_eq!(told, key);
        }
    }
}
