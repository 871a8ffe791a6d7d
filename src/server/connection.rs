//! One connection as transport: bytes in, bytes out, over anything that reads and writes.
//!
//! What the bytes mean is its [session](crate::session)'s affair.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;

use super::line_buffer::Unread;
use super::shared::Shared;
use crate::config::Protocol;
use crate::session::AnySession;
use crate::turn::{Allowance, Turn};

/// A client's connection, and what it keeps between its turns.
///
/// A turn is [`execute`](Connection::execute) and then, once what was put is committed,
/// [`reply`](Connection::reply); [`next`](Connection::next) says what follows.
pub struct Connection<S> {
    pub stream: S,
    state: State,
    /// Bytes that are not executed yet: the beginning of a line, and, if the turn was used up, whole
    /// lines.
    unread: Unread,
    pub session: AnySession,
    output: Output,
    input: Input,
    /// The end of the input, an error or urgent data has arrived, and a read stops short of it: until
    /// one would block, a short read does not mean that nothing is left.
    pub expects_short_reads: bool,
    /// More may be waiting to be read, and belongs to the same burst.
    more_to_come: bool,
    /// The first line that is left is a put that may not be executed yet.
    is_postponed: bool,
    /// More was written at once than is sure to have reached the client. This stays so when it sends
    /// more: it may pipeline.
    may_be_fetching: bool,
}

/// Bytes that even the smallest receive buffer takes, so that they arrive however the connection ends.
const DELIVERED_BYTES: usize = 4 << 10;

/// What a connection reads from and writes to.
pub trait Stream: Read + Write {
    /// Tells the client that nothing more will be written.
    fn end_output(&self) -> io::Result<()>;

    /// Says that the client is to be told, when it is closed, that something was lost.
    fn reset(&self);
}

/// How far a connection has come. It only ever moves down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// Requests are read and replies are written.
    Open,
    /// The input has ended, the session is over, or the server stops. Remaining replies are written.
    Closing,
    /// All replies are written, but may not have arrived. Input is discarded until the client closes
    /// too: a socket that is closed while input is unread or on its way resets the connection, and
    /// replies that were not delivered are lost.
    Lingering,
    /// Writing has failed. What the client sent before is read and executed.
    Unanswered,
    /// Nothing remains to be done.
    Over,
}

/// What is still to be read and executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    /// All that arrives.
    Endless,
    /// One more read, of what has arrived already.
    OneRead,
    /// Nothing.
    Ended,
}

/// Replies that are formed and not written yet.
#[derive(Debug)]
enum Output {
    /// None.
    Flowing,
    /// They are held back, to be written together with those to the rest of the same read.
    Held(Box<[u8]>),
    /// The socket takes no more for now: it has taken the first `written` bytes.
    Blocked { bytes: Box<[u8]>, written: usize },
}

/// What follows a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing, until the socket is readable.
    AwaitRead,
    /// Nothing, until the socket is writable.
    AwaitWrite,
    /// Nothing, until puts may be executed.
    AwaitAdmission,
    /// Another turn, without waiting for an event: there is more to do.
    Again,
    /// The connection is over.
    Close,
}

impl<S: Stream> Connection<S> {
    pub fn new(stream: S, protocol: Protocol) -> Connection<S> {
        Connection {
            stream,
            state: State::Open,
            unread: Unread::default(),
            session: AnySession::new(protocol),
            output: Output::Flowing,
            input: Input::Endless,
            expects_short_reads: false,
            more_to_come: false,
            is_postponed: false,
            may_be_fetching: false,
        }
    }

    /// Begins to close the connection: after at most one more read, when all that was read is
    /// executed and the replies are written, it ends.
    pub fn begin_closing(&mut self) {
        if self.input == Input::Endless {
            self.input = Input::OneRead;
        }
        self.advance(State::Closing);
    }

    /// Whether requests are still to be executed, or replies to be formed or written.
    pub fn owes(&self) -> bool {
        self.input == Input::OneRead || self.has_work() || !matches!(self.output, Output::Flowing)
    }

    /// Whether all replies are written, and the client is to close.
    pub fn is_lingering(&self) -> bool {
        self.state == State::Lingering
    }

    /// Says that the time for the rest of a request is over. If that is to be answered, a turn is to follow.
    pub fn expire(&mut self) -> bool {
        self.state == State::Open && self.session.expire()
    }

    /// Tries to write what the socket did not take, and says whether it takes any of it now. If so,
    /// a turn is to follow. A socket may give no event before it takes much.
    pub fn pushes_on(&mut self) -> bool {
        let Output::Blocked { bytes, written } = &mut self.output else {
            return false;
        };
        let taken = write(&mut self.stream, &bytes[*written..]).unwrap_or(0);
        *written += taken;
        taken > 0
    }

