//! The functions of the language, which are in one table.
//!
//! What they are called, take, compute and name their results is Graphite's, as of graphite-web 1.1.8.
//! A value that is missing is NaN here.

mod alias;
mod combine;
pub mod describe;
mod filter;
mod percent;
mod table;
#[cfg(test)]
mod tests;
mod time;
mod transform;

use std::borrow::Cow;
use std::task::Poll;

use self::table::TABLE;
use super::arguments::Arguments;
use super::parameters::{Parameter, parameters};
use super::series::Series;
use super::target::Expression;
use super::window::Window;

/// A function of the language.
#[derive(Debug)]
pub struct Function {
    /// What it is called.
    pub name: &'static str,
    /// What it is called as well.
    pub alias: Option<&'static str>,
    /// Under which heading it is offered.
    pub group: &'static str,
    /// What it does, in a sentence.
    pub description: &'static str,
    /// Its [parameters], in order.
    pub signature: &'static str,
    /// What it does.
    pub operation: Operation,
    /// Which window its inputs are read over.
    pub window: InputWindow,
    /// The step of its result, if it is not that of its inputs.
    pub step: Option<fn(&Window, &Arguments) -> i64>,
    /// Its result depends on the length of the steps, so it reads the shortest there are.
    pub counts_steps: bool,
}

/// The window over which inputs are read, from that of the call, its arguments and the step of the first
/// input. `None` if there is no such window.
pub type InputWindow = fn(&Window, &Arguments, i64) -> Option<Window>;

/// Why a function fails, in a sentence.
pub type Reason = Cow<'static, str>;

/// Whether a series is kept, or why a function fails.
pub type Outcome = Result<bool, Reason>;

/// The series that a function makes, or why it fails.
pub type Results = Result<Vec<Series>, Reason>;

/// Makes series of those of each input.
pub type MakeAll = fn(Vec<Vec<Series>>, &Context) -> Results;

/// What a function does. Those of the first kinds take the series of their inputs one after the other.
#[derive(Debug)]
pub enum Operation {
    /// Changes each series of the first input, or drops it if `false` is returned. The series of the
    /// second input are in [`Context::others`]. The steps of a series may change.
    Each(fn(&mut Series, &Context) -> Outcome),
    /// Passes the first so many series of the first input on, and needs no more.
    First(fn(&Arguments) -> usize),
    /// Gathers the series of all inputs, one input after the other, and returns others when it has all.
    Gather(fn(&Arguments) -> Box<dyn Gather>),
    /// Takes the series of each input at once.
    All(MakeAll),
}

/// What a function may look at besides the series.
#[derive(Clone, Copy)]
pub struct Context<'call> {
    /// What the function is called, in the names of its results.
    pub function: &'static str,
    /// Its arguments.
    pub arguments: &'call Arguments,
    /// The window of the call: not that over which its inputs are read.
    pub window: &'call Window,
    /// The series of its second input, for a function of each series of the first.
    pub others: &'call [Series],
    /// How much more than its inputs the result of a function of all series may take. It fails rather
    /// than make more.
    pub room_bytes: usize,
}

/// Series, gathered one after the other.
pub trait Gather {
    /// Adds a series. `step` is a multiple of the steps of all that are added.
    fn add(&mut self, series: Series, step: i64);

    /// The next series of the result, or `None` after the last, when all are added; then no more may be
    /// added. It is pending after a fraction of a millisecond, and is to be asked again.
    fn next(&mut self) -> Poll<Option<Series>>;

    /// Bytes of memory that it takes.
    fn kept_bytes(&self) -> usize;
}

/// The function of this name.
pub fn find(name: &str) -> Option<&'static Function> {
    let is_called = |function: &&Function| function.name == name || function.alias == Some(name);
    TABLE.iter().find(is_called)
}

impl Function {
    /// A function that does nothing else than its operation, but for that and its texts.
    const PLAIN: Function = Function {
        name: "",
        alias: None,
        group: "",
        description: "",
        signature: "",
        operation: Operation::First(|_| 0),
        window: |window, _, _| Some(window.clone()),
        step: None,
        counts_steps: false,
    };

    /// What it takes, in order.
    pub fn parameters(&self) -> Vec<Parameter> {
        parameters(self.signature)
    }
}

impl Expression {
    /// Whether any of its functions counts steps.
    pub fn counts_steps(&self) -> bool {
        let Expression::Call(call) = self else {
            return false;
        };
        call.function.counts_steps || call.inputs.iter().any(Expression::counts_steps)
    }

    /// The step of its series, should there be any, over this window.
    pub fn step(&self, window: &Window) -> i64 {
        let Expression::Call(call) = self else {
            return window.step;
        };
        if let Some(step) = call.function.step {
            return step(window, &call.arguments);
        }
        let steps = call.inputs.iter().map(|input| input.step(window));
        steps.reduce(common_step).unwrap_or(window.step)
    }
}

/// The least common multiple of two steps, or the greatest step if that is beyond it.
pub fn common_step(left: i64, right: i64) -> i64 {
    let (mut divisor, mut rest) = (left, right);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    (left / divisor).checked_mul(right).unwrap_or(i64::MAX)
}
