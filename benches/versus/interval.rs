//! A run together with the processor time that both sides took for it.

use std::process as this_process;

use crate::generator::{Generator, Run, Until};
use crate::process::{self, CpuTime};
use crate::running::Running;

/// A side that runs, or waits for a core, for more than this share of the time has nothing to
/// spare.
const BUSY_SHARE: f64 = 0.9;

pub struct Interval {
    pub run: Run,
    server: CpuTime,
    generator: CpuTime,
}

impl Interval {
    pub fn measure(
        server: &Running,
        generator: &mut Generator,
        until: Until,
    ) -> Result<Interval, String> {
        let own_id = this_process::id();
        let server_before = process::cpu_time(server.process_id)?;
        let own_before = process::cpu_time(own_id)?;
        let run = generator.run(until)?;
        Ok(Interval {
            run,
            server: process::cpu_time(server.process_id)?.since(server_before),
            generator: process::cpu_time(own_id)?.since(own_before),
        })
    }

    /// Nanoseconds of the server's processor time a unit of work: in all, in user mode, and in
    /// the kernel.
    pub fn server_nanos(&self, units: u64) -> [f64; 3] {
        let all = self.server.running.as_secs_f64() * 1e9 / units as f64;
        let user = all * self.server.user_share();
        [all, user, all - user]
    }

    pub fn generator_percent(&self) -> f64 {
        100.0 * self.share(self.generator, |time| time.running)
    }

    /// Whether more load could have been had from a faster generator.
    pub fn generator_was_the_limit(&self) -> bool {
        let wanted_a_core =
            |time| self.share(time, |time| time.running + time.waiting) > BUSY_SHARE;
        wanted_a_core(self.generator) && !wanted_a_core(self.server)
    }

    /// The part of the time that either side was ready and had no core to run on.
    pub fn waiting_share(&self) -> f64 {
        let waiting = |time| self.share(time, |time| time.waiting);
        waiting(self.server).max(waiting(self.generator))
    }

    fn share(&self, time: CpuTime, part: impl Fn(CpuTime) -> std::time::Duration) -> f64 {
        part(time).as_secs_f64() / self.run.elapsed_in_all.as_secs_f64()
    }
}
