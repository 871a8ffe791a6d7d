//! Why there is no answer, or none yet.

use std::borrow::Cow;

/// Why there is no answer, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Status code, 400 or above.
    pub status: u16,
    /// What is wrong, in a sentence for whoever asked.
    pub message: Cow<'static, str>,
}

/// Why something goes no further.
#[cfg(feature = "http")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// It goes on in another turn: the time of this one is up, or more of the request must come.
    Pause,
    /// It never will.
    Failed(Failure),
}

impl Failure {
    /// A failure of this status, for this reason.
    pub fn new(status: u16, message: impl Into<Cow<'static, str>>) -> Failure {
        let message = message.into();
        Failure { status, message }
    }
}

/// What is asked for is wrong, for this reason.
impl<Message: Into<Cow<'static, str>>> From<Message> for Failure {
    fn from(message: Message) -> Failure {
        Failure::new(400, message)
    }
}

#[cfg(feature = "http")]
impl<Reason: Into<Failure>> From<Reason> for Halt {
    fn from(reason: Reason) -> Halt {
        Halt::Failed(reason.into())
    }
}
