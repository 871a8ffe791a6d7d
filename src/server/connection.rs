//! One connection: requests in, replies out, over anything that reads and writes.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;

use super::line_buffer::{Line, LineBuffer, Unread};
use super::write_buffer::WriteBuffer;
use crate::config::Config;
use crate::execute::{Answer, Executor, Reply};
use crate::protocol::response;
use crate::store::Store;

/// A client's session: what is left over of it between its turns.
pub struct Connection<S> {
    stream: S,
    state: State,
    /// The end of the input, an error or urgent data is announced, before which reads stop short:
    /// until one would block, a short read does not say that nothing is left.
    reads_on: bool,
    /// Bytes that are not executed yet: the beginning of a line, or, while the client does not
    /// read its replies, also lines.
    unread: Unread,
    burst: Burst,
    /// The rest of a reply that is formed piece by piece.
    reply: Option<Box<Reply>>,
    /// Bytes of replies that the socket did not take.
    unsent: WriteBuffer,
    /// Bytes of replies that may not have reached the client yet, by estimate: what the socket
    /// took, halved with each sign that the client goes on.
    on_their_way: usize,
}

/// What a client's side takes up at once, so that it is not lost however the connection ends:
/// the least receive buffer.
const DELIVERED_BYTES: usize = 4 << 10;

/// What a connection reads from and writes to.
pub trait Stream: Read + Write {
    /// Tells the client that nothing more will be written.
    fn end_output(&self) -> io::Result<()>;
}

/// What all connections share, lent to each for its turn.
pub struct Desk {
    pub store: Store,
    lines: LineBuffer,
    replies: WriteBuffer,
    write_buffer_bytes: usize,
}

/// How far a session has come. It only ever moves down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// Requests come, replies go.
    Open,
    /// The server stops. What is owed is written, and nothing more is read.
    Stopping,
    /// All that was owed is written, and much of it may still be on its way: what comes is
    /// discarded until the client ends as well, since a socket that is closed with input unread,
    /// or before more of it comes, takes back what it has not delivered.
    Lingering,
    /// The input has ended. What is owed is written.
    Draining,
    /// Nothing can be written any more. What the client sent before is read and executed.
    Unanswered,
    /// Nothing is left to do.
    Over,
}

/// What follows a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing to do before the socket says that it can be read.
    AwaitRead,
    /// Nothing to do before the socket says that it can be written.
    AwaitWrite,
    /// The turn is used up and there is more to do: another turn, with no event to wait for.
    Again,
    /// The session is over.
    Close,
}

/// What came at one go. Blank lines beside a request belong to it; blank lines alone are one
/// wrong command.
#[derive(Clone, Copy, Debug, Default)]
struct Burst {
    seen: Seen,
    /// More is waiting to be read, as far as is known, and belongs to this burst.
    goes_on: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    #[default]
    Nothing,
    BlankLines,
    Request,
}

impl Desk {
    pub fn new(config: &Config) -> Desk {
        Desk {
            store: Store::new(),
            lines: LineBuffer::new(config.line_limit_bytes, config.read_buffer_bytes),
            replies: WriteBuffer::default(),
            write_buffer_bytes: config.write_buffer_bytes,
        }
    }
}

impl<S: Stream> Connection<S> {
    pub fn new(stream: S) -> Connection<S> {
        Connection {
            stream,
            state: State::Open,
            reads_on: false,
            unread: Unread::default(),
            burst: Burst::default(),
            reply: None,
            unsent: WriteBuffer::default(),
            on_their_way: 0,
        }
    }

    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Tells that a short read will not mean that nothing is left to read.
    pub fn read_on(&mut self) {
        self.reads_on = true;
    }

    /// Executes nothing more that comes: what is owed is written, then the session is over.
    pub fn stop(&mut self) {
        self.advance(State::Stopping);
        // Nothing more will be read that might belong to it.
        self.burst.goes_on = false;
    }

    /// Whether replies are still to be formed or written; lines that are kept are not seen.
    pub fn owes_replies(&self) -> bool {
        self.reply.is_some() || !self.unsent.is_empty()
    }

