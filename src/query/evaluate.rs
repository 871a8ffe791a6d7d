//! Evaluates a target: a tree of streams of series. Each asks those below it for one series after the
//! other, so that a query holds no more than its functions need at once, and can stop between any two.

use std::ops::ControlFlow;
use std::{mem, vec};

use super::Failure;
use super::arguments::Arguments;
use super::functions::{Context, Function, Gather, Operation, common_step};
use super::series::Series;
use super::source::{Cursor, Source, time_is_up};
use super::target::{Call, Expression};
use super::window::Window;
use crate::config::Config;
use crate::turn::Turn;

/// The next series of a stream, or `None` after the last. A break says that the time is up.
pub type Next = Result<ControlFlow<(), Option<Series>>, Failure>;

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
    /// The input that is read now.
    input: usize,
    /// The series that are collected of each input.
    lists: Vec<Vec<Series>>,
    progress: Progress,
    /// A series that is passed on when there is time again.
    passed: Option<Series>,
}

enum Progress {
    /// It collects the series of its inputs.
    Collecting,
    /// It gathers these, and brings their steps to this multiple.
    Gathering(Box<dyn Gather>, i64),
    /// It returns what it has gathered.
    Gathered(Box<dyn Gather>),
    /// It changes those of its first input one by one.
    Passing,
    /// It returns so many more of its first input.
    Counting(usize),
    /// It returns these.
    Returning(vec::IntoIter<Series>),
}

/// The window over which the inputs of a call are read. `None` if there is no such window.
fn input_window(call: &Call, window: &Window) -> Option<Window> {
    let Some(input_window) = call.function.window else {
        return Some(window.clone());
    };
    let step = call.inputs.first().map(|input| input.step(window));
    input_window(window, &call.arguments, step.unwrap_or(window.step))
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
    /// If the snapshot cannot be read any more, the query holds too much, or a function fails.
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
        let (mut input, mut progress) = (0, Progress::Collecting);
        match call.function.operation {
            // Those of the first one pass, when it has the others.
            Operation::Each(_) => input = 1,
            Operation::First(count) => progress = Progress::Counting(count(&call.arguments)),
            Operation::Gather(gather) => {
                let steps = call.inputs.iter().map(|input| input.step(&inner));
                let step = steps.reduce(common_step).unwrap_or(inner.step);
                progress = Progress::Gathering(gather(&call.arguments), step);
            }
            Operation::All(_) | Operation::Make(_) => {}
        }
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
            progress,
            passed: None,
        }
    }

    fn next(&mut self, source: &mut Source, turn: &mut Turn) -> Next {
        if let Some(series) = self.passed.take() {
            source.held.count(series.kept_bytes(), 0);
            return Ok(ControlFlow::Continue(Some(series)));
        }
        loop {
            match &mut self.progress {
                Progress::Collecting | Progress::Gathering(..) => {
                    match self.next_input(source, turn)? {
                        ControlFlow::Continue(Some(series)) => self.take(series, source)?,
                        ControlFlow::Continue(None) => self.complete(source)?,
                        ControlFlow::Break(()) => return Ok(ControlFlow::Break(())),
                    }
                }
                Progress::Passing => {
                    let next = self.inputs[0].next(source, turn)?;
                    let ControlFlow::Continue(Some(mut series)) = next else {
                        return Ok(next);
                    };
                    let is_kept = self.pass(&mut series, source)?;
                    if is_kept && !time_is_up(turn.allowance) {
                        return Ok(ControlFlow::Continue(Some(series)));
                    } else if is_kept {
                        source.held.count(0, series.kept_bytes());
                        self.passed = Some(series);
                    }
                }
                Progress::Counting(0) => return Ok(ControlFlow::Continue(None)),
                Progress::Counting(count) => {
                    let next = self.inputs[0].next(source, turn)?;
                    *count -= usize::from(next.is_continue());
                    return Ok(next);
                }
                Progress::Gathered(gather) => {
                    let before = gather.kept_bytes();
                    let is_ready = gather.prepare();
                    let next = if is_ready { gather.next() } else { None };
                    source.held.replace(before, gather.kept_bytes())?;
                    if is_ready {
                        return Ok(ControlFlow::Continue(next));
                    }
                }
                Progress::Returning(list) => {
                    let next = list.next();
                    let bytes = next.as_ref().map_or(0, Series::kept_bytes);
                    source.held.replace(bytes, 0)?;
                    return Ok(ControlFlow::Continue(next));
                }
            }
            if time_is_up(turn.allowance) {
                return Ok(ControlFlow::Break(()));
            }
        }
    }

    /// The next series of those inputs that are not read yet, one input after the other.
    fn next_input(&mut self, source: &mut Source, turn: &mut Turn) -> Next {
        while let Some(input) = self.inputs.get_mut(self.input) {
            let next = input.next(source, turn)?;
            if !matches!(next, ControlFlow::Continue(None)) {
                return Ok(next);
            }
            self.input += 1;
        }
        Ok(ControlFlow::Continue(None))
    }

    /// Takes a series of the input that is read now.
    fn take(&mut self, series: Series, source: &mut Source) -> Result<(), Failure> {
        if let Progress::Gathering(gather, step) = &mut self.progress {
            let before = gather.kept_bytes();
            gather.add(series, *step);
            return source.held.replace(before, gather.kept_bytes());
        }
        let bytes = series.kept_bytes();
        self.lists[self.input].push(series);
        source.held.replace(0, bytes)
    }

    /// Makes what there is to make of its inputs, which are all read.
    fn complete(&mut self, source: &mut Source) -> Result<(), Failure> {
        let room_bytes = source.held.room_bytes();
        let made = match self.function.operation {
            Operation::All(all) => {
                let lists = mem::take(&mut self.lists);
                let before = kept_bytes(lists.iter().flatten());
                let made = all(lists, &self.context(room_bytes))?;
                source.held.replace(before, kept_bytes(made.iter()))?;
                made
            }
            Operation::Make(make) => {
                let made = make(&self.context(room_bytes));
                source.held.replace(0, made.kept_bytes())?;
                vec![made]
            }
            Operation::Each(_) | Operation::First(_) | Operation::Gather(_) => Vec::new(),
        };
        let returning = Progress::Returning(made.into_iter());
        self.progress = match mem::replace(&mut self.progress, returning) {
            Progress::Gathering(gather, _) => Progress::Gathered(gather),
            _ if matches!(self.function.operation, Operation::Each(_)) => Progress::Passing,
            _ => return Ok(()),
        };
        Ok(())
    }

    /// Changes a series, and says whether it is kept.
    fn pass(&self, series: &mut Series, source: &Source) -> Result<bool, Failure> {
        match self.function.operation {
            Operation::Each(each) => Ok(each(series, &self.context(source.held.room_bytes()))?),
            _ => Ok(true),
        }
    }

    fn context(&self, room_bytes: usize) -> Context<'_> {
        Context {
            arguments: &self.arguments,
            window: &self.window,
            others: self.lists.get(1..).unwrap_or_default(),
            room_bytes,
        }
    }
}

fn kept_bytes<'list>(list: impl Iterator<Item = &'list Series>) -> usize {
    list.map(Series::kept_bytes).sum()
}
