// SPDX-License-Identifier: GPL-2.0

//! The kernel's description of each protocol, `struct nf_conntrack_l4proto`, as far as modules on
//! top of us read it: number, behaviour in a clash, and how netlink tells of a timeout policy, and
//! of what is the protocol's own ([`super::attributes`]).
//!
//! Source: net/netfilter/nf_conntrack_proto_*.c, *_timeout_nlattr_to_obj() and
//! *_timeout_obj_to_nlattr().

use super::attributes::{
    self,
    V4,
    V6, //
};
use crate::{
    bindings,
    pure::{
        l4proto,
        wire::ipproto, //
    },
    sys::{
        net::Net,
        netlink::{
            Message,
            Table, //
        },
        time::HZ, //
    },
};
use core::mem;
use kernel::{
    ffi::{
        c_int,
        c_void, //
    },
    prelude::*, //
};

/// The number of the description of every protocol that has none of its own.
const GENERIC: u8 = 255;

/// How many timeouts the protocol with the most has.
const MOST: usize = 14;

/// How a protocol's timeouts are told.
trait Policy {
    /// The protocol.
    const PROTO: u8;
    /// How many timeouts there are.
    const LEN: usize;
    /// Which timeout each attribute is, from the first one, number 1, on.
    const SLOTS: &'static [usize];

    /// The timeouts of a namespace, in jiffies, [`Policy::LEN`] of them.
    fn defaults(net: &Net, timeouts: &mut [u32; MOST]);

    /// Sets a timeout of a namespace, in jiffies.
    fn set_default(net: &Net, slot: usize, jiffies: u32);
}

/// Defines a [`Policy`].
macro_rules! policy {
    ($name:ident, $proto:expr, $len:literal, $slots:expr, $get:ident, $set:ident) => {
        struct $name;

        impl Policy for $name {
            const PROTO: u8 = $proto;
            const LEN: usize = $len;
            const SLOTS: &'static [usize] = &$slots;

            fn defaults(net: &Net, timeouts: &mut [u32; MOST]) {
                for (to, from) in timeouts.iter_mut().zip(net.$get()) {
                    *to = from;
                }
            }

            fn set_default(net: &Net, slot: usize, jiffies: u32) {
                net.$set(slot, jiffies);
            }
        }
    };
}

// The states of TCP but for the markers between them, as in `enum ctattr_timeout_tcp`.
policy!(
    Tcp,
    ipproto::TCP,
    14,
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13],
    tcp_timeouts,
    set_tcp_timeout
);
policy!(Udp, ipproto::UDP, 2, [0, 1], udp_timeouts, set_udp_timeout);
policy!(Icmp, ipproto::ICMP, 1, [0], icmp_timeouts, set_icmp_timeout);
policy!(
    Icmpv6,
    ipproto::ICMPV6,
    1,
    [0],
    icmpv6_timeouts,
    set_icmpv6_timeout
);
policy!(
    Sctp,
    ipproto::SCTP,
    10,
    [1, 2, 3, 4, 5, 6, 7, 8, 9],
    sctp_timeouts,
    set_sctp_timeout
);
policy!(Gre, ipproto::GRE, 2, [0, 1], gre_timeouts, set_gre_timeout);
policy!(
    Generic,
    GENERIC,
    1,
    [0],
    generic_timeouts,
    set_generic_timeout
);

// The numbers of attributes that the tables above rely on.
const _: () = {
    use bindings::*;
    assert!(ctattr_timeout_tcp_CTA_TIMEOUT_TCP_SYN_SENT == 1);
    assert!(ctattr_timeout_tcp_CTA_TIMEOUT_TCP_RETRANS == 10);
    assert!(ctattr_timeout_tcp_CTA_TIMEOUT_TCP_UNACK as usize == Tcp::SLOTS.len());
    assert!(ctattr_timeout_udp_CTA_TIMEOUT_UDP_REPLIED as usize == Udp::SLOTS.len());
    assert!(ctattr_timeout_gre_CTA_TIMEOUT_GRE_REPLIED as usize == Gre::SLOTS.len());
    assert!(ctattr_timeout_sctp_CTA_TIMEOUT_SCTP_HEARTBEAT_ACKED as usize == Sctp::SLOTS.len());
};

/// Makes a policy of attributes: what is not told is as in the namespace. Without a policy the
/// namespace's own timeouts are set.
///
/// # Safety
///
/// Called from C with an array of attributes, each a number or null, as long as the description
/// says, a namespace, and a policy of the size that the description says or null.
unsafe extern "C" fn parse<P: Policy>(
    attributes: *mut *mut bindings::nlattr,
    net: *mut bindings::net,
    policy: *mut c_void,
) -> c_int {
    // SAFETY: The caller vouches for the namespace.
    let net = unsafe { Net::from_raw(net) };
    let mut timeouts = [0; MOST];
    P::defaults(net, &mut timeouts);
    // SAFETY: The caller vouches for the attributes.
    let attributes = unsafe { Table::from_raw(attributes) };
    for (number, slot) in (1..).zip(P::SLOTS) {
        // SAFETY: The table is as long as the description says.
        let attribute = unsafe { attributes.get(number) };
        let Some(seconds) = attribute.and_then(|attribute| attribute.bytes()) else {
            continue;
        };
        let jiffies = u32::from_be_bytes(seconds).wrapping_mul(HZ);
        if let Some(timeout) = timeouts.get_mut(*slot) {
            *timeout = jiffies;
        }
        if policy.is_null() {
            P::set_default(net, *slot, jiffies);
        }
    }
    if P::PROTO == ipproto::TCP || P::PROTO == ipproto::SCTP {
        // The first slot is for a connection that has no state yet, as in the next one.
        let [first, second, ..] = &mut timeouts;
        *first = *second;
        if policy.is_null() {
            P::set_default(net, 0, *first);
        }
    }
    if !policy.is_null() {
        let policy = policy.cast::<u32>();
        for (i, timeout) in timeouts.iter().enumerate().take(P::LEN) {
            // SAFETY: The caller vouches for the policy.
            unsafe { policy.add(i).write_volatile(*timeout) };
        }
    }
    0
}