    /// Serves the client for a bounded while: at most one read of new requests, and replies up
    /// to twice the write buffer and one line.
    pub fn turn(&mut self, desk: &mut Desk) -> Next {
        self.write_unsent();
        if !self.unsent.is_empty() {
            return Next::AwaitWrite;
        }
        desk.lines.load(mem::take(&mut self.unread));
        if self.state == State::Lingering {
            self.discard_input(desk);
        } else {
            self.serve(desk);
        }
        let next = self.next(desk);
        self.unread = desk.lines.save();
        next
    }

    /// Goes on with what is there, reads if that is all, and writes the replies.
    fn serve(&mut self, desk: &mut Desk) {
        self.continue_reply(desk);
        // Mostly nothing is left of the turn before.
        if desk.lines.has_unscanned() || self.burst.seen != Seen::Nothing {
            self.answer_lines(desk);
        }
        if self.wants_input(desk) {
            self.read(desk);
            self.answer_lines(desk);
        }
        self.write_replies(desk);
        if self.state == State::Stopping && !self.owes(desk) {
            self.end_output();
            self.discard_input(desk);
        }
    }

    /// The only way from state to state.
    fn advance(&mut self, state: State) {
        self.state = self.state.max(state);
    }

    fn write_unsent(&mut self) {
        let before = self.unsent.len();
        if let Err(error) = self.unsent.write_to(&mut self.stream) {
            self.fail_write(&error);
            self.unsent.clear();
        }
        self.on_their_way += before - self.unsent.len();
        if self.unsent.is_empty() {
            // Gives the memory back.
            self.unsent = WriteBuffer::default();
        }
    }

    fn continue_reply(&mut self, desk: &mut Desk) {
        if let Some(reply) = &mut self.reply {
            let piece_bytes = desk.write_buffer_bytes;
            if reply
                .append_piece(&desk.store, desk.replies.bytes(), piece_bytes)
                .is_continue()
            {
                self.reply = None;
            }
        }
    }

    /// Takes a line, executes it, appends its reply: until there is no line left, or enough
    /// replies for a turn.
    fn answer_lines(&mut self, desk: &mut Desk) {
        let Desk {
            store,
            lines,
            replies,
            write_buffer_bytes,
        } = desk;
        let mut executor = Executor::new(store, replies.bytes(), *write_buffer_bytes);
        let mut lines = lines.lines();
        let mut is_cut = false;
        while self.reply.is_none() && !executor.is_done() {
            let answer = match lines.next() {
                Some(Line::Whole(line)) => executor.execute(line),
                Some(Line::TooLong) => executor.answer_wrong_command(),
                None => {
                    is_cut = true;
                    break;
                }
            };
            let seen = if let Answer::Blank = answer {
                Seen::BlankLines
            } else {
                Seen::Request
            };
            self.burst.seen = self.burst.seen.max(seen);
            if let Answer::Unfinished(reply) = answer {
                self.reply = Some(Box::new(reply));
            }
        }
        executor.finish();
        if is_cut {
            self.end_burst(desk);
        }
    }

    /// All lines that have come are answered. Were they blank and is nothing else on its way,
    /// they were one wrong command.
    fn end_burst(&mut self, desk: &mut Desk) {
        if self.burst.goes_on {
            return;
        }
        let burst = mem::take(&mut self.burst);
        if burst.seen == Seen::BlankLines && desk.lines.is_empty() {
            desk.replies
                .bytes()
                .extend_from_slice(response::WRONG_COMMAND);
        }
    }

    /// Whether to read in this turn: always when no line and no reply is left, be there enough
    /// replies for a turn or not. That something has come is told once, and whoever then waits
    /// without having read is not told again.
    fn wants_input(&self, desk: &Desk) -> bool {
        matches!(self.state, State::Open | State::Unanswered)
            && self.reply.is_none()
            && !desk.lines.has_unscanned()
    }

