//! The cases: what is measured of one server that was started for it.

use crate::blocks::{self, Block};
use crate::report::Setup;
use crate::{footprint, puts, reads};

/// It fills one block of the table or more.
pub struct Case {
    pub name: &'static str,
    pub blocks: &'static [&'static Block],
    pub work: Work,
}

pub enum Work {
    Puts { connections: usize, batch: usize },
    Mix,
    Start,
    Idle,
    Reads,
}

pub static CASES: [Case; 9] = [
    puts(&[&blocks::PUT_50], 50, 1),
    puts(&[&blocks::PUT_1], 1, 1),
    puts(&[&blocks::PUT_1000], 1_000, 1),
    puts(&[&blocks::PIPELINED_8], 8, 100),
    puts(&[&blocks::PIPELINED_1], 1, 1_000),
    case(&[&blocks::MIX], Work::Mix),
    case(&[&blocks::START], Work::Start),
    case(&[&blocks::IDLE], Work::Idle),
    Case {
        name: "1 M points filled in, weighed and read",
        blocks: &reads::BLOCKS,
        work: Work::Reads,
    },
];

const fn puts(blocks: &'static [&'static Block], connections: usize, batch: usize) -> Case {
    case(blocks, Work::Puts { connections, batch })
}

const fn case(blocks: &'static [&'static Block], work: Work) -> Case {
    Case {
        name: blocks[0].title,
        blocks,
        work,
    }
}

impl Case {
    pub fn measure(&self, setup: &mut Setup) -> Result<(), String> {
        match self.work {
            Work::Puts { connections, batch } => {
                puts::measure(setup, self.blocks[0], connections, batch)
            }
            Work::Mix => puts::measure_mix(setup),
            Work::Start => footprint::measure_start(setup),
            Work::Idle => footprint::measure_idle(setup),
            Work::Reads => reads::measure(setup),
        }
    }
}
