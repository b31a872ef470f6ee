// SPDX-License-Identifier: GPL-2.0

//! What a line about a connection shows of its private state.

use core::fmt::{
    self,
    Display,
    Formatter, //
};

/// What a protocol adds to a line of /proc/net/nf_conntrack.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shown {
    /// Nothing.
    Nothing,
    /// The name of a state.
    State(&'static str),
    /// The timeouts of a connection that has its own.
    Timeouts {
        /// Before packets were seen in both directions, in seconds.
        timeout: u32,
        /// From then on, in seconds.
        stream_timeout: u32,
    },
}

impl Display for Shown {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::State(name) => write!(f, "{name} "),
            Self::Timeouts {
                timeout,
                stream_timeout,
            } => write!(f, "timeout={timeout}, stream_timeout={stream_timeout} "),
        }
    }
}
