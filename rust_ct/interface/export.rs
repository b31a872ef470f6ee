// SPDX-License-Identifier: GPL-2.0

//! What the rest of the kernel calls: the functions behind `exports.c` and `params.c`, and those of
//! `struct nf_ct_hook`.
//!
//! Here are those of the hook, of hooks in namespaces and of PPTP's calls; there is a file for each
//! other group.
//!
//! Each turns pointers into what they stand for, and calls safe code.

mod attributes;
#[cfg(CONFIG_DEBUG_INFO_BTF_MODULES)]
pub(crate) mod bpf;
mod bridge;
mod ctnetlink;
mod expect;
mod expectfn;
pub(crate) mod helper;
pub(crate) mod l4proto;
mod nat_helper;
pub(crate) mod origdst;
mod param;
mod rules;
mod seqadj;
mod slots;
mod table;
#[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
mod timeout;
mod tracker;

use crate::{
    bindings,
    datapath::{
        confirm,
        expire,
        headers,
        hooks,
        lookup, //
    },
    object::{
        conn::{
            self,
            event::Event,
            Attached,
            Conn,
            Key,
            Last, //
        },
        l4proto::Storage,
        netns::NETNS, //
    },
    pure::{
        l4proto::tcp::{
            self,
            Tcp, //
        },
        state::Status,
        tuple::{
            Direction,
            Tuple, //
        },
        wire::{
            ipproto,
            Family, //
        },
        zone::Zone, //
    },
    sys::{
        field::Fixed,
        hook::Verdict,
        net::Net,
        rcu::ReadSide,
        siphash,
        skb::Skb, //
    },
};
use core::{
    mem::MaybeUninit,
    ptr, //
};
use kernel::{
    error::from_result,
    ffi::c_int,
    sync::rcu, //
};

/// The tracker of connections, as the kernel's core knows it.
pub(crate) static CT_HOOK: bindings::nf_ct_hook = bindings::nf_ct_hook {
    update: Some(bindings::rct_update),
    destroy: Some(bindings::rct_destroy),
    get_tuple_skb: Some(bindings::rct_get_tuple_skb),
    attach: Some(bindings::rct_attach),
    set_closing: Some(bindings::rct_set_closing),
    confirm: Some(bindings::rct_confirm),
    get_id: Some(bindings::rct_get_id),
};

/// The key of the numbers by which user space knows connections, drawn when the module is loaded.
pub(crate) static ID_KEY: siphash::Key = siphash::Key::new();

/// A packet comes back from user space, with the verdict that it may go on. It was tracked before,
/// and its connection stays what it was; see [`confirm::reinject`].
#[no_mangle]
extern "C" fn rust_ct_update(skb: &mut Skb) -> c_int {
    let guard = rcu::read_lock();
    let verdict = confirm::reinject(skb, ReadSide::of(&guard));
    drop(guard);
    // CAST: Verdicts are bits.
    verdict.raw() as c_int
}

/// nf_ct_destroy(): the last reference to a connection or template is gone.
#[no_mangle]
extern "C" fn rust_ct_destroy(conn: Option<Last>) {
    if let Some(conn) = conn {
        conn.destroy();
    }
}

/// The tuple of the packets that answer this packet, for a queue that wants to be fair to
/// connections.
///
/// Source: net/netfilter/nf_conntrack_core.c, nf_conntrack_get_tuple_skb().
#[no_mangle]
extern "C" fn rust_ct_get_tuple_skb(tuple: &mut MaybeUninit<Tuple>, skb: &Skb) -> bool {
    let found = match conn::attached(skb) {
        Attached::Conn(conn, info) => Some(conn.tuple(info.direction())),
        Attached::Template(_) | Attached::Untracked | Attached::Nothing => look_up(skb),
    };
    if let Some(found) = found {
        tuple.write(found);
    }
    found.is_some()
}

