//! The real server over loopback: resident memory and processor time, all included.
//!
//! Every figure comes from a server started for it, whose memory and processor time are its own,
//! from `/proc`. Every put is acknowledged, every reply has as many lines as there are points,
//! and one series of each load is compared byte for byte.

mod client;
mod puts;
mod reads;
mod report;
mod scale;
mod server;

pub fn run() -> Result<(), String> {
    report::head();
    puts::measure_orders()?;
    puts::measure_kinds()?;
    scale::measure_many_series()?;
    scale::measure_growth()?;
    reads::measure_one()?;
    let all = reads::All::new();
    all.measure_speed()?;
    all.measure_stall()
}
