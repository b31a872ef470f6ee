// SPDX-License-Identifier: GPL-2.0

//! The tracker of UDP.

use crate::pure::{
    l4proto::{
        Beginning,
        Context,
        Ids,
        Input,
        L4Proto,
        Outcome,
        Plain, //
    },
    reason::Reason,
    state::Status,
    timeout::{
        slot,
        Setting,
        MINUTES,
        REPLIED,
        UNREPLIED, //
    },
    wire::{
        ipproto,
        udp as wire,
        Checksum,
        Family,
        Packet,
        L4, //
    },
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes, //
};

/// How long both sides must have talked for the connection to count as a stream, in seconds.
const STREAM_AFTER: usize = 2;

/// The private state, laid out as the kernel's `struct nf_ct_udp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Proto {
    /// From when on, in jiffies, the connection counts as a stream.
    stream_ts: usize,
}

const _: () = assert!(size_of::<Proto>() == size_of::<usize>());

/// The timeouts. Source: net/netfilter/nf_conntrack_proto_udp.c, udp_timeouts.
pub(crate) const TIMEOUTS: [Setting; 2] = [
    Setting::new(c"nf_conntrack_udp_timeout", 30),
    Setting::new(c"nf_conntrack_udp_timeout_stream", 2 * MINUTES),
];

/// UDP.
pub(crate) struct Udp;

impl L4Proto for Udp {
    const NUMBER: u8 = ipproto::UDP;
    const NAME: &'static str = "udp";
    const IDS: Ids = Ids::Ports(Reason::UdpShort);
    const TIMEOUTS: &'static [Setting] = &TIMEOUTS;
    /// Source: net/netfilter/nf_conntrack_proto_udp.c, nf_conntrack_udp_init_net().
    const OFFLOAD_TIMEOUT: Option<Setting> = Some(Setting::new(c"nf_flowtable_udp_timeout", 30));

    type Timeouts = [u32; TIMEOUTS.len()];
    type Header = wire::Udp;
    type Private = Proto;

    #[inline(always)]
    fn read<P: Packet>(
        pkt: &P,
        l4: &L4,
        family: Family,
        verify_checksum: bool,
    ) -> Result<wire::Udp, Reason> {
        check(pkt, l4, family, verify_checksum)
    }

    #[inline(always)]
    fn track<C: Context>(
        private: &mut Proto,
        _header: &wire::Udp,
        input: &Input,
        timeouts: &Self::Timeouts,
        _context: &mut C,
    ) -> Outcome {
        track(private, input, timeouts)
    }
}

impl Plain for Udp {
    #[inline(always)]
    fn read_plain<P: Packet>(pkt: &P, l4: &L4) -> Option<wire::Udp> {
        let udp = wire::Udp::read(pkt, l4.offset)?;
        // As `length`, but for what says no length.
        let len = u32::from(udp.len.get());
        let end = l4.offset.checked_add(len)?;
        (len >= size_of::<wire::Udp>() as u32 && end <= pkt.len()).then_some(udp)
    }

    #[inline(always)]
    fn read_first<P: Packet>(pkt: &P, l4: &L4) -> Option<wire::Udp> {
        Self::read_plain(pkt, l4)
    }

    #[inline(always)]
    fn verify<P: Packet>(pkt: &P, udp: &wire::Udp, l4: &L4, family: Family) -> Result<(), Reason> {
        verify(udp, pkt, l4, family)
    }

    #[inline(always)]
    fn renew<C: Context>(
        private: &mut Proto,
        _header: &wire::Udp,
        input: &Input,
        timeout: impl Fn(usize) -> u32,
        _context: &mut C,
    ) -> Option<u32> {
        renew(private, input, timeout)
    }

    #[inline(always)]
    fn begin(
        _header: &wire::Udp,
        now: usize,
        hz: u32,
        timeout: impl Fn(usize) -> u32,
    ) -> Beginning<Proto> {
        begin(now, hz, timeout)
    }
}

