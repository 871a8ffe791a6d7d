//! Puts one at a time, in batches, and mixed with gets.

use std::time::Duration;

use crate::blocks::{self, Block};
use crate::fill::fill;
use crate::generator::{Generator, Load, Until};
use crate::interval::Interval;
use crate::report::Setup;
use crate::workload::{self, KEYS, Script};

pub const WARM_UP: Duration = Duration::from_millis(150);

const MIX_CONNECTIONS: usize = 50;
const MIX_PUTS_A_GET: usize = 9;
const MIX_POINTS_A_GET: usize = 100;

/// Puts by so many connections, each sending so many at once; 1 is unpipelined.
pub fn measure(
    setup: &mut Setup,
    block: &'static Block,
    connections: usize,
    batch: usize,
) -> Result<(), String> {
    let dialect = setup.server.dialect;
    let scripts = Script::puts_for_all(dialect, connections, batch, 0);
    measure_loads(
        setup,
        block,
        Load::checked(scripts, dialect.put_reply),
        batch,
    )
}

/// The gets go to series of their own, which stay as long as they are.
pub fn measure_mix(setup: &mut Setup) -> Result<(), String> {
    let dialect = setup.server.dialect;
    let get = setup.server.get()?;
    let read_keys = KEYS..KEYS + MIX_CONNECTIONS;
    fill(
        setup.server,
        setup.running,
        read_keys.clone(),
        MIX_POINTS_A_GET,
    )?;
    let load = |connection| {
        let keys = workload::share(0..KEYS, connection, MIX_CONNECTIONS);
        let request = (get.request)(&workload::key(read_keys.start + connection));
        let newlines = (get.newlines)(MIX_POINTS_A_GET);
        Load::counted(Script::mix(
            dialect,
            keys,
            MIX_PUTS_A_GET,
            request,
            newlines,
        ))
    };
    let loads = (0..MIX_CONNECTIONS).map(load).collect();
    measure_loads(setup, &blocks::MIX, loads, 1)
}

fn measure_loads(
    setup: &mut Setup,
    block: &'static Block,
    loads: Vec<Load>,
    batch: usize,
) -> Result<(), String> {
    let mut generator = Generator::connect(setup.running, loads)?;
    generator.run(Until::Elapsed(WARM_UP))?;
    let until = Until::Elapsed(setup.options.interval);
    let interval = Interval::measure(setup.running, &mut generator, until)?;
    match batch {
        1 => setup.record_requests(block, &interval),
        _ => setup.record_points(block, &interval, 1),
    }
    Ok(())
}