    /// Bytes of input and replies that are kept between turns, with those of replies that are written in
    /// part: their memory is freed when all of them are.
    pub fn kept_bytes(&self) -> usize {
        let output_bytes = match &self.output {
            Output::Flowing => 0,
            Output::Held(bytes) | Output::Blocked { bytes, .. } => bytes.len(),
        };
        self.unread.len() + self.session.kept_bytes() + output_bytes
    }

    /// Whether the last turn left lines or the rest of a reply.
    fn has_work(&self) -> bool {
        self.session.is_replying() || self.unread.has_unscanned()
    }

    /// The first half of a turn: executes what the last turn left, then reads once if nothing is left
    /// of that, and executes what was read. Appends the replies to [`Shared::replies`].
    pub fn execute(&mut self, shared: &mut Shared, allowance: &mut Allowance) {
        if !self.resume_output(shared) {
            return;
        }
        shared.input.load(mem::take(&mut self.unread));
        if self.state == State::Lingering {
            self.session.linger(allowance.now());
            self.discard_input(shared);
        } else {
            self.serve(shared, allowance);
        }
        self.unread = shared.input.save();
    }

    /// Writes what the socket did not take before, or appends the replies that were held back to
    /// those of the turn. False if the socket still does not take all.
    fn resume_output(&mut self, shared: &mut Shared) -> bool {
        match mem::replace(&mut self.output, Output::Flowing) {
            Output::Flowing => {}
            Output::Held(replies) => shared.replies.extend_from_slice(&replies),
            Output::Blocked { bytes, written } => {
                match write(&mut self.stream, &bytes[written..]) {
                    Ok(taken) if written + taken < bytes.len() => {
                        let written = written + taken;
                        self.output = Output::Blocked { bytes, written };
                    }
                    Ok(_) => {}
                    Err(error) => self.fail_write(&error),
                }
            }
        }
        matches!(self.output, Output::Flowing)
    }

    fn serve(&mut self, shared: &mut Shared, allowance: &mut Allowance) {
        let full_at = shared.replies.len() + allowance.reply_bytes;
        // Usually the last turn left nothing.
        if self.session.is_replying() || shared.input.has_unscanned() {
            self.execute_session(shared, allowance, full_at);
        }
        let has_work = self.session.is_replying() || shared.input.has_unscanned();
        if self.input != Input::Ended && !has_work {
            self.read(shared, allowance.read_bytes);
            self.execute_session(shared, allowance, full_at);
        }
    }

    #[inline]
    fn execute_session(&mut self, shared: &mut Shared, allowance: &mut Allowance, full_at: usize) {
        let mut turn = Turn {
            store: &mut shared.store,
            replies: &mut shared.replies,
            full_at,
            allowance,
            is_answered: self.state < State::Unanswered,
            recorder: shared.recorder.as_mut(),
            room: &mut shared.room,
            counts: &mut shared.tally.counts,
            kept_room_bytes: (shared.kept_limit_bytes / 2).saturating_sub(shared.kept_bytes),
            environment: &shared.environment,
            is_postponed: false,
        };
        self.session
            .execute(&mut shared.input, &mut turn, self.more_to_come);
        self.is_postponed = turn.is_postponed;
        if self.session.is_over() {
            self.input = Input::Ended;
            self.advance(State::Closing);
            // Input may be left unread.
            self.may_be_fetching = true;
        }
    }

