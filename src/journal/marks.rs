//! Where in the files of a journal the puts are that were read.

use super::position::Position;

/// Where the puts are that were read: a mark for each frame, and after puts that were left out.
#[derive(Default)]
pub struct Marks {
    /// Ascending, from the place before all of them on.
    marks: Vec<Mark>,
    /// How many puts were handed over.
    pub puts: usize,
    /// How many were left out.
    pub left_out: u64,
}

/// A place among the puts that were read.
#[derive(Clone, Copy)]
pub struct Mark {
    pub position: Position,
    /// How many puts before it were handed over, …
    pub puts: usize,
    /// … and how many were left out.
    pub left_out: u64,
}

impl Mark {
    /// A place before which no puts were read.
    pub fn at(position: Position) -> Mark {
        Mark {
            position,
            puts: 0,
            left_out: 0,
        }
    }
}

impl Marks {
    /// Begins with the position of the first put.
    pub fn begin(&mut self, position: Position) {
        self.marks.clear();
        (self.puts, self.left_out) = (0, 0);
        self.push(position);
    }

    /// Takes the memory at once that up to `most` puts need.
    pub fn take_room(&mut self, most: usize) {
        self.marks.resize(most + 2, self.marks[0]);
        self.marks.truncate(1);
    }

    /// Whether fewer than `most` puts were handed over, and fewer left out.
    pub fn is_below(&self, most: usize) -> bool {
        self.puts < most && self.left_out < most as u64
    }

    /// Notes the position of the next put.
    pub fn push(&mut self, position: Position) {
        let (puts, left_out) = (self.puts, self.left_out);
        self.marks.pop_if(|last| last.puts == puts);
        self.marks.push(Mark {
            position,
            puts,
            left_out,
        });
    }

    /// The place after the first `puts` that were handed over, and after those that were left out there.
    pub fn after(&self, puts: usize) -> Mark {
        let known = self.marks.partition_point(|mark| mark.puts <= puts);
        let mut mark = self.marks[known - 1];
        mark.position.puts += (puts - mark.puts) as u32;
        mark.puts = puts;
        mark
    }
}
