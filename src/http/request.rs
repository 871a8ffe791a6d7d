//! A request, as far as whoever answers it needs to know.

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
pub struct Parameters(Vec<(String, String)>);

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
}

impl FromIterator<(String, String)> for Parameters {
    fn from_iter<Pairs: IntoIterator<Item = (String, String)>>(pairs: Pairs) -> Parameters {
        Parameters(pairs.into_iter().collect())
    }
}