    fn read(&mut self, shared: &mut Shared, most_bytes: usize) {
        if !mem::take(&mut self.more_to_come) {
            self.session.begin_burst();
        }
        match shared.input.read_from(&mut self.stream, most_bytes) {
            Ok((0, _)) => {
                self.input = Input::Ended;
                self.advance(State::Closing);
            }
            Ok((_, filled)) => {
                let goes_on = filled || self.expects_short_reads || self.state == State::Unanswered;
                self.more_to_come = goes_on && self.input == Input::Endless;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.expects_short_reads = false,
            Err(error) => {
                debug!("connection broken: {error}");
                self.advance(State::Over);
            }
        }
        if self.input == Input::OneRead {
            self.input = Input::Ended;
        }
    }

    /// The second half of a turn: writes `replies`, whose puts must be committed. If work is left that
    /// can be done at once, and they are shorter than `piece_bytes`, they are held back, to be written
    /// with those of the next turn.
    pub fn reply(&mut self, replies: &[u8], piece_bytes: usize) {
        if self.state >= State::Unanswered {
            self.session.abandon_reply();
        } else if self.has_work() && !self.is_postponed && replies.len() < piece_bytes {
            self.output = Output::Held(replies.into());
        } else {
            match write(&mut self.stream, replies) {
                Ok(taken) if taken < replies.len() => {
                    let bytes = replies[taken..].into();
                    self.output = Output::Blocked { bytes, written: 0 };
                }
                Ok(_) => {}
                Err(error) => self.fail_write(&error),
            }
            self.may_be_fetching |= replies.len() > DELIVERED_BYTES;
        }
    }

    fn fail_write(&mut self, error: &io::Error) {
        debug!("cannot write replies: {error}");
        self.hang_up();
    }

    /// Says that no reply reaches the client any more.
    #[cold]
    pub fn hang_up(&mut self) {
        // A socket may give that event too when both sides have ended their output.
        if self.state < State::Lingering {
            self.session.abandon_reply();
            self.more_to_come = true;
            self.advance(State::Unanswered);
        }
    }

    /// What follows the turn that has just ended. Ends the output if everything is written.
    pub fn next(&mut self) -> Next {
        let is_blocked = matches!(self.output, Output::Blocked { .. });
        // A session that is over has begun to close the connection.
        let is_over = self.state > State::Open && self.session.is_over();
        if (is_blocked || is_over) && self.session.is_cut_off() {
            debug!("closed: the reply that is begun cannot be completed");
            return Next::Close;
        }
        if self.state == State::Closing && !self.owes() {
            self.end_output();
        }
        if self.state == State::Over
            || self.state == State::Unanswered && self.input == Input::Ended && !self.has_work()
        {
            Next::Close
        } else if is_blocked {
            Next::AwaitWrite
        } else if self.is_postponed {
            Next::AwaitAdmission
        } else if self.more_to_come || self.owes() {
            Next::Again
        } else {
            Next::AwaitRead
        }
    }

    /// Is called before it is closed, whatever the reason. If replies are not complete, lets the client
    /// know.
    #[cold]
    pub fn before_close(&self) {
        let is_incomplete = self.owes() || self.session.is_cut_off();
        if is_incomplete && !self.session.shows_ends() {
            self.stream.reset();
        }
    }

    /// Ends the connection when all replies are written. If they may not have arrived yet, tells the
    /// client that no more will come, and lingers until it closes too.
    fn end_output(&mut self) {
        let lingers = self.may_be_fetching && self.stream.end_output().is_ok();
        self.more_to_come = lingers;
        self.advance(if lingers {
            State::Lingering
        } else {
            State::Over
        });
    }

    /// Reads once and discards it; at the end of the input the connection is over.
    fn discard_input(&mut self, shared: &mut Shared) {
        let read = shared.input.read_from(&mut self.stream, usize::MAX);
        shared.input.clear();
        self.more_to_come = matches!(read, Ok((1.., _)));
        let waits = read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        if !waits && !self.more_to_come {
            self.advance(State::Over);
        }
    }

    /// The only way to change the state; never goes back to an earlier one.
    fn advance(&mut self, state: State) {
        self.state = self.state.max(state);
    }
}

/// Writes until all is written or the stream would block, and returns how many bytes it took.
fn write(stream: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match stream.write(&bytes[written..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::journal::record::PutRecord;
    use crate::protocol::response;
    use crate::server::commit::{Admission, Recorder};
    use crate::store::Store;
    use proptest::prelude::*;
    use std::cell::Cell;
    use std::collections::VecDeque;
    use std::time::Duration;
    use std::time::Instant;

    /// What one call of `read` or `write` does.
    #[derive(Clone, Debug)]
    enum Step {
        /// Gives, or takes, at most so many bytes.
        Bytes(usize),
        WouldBlock,
        Interrupted,
        Error,
    }

    /// A stream that does what its script says, and at the end of it all that is asked for.
    #[derive(Default)]
    struct Scripted {
        input: VecDeque<u8>,
        reads: VecDeque<Step>,
        writes: VecDeque<Step>,
        output: Vec<u8>,
        write_calls: usize,
        /// Whether the input ends in an end of file, and not in waiting for more.
        ends: bool,
        output_ended: Cell<bool>,
        is_reset: Cell<bool>,
        /// Something has come, and was announced, since a read came to the end of what there is.
        is_announced: bool,
    }

    impl Step {
        fn of(steps: &mut VecDeque<Step>, most: usize) -> io::Result<usize> {
            match steps.pop_front().unwrap_or(Step::Bytes(usize::MAX)) {
                Step::Bytes(count) => Ok(count.min(most)),
                Step::WouldBlock => Err(ErrorKind::WouldBlock.into()),
                Step::Interrupted => Err(ErrorKind::Interrupted.into()),
                Step::Error => Err(ErrorKind::ConnectionReset.into()),
            }
        }
    }

    impl Read for Scripted {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            let step = Step::of(&mut self.reads, room.len());
            self.is_announced = false;
            let count = step?.min(self.input.len());
            if count == 0 && !self.ends {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.is_announced = count == room.len();
            for (to, from) in room.iter_mut().zip(self.input.drain(..count)) {
                *to = from;
            }
            Ok(count)
        }
    }

    impl Stream for Scripted {
        fn end_output(&self) -> io::Result<()> {
            self.output_ended.set(true);
            Ok(())
        }

        fn reset(&self) {
            self.is_reset.set(true);
        }
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.write_calls += 1;
            assert!(!self.output_ended.get(), "written after the end");
            let count = Step::of(&mut self.writes, bytes.len())?;
            self.output.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What a loop has beside its connections, with an allowance for all turns alike.
    struct Desk {
        shared: Shared,
        config: Config,
        reply_bytes: usize,
        /// Of each turn to come, whether puts must wait in it. After these they need not.
        are_full: VecDeque<bool>,
        /// Whether what is put cannot be made durable.
        fails: bool,
    }

    fn desk(read_buffer_bytes: usize) -> Desk {
        narrow_desk(read_buffer_bytes, 64 << 10, 64 << 10)
    }

    fn narrow_desk(
        read_buffer_bytes: usize,
        write_buffer_bytes: usize,
        reply_bytes: usize,
    ) -> Desk {
        let config = Config {
            line_limit_bytes: 40,
            read_buffer_bytes,
            write_buffer_bytes,
            turn_time: Duration::from_secs(1_000),
            ..Config::default()
        };
        Desk {
            shared: Shared::new(
                Store::new(),
                Some(Recorder::new(PutRecord::new(usize::MAX))),
                &config,
            ),
            config,
            reply_bytes,
            are_full: VecDeque::new(),
            fails: false,
        }
    }

    impl Connection<Scripted> {
        /// A turn whose commit takes no time.
        fn turn(&mut self, desk: &mut Desk) -> Next {
            let write_buffer_bytes = desk.config.write_buffer_bytes;
            let mut allowance = Allowance::new(
                desk.config.read_buffer_bytes,
                desk.reply_bytes,
                desk.config.turn_time,
                Instant::now,
            );
            let recorder = desk.shared.recorder.as_mut().expect("it records");
            let is_full = desk.are_full.pop_front().unwrap_or(false);
            recorder.admission = if is_full {
                Admission::Full
            } else {
                Admission::Open
            };
            self.execute(&mut desk.shared, &mut allowance);
            let mut replies = mem::take(&mut desk.shared.replies);
            let recorder = desk.shared.recorder.as_mut().expect("it records");
            let puts: Vec<_> = recorder.replies_within(0..replies.len()).collect();
            recorder.replies.clear();
            if desk.fails {
                replies = response::deny(&replies, &puts);
            }
            if !replies.is_empty() {
                self.reply(&replies, write_buffer_bytes);
            }
            self.next()
        }
    }

    fn sending(input: &[u8]) -> Connection<Scripted> {
        let stream = Scripted {
            input: input.iter().copied().collect(),
            ..Scripted::default()
        };
        Connection::new(stream, Protocol::Lines)
    }

    /// Takes turns, with an event whenever one is awaited that can come; `None` if none can.
    fn drive(connection: &mut Connection<Scripted>, desk: &mut Desk) -> Option<Next> {
        drive_while(connection, desk, &mut VecDeque::new())
    }

    /// The same while more input arrives, a piece after each turn.
    fn drive_while(
        connection: &mut Connection<Scripted>,
        desk: &mut Desk,
        arriving: &mut VecDeque<Vec<u8>>,
    ) -> Option<Next> {
        for _ in 0..10_000 {
            let next = connection.turn(desk);
            let of_one_line = desk.config.line_limit_bytes + 64;
            let most = 3 * desk.config.write_buffer_bytes + desk.config.read_buffer_bytes;
            // Where the disk fails, replies to puts get longer.
            let grown = if desk.fails { 4 * desk.reply_bytes } else { 0 };
            assert!(connection.kept_bytes() <= most + 2 * of_one_line + grown);
            let Scripted {
                input,
                reads,
                ends,
                is_announced,
                ..
            } = &mut connection.stream;
            match next {
                Next::Close => return Some(next),
                Next::AwaitRead if *is_announced => panic!("there is input, and was an event"),
                Next::AwaitRead if input.is_empty() && reads.is_empty() && arriving.is_empty() => {
                    if !*ends {
                        return None;
                    }
                }
                Next::AwaitRead | Next::AwaitWrite | Next::AwaitAdmission | Next::Again => {}
            }
            if let Some(piece) = arriving.pop_front() {
                *is_announced = true;
                input.extend(piece);
            }
        }
        panic!("the connection spins");
    }

    /// The replies to `input`, whole, as a connection gives them that nothing disturbs.
    fn replies(input: &[u8]) -> Vec<u8> {
        let mut connection = sending(input);
        assert_eq!(drive(&mut connection, &mut desk(64 << 10)), None);
        connection.stream.output
    }

    /// The same, of lines that come one by one. Those to puts say that they are not stored if `fails`.
    fn line_by_line(input: &[u8], fails: bool) -> Vec<u8> {
        let (mut connection, mut desk) = (sending(b""), desk(64 << 10));
        let mut replies = Vec::new();
        for line in input.split_inclusive(|&byte| byte == b'\n') {
            connection.stream.input.extend(line);
            assert_eq!(drive(&mut connection, &mut desk), None);
            let reply = mem::take(&mut connection.stream.output);
            let is_put = line.starts_with(b"put") && reply == response::OK;
            replies.extend(if fails && is_put {
                response::NOT_STORED
            } else {
                &reply
            });
        }
        replies
    }

    fn all_points(store: &Store) -> Vec<(String, i64)> {
        let keys: Vec<String> = store.keys().map(str::to_owned).collect();
        let points_of = |key: String| -> Vec<_> {
            store
                .range(&key, ..)
                .map(|point| (key.clone(), point.timestamp))
                .collect()
        };
        keys.into_iter().flat_map(points_of).collect()
    }

    const SESSION: &[u8] = b"put a 1.5 10\nput a 2 5\nget a\nwrong\nput b 1 1\nget *\nget c\n";
    const SESSION_REPLIES: &[u8] = b"ok\n\nok\n\nok\na 2.0 5\na 1.5 10\n\nerror\nwrong command\n\n\
        ok\n\nok\na 2.0 5\na 1.5 10\nb 1.0 1\n\nok\n\n";

    #[test]
    fn a_session_in_one_read_is_answered_in_one_write() {
        let mut connection = sending(SESSION);
        assert_eq!(connection.turn(&mut desk(64 << 10)), Next::AwaitRead);
        assert_eq!(connection.stream.output, SESSION_REPLIES);
        assert_eq!(connection.stream.write_calls, 1);
    }

    #[test]
    fn replies_of_several_turns_to_one_read_go_out_in_one_write() {
        for reply_bytes in [1, 5, 30, SESSION_REPLIES.len()] {
            let mut desk = narrow_desk(64 << 10, 64 << 10, reply_bytes);
            let mut connection = sending(SESSION);
            assert_eq!(drive(&mut connection, &mut desk), None);
            assert_eq!(connection.stream.output, SESSION_REPLIES);
            assert_eq!(
                connection.stream.write_calls, 1,
                "{reply_bytes} bytes a turn"
            );
        }
    }

    #[test]
    fn it_is_known_whose_replies_wait_and_what_is_kept() {
        let mut desk = narrow_desk(64 << 10, 64 << 10, 1);
        let mut connection = sending(b"put a 1 1\nget a\n");
        assert!(!connection.owes());
        assert_eq!(connection.turn(&mut desk), Next::Again);
        // The put is answered, which waits for the get.
        assert!(connection.owes());
        assert_eq!(connection.kept_bytes(), "ok\n\nget a\n".len());
        // Its point, then its end.
        assert_eq!(connection.turn(&mut desk), Next::Again);
        connection.stream.writes = [Step::Bytes(1), Step::WouldBlock].into();
        assert_eq!(connection.turn(&mut desk), Next::AwaitWrite);
        assert!(connection.owes());
        assert_eq!(connection.kept_bytes(), "k\n\nok\na 1.0 1\n\n".len());
        // What is written in part takes all of its memory.
        connection.stream.writes = [Step::Bytes(3), Step::WouldBlock].into();
        assert_eq!(connection.turn(&mut desk), Next::AwaitWrite);
        assert_eq!(connection.kept_bytes(), "k\n\nok\na 1.0 1\n\n".len());
        assert_eq!(connection.turn(&mut desk), Next::AwaitRead);
        assert!(!connection.owes() && connection.kept_bytes() == 0);
        connection.begin_closing();
        assert!(connection.owes(), "what has come is not read yet");
    }

    #[test]
    fn an_idle_connection_keeps_no_buffers() {
        let mut connection = sending(SESSION);
        assert_eq!(connection.turn(&mut desk(64 << 10)), Next::AwaitRead);
        assert!(matches!(connection.output, Output::Flowing));
        assert!(connection.kept_bytes() == 0 && !connection.session.is_replying());
        assert!(size_of::<Connection<mio::net::TcpStream>>() <= 112);
    }

    #[test]
    fn blank_lines_alone_are_one_wrong_command_and_beside_a_request_none() {
        const ERROR: &[u8] = response::WRONG_COMMAND;
        const OK: &[u8] = response::OK;
        // What each read brings, and all that is answered.
        type Case = (&'static [&'static [u8]], &'static [&'static [u8]]);
        let table: &[Case] = &[
            (&[b"\n"], &[ERROR]),
            (&[b"\n \r\n\t\n"], &[ERROR]),
            (&[b"\n", b"\n"], &[ERROR, ERROR]),
            (&[b"get k\n\n"], &[OK]),
            (&[b"\n\nget k\n"], &[OK]),
            (&[b"\nget k\n\nget k\n\n"], &[OK, OK]),
            (&[b"get k\n", b"\n"], &[OK, ERROR]),
            (&[b"\nget", b" k\n"], &[OK]),
            (&[b"\n ", b"\n"], &[ERROR]),
            (&[b"\n ", b"get k\n"], &[OK]),
            (&[b" ", b"\n\n"], &[ERROR]),
            (&[b"\nx\n"], &[ERROR]),
            (&[b"\n\xff\n"], &[ERROR]),
        ];
        // With no time, each line takes a turn of its own.
        for turn_time in [Duration::ZERO, Duration::from_secs(1_000)] {
            let mut desk = desk(64 << 10);
            desk.config.turn_time = turn_time;
            for (reads, expected) in table {
                let mut connection = sending(&reads.concat());
                let steps = reads.iter().map(|read| Step::Bytes(read.len()));
                connection.stream.reads = steps.collect();
                assert_eq!(drive(&mut connection, &mut desk), None);
                let shown = reads.concat().escape_ascii().to_string();
                assert_eq!(connection.stream.output, expected.concat(), "{shown}");
            }
        }
    }

    #[test]
    fn a_burst_that_fills_its_reads_is_one_burst() {
        // By reads of six bytes the blank line comes by itself, and yet belongs to the request.
        for (input, expected) in [
            (&b"get k\n\n"[..], response::OK),
            (&[b'\n'; 20], response::WRONG_COMMAND),
        ] {
            let mut connection = sending(input);
            assert_eq!(drive(&mut connection, &mut desk(6)), None);
            assert_eq!(connection.stream.output, expected);
        }
        // The end of the input settles it as well.
        let mut connection = sending(&[b'\n'; 6]);
        connection.stream.ends = true;
        assert_eq!(drive(&mut connection, &mut desk(6)), Some(Next::Close));
        assert_eq!(connection.stream.output, response::WRONG_COMMAND);
    }

    #[test]
    fn the_end_of_the_input_is_found_where_it_is_announced() {
        let mut connection = sending(b"put k 1 1\nget");
        connection.stream.ends = true;
        connection.expects_short_reads = true;
        // One short read, then on without an event.
        let mut desk = desk(64 << 10);
        assert_eq!(connection.turn(&mut desk), Next::Again);
        assert_eq!(connection.turn(&mut desk), Next::Close);
        assert_eq!(connection.stream.output, response::OK);
    }

    #[test]
    fn a_reply_longer_than_the_buffer_comes_in_bounded_pieces() {
        let mut desk = desk(64 << 10);
        for timestamp in 0..20_000 {
            desk.shared.store.put("k", timestamp, 0.5);
        }
        let mut connection = sending(b"get k\nget none\n");
        let mut turns = 0;
        while connection.turn(&mut desk) == Next::Again {
            turns += 1;
            assert_eq!(connection.stream.write_calls, turns);
            assert!(connection.stream.output.len() <= turns * ((64 << 10) + 40));
            // What is put meanwhile is no part of it.
            desk.shared.store.put("k", 20_000 + turns as i64, 0.5);
            desk.shared.store.put("k", turns as i64, 1.5);
        }
        assert!(turns > 2);
        let expected: String = (0..20_000)
            .map(|timestamp| format!("k 0.5 {timestamp}\n"))
            .collect();
        assert_eq!(
            connection.stream.output,
            format!("ok\n{expected}\nok\n\n").into_bytes()
        );
    }

    #[test]
    fn a_client_that_does_not_read_is_not_read_from() {
        let mut desk = desk(64 << 10);
        let mut connection = sending(SESSION);
        connection.stream.writes = [Step::Bytes(3), Step::WouldBlock, Step::WouldBlock].into();
        assert_eq!(connection.turn(&mut desk), Next::AwaitWrite);
        connection.stream.input.extend(b"put late 1 1\n");
        assert_eq!(connection.turn(&mut desk), Next::AwaitWrite);
        assert_eq!(all_points(&desk.shared.store).len(), 3);
        assert_eq!(connection.turn(&mut desk), Next::AwaitRead);
        assert_eq!(
            connection.stream.output,
            [SESSION_REPLIES, response::OK].concat()
        );
        assert_eq!(all_points(&desk.shared.store).len(), 4);
    }

    #[test]
    fn a_client_that_does_not_read_a_reply_that_is_cut_off_is_not_waited_for() {
        let mut desk = desk(64 << 10);
        desk.shared.store.set_snapshot_limit_bytes(0);
        for timestamp in 0..20_000 {
            desk.shared.store.put("k", timestamp, 0.5);
        }
        let mut connection = sending(b"get k\n");
        connection.stream.writes = [Step::WouldBlock, Step::Bytes(1), Step::WouldBlock].into();
        assert_eq!(connection.turn(&mut desk), Next::AwaitWrite);
        desk.shared.store.put("k", 0, 1.5);
        assert!(connection.session.is_cut_off());
        assert_eq!(connection.turn(&mut desk), Next::Close);
    }

    #[test]
    fn what_was_complete_before_a_broken_read_is_executed() {
        for cut in 0..SESSION.len() {
            let mut desk = desk(64 << 10);
            let mut connection = sending(SESSION);
            connection.stream.reads = [Step::Bytes(cut), Step::Error].into();
            if cut == 0 {
                connection.stream.reads.pop_front();
            }
            assert_eq!(drive(&mut connection, &mut desk), Some(Next::Close));
            let complete = SESSION[..cut]
                .iter()
                .rposition(|&byte| byte == b'\n')
                .map_or(0, |at| at + 1);
            assert_eq!(
                connection.stream.output,
                replies(&SESSION[..complete]),
                "{cut} bytes"
            );
        }
    }

    #[test]
    fn of_a_client_that_is_gone_only_puts_are_executed() {
        let mut desk = desk(64 << 10);
        for timestamp in 0..20_000 {
            desk.shared.store.put("k", timestamp, 0.5);
        }
        let mut connection = sending(&[&b"get k\n".repeat(1_000)[..], b"put k 1 20000\n"].concat());
        connection.stream.ends = true;
        connection.stream.writes = [Step::Bytes(1), Step::Error].into();
        let mut turns = 0;
        while connection.turn(&mut desk) != Next::Close {
            turns += 1;
        }
        assert!(turns < 10, "{turns} turns for replies to nobody");
        assert_eq!(desk.shared.store.point_count(), 20_001);
    }

    #[test]
    fn what_was_sent_before_a_broken_write_is_executed() {
        let input = SESSION.repeat(3);
        let expected = {
            let mut desk = desk(64 << 10);
            assert_eq!(drive(&mut sending(&input), &mut desk), None);
            all_points(&desk.shared.store)
        };
        for taken in 0..SESSION_REPLIES.len() {
            let mut desk = desk(16);
            let mut connection = sending(&input);
            connection.stream.ends = true;
            connection.stream.writes = [Step::Bytes(taken.max(1)), Step::Error].into();
            assert_eq!(drive(&mut connection, &mut desk), Some(Next::Close));
            assert_eq!(
                all_points(&desk.shared.store),
                expected,
                "{taken} bytes taken"
            );
        }
    }

    #[test]
    fn a_closing_connection_executes_what_has_come_and_writes_what_it_owes() {
        let mut desk = desk(64 << 10);
        let mut connection = sending(SESSION);
        connection.stream.writes = [Step::Bytes(7), Step::WouldBlock].into();
        assert_eq!(connection.turn(&mut desk), Next::AwaitWrite);
        connection.stream.input.extend(b"get c\nget");
        connection.begin_closing();
        assert_eq!(connection.turn(&mut desk), Next::Close);
        assert_eq!(
            connection.stream.output,
            [SESSION_REPLIES, response::OK].concat()
        );
    }

    #[test]
    fn blank_lines_that_wait_for_what_follows_are_answered_at_the_stop() {
        let mut desk = desk(6);
        let mut connection = sending(&[b'\n'; 6]);
        // The read fills its room.
        assert_eq!(connection.turn(&mut desk), Next::Again);
        assert_eq!(connection.stream.output, b"");
        connection.begin_closing();
        assert_eq!(connection.turn(&mut desk), Next::Close);
        assert_eq!(connection.stream.output, response::WRONG_COMMAND);
    }

    #[test]
    fn a_closing_connection_waits_for_the_end_of_a_client_that_may_be_reading() {
        let mut desk = desk(64 << 10);
        for timestamp in 0..1_000 {
            desk.shared.store.put("k", timestamp, 0.5);
        }
        let mut connection = sending(b"get k\n");
        assert_eq!(connection.turn(&mut desk), Next::AwaitRead);
        connection.begin_closing();
        assert_eq!(connection.turn(&mut desk), Next::Again);
        assert!(connection.stream.output_ended.get());
        assert_eq!(connection.turn(&mut desk), Next::AwaitRead);
        connection.stream.input.extend(b"get k\nget k");
        assert_eq!(connection.turn(&mut desk), Next::Again);
        assert!(
            connection.stream.input.is_empty(),
            "nothing unread is left to the system"
        );
        assert_eq!(connection.turn(&mut desk), Next::AwaitRead);
        connection.stream.ends = true;
        assert_eq!(connection.turn(&mut desk), Next::Close);
        assert_eq!(
            connection.stream.output.len(),
            "ok\n\n".len() + 10 * 8 + 90 * 9 + 900 * 10
        );
    }

    #[test]
    fn a_client_that_takes_a_little_is_found_to_go_on() {
        let mut desk = desk(64 << 10);
        desk.shared.store.put("k", 1, 0.5);
        let mut connection = sending(b"get k\n");
        connection.stream.writes = [Step::Bytes(2), Step::WouldBlock].into();
        assert_eq!(connection.turn(&mut desk), Next::AwaitWrite);
        for (writes, goes_on) in [
            (vec![Step::WouldBlock], false),
            (vec![Step::Error], false),
            (vec![Step::Bytes(1), Step::WouldBlock], true),
            (vec![], true),
        ] {
            connection.stream.writes = writes.into();
            assert_eq!(connection.pushes_on(), goes_on);
        }
        assert_eq!(connection.turn(&mut desk), Next::AwaitRead);
        assert_eq!(connection.stream.output, b"ok\nk 0.5 1\n\n");
        assert!(!connection.pushes_on(), "there is nothing to take");
    }

    #[test]
    fn what_arrives_while_long_replies_are_written_is_read() {
        let mut desk = desk(64 << 10);
        for timestamp in 0..4_000 {
            desk.shared.store.put("k", timestamp, 0.5);
        }
        let mut connection = sending(&b"get k\n".repeat(4));
        // Two replies a turn: the second turn ends with no line left and a full buffer.
        let mut arriving = [b"get none\n".to_vec()].into();
        assert_eq!(drive_while(&mut connection, &mut desk, &mut arriving), None);
        assert!(connection.stream.output.ends_with(b"\n\nok\n\n"));
    }

    fn steps() -> impl Strategy<Value = VecDeque<Step>> {
        let step = prop_oneof![
            6 => (1usize..30).prop_map(Step::Bytes),
            2 => Just(Step::WouldBlock),
            1 => Just(Step::Interrupted),
        ];
        proptest::collection::vec(step, 0..60).prop_map(VecDeque::from)
    }

    fn lines() -> impl Strategy<Value = Vec<u8>> {
        let line = prop_oneof![
            4 => ("[ab]", 0u8..3, 0u8..30).prop_map(|(key, value, timestamp)| format!("put {key} {value} {timestamp}")),
            3 => "get [ab*]",
            1 => "[a-z ]{1,10}x",
            // Around the line limit.
            1 => (38usize..43).prop_map(|length| "y".repeat(length)),
        ];
        proptest::collection::vec(line, 0..20).prop_map(|lines| {
            lines
                .into_iter()
                .flat_map(|line| (line + "\n").into_bytes())
                .collect()
        })
    }

    proptest! {
        #[test]
        fn any_cutting_of_input_and_output_gives_the_same_replies(
            pieces in proptest::collection::vec(lines(), 1..8), reads in steps(), writes in steps(),
            read_buffer in 1usize..50, write_buffer in 8usize..200, reply_bytes in 8usize..200,
            has_time: bool, ends: bool, fails: bool,
            are_full in proptest::collection::vec(any::<bool>(), 0..40),
        ) {
            let expected = line_by_line(&pieces.concat(), fails);
            let mut desk = narrow_desk(read_buffer, write_buffer, reply_bytes);
            (desk.are_full, desk.fails) = (are_full.into(), fails);
            if !has_time {
                desk.config.turn_time = Duration::ZERO;
            }
            let mut connection = sending(&pieces[0]);
            // The end, if there is one, comes after all of it, and is announced by an event.
            let mut arriving = pieces[1..].iter().cloned().collect();
            (connection.stream.reads, connection.stream.writes) = (reads, writes);
            let idle = drive_while(&mut connection, &mut desk, &mut arriving);
            prop_assert_eq!(idle, None);
            connection.stream.ends = ends;
            if ends {
                connection.expects_short_reads = true;
            }
            prop_assert_eq!(drive(&mut connection, &mut desk), ends.then_some(Next::Close));
            prop_assert_eq!(connection.stream.output.escape_ascii().to_string(), expected.escape_ascii().to_string());
        }
    }
}