/// Tells a policy by attributes.
///
/// # Safety
///
/// Called from C with a message and a policy of the size that the description says.
unsafe extern "C" fn tell<P: Policy>(skb: *mut bindings::sk_buff, policy: *const c_void) -> c_int {
    // SAFETY: The caller vouches for the message.
    let mut message = unsafe { Message::from_raw(skb) };
    for (number, slot) in (1..).zip(P::SLOTS) {
        // SAFETY: The caller vouches for the policy, which the table is within.
        let jiffies = unsafe { policy.cast::<u32>().add(*slot).read_volatile() };
        if message.put(number, &(jiffies / HZ).to_be_bytes()).is_err() {
            return ENOSPC.to_errno();
        }
    }
    0
}

/// All attributes are numbers of 32 bits.
const NUMBER: bindings::nla_policy = {
    // SAFETY: All fields are integers, and pointers that may be null.
    let mut number: bindings::nla_policy = unsafe { mem::zeroed() };
    // CAST: A few types.
    number.type_ = bindings::NLA_U32 as u8;
    number
};

/// A description.
#[repr(transparent)]
struct Description(bindings::nf_conntrack_l4proto);

// SAFETY: Nothing in here is ever changed.
unsafe impl Sync for Description {}

/// What attributes look like, for the descriptions.
struct Attributes([bindings::nla_policy; MOST + 1]);

// SAFETY: Nothing in here is ever changed.
unsafe impl Sync for Attributes {}

static ATTRIBUTES: Attributes = Attributes([NUMBER; MOST + 1]);

impl Description {
    const fn new<P: Policy>() -> Self {
        // SAFETY: All fields are integers, pointers that may be null, and options of functions.
        let mut new: bindings::nf_conntrack_l4proto = unsafe { mem::zeroed() };
        new.l4proto = P::PROTO;
        new.allow_clash = l4proto::allow_clash(P::PROTO);
        new.ctnl_timeout.nlattr_to_obj = Some(parse::<P>);
        new.ctnl_timeout.obj_to_nlattr = Some(tell::<P>);
        // CAST: A few.
        new.ctnl_timeout.obj_size = (P::LEN * size_of::<u32>()) as u16;
        new.ctnl_timeout.nlattr_max = P::SLOTS.len() as u16;
        new.ctnl_timeout.nla_policy = (&raw const ATTRIBUTES.0).cast();
        match P::PROTO {
            ipproto::TCP | ipproto::UDP | ipproto::SCTP | ipproto::GRE => {
                attributes::describe_ports(&mut new);
            }
            ipproto::ICMP => attributes::describe_icmp::<V4>(&mut new),
            ipproto::ICMPV6 => attributes::describe_icmp::<V6>(&mut new),
            _ => (),
        }
        match P::PROTO {
            ipproto::TCP => {
                new.nlattr_size = attributes::SIZE_OF_TCP;
                new.to_nlattr = Some(attributes::tell_tcp);
                new.from_nlattr = Some(attributes::parse_tcp);
            }
            ipproto::SCTP => {
                new.nlattr_size = attributes::SIZE_OF_SCTP;
                new.to_nlattr = Some(attributes::tell_sctp);
                new.from_nlattr = Some(attributes::parse_sctp);
            }
            _ => (),
        }
        Self(new)
    }
}

static TCP: Description = Description::new::<Tcp>();
static UDP: Description = Description::new::<Udp>();
static ICMP: Description = Description::new::<Icmp>();
static ICMPV6: Description = Description::new::<Icmpv6>();
static SCTP: Description = Description::new::<Sctp>();
static GRE: Description = Description::new::<Gre>();
static OTHERS: Description = Description::new::<Generic>();

/// nf_ct_l4proto_find(): the description of a protocol, or of all that have none of their own.
#[no_mangle]
pub(crate) extern "C" fn rust_ct_l4proto_find(proto: u8) -> *const bindings::nf_conntrack_l4proto {
    let found = match proto {
        ipproto::TCP => &TCP,
        ipproto::UDP => &UDP,
        ipproto::ICMP => &ICMP,
        ipproto::ICMPV6 => &ICMPV6,
        ipproto::SCTP if cfg!(CONFIG_NF_CT_PROTO_SCTP) => &SCTP,
        ipproto::GRE if cfg!(CONFIG_NF_CT_PROTO_GRE) => &GRE,
        _ => &OTHERS,
    };
    &raw const found.0
}
