// SPDX-License-Identifier: GPL-2.0

//! What the tracker of TCP is told of the namespace, and of what else has a hand in the connection.

use crate::pure::l4proto::seqadj::SeqAdj;

/// What a namespace may set, see Documentation/networking/nf_conntrack-sysctl.rst. Its defaults are
/// those of the namespace's settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    /// `tcp_loose`: a connection may be picked up in its middle.
    pub(crate) loose: bool,
    /// `tcp_be_liberal`: segments outside the window pass, but for resets below what was
    /// acknowledged.
    pub(crate) be_liberal: bool,
    /// `tcp_ignore_invalid_rst`: a reset below what was acknowledged passes.
    pub(crate) ignore_invalid_rst: bool,
    /// `tcp_max_retrans`: how many repetitions shorten the timeout.
    pub(crate) max_retrans: u8,
}

/// What the tracker of TCP may know beyond [`Input`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Env<'a> {
    /// What the namespace has set.
    pub(crate) tuning: &'a Tuning,
    /// Timeouts in jiffies, as [`super::TIMEOUTS`].
    pub(crate) timeouts: &'a [u32; 14],
    /// The connection may go through a SYN proxy: it has the extension.
    pub(crate) synproxy: bool,
    /// The shift of the direction opposite to the packet's; all zero without a helper.
    pub(crate) seqadj: SeqAdj,
}
