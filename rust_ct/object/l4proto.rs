// SPDX-License-Identifier: GPL-2.0

//! Where the kernel keeps what is each protocol's own: the timeouts of a namespace, and the private
//! state of a connection.
//!
//! C headers: [`include/net/netns/conntrack.h`](srctree/include/net/netns/conntrack.h),
//! [`include/net/netfilter/nf_conntrack.h`](srctree/include/net/netfilter/nf_conntrack.h)

use crate::{
    bindings,
    object::conn::Conn,
    pure::{
        l4proto::{
            for_each_protocol,
            generic::Generic,
            gre::{
                self,
                Gre, //
            },
            icmp::{
                Icmp,
                Icmpv6, //
            },
            sctp::{
                self,
                Sctp, //
            },
            tcp::{
                self,
                Tcp, //
            },
            udp::{
                self,
                Udp, //
            },
            L4Proto, //
        },
        timeout::{
            Jiffies,
            Setting, //
        },
    },
    sys::{
        field::{
            field,
            Field,
            Memory, //
        },
        net::Net,
        rcu::ReadSide,
        time::HZ, //
    },
};
use kernel::prelude::*;

/// A protocol's place in the kernel's objects.
pub(crate) trait Storage: L4Proto<Timeouts: Policy> {
    /// Whether this kernel was configured with the protocol.
    const CONFIGURED: bool = true;

    /// Where a namespace keeps the timeouts; `None` if it has no room for them, and the defaults
    /// hold.
    fn place(_net: &Net) -> Option<&Memory<Self::Timeouts>> {
        None
    }

    /// Where a namespace keeps the timeout of connections that a flow table handles.
    fn offload_place(_net: &Net) -> Option<&Field<u32>> {
        None
    }

    /// The timeouts of a namespace, in jiffies.
    #[inline]
    fn timeouts(net: &Net) -> Self::Timeouts {
        let Some(place) = Self::place(net) else {
            return Self::defaults(HZ);
        };
        let place = Self::Timeouts::fields(place);
        Self::Timeouts::from_fn(|i| place.get(i).map_or(0, Field::load))
    }

    /// Where a namespace keeps one of the timeouts; `None` if there is none of that number, or no
    /// room for it.
    fn timeout_place(net: &Net, i: usize) -> Option<&Field<u32>> {
        Self::Timeouts::fields(Self::place(net)?).get(i)
    }

    /// One of the timeouts of a namespace, in jiffies; zero if it has no place.
    fn timeout(net: &Net, i: usize) -> u32 {
        Self::timeout_place(net, i).map_or(0, Field::load)
    }

    /// Sets one of the timeouts of a namespace, in jiffies. Nothing if it has no place.
    fn set_timeout(net: &Net, i: usize, jiffies: u32) {
        if let Some(place) = Self::timeout_place(net, i) {
            place.store(jiffies);
        }
    }

    /// The timeouts that are in force for a connection of a namespace: its policy's, or the
    /// namespace's.
    #[inline]
    fn in_force(conn: &Conn, net: &Net, rcu: ReadSide<'_>) -> Self::Timeouts {
        match Self::place_in_force(conn, net, rcu) {
            Some(place) => Self::Timeouts::from_fn(|i| place.get(i).map_or(0, Field::load)),
            None => Self::defaults(HZ),
        }
    }

    /// Where the timeouts are kept that are in force for a connection of a namespace, in jiffies;
    /// `None` if that is nowhere, and the defaults hold.
    #[inline(always)]
    fn place_in_force<'a>(
        conn: &'a Conn,
        net: &'a Net,
        rcu: ReadSide<'a>,
    ) -> Option<&'a [Field<u32>]> {
        Self::Timeouts::of_policy(conn, rcu)
            .or_else(|| Some(Self::Timeouts::fields(Self::place(net)?)))
    }
}

/// The timeouts of a protocol, which a rule's policy may hold.
pub(crate) trait Policy: Jiffies + 'static {
    /// The timeouts of a connection's policy, if it has one, as single fields.
    fn of_policy<'a>(conn: &Conn, rcu: ReadSide<'a>) -> Option<&'a [Field<u32>]>;

    /// As single fields.
    fn fields(place: &Memory<Self>) -> &[Field<u32>];
}

impl<const N: usize> Policy for [u32; N] {
    #[inline(always)]
    fn of_policy<'a>(conn: &Conn, rcu: ReadSide<'a>) -> Option<&'a [Field<u32>]> {
        conn.policy::<N>(rcu)
    }

    #[inline]
    fn fields(place: &Memory<Self>) -> &[Field<u32>] {
        place.fields()
    }
}

impl Storage for Tcp {
    #[inline]
    fn place(net: &Net) -> Option<&Memory<Self::Timeouts>> {
        Some(field!(net.protocols(), tcp.timeouts as Memory<_>))
    }

    #[cfg(CONFIG_NF_FLOW_TABLE)]
    fn offload_place(net: &Net) -> Option<&Field<u32>> {
        Some(field!(net.protocols(), tcp.offload_timeout))
    }
}

impl Storage for Udp {
    #[inline]
    fn place(net: &Net) -> Option<&Memory<Self::Timeouts>> {
        Some(field!(net.protocols(), udp.timeouts as Memory<_>))
    }

    #[cfg(CONFIG_NF_FLOW_TABLE)]
    fn offload_place(net: &Net) -> Option<&Field<u32>> {
        Some(field!(net.protocols(), udp.offload_timeout))
    }
}

impl Storage for Sctp {
    const CONFIGURED: bool = cfg!(CONFIG_NF_CT_PROTO_SCTP);

