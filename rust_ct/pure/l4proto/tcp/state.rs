// SPDX-License-Identifier: GPL-2.0

//! The states of a TCP connection.

/// The state of a connection, the kernel's `enum tcp_conntrack`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum State {
    /// Nothing was seen yet.
    None = 0,
    /// A SYN was seen.
    SynSent = 1,
    /// The SYN was answered with SYN and ACK.
    SynRecv = 2,
    /// The answer was acknowledged.
    Established = 3,
    /// A FIN was seen in one direction.
    FinWait = 4,
    /// That FIN was acknowledged.
    CloseWait = 5,
    /// FINs were seen in both directions.
    LastAck = 6,
    /// The second FIN was acknowledged.
    TimeWait = 7,
    /// An RST was seen.
    Close = 8,
    /// A SYN was answered with a SYN: both ends open at once.
    SynSent2 = 9,
}

impl State {
    /// All states, so that a state is its own index.
    pub(crate) const ALL: [Self; 10] = [
        Self::None,
        Self::SynSent,
        Self::SynRecv,
        Self::Established,
        Self::FinWait,
        Self::CloseWait,
        Self::LastAck,
        Self::TimeWait,
        Self::Close,
        Self::SynSent2,
    ];

    /// The state with this number; [`State::None`] for a number that is none's.
    pub(crate) const fn from_bits(bits: u8) -> Self {
        match bits {
            1 => Self::SynSent,
            2 => Self::SynRecv,
            3 => Self::Established,
            4 => Self::FinWait,
            5 => Self::CloseWait,
            6 => Self::LastAck,
            7 => Self::TimeWait,
            8 => Self::Close,
            9 => Self::SynSent2,
            _ => Self::None,
        }
    }

    /// The name, as in /proc/net/nf_conntrack.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::Established => "ESTABLISHED",
            Self::FinWait => "FIN_WAIT",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::SynSent2 => "SYN_SENT2",
        }
    }

    /// Returns whether at least one end has said that it is done (tcp_can_early_drop()).
    pub(crate) const fn is_closing(self) -> bool {
        matches!(
            self,
            Self::FinWait | Self::CloseWait | Self::LastAck | Self::TimeWait | Self::Close
        )
    }
}
