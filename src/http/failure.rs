//! Why there is no answer.

/// Why there is no answer, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Status code, 400 or above.
    pub status: u16,
    /// What is wrong, in a sentence for whoever asked.
    pub message: String,
}

impl Failure {
    /// A failure of this status, for this reason.
    pub fn new(status: u16, message: impl Into<String>) -> Failure {
        let message = message.into();
        Failure { status, message }
    }

    /// What is asked for is wrong, for this reason.
    pub fn bad_request(message: impl Into<String>) -> Failure {
        Failure::new(400, message)
    }
}