    #[cfg(CONFIG_NF_CT_PROTO_SCTP)]
    #[inline]
    fn place(net: &Net) -> Option<&Memory<Self::Timeouts>> {
        Some(field!(net.protocols(), sctp.timeouts as Memory<_>))
    }
}

impl Storage for Gre {
    const CONFIGURED: bool = cfg!(CONFIG_NF_CT_PROTO_GRE);

    #[cfg(CONFIG_NF_CT_PROTO_GRE)]
    #[inline]
    fn place(net: &Net) -> Option<&Memory<Self::Timeouts>> {
        Some(field!(net.protocols(), gre.timeouts as Memory<_>))
    }
}

impl Storage for Icmp {
    #[inline]
    fn place(net: &Net) -> Option<&Memory<Self::Timeouts>> {
        Some(field!(net.protocols(), icmp.timeout as Memory<_>))
    }
}

impl Storage for Icmpv6 {
    #[inline]
    fn place(net: &Net) -> Option<&Memory<Self::Timeouts>> {
        Some(field!(net.protocols(), icmpv6.timeout as Memory<_>))
    }
}

impl Storage for Generic {
    #[inline]
    fn place(net: &Net) -> Option<&Memory<Self::Timeouts>> {
        Some(field!(net.protocols(), generic.timeout as Memory<_>))
    }
}

// Private states are where the kernel has its own, and as large, and policies are told of by as
// many attributes.
const _: () = {
    use bindings::*;
    assert!(size_of::<tcp::Proto>() == size_of::<ip_ct_tcp>());
    assert!(size_of::<sctp::Proto>() == size_of::<ip_ct_sctp>());
    assert!(size_of::<gre::Proto>() == size_of::<nf_ct_gre>());
    assert!(size_of::<udp::Proto>() == size_of::<nf_ct_udp>());
    assert!(ctattr_timeout_tcp_CTA_TIMEOUT_TCP_SYN_SENT == 1);
    assert!(ctattr_timeout_tcp_CTA_TIMEOUT_TCP_RETRANS == 10);
    assert!(ctattr_timeout_tcp_CTA_TIMEOUT_TCP_UNACK as usize == in_policy::<Tcp>());
    assert!(ctattr_timeout_udp_CTA_TIMEOUT_UDP_REPLIED as usize == in_policy::<Udp>());
    assert!(ctattr_timeout_gre_CTA_TIMEOUT_GRE_REPLIED as usize == in_policy::<Gre>());
    assert!(ctattr_timeout_sctp_CTA_TIMEOUT_SCTP_HEARTBEAT_ACKED as usize == in_policy::<Sctp>());
};

/// How many of a protocol's timeouts a policy sets.
pub(crate) const fn in_policy<P: L4Proto>() -> usize {
    assert!(P::TIMEOUTS.len() == P::Timeouts::LEN);
    let (mut i, mut count) = (0, 0);
    while i < P::TIMEOUTS.len() {
        count += P::TIMEOUTS[i].in_policy as usize;
        i += 1;
    }
    count
}

/// One timeout of a protocol, in whichever namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeout {
    /// The name of its sysctl, if it has one.
    pub(crate) name: Option<&'static CStr>,
    /// What a namespace begins with, in jiffies.
    pub(crate) default: u32,
    /// What a namespace has, in jiffies.
    pub(crate) get: fn(&Net) -> u32,
    /// Sets it in a namespace, in jiffies.
    pub(crate) set: fn(&Net, u32),
}

impl Timeout {
    const fn new(setting: &Setting, get: fn(&Net) -> u32, set: fn(&Net, u32)) -> Self {
        Self {
            name: setting.sysctl,
            default: setting.seconds.saturating_mul(HZ),
            get,
            set,
        }
    }

    /// The timeout with an index, if the protocol has it.
    const fn of<P: Storage, const INDEX: usize>() -> Option<Self> {
        if INDEX >= P::TIMEOUTS.len() {
            return None;
        }
        Some(Self::new(
            &P::TIMEOUTS[INDEX],
            |net| P::timeout(net, INDEX),
            |net, jiffies| P::set_timeout(net, INDEX, jiffies),
        ))
    }

    /// That of connections that a flow table handles.
    const fn of_flow_table<P: Storage>() -> Option<Self> {
        match P::OFFLOAD_TIMEOUT {
            Some(setting) if cfg!(CONFIG_NF_FLOW_TABLE) => Some(Self::new(
                &setting,
                |net| P::offload_place(net).map_or(0, Field::load),
                |net, jiffies| {
                    if let Some(place) = P::offload_place(net) {
                        place.store(jiffies);
                    }
                },
            )),
            _ => None,
        }
    }

    /// Those of a protocol for which a namespace has room.
    const fn all<P: Storage>() -> &'static [Option<Self>] {
        macro_rules! at {
            ($($index:literal)*) => {
                &[$(Self::of::<P, $index>(),)* Self::of_flow_table::<P>()]
            };
        }
        const { assert!(P::TIMEOUTS.len() <= 14) };
        if P::CONFIGURED {
            const { at!(0 1 2 3 4 5 6 7 8 9 10 11 12 13) }
        } else {
            &[]
        }
    }
}

/// Gives all timeouts for which a namespace has room to `each`, until that fails.
pub(crate) fn for_each_timeout(each: &mut dyn FnMut(&Timeout) -> Result) -> Result {
    for_each_protocol!(P => Timeout::all::<P>().iter().flatten().try_for_each(&mut *each)?);
    Ok(())
}
