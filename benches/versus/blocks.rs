//! The blocks of the table: what each is called, its columns, what a server must be able to do.

use crate::servers::Need;

#[derive(Debug)]
pub struct Block {
    pub title: &'static str,
    pub needs: &'static [Need],
    pub columns: &'static [Column],
}

#[derive(Debug)]
pub struct Column {
    /// Columns side by side with the same group have it over them once.
    pub group: &'static str,
    pub name: &'static str,
    /// Whether the other servers are compared with metricd by it, and which way.
    pub better: Option<Better>,
    /// Whether the least and the most of the rounds are shown.
    pub has_spread: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    More,
    Less,
}

const fn column(group: &'static str, name: &'static str) -> Column {
    Column {
        group,
        name,
        better: None,
        has_spread: false,
    }
}

impl Column {
    const fn compared(mut self, better: Better) -> Column {
        self.better = Some(better);
        self
    }

    const fn with_spread(mut self) -> Column {
        self.has_spread = true;
        self
    }
}

/// Rate, latency, and processor time in user mode and in the kernel.
const fn timed(rate: &'static str, latency: &'static str, cpu: &'static str) -> [Column; 8] {
    [
        column(rate, "median").compared(Better::More).with_spread(),
        column(latency, "p50"),
        column(latency, "p99").compared(Better::Less).with_spread(),
        column(latency, "p99.9"),
        column(latency, "longest"),
        column(cpu, "all").compared(Better::Less).with_spread(),
        column(cpu, "user"),
        column(cpu, "sys"),
    ]
}

static REQUESTS: [Column; 8] = timed("requests/s", "latency, µs", "CPU, µs a request");
static BATCHES: [Column; 8] = timed("puts/s", "of a batch, µs", "CPU, ns a put");
static POINTS: [Column; 8] = timed("points/s", "of a reply, µs", "CPU, ns a point");

const fn requests(title: &'static str) -> Block {
    Block {
        title,
        needs: &[Need::Answering],
        columns: &REQUESTS,
    }
}

const fn batches(title: &'static str) -> Block {
    Block {
        title,
        needs: &[Need::Pipelining],
        columns: &BATCHES,
    }
}

const fn points(title: &'static str) -> Block {
    Block {
        title,
        needs: &[Need::Reading],
        columns: &POINTS,
    }
}

pub static PUT_1: Block = requests("put, 1 connection");
pub static PUT_50: Block = requests("put, 50 connections");
pub static PUT_1000: Block = requests("put, 1,000 connections");
pub static PIPELINED_8: Block = batches("put, pipelined, 8 connections x 100");
pub static PIPELINED_1: Block = batches("put, pipelined, 1 connection x 1,000");
pub static MIX: Block = Block {
    title: "nine puts to a get of 100 points, 50 connections",
    needs: &[Need::Answering, Need::Reading],
    columns: &REQUESTS,
};
pub static GET_SERIES: Block = points("get, series of 1,000 points, 8 connections");
pub static GET_ALL: Block = points("get *, 1 M points, 1 connection");

pub static OTHERS: Block = Block {
    title: "puts by 50 others during get * over 1 M points",
    needs: &[Need::Answering, Need::Reading],
    columns: &[
        column("before", "puts/s"),
        column("before", "p99, µs"),
        column("before", "longest"),
        column("during", "puts/s").compared(Better::More),
        column("during", "p99, µs")
            .compared(Better::Less)
            .with_spread(),
        column("during", "longest"),
        column("during", "points/s read"),
    ],
};

pub static STALL: Block = Block {
    title: "puts by 50 others while a client does not read its get * over 1 M points",
    needs: &[Need::Answering, Need::Reading],
    columns: &[
        column("server", "growth, KiB")
            .compared(Better::Less)
            .with_spread(),
        column("others", "puts/s")
            .compared(Better::More)
            .with_spread(),
        column("others", "p99, µs"),
        column("others", "longest"),
    ],
};

pub static START: Block = Block {
    title: "memory at the start",
    needs: &[],
    columns: &[
        column("KiB", "resident")
            .compared(Better::Less)
            .with_spread(),
        column("KiB", "of it private"),
        column("KiB", "private and written"),
    ],
};

pub static IDLE: Block = Block {
    title: "memory of an idle connection",
    needs: &[],
    columns: &[
        column("bytes", "that never spoke")
            .compared(Better::Less)
            .with_spread(),
        column("bytes", "after one put")
            .compared(Better::Less)
            .with_spread(),
    ],
};

pub static POINT: Block = Block {
    title: "memory of a point, 1,000 series of 1,000",
    needs: &[Need::Keeping],
    columns: &[column("bytes", "resident growth")
        .compared(Better::Less)
        .with_spread()],
};

/// In the order in which they are shown.
pub static ALL: [&Block; 13] = [
    &PUT_1,
    &PUT_50,
    &PUT_1000,
    &PIPELINED_8,
    &PIPELINED_1,
    &MIX,
    &GET_SERIES,
    &GET_ALL,
    &OTHERS,
    &STALL,
    &START,
    &IDLE,
    &POINT,
];