/// Checks the header of a packet, and its checksum if `verify_checksum` says so.
///
/// Source: net/netfilter/nf_conntrack_proto_udp.c, udp_error().
///
/// # Errors
///
/// The reason for which the packet is INVALID.
#[inline(always)]
pub(crate) fn check<P: Packet>(
    pkt: &P,
    l4: &L4,
    family: Family,
    verify_checksum: bool,
) -> Result<wire::Udp, Reason> {
    let udp = length(pkt, l4)?;
    if verify_checksum {
        verify(&udp, pkt, l4, family)?;
    }
    Ok(udp)
}

/// Reads the header of a packet, whose length must hold the header and be in the packet.
#[inline(always)]
fn length<P: Packet>(pkt: &P, l4: &L4) -> Result<wire::Udp, Reason> {
    let udp = wire::Udp::read(pkt, l4.offset).ok_or(Reason::UdpShort)?;

    let len = match u32::from(udp.len.get()) {
        0 if pkt.is_gso() => l4.len(pkt),
        len => len,
    };
    if len < size_of::<wire::Udp>() as u32 || len > l4.len(pkt) {
        return Err(Reason::UdpLength);
    }
    Ok(udp)
}

/// Verifies the checksum, if the sender made one.
#[inline(always)]
fn verify<P: Packet>(udp: &wire::Udp, pkt: &P, l4: &L4, family: Family) -> Result<(), Reason> {
    if udp.checksum.get() == 0 || pkt.checksum_ok(Checksum::Internet, l4, family) {
        return Ok(());
    }
    Err(Reason::UdpChecksum)
}

/// Judges a packet whose header [`check`] found right.
///
/// Source: net/netfilter/nf_conntrack_proto_udp.c, nf_conntrack_udp_packet().
pub(crate) fn track(proto: &mut Proto, input: &Input, timeouts: &[u32; 2]) -> Outcome {
    if !input.confirmed() {
        *proto = Proto::begun(input.now, input.hz);
    }

    if !proto.is_stream(input) {
        return Outcome::refresh(slot(timeouts, UNREPLIED));
    }
    let mut outcome = Outcome::refresh(slot(timeouts, REPLIED));
    outcome.assured = becomes_assured(input);
    outcome
}

/// As [`track`], of a packet that does no more than to renew a confirmed connection, for so many
/// jiffies; `None` for other packets.
#[inline(always)]
pub(crate) fn renew(proto: &Proto, input: &Input, timeout: impl Fn(usize) -> u32) -> Option<u32> {
    if !input.confirmed() {
        return None;
    }
    if !proto.is_stream(input) {
        return Some(timeout(UNREPLIED));
    }
    (!becomes_assured(input)).then(|| timeout(REPLIED))
}

/// As [`track`], of a packet that begins a connection now, in jiffies, of which `hz` are a second.
#[inline(always)]
pub(crate) fn begin(now: usize, hz: u32, timeout: impl Fn(usize) -> u32) -> Beginning<Proto> {
    Beginning {
        private: Proto::begun(now, hz),
        jiffies: timeout(UNREPLIED),
        protoinfo_changed: false,
    }
}

/// Returns whether a packet of a stream makes its connection assured.
///
/// An entry that lost a clash is not findable in the original direction, and is to go away soon.
#[inline(always)]
const fn becomes_assured(input: &Input) -> bool {
    !input.assured() && !input.status.contains(Status::NAT_CLASH)
}

impl Proto {
    /// Of a connection that begins now, in jiffies, of which `hz` are a second.
    #[inline(always)]
    const fn begun(now: usize, hz: u32) -> Self {
        Self {
            stream_ts: now.wrapping_add((hz as usize).wrapping_mul(STREAM_AFTER)),
        }
    }

    /// Returns whether both sides have talked, for long enough to count as a stream.
    #[inline(always)]
    const fn is_stream(&self, input: &Input) -> bool {
        input.seen_reply() && (self.stream_ts.wrapping_sub(input.now) as isize) < 0
    }
}
