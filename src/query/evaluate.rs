//! Evaluates a target: a tree of streams of series. Each asks those below it for one series after the
//! other, so that a query holds no more than its functions need at once, and can stop between any two.

use std::mem;
use std::task::Poll;
use std::vec;

use super::arguments::Arguments;
use super::functions::{Context, Function, Gather, MakeAll, Operation, common_step};
use super::look_at_clock;
use super::series::Series;
use super::source::{Cursor, Source};
use super::target::{Call, Expression};
use super::window::Window;
use crate::config::Config;
use crate::http::Halt;
use crate::turn::Turn;

/// The next series of a stream, or `None` after the last.
pub type Next = Result<Option<Series>, Halt>;

/// A stream of series.
pub enum Stream {
    /// Those of a path.
    Path(Cursor),
    /// What a function makes of the streams that are its inputs.
    Call(Box<Called>),
}

/// The call of a function, and how far it has come.
pub struct Called {
    function: &'static Function,
    arguments: Arguments,
    window: Window,
    inputs: Vec<Stream>,
    /// The input that is being read to its end. It starts at 1 if the series of the first are passed on one by one.
    input: usize,
    /// The series read of each input, except those that are gathered or passed on.
    lists: Vec<Vec<Series>>,
    work: Work,
    /// Results that are computed and not returned yet.
    ready: vec::IntoIter<Series>,
}

/// What is done with the series.
enum Work {
    /// Those of the first input are changed one by one, after the other inputs are read. At most so many more
    /// are taken.
    Pass(usize),
    /// All are gathered, with their steps brought to this multiple; then the results are returned.
    Gather(Box<dyn Gather>, i64),
    /// When all are read, the results are made at once.
    Make(MakeAll),
}

/// The window over which the inputs of a call are read. `None` if there is no such window.
fn input_window(call: &Call, window: &Window) -> Option<Window> {
    let step = call.inputs.first().map(|input| input.step(window));
    (call.function.window)(window, &call.arguments, step.unwrap_or(window.step))
}

/// Whether all paths of an expression can be read over this window, or what its functions make of it.
pub fn fits(expression: &Expression, window: &Window) -> bool {
    let Expression::Call(call) = expression else {
        return window.steps() <= Config::STEPS_MAX;
    };
    let inner = input_window(call, window);
    inner.is_some_and(|inner| call.inputs.iter().all(|input| fits(input, &inner)))
}

impl Stream {
    /// The series of an expression over a window that it [fits], none of which is read yet. Its paths are the
    /// next ones of `source`.
    pub fn new(expression: Expression, window: &Window, source: &mut Source) -> Stream {
        match expression {
            Expression::Path { .. } => Stream::Path(source.next_path(window)),
            Expression::Call(call) => Stream::Call(Box::new(Called::new(call, window, source))),
        }
    }

    /// See [`Next`].
    ///
    /// # Errors
    ///
    /// If the time is up, the snapshot cannot be read any more, the query holds too much, or a function fails.
    pub fn next(&mut self, source: &mut Source, turn: &mut Turn) -> Next {
        match self {
            Stream::Path(cursor) => source.next(cursor, turn),
            Stream::Call(call) => call.next(source, turn),
        }
    }
}

impl Called {
    fn new(call: Call, window: &Window, source: &mut Source) -> Called {
        // It fits.
        let inner = input_window(&call, window).unwrap_or_else(|| window.clone());
        let (input, work) = match call.function.operation {
            Operation::Each(_) => (1, Work::Pass(usize::MAX)),
            Operation::First(count) => (1, Work::Pass(count(&call.arguments))),
            Operation::Gather(gather) => {
                let steps = call.inputs.iter().map(|input| input.step(&inner));
                let step = steps.reduce(common_step).unwrap_or(inner.step);
                (0, Work::Gather(gather(&call.arguments), step))
            }
            Operation::All(all) => (0, Work::Make(all)),
        };
        let inputs = call.inputs.into_iter();
        let inputs: Vec<Stream> = inputs
            .map(|input| Stream::new(input, &inner, source))
            .collect();
        Called {
            function: call.function,
            arguments: call.arguments,
            window: window.clone(),
            lists: inputs.iter().map(|_| Vec::new()).collect(),
            inputs,
            input,
            work,
            ready: Vec::new().into_iter(),
        }
    }

    fn next(&mut self, source: &mut Source, turn: &mut Turn) -> Next {
        loop {
            if let Some(series) = self.ready.next() {
                source.held.count(series.kept_bytes(), 0);
                return Ok(Some(series));
            }
            let input = self.next_input(source, turn)?;
            match (&mut self.work, input) {
                (Work::Gather(gather, step), input) => {
                    let before = gather.kept_bytes();
                    let next = match input {
                        Some(series) => {
                            gather.add(series, *step);
                            Poll::Pending
                        }
                        None => gather.next(),
                    };
                    source.held.replace(before, gather.kept_bytes())?;
                    if let Poll::Ready(series) = next {
                        return Ok(series);
                    }
                }
                (_, Some(series)) => {
                    source.held.replace(0, series.kept_bytes())?;
                    self.lists[self.input].push(series);
                }
                (Work::Pass(0), None) => return Ok(None),
                (Work::Pass(left), None) => {
                    let Some(mut series) = self.inputs[0].next(source, turn)? else {
                        return Ok(None);
                    };
                    *left -= 1;
                    let is_kept = match self.function.operation {
                        Operation::Each(each) => each(&mut series, &self.context(source))?,
                        _ => true,
                    };
                    if is_kept {
                        source.held.count(0, series.kept_bytes());
                        self.ready = vec![series].into_iter();
                    }
                }
                (&mut Work::Make(all), None) => {
                    let lists = mem::take(&mut self.lists);
                    let before = kept_bytes(lists.iter().flatten());
                    let made = all(lists, &self.context(source))?;
                    source.held.replace(before, kept_bytes(&made))?;
                    (self.ready, self.work) = (made.into_iter(), Work::Pass(0));
                }
            }
            look_at_clock(turn.allowance)?;
        }
    }

    /// The next series of those inputs that are not read yet, one input after the other.
    fn next_input(&mut self, source: &mut Source, turn: &mut Turn) -> Next {
        while let Some(input) = self.inputs.get_mut(self.input) {
            if let Some(series) = input.next(source, turn)? {
                return Ok(Some(series));
            }
            self.input += 1;
        }
        Ok(None)
    }

    fn context(&self, source: &Source) -> Context<'_> {
        Context {
            function: self.function.name,
            arguments: &self.arguments,
            window: &self.window,
            others: self.lists.get(1).map_or(&[], Vec::as_slice),
            room_bytes: source.held.room_bytes(),
        }
    }
}

fn kept_bytes<'list>(list: impl IntoIterator<Item = &'list Series>) -> usize {
    list.into_iter().map(Series::kept_bytes).sum()
}
