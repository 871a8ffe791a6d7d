//! A request, as far as whoever answers it needs to know.

use super::body::hex_digit;
use super::failure::Failure;
use crate::config::Config;

/// A request whose head and body are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is to be done.
    pub method: Method,
    /// The path, percent-decoded, with its leading slash.
    pub path: String,
    /// Those of the query string, then those of a form in the body.
    pub parameters: Parameters,
}

/// What a request wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// To be sent what there is.
    Get,
    /// The same without the body.
    Head,
    /// The same, with parameters in the body.
    Post,
    /// Anything else that HTTP defines, which changes something or is of no use here.
    Other,
}

/// Names and values, decoded, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(pub Vec<(String, String)>);

impl Parameters {
    /// The last value of this name: as Django does, in which Graphite is written.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).last()
    }

    /// All values of this name, in order.
    pub fn all<'name>(&self, name: &'name str) -> impl Iterator<Item = &str> + use<'_, 'name> {
        let named = self.0.iter().filter(move |(known, _)| known == name);
        named.map(|(_, value)| value.as_str())
    }

    /// Adds those of a query string, or of the body of a form: `application/x-www-form-urlencoded`,
    /// as the URL Standard parses it.
    ///
    /// # Errors
    ///
    /// If they are too many, or not UTF-8.
    pub fn add_encoded(&mut self, text: &[u8]) -> Result<(), Failure> {
        let pairs = text.split(|&byte| byte == b'&');
        for pair in pairs.filter(|pair| !pair.is_empty()) {
            let most = Config::PARAMETERS_MAX;
            if self.0.len() == most {
                return Err(format!("there are more than {most} parameters").into());
            }
            let name = pair.split(|&byte| byte == b'=').next().unwrap_or_default();
            let value = pair.get(name.len() + 1..).unwrap_or_default();
            self.0.push((decode(name, true)?, decode(value, true)?));
        }
        Ok(())
    }
}

/// Percent-decodes. A `%` that two hexadecimal digits do not follow stands for itself, and in a form a
/// `+` for a blank.
///
/// # Errors
///
/// If the result is not UTF-8, as every key is.
pub fn decode(text: &[u8], is_form: bool) -> Result<String, Failure> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, ..] = rest {
        let escaped = match rest {
            [b'%', high, low, ..] => Option::zip(hex_digit(*high), hex_digit(*low)),
            _ => None,
        };
        let (byte, length) = match escaped {
            Some((high, low)) => (high << 4 | low, 3),
            None if is_form && *byte == b'+' => (b' ', 1),
            None => (*byte, 1),
        };
        decoded.push(byte);
        rest = &rest[length..];
    }
    String::from_utf8(decoded).map_err(|_| "the path or a parameter is not UTF-8".into())
}
