// SPDX-License-Identifier: GPL-2.0

//! The states of an SCTP association.

/// The state of an association, the kernel's `enum sctp_conntrack`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// Nothing was seen yet.
    None = 0,
    /// Closed, or not open yet.
    Closed = 1,
    /// INIT was seen.
    CookieWait = 2,
    /// COOKIE ECHO was seen.
    CookieEchoed = 3,
    /// COOKIE ACK was seen.
    Established = 4,
    /// SHUTDOWN was seen in the original direction.
    ShutdownSent = 5,
    /// SHUTDOWN was seen in the reply direction.
    ShutdownRecd = 6,
    /// SHUTDOWN ACK was seen.
    ShutdownAckSent = 7,
    /// HEARTBEAT began the association: a second path of one that is there already.
    HeartbeatSent = 8,
}

impl State {
    /// All states, so that a state is its own index.
    pub(crate) const ALL: [Self; 9] = [
        Self::None,
        Self::Closed,
        Self::CookieWait,
        Self::CookieEchoed,
        Self::Established,
        Self::ShutdownSent,
        Self::ShutdownRecd,
        Self::ShutdownAckSent,
        Self::HeartbeatSent,
    ];

    /// The state with this number; [`State::None`] for a number that is none's.
    pub(crate) const fn from_bits(bits: u8) -> Self {
        match bits {
            1 => Self::Closed,
            2 => Self::CookieWait,
            3 => Self::CookieEchoed,
            4 => Self::Established,
            5 => Self::ShutdownSent,
            6 => Self::ShutdownRecd,
            7 => Self::ShutdownAckSent,
            8 => Self::HeartbeatSent,
            _ => Self::None,
        }
    }

    /// The name, as in /proc/net/nf_conntrack.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Closed => "CLOSED",
            Self::CookieWait => "COOKIE_WAIT",
            Self::CookieEchoed => "COOKIE_ECHOED",
            Self::Established => "ESTABLISHED",
            Self::ShutdownSent => "SHUTDOWN_SENT",
            Self::ShutdownRecd => "SHUTDOWN_RECD",
            Self::ShutdownAckSent => "SHUTDOWN_ACK_SENT",
            Self::HeartbeatSent => "HEARTBEAT_SENT",
        }
    }

    /// Returns whether an end has said that it is done (sctp_can_early_drop()).
    pub(crate) const fn is_closing(self) -> bool {
        matches!(
            self,
            Self::ShutdownSent | Self::ShutdownRecd | Self::ShutdownAckSent
        )
    }
}
