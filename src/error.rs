//! Why a server cannot start or cannot go on.

use std::path::PathBuf;
use std::{fmt, io};

use crate::config::Listen;

/// Why a server could not be bound, or why it ended before it was stopped.
///
/// No client can cause such an error: a bad line is answered, a broken connection is closed, and
/// the server goes on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A field of the [`Config`](crate::Config) is set to what it does not take.
    Setting {
        /// The name of the field.
        field: &'static str,
        /// What is wrong: a whole sentence, which begins with the name of the field.
        message: String,
    },
    /// A file of headers for remote write cannot be used.
    HeaderFile {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// An address to listen on is malformed, or its host name cannot be resolved.
    Resolve {
        /// The address as it was given, and what was to be spoken there.
        listen: Listen,
        /// The error of the system's resolver.
        source: io::Error,
    },
    /// The server cannot listen on an address: it is in use, not permitted, or not an address of
    /// this machine.
    Listen {
        /// The address as it was given, and what was to be spoken there.
        listen: Listen,
        /// The system's error.
        source: io::Error,
    },
    /// Points are to be kept in a folder, and the store that was handed in holds others already.
    FilledStore,
    /// Points cannot be kept in a folder, or cannot be read from it.
    Data {
        /// [`Config::data`](crate::Config::data).
        path: PathBuf,
        /// Which file it is, and what is wrong.
        source: io::Error,
    },
    /// The system refused something that the server needs.
    System {
        /// What the server could not do.
        doing: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

impl Error {
    /// Makes an [`Error::System`], for `map_err`.
    pub(crate) fn system(doing: &'static str) -> impl Fn(io::Error) -> Error {
        move |source| Error::System { doing, source }
    }
}

/// For `map_err`: the same error, with this before its message.
pub(crate) fn explained(what: &str) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Setting { message, .. } => f.write_str(message),
            Error::HeaderFile { path, source } => {
                write!(f, "cannot use the headers in {}: {source}", path.display())
            }
            Error::Resolve { listen, source } => {
                write!(f, "cannot resolve {}: {source}", listen.address)
            }
            Error::Listen { listen, source } => {
                write!(f, "cannot listen on {}: {source}", listen.address)
            }
            Error::FilledStore => {
                f.write_str("the store is not empty: a folder is read into an empty one")
            }
            Error::Data { path, source } => {
                write!(f, "cannot keep points in {}: {source}", path.display())
            }
            Error::System { doing, source } => write!(f, "cannot {doing}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Setting { .. } | Error::FilledStore => None,
            Error::HeaderFile { source, .. }
            | Error::Resolve { source, .. }
            | Error::Listen { source, .. }
            | Error::Data { source, .. }
            | Error::System { source, .. } => Some(source),
        }
    }
}
