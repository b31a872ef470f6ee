// SPDX-License-Identifier: GPL-2.0

//! What a tracker is told of a packet beyond its bytes.

use crate::pure::{
    state::{
        CtInfo,
        Status, //
    },
    tuple::Direction, //
};

/// What a tracker may know of the connection and the moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input {
    /// The connection's status when the packet came; SEEN_REPLY is not yet set by this packet.
    pub(crate) status: Status,
    /// What the packet is to the connection.
    pub(crate) ctinfo: CtInfo,
    /// Now, in jiffies at full width (`unsigned long`).
    pub(crate) now: usize,
    /// Jiffies left until the connection expires; zero if it has. Of no meaning before it is
    /// confirmed.
    pub(crate) remaining: u32,
    /// Jiffies in a second.
    pub(crate) hz: u32,
}

impl Input {
    /// The direction of the packet.
    pub(crate) const fn dir(&self) -> Direction {
        self.ctinfo.direction()
    }

    /// Returns whether the connection is in the table.
    pub(crate) const fn confirmed(&self) -> bool {
        self.status.contains(Status::CONFIRMED)
    }

    /// Returns whether packets were seen in both directions before this packet.
    pub(crate) const fn seen_reply(&self) -> bool {
        self.status.contains(Status::SEEN_REPLY)
    }

    /// Returns whether the connection must not be removed early.
    pub(crate) const fn assured(&self) -> bool {
        self.status.contains(Status::ASSURED)
    }
}
