// SPDX-License-Identifier: GPL-2.0

//! What a tracker decides about a packet and its connection.

use crate::pure::reason::Reason;

/// What is to be done with the packet and its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The packet is INVALID: it passes without its connection.
    Invalid(Reason),
    /// The packet is dropped.
    Drop(Reason),
    /// The connection is over and this packet begins a new one: kill it and track the packet anew.
    Reuse,
    /// The packet is accounted, the connection is killed, the packet passes.
    Kill,
    /// The packet passes with its connection, but neither renews the timeout nor is accounted.
    Accept,
    /// The packet passes with its connection, which stays as if the packet had not come: not even
    /// SEEN_REPLY is set.
    PassBy,
    /// The packet is accounted, and the connection is to expire this many jiffies from now.
    Refresh(u32),
}

/// What a tracker decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// What is to be done.
    pub(crate) action: Action,
    /// The connection has become assured: set ASSURED, and report it if it was not set.
    pub(crate) assured: bool,
    /// The private state changed in a way that is reported (the event `IPCT_PROTOINFO`).
    pub(crate) protoinfo_changed: bool,
    /// The connection is to expire this many jiffies from now, whatever becomes of the packet.
    pub(crate) lower_timeout: Option<u32>,
    /// What to write to the log of invalid packets although the packet passes.
    pub(crate) log: Option<Reason>,
}

impl Outcome {
    /// Nothing but an action.
    pub(crate) const fn of(action: Action) -> Self {
        Self {
            action,
            assured: false,
            protoinfo_changed: false,
            lower_timeout: None,
            log: None,
        }
    }

    /// The packet is INVALID.
    pub(crate) const fn invalid(reason: Reason) -> Self {
        Self::of(Action::Invalid(reason))
    }

    /// The connection lives on for this many jiffies.
    pub(crate) const fn refresh(jiffies: u32) -> Self {
        Self::of(Action::Refresh(jiffies))
    }

    /// The packet passes without effect, for a reason worth a line in the log.
    pub(crate) const fn ignore(reason: Reason) -> Self {
        let mut outcome = Self::of(Action::Accept);
        outcome.log = Some(reason);
        outcome
    }

    /// The packet passes and changes nothing, for a reason worth a line in the log.
    pub(crate) const fn pass_by(reason: Reason) -> Self {
        let mut outcome = Self::of(Action::PassBy);
        outcome.log = Some(reason);
        outcome
    }

    /// Returns whether the receiver may take nothing of the packet, where segments are left to it:
    /// the packet passes by, or is below the window.
    pub(crate) fn is_overheard(&self) -> bool {
        self.action == Action::PassBy || self.log == Some(Reason::TcpSeqUnder)
    }
}