    fn read(&mut self, desk: &mut Desk) {
        if !mem::take(&mut self.burst.goes_on) {
            self.burst = Burst::default();
        }
        match desk.lines.read_from(&mut self.stream) {
            Ok((0, _)) => self.end_input(),
            Ok((_, filled)) => {
                self.burst.goes_on = filled || self.reads_on || self.state == State::Unanswered;
                self.on_their_way /= 2;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.reads_on = false,
            Err(error) => {
                log::debug!("connection broken: {error}");
                self.advance(State::Over);
            }
        }
    }

    /// Everything that is owed is written: tells the client, and waits for its end where it may
    /// still be fetching what was written.
    fn end_output(&mut self) {
        let lingers = self.on_their_way > DELIVERED_BYTES && self.stream.end_output().is_ok();
        self.advance(if lingers {
            State::Lingering
        } else {
            State::Over
        });
    }

    /// Reads once, and is over where that is the end.
    fn discard_input(&mut self, desk: &mut Desk) {
        let read = desk.lines.read_from(&mut self.stream);
        desk.lines.save();
        self.burst.goes_on = matches!(read, Ok((1.., _)));
        let waits = read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        if !waits && !self.burst.goes_on {
            self.advance(State::Over);
        }
    }

    fn end_input(&mut self) {
        let unanswered = self.state == State::Unanswered;
        self.advance(if unanswered {
            State::Over
        } else {
            State::Draining
        });
    }

    fn write_replies(&mut self, desk: &mut Desk) {
        if self.state < State::Unanswered {
            let before = desk.replies.len();
            if let Err(error) = desk.replies.write_to(&mut self.stream) {
                self.fail_write(&error);
            }
            self.on_their_way += before - desk.replies.len();
        }
        if self.state == State::Unanswered {
            self.reply = None;
            desk.replies.clear();
        } else if !desk.replies.is_empty() {
            self.unsent = desk.replies.take_rest();
        }
    }

    fn fail_write(&mut self, error: &io::Error) {
        log::debug!("replies are not taken any more: {error}");
        self.reply = None;
        self.burst.goes_on = true;
        self.advance(State::Unanswered);
    }

    /// Whether lines are still to be executed, or replies to be formed or written.
    fn owes(&self, desk: &Desk) -> bool {
        self.owes_replies() || desk.lines.has_unscanned()
    }

    /// The one place that says what a connection waits for.
    fn next(&self, desk: &Desk) -> Next {
        if self.state == State::Over {
            Next::Close
        } else if !self.unsent.is_empty() {
            Next::AwaitWrite
        } else if self.owes(desk) {
            Next::Again
        } else if self.state == State::Draining {
            Next::Close
        } else if self.burst.goes_on {
            Next::Again
        } else {
            Next::AwaitRead
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;
    use std::collections::VecDeque;

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
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.write_calls += 1;
            assert!(!self.output_ended.get(), "written behind the end");
            let count = Step::of(&mut self.writes, bytes.len())?;
            self.output.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn desk(read_buffer_bytes: usize) -> Desk {
        narrow_desk(read_buffer_bytes, 64 << 10)
    }

    fn narrow_desk(read_buffer_bytes: usize, write_buffer_bytes: usize) -> Desk {
        Desk::new(&Config {
            line_limit_bytes: 40,
            read_buffer_bytes,
            write_buffer_bytes,
            ..Config::default()
        })
    }

    fn sending(input: &[u8]) -> Connection<Scripted> {
        Connection::new(Scripted {
            input: input.iter().copied().collect(),
            ..Scripted::default()
        })
    }

    /// Turns with an event whenever one is awaited that can come; `None` where none can any more.
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
                Next::AwaitRead | Next::AwaitWrite | Next::Again => {}
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
    fn an_idle_connection_keeps_no_buffers() {
        let mut connection = sending(SESSION);
        assert_eq!(connection.turn(&mut desk(64 << 10)), Next::AwaitRead);
        assert_eq!(connection.unsent.bytes().capacity(), 0);
        assert!(connection.unread.is_empty() && connection.reply.is_none());
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
        for (reads, expected) in table {
            let mut connection = sending(&reads.concat());
            connection.stream.reads = reads.iter().map(|read| Step::Bytes(read.len())).collect();
            assert_eq!(drive(&mut connection, &mut desk(64 << 10)), None);
            let shown = reads.concat().escape_ascii().to_string();
            assert_eq!(connection.stream.output, expected.concat(), "{shown}");
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
        connection.read_on();
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
            desk.store.put("k", timestamp, 0.5);
        }
        let mut connection = sending(b"get k\nget none\n");
        let mut turns = 0;
        while connection.turn(&mut desk) == Next::Again {
            turns += 1;
            assert_eq!(connection.stream.write_calls, turns);
            assert!(connection.stream.output.len() <= turns * ((64 << 10) + 40));
            // What is put meanwhile is no part of it.
            desk.store.put("k", 20_000 + turns as i64, 0.5);
            desk.store.put("k", turns as i64, 1.5);
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
        assert_eq!(all_points(&desk.store).len(), 3);
        assert_eq!(connection.turn(&mut desk), Next::AwaitRead);
        assert_eq!(
            connection.stream.output,
            [SESSION_REPLIES, response::OK].concat()
        );
        assert_eq!(all_points(&desk.store).len(), 4);
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
    fn what_was_sent_before_a_broken_write_is_executed() {
        let input = SESSION.repeat(3);
        let expected = {
            let mut desk = desk(64 << 10);
            assert_eq!(drive(&mut sending(&input), &mut desk), None);
            all_points(&desk.store)
        };
        for taken in 0..SESSION_REPLIES.len() {
            let mut desk = desk(16);
            let mut connection = sending(&input);
            connection.stream.ends = true;
            connection.stream.writes = [Step::Bytes(taken.max(1)), Step::Error].into();
            assert_eq!(drive(&mut connection, &mut desk), Some(Next::Close));
            assert_eq!(all_points(&desk.store), expected, "{taken} bytes taken");
        }
    }

    #[test]
    fn a_stopped_connection_writes_what_it_owes_and_executes_no_more() {
        let mut desk = desk(64 << 10);
        let mut connection = sending(SESSION);
        connection.stream.writes = [Step::Bytes(7), Step::WouldBlock].into();
        assert_eq!(connection.turn(&mut desk), Next::AwaitWrite);
        connection.stream.input.extend(b"get a\n");
        connection.stop();
        assert_eq!(connection.turn(&mut desk), Next::Close);
        assert_eq!(connection.stream.output, SESSION_REPLIES);
    }

    #[test]
    fn blank_lines_that_wait_for_what_follows_are_answered_at_the_stop() {
        let mut desk = desk(6);
        for timestamp in 0..1_000 {
            desk.store.put("k", timestamp, 0.5);
        }
        let mut connection = sending(b"get k\n\n\n\n\n\n\n");
        // One read of the get, one of blank lines, each of which fills its room.
        assert_eq!(connection.turn(&mut desk), Next::Again);
        assert_eq!(connection.turn(&mut desk), Next::Again);
        connection.burst.seen = Seen::BlankLines;
        connection.stop();
        assert_eq!(connection.turn(&mut desk), Next::AwaitRead);
        assert!(connection.stream.output.ends_with(response::WRONG_COMMAND));
        connection.stream.ends = true;
        assert_eq!(connection.turn(&mut desk), Next::Close);
    }

    #[test]
    fn a_stopped_connection_waits_for_the_end_of_a_client_that_may_be_reading() {
        let mut desk = desk(64 << 10);
        for timestamp in 0..1_000 {
            desk.store.put("k", timestamp, 0.5);
        }
        let mut connection = sending(b"get k\n");
        assert_eq!(connection.turn(&mut desk), Next::AwaitRead);
        connection.stop();
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
    fn what_arrives_while_long_replies_are_written_is_read() {
        let mut desk = desk(64 << 10);
        for timestamp in 0..4_000 {
            desk.store.put("k", timestamp, 0.5);
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
            read_buffer in 1usize..50, write_buffer in 8usize..200, ends: bool,
        ) {
            let expected = replies(&pieces.concat());
            let mut desk = narrow_desk(read_buffer, write_buffer);
            let mut connection = sending(&pieces[0]);
            // The end, where there is one, comes behind all of it, and is announced by an event.
            let mut arriving = pieces[1..].iter().cloned().collect();
            (connection.stream.reads, connection.stream.writes) = (reads, writes);
            let idle = drive_while(&mut connection, &mut desk, &mut arriving);
            prop_assert_eq!(idle, None);
            connection.stream.ends = ends;
            if ends {
                connection.read_on();
            }
            prop_assert_eq!(drive(&mut connection, &mut desk), ends.then_some(Next::Close));
            prop_assert_eq!(connection.stream.output.escape_ascii().to_string(), expected.escape_ascii().to_string());
        }
    }
}
