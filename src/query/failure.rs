//! Why a query is not answered.

use crate::store::SnapshotError;

/// Why a query is not answered, or not to its end, in a sentence for whoever asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It is wrong, or asks for what is not offered.
    Wrong(String),
    /// It needs more time or memory than a query may have.
    TooMuch(String),
    /// What it reads is no longer kept.
    CutOff(SnapshotError),
}

impl From<String> for Failure {
    fn from(message: String) -> Failure {
        Failure::Wrong(message)
    }
}

impl From<SnapshotError> for Failure {
    fn from(error: SnapshotError) -> Failure {
        Failure::CutOff(error)
    }
}