/// For an IPv4 packet without a connection: the tuple of the other direction of the connection that
/// it belongs to.
fn look_up(skb: &Skb) -> Option<Tuple> {
    // It is asked as soon as the hooks are there, in any namespace.
    if !NETNS.is_complete() {
        return None;
    }
    let net = skb.dev_net()?;
    let nhoff = u32::try_from(skb.network_offset()).ok()?;
    let tuple = headers::whole_tuple(NETNS.get(net)?, skb, nhoff, Family::Ipv4)?;
    let key = Key::new(&tuple, Zone::DEFAULT, net);
    let guard = rcu::read_lock();
    let hash = key.hash(Direction::Original);
    let (conn, dir) = lookup::find(&key, hash, ReadSide::of(&guard))?;
    Some(conn.tuple(dir.other()))
}

/// The kernel answers a packet with one of its own, like an ICMP error or a reset.
///
/// Source: net/netfilter/nf_conntrack_core.c, nf_conntrack_attach().
#[no_mangle]
extern "C" fn rust_ct_attach(answer: &mut Skb, skb: &Skb) {
    conn::attach_answer(answer, skb);
}

/// The kernel has answered a packet with a reset: its connection is over.
///
/// Source: net/netfilter/nf_conntrack_proto_tcp.c, nf_conntrack_tcp_set_closing().
#[no_mangle]
extern "C" fn rust_ct_set_closing(conn: &Conn) {
    let status = conn.status();
    if !status.contains(Status::CONFIRMED) || conn.proto() != ipproto::TCP {
        return;
    }
    let guard = rcu::read_lock();
    let timeouts = Tcp::in_force(conn, conn.net(), ReadSide::of(&guard));
    drop(guard);
    let timeout = conn
        .lock()
        .change(|tcp: &mut tcp::Proto| tcp.set_closing(status, &timeouts));
    if let Some(jiffies) = timeout {
        conn.refresh(jiffies);
        expire::lives_for(jiffies);
        conn.cache_event(Event::ProtoInfo);
    }
}

/// __nf_conntrack_confirm(): confirms the connection of a packet that goes past our hooks, as
/// through a bridge to a socket.
#[no_mangle]
extern "C" fn rust_ct_confirm(skb: &mut Skb) -> c_int {
    let netns = match conn::attached(skb) {
        // SAFETY: The namespace lives as long as its connection, which the packet holds.
        Attached::Conn(conn, _) => NETNS.get(unsafe { Net::from_raw(conn.net().as_ptr()) }),
        _ => None,
    };
    match netns {
        // CAST: Verdicts are bits.
        Some(netns) => confirm::confirm(netns, skb).raw() as c_int,
        None => Verdict::ACCEPT.raw() as c_int,
    }
}

/// nf_ct_netns_get(): see [`hooks::get`].
///
/// Process context.
#[no_mangle]
extern "C" fn rust_ct_netns_get(net: &Net, nfproto: u8) -> c_int {
    from_result(|| {
        match nfproto {
            bridge::NFPROTO => bridge::get(net),
            _ => hooks::get(net, nfproto),
        }
        .map(|()| 0)
    })
}

/// nf_ct_netns_put(): see [`hooks::put`].
///
/// Process context.
#[no_mangle]
extern "C" fn rust_ct_netns_put(net: &Net, nfproto: u8) {
    match nfproto {
        bridge::NFPROTO => bridge::put(net),
        _ => hooks::put(net, nfproto),
    }
}

/// nf_ct_gre_keymap_add(): see [`crate::object::keymap::Keymap::add`].
#[no_mangle]
extern "C" fn rust_ct_gre_keymap_add(
    conn: &Conn,
    original: &Fixed<Tuple>,
    reply: &Fixed<Tuple>,
) -> bool {
    let is_over = || conn.status().contains(Status::DYING);
    let master = ptr::from_ref(conn).addr();
    conn.netns().is_some_and(|netns| {
        netns
            .keymap
            .add(master, is_over, &original.load(), &reply.load())
    })
}

/// nf_ct_gre_keymap_destroy(): see [`crate::object::keymap::Keymap::remove`].
#[no_mangle]
extern "C" fn rust_ct_gre_keymap_destroy(conn: &Conn) {
    if let Some(netns) = conn.netns() {
        netns.keymap.remove(ptr::from_ref(conn).addr());
    }
}
