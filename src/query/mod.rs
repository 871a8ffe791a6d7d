//! Queries in Graphite's language: which series, over which time, and what is made of them.
//!
//! The way of a query, one file per step:
//!
//! ```text
//! render ─ target ─ arguments ─ parameters, functions      what is asked for
//!    ├─ time ─ window                                      over which time
//!    ├─ source ─ pattern                                   which series there are
//!    ├─ steps                                              how long a step is
//!    ├─ evaluate ─ functions ─ source ─ steps              the next series
//!    └─ format ─ json                                      its bytes
//! find, listing ─ walk ─ pattern ─ names                   which names there are
//! ```

pub mod aggregation;
pub mod arguments;
pub mod budget;
mod evaluate;
pub mod find;
mod format;
pub mod functions;
pub mod interval;
mod json;
pub mod listing;
mod names;
mod number;
mod parameters;
pub mod pattern;
mod recent;
mod regex;
mod render;
pub mod series;
mod source;
mod steps;
pub mod target;
pub mod text;
mod time;
mod walk;
pub mod window;

pub use self::render::render;

use crate::http::{Failure, Halt};
use crate::store::SnapshotError;
use crate::turn::Allowance;

/// Pauses when the time of a turn is up.
fn look_at_clock(allowance: &mut Allowance) -> Result<(), Halt> {
    allowance.look_at_clock();
    match allowance.time_is_up() {
        true => Err(Halt::Pause),
        false => Ok(()),
    }
}

/// It needs more time or memory than a query may have. As Prometheus answers one that would load too many
/// samples.
fn too_much(message: String) -> Failure {
    Failure::new(422, message)
}

impl From<SnapshotError> for Failure {
    fn from(error: SnapshotError) -> Failure {
        Failure::new(503, error.to_string())
    }
}
