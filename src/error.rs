//! Why a server cannot start or cannot go on.

use std::{fmt, io};

/// Why a server could not be bound, or why it ended before it was stopped.
///
/// Nothing that a client sends is ever such an error: a bad line is answered, a broken
/// connection is closed, and the server goes on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A field of the [`Config`](crate::Config) is out of its range.
    Config {
        /// Name of the field.
        field: &'static str,
        /// What it was set to; of `listen`, how many addresses.
        value: usize,
        /// The least that it takes.
        least: usize,
        /// The most that it takes.
        most: usize,
    },
    /// An address to listen on is malformed, or its host name does not resolve.
    Resolve {
        /// The address as it was given.
        address: String,
        /// What the system's resolver said.
        source: io::Error,
    },
    /// An address cannot be listened on: in use, not permitted, not of this machine.
    Listen {
        /// The address as it was given.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused what the server itself needs.
    System {
        /// What was asked of the system.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: what the system refused.
    pub(crate) fn system(doing: &'static str) -> impl Fn(io::Error) -> Error {
        move |source| Error::System { doing, source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Config {
                field,
                value,
                least,
                most: usize::MAX,
            } => {
                write!(f, "{field} is {value}: it takes at least {least}")
            }
            Error::Config {
                field,
                value,
                least,
                most,
            } => {
                write!(f, "{field} is {value}: it takes {least} to {most}")
            }
            Error::Resolve { address, source } => {
                write!(f, "cannot resolve {address}: {source}")
            }
            Error::Listen { address, source } => write!(f, "cannot listen on {address}: {source}"),
            Error::System { doing, source } => write!(f, "cannot {doing}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Config { .. } => None,
            Error::Resolve { source, .. }
            | Error::Listen { source, .. }
            | Error::System { source, .. } => Some(source),
        }
    }
}
