// SPDX-License-Identifier: GPL-2.0

//! The kernel's description of each protocol, `struct nf_conntrack_l4proto`, as far as modules on
//! top of us read it: number, behaviour in a clash, and how netlink tells of a timeout policy, and
//! of what is the protocol's own ([`super::attributes`]).
//!
//! Source: net/netfilter/nf_conntrack_proto_*.c, *_timeout_nlattr_to_obj() and
//! *_timeout_obj_to_nlattr().

use super::attributes;
use crate::{
    bindings,
    object::l4proto::{
        in_policy,
        Policy,
        Storage, //
    },
    pure::{
        l4proto::{
            dispatch,
            generic::Generic,
            L4Proto, //
        },
        timeout::Jiffies, //
    },
    sys::{
        field::{
            Constant,
            Field,
            Memory, //
        },
        net::Net,
        netlink::{
            self,
            Message,
            Table, //
        },
        time::HZ, //
    },
};
use kernel::{
    ffi::{
        c_int,
        c_void, //
    },
    prelude::*, //
};

/// How many timeouts a policy sets at most.
const MOST: usize = 14;

/// Which timeout each attribute is, from the first one, number 1, on.
fn slots<P: L4Proto>() -> impl Iterator<Item = (u16, usize)> {
    let settings = P::TIMEOUTS.iter().enumerate();
    let told = settings.filter(|(_, setting)| setting.in_policy);
    (1..).zip(told.map(|(slot, _)| slot))
}

/// Makes a policy of attributes: what is not told is as in the namespace. Without a policy the
/// namespace's own timeouts are set.
///
/// # Safety
///
/// Called from C with an array of attributes, each a number or null, as long as the description
/// says, a namespace, and a policy of the size that the description says or null.
unsafe extern "C" fn parse<P: Storage>(
    attributes: *mut *mut bindings::nlattr,
    net: *mut bindings::net,
    policy: *mut c_void,
) -> c_int {
    // SAFETY: The caller vouches for namespace, attributes, and policy.
    let (net, attributes, policy) = unsafe {
        (
            Net::from_raw(net),
            Table::from_raw(attributes, in_policy::<P>()),
            policy.cast::<Memory<P::Timeouts>>().as_ref(),
        )
    };
    let mut timeouts = P::timeouts(net);
    let timeouts = timeouts.as_mut_slice();
    for (number, slot) in slots::<P>() {
        let attribute = attributes.get(number);
        let Some(seconds) = attribute.and_then(|attribute| attribute.bytes()) else {
            continue;
        };
        let jiffies = u32::from_be_bytes(seconds).wrapping_mul(HZ);
        if let Some(timeout) = timeouts.get_mut(slot) {
            *timeout = jiffies;
        }
        if policy.is_none() {
            P::set_timeout(net, slot, jiffies);
        }
    }
    if let ([first, second, ..], [new, ..]) = (&mut *timeouts, P::TIMEOUTS) {
        // For a connection without a state yet the timeout is in the first slot, the same as in the
        // next.
        if !new.in_policy {
            *first = *second;
            if policy.is_none() {
                P::set_timeout(net, 0, *first);
            }
        }
    }
    if let Some(policy) = policy {
        for (place, timeout) in P::Timeouts::fields(policy).iter().zip(timeouts) {
            place.store(*timeout);
        }
    }
    0
}

/// Tells a policy by attributes.
///
/// # Safety
///
/// Called from C with a message and a policy of the size that the description says.
unsafe extern "C" fn tell<P: Storage>(skb: *mut bindings::sk_buff, policy: *const c_void) -> c_int {
    // SAFETY: The caller vouches for message and policy.
    let (message, policy) = unsafe {
        (
            Message::from_raw(skb),
            &*policy.cast::<Memory<P::Timeouts>>(),
        )
    };
    let timeouts = P::Timeouts::fields(policy);
    for (number, slot) in slots::<P>() {
        let jiffies = timeouts.get(slot).map_or(0, Field::load);
        if message.put(number, &(jiffies / HZ).to_be_bytes()).is_err() {
            return ENOSPC.to_errno();
        }
    }
    0
}

/// All attributes are numbers of 32 bits.
const NUMBER: bindings::nla_policy = netlink::policy(bindings::NLA_U32);

/// A description.
struct Description(Constant<bindings::nf_conntrack_l4proto>);

/// What attributes look like, for the descriptions.
static ATTRIBUTES: Constant<[bindings::nla_policy; MOST + 1]> = Constant::new([NUMBER; MOST + 1]);

impl Description {
    const fn new<P: Storage>() -> Self {
        assert!(in_policy::<P>() <= MOST);
        let mut new: bindings::nf_conntrack_l4proto = pin_init::zeroed();
        new.l4proto = P::NUMBER;
        new.allow_clash = P::ALLOW_CLASH;
        new.ctnl_timeout.nlattr_to_obj = Some(parse::<P>);
        new.ctnl_timeout.obj_to_nlattr = Some(tell::<P>);
        // CAST: A few.
        new.ctnl_timeout.obj_size = (P::Timeouts::LEN * size_of::<u32>()) as u16;
        new.ctnl_timeout.nlattr_max = in_policy::<P>() as u16;
        new.ctnl_timeout.nla_policy = ATTRIBUTES.as_ptr().cast();
        attributes::describe::<P>(&mut new);
        Self(Constant::new(new))
    }
}

/// nf_ct_l4proto_find(): the description of a protocol, or of all that have none of their own.
#[no_mangle]
pub(crate) extern "C" fn rust_ct_l4proto_find(proto: u8) -> *const bindings::nf_conntrack_l4proto {
    static OTHERS: Description = Description::new::<Generic>();
    let found = dispatch!(proto, P => {
        static DESCRIPTION: Description = Description::new::<P>();
        P::CONFIGURED.then_some(&DESCRIPTION)
    });
    found.unwrap_or(&OTHERS).0.as_ptr()
}
