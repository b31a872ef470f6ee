// SPDX-License-Identifier: GPL-2.0

//! When the packets of a case come.
//!
//! A timeout is a whole number of seconds, and while a case is played some ticks may pass by
//! themselves. So packets come in bursts that are short, and a burst begins so many seconds and
//! [`PHASE`] after the last: nothing comes close to the end of a timeout of a burst before.

/// By how many milliseconds more than whole seconds bursts are apart.
const PHASE: u32 = 143;

/// The longest burst in milliseconds.
const BURST: u32 = 40;

/// How many milliseconds a case may wait.
const LONGEST: u64 = 12 * 24 * 3600 * 1000;

/// The clock of a case.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// What is to be waited before the next packet.
    pending: u32,
    /// How long the burst has lasted, what is pending included.
    burst: u32,
    /// How long the case has lasted.
    total: u64,
}

impl Clock {
    /// Waits a few milliseconds, if the burst can be longer.
    pub fn pause(&mut self, milliseconds: u32) {
        if self.burst + milliseconds <= BURST {
            self.burst += milliseconds;
            self.pending += milliseconds;
        }
    }

    /// Waits some seconds and a little more, if the case can last that long; a new burst begins.
    pub fn wait(&mut self, seconds: u32) {
        let milliseconds = seconds.saturating_mul(1000).saturating_add(PHASE);
        let milliseconds = milliseconds.saturating_sub(self.burst);
        if self.total + u64::from(milliseconds) <= LONGEST {
            self.total += u64::from(milliseconds);
            self.pending = self.pending.saturating_add(milliseconds);
            self.burst = 0;
        }
    }

    /// What the next packet waits.
    pub fn take(&mut self) -> u32 {
        std::mem::take(&mut self.pending)
    }
}
