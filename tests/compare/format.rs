// SPDX-License-Identifier: GPL-2.0

//! What the comparison's program and its kernel module say to each other: steps one way, records
//! the other. Numbers are in the machine's byte order, tuples as the kernel has them.

use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

/// The packet comes in and goes to a socket: PRE_ROUTING, LOCAL_IN.
pub const WAY_IN: u8 = 0;
/// The packet is forwarded: PRE_ROUTING, POST_ROUTING.
pub const WAY_THROUGH: u8 = 1;
/// The packet is this machine's: LOCAL_OUT, POST_ROUTING.
pub const WAY_OUT: u8 = 2;

/// No packet: a request to ctnetlink, which the player sends. The feeder waits and counts.
pub const WAY_NETLINK: u8 = 3;

/// A case begins with this step: ticks and counters are counted from here.
pub const STEP_BEGIN: u8 = 1;
/// A rule drops the packet: the second hook does not see it.
pub const STEP_DROP: u8 = 2;
/// The device has verified the packet's checksum.
pub const STEP_VERIFIED: u8 = 4;
/// The player sends the packet as it is, although NAT has changed what it answers or quotes.
pub const STEP_PLAIN: u8 = 8;
/// A request ends with the identifier of what it names: the player writes what it has heard there.
pub const STEP_KNOWN: u8 = 16;

/// One packet to be sent past the hooks; its bytes follow, from the IP header on.
///
/// They are what the IP layer lets through: a whole header, and the length that it says.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Step {
    /// How many bytes follow.
    pub len: u32,
    /// How long to wait before, in milliseconds; timers that become due meanwhile run.
    pub delay: u32,
    /// The packet's mark.
    pub mark: u32,
    /// The template's zone.
    pub zone: u16,
    /// The directions that the template's zone holds for: 1, 2 or 3; 0 without a template.
    pub zone_dir: u8,
    /// The flags of the template's zone: 1 takes the number from the packet's mark.
    pub zone_flags: u8,
    /// `NFPROTO_IPV4` (2) or `NFPROTO_IPV6` (10).
    pub family: u8,
    /// `WAY_*`.
    pub way: u8,
    /// `STEP_*`.
    pub flags: u8,
    /// The template's timeout policy: its timeout number `i` is `policy + i` seconds; 0 for none.
    pub policy: u8,
}

/// The hook was not called.
pub const VERDICT_NONE: u8 = 255;
/// The packet was dropped.
pub const VERDICT_DROP: u8 = 0;
/// The packet goes on.
pub const VERDICT_ACCEPT: u8 = 1;
/// The packet was kept, as a fragment is.
pub const VERDICT_STOLEN: u8 = 2;

/// Nothing is attached to the packet.
pub const INFO_NONE: u8 = 255;
/// The packet is gone, and with it what was attached.
pub const INFO_GONE: u8 = 254;

/// How many counters `struct ip_conntrack_stat` has.
pub const COUNTERS: usize = 13;

/// What became of a packet; its bytes follow as they are behind the last hook that was called, from
/// the IP header on, none if it is gone.
///
/// Where no connection is attached, all from `status` to `proto` is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Record {
    /// What the first hook said, `VERDICT_*`.
    pub verdict_first: u8,
    /// What the second hook said, `VERDICT_*`.
    pub verdict_second: u8,
    /// What was attached behind the first hook: `enum ip_conntrack_info`, or `INFO_*`.
    pub info_first: u8,
    /// What is attached behind the last hook that was called: `enum ip_conntrack_info`, or
    /// `INFO_*`.
    pub info: u8,
    /// Jiffies since the case began, less those that its steps waited.
    pub ticks: u32,
    /// `IPS_*`.
    pub status: u32,
    /// Jiffies until the connection expires; before it is confirmed, its timeout in jiffies.
    pub timeout: i32,
    /// References, the packet's among them.
    pub uses: u32,
    /// The connection's mark.
    pub mark: u32,
    /// The connection's zone: number, flags, directions.
    pub zone: u16,
    /// Flags.
    pub zone_flags: u8,
    /// Directions.
    pub zone_dir: u8,
    /// Which extensions there are, by `enum nf_ct_ext_id`.
    pub extensions: u32,
    /// Accounting: packets and bytes of the original direction, then of the replies.
    pub accounting: [u64; 4],
    /// `struct nf_conntrack_tuple` of each direction.
    pub tuples: [[u8; 40]; 2],
    /// `union nf_conntrack_proto`; UDP's `stream_ts` is less the jiffies of now.
    pub proto: [u8; 64],
    /// What was counted since the case began, as `struct ip_conntrack_stat`.
    pub counters: [u32; COUNTERS],
    /// How many bytes follow.
    pub len: u32,
}

const _: () = assert!(size_of::<Step>() == 20 && size_of::<Record>() == 264);
