// SPDX-License-Identifier: GPL-2.0

//! What helpers in C, and the rules that attach them, call.

use crate::{
    bindings,
    datapath::{
        end,
        lookup, //
    },
    object::{
        conn::{
            help::Help,
            Alone,
            Conn, //
        },
        expect,
        helper::{
            self,
            registry,
            Helper, //
        },
    },
    pure::{
        state::Status,
        tuple::{
            Direction,
            Tuple, //
        },
        wire::ipproto, //
    },
    sys::{
        abi::{
            given,
            Given,
            Text, //
        },
        memory::Gfp,
        net::Net,
        rcu::ReadSide, //
    },
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    error::from_result,
    ffi::{
        c_char,
        c_int,
        c_uint, //
    },
    prelude::*,
    sync::rcu, //
};

type Raw = bindings::nf_conntrack_helper;

/// __nf_conntrack_helper_register(): see [`registry::register`].
///
/// # Safety
///
/// As [`registry::register`].
#[no_mangle]
unsafe extern "C" fn rust_ct_helper_register_as_is(helper: *mut Raw) -> c_int {
    from_result(|| {
        let helper = NonNull::new(helper).ok_or(EINVAL)?;
        // SAFETY: By the contract.
        unsafe { registry::register(helper) }.map(|()| 0)
    })
}

/// nf_conntrack_helper_register(): see [`registry::register_copy`].
///
/// # Safety
///
/// Called from C with a helper whose functions are there until it is unregistered, and room for a
/// pointer to its copy.
#[no_mangle]
unsafe extern "C" fn rust_ct_helper_register(helper: *const Raw, copy: *mut *mut Raw) -> c_int {
    from_result(|| {
        // SAFETY: The caller vouches for both.
        unsafe {
            copy.write(ptr::null_mut());
            copy.write(registry::register_copy(&*helper)?.as_ptr());
        }
        Ok(0)
    })
}

/// nf_ct_helper_init(): fills in a helper.
///
/// Source: net/netfilter/nf_conntrack_helper.c.
///
/// # Safety
///
/// Called from C with room for a helper, a string, `class_max` policies and one more, two functions
/// of a helper or null, and a module or null.
#[no_mangle]
unsafe extern "C" fn rust_ct_helper_init(
    helper: *mut Raw,
    l3num: u8,
    proto: u16,
    name: Text<'_>,
    policies: *const helper::RawPolicy,
    class_max: u32,
    help: helper::HelpFunction,
    from_nlattr: helper::ParseFunction,
    module: *mut bindings::module,
) {
    let name = name.get().to_bytes();
    let mut new: Raw = pin_init::zeroed();
    helper::write_text(&mut new.name, name.iter().copied());
    let nat_module = [NAT_PREFIX, name].into_iter().flatten().copied();
    helper::write_text(&mut new.nat_mod_name, nat_module);
    new.nfproto = l3num;
    // CAST: Protocols are bytes.
    new.l4proto = proto as u8;
    new.help = help;
    new.from_nlattr = from_nlattr;
    new.me = module;
    // What is out of range is refused when the helper is registered.
    new.expect_class_max = class_max;
    for (i, policy) in new.expect_policy.iter_mut().enumerate() {
        if i <= class_max as usize {
            // SAFETY: The caller vouches for the policies.
            *policy = unsafe { policies.add(i).read() };
        }
    }
    // SAFETY: The caller vouches for the room.
    unsafe { helper.write(new) };
}

/// What the name of a helper's NAT module begins with (`NF_NAT_HELPER_PREFIX`).
const NAT_PREFIX: &[u8] = b"ip_nat_";

/// nf_conntrack_helpers_register(): copies of several helpers, or of none.
///
/// # Safety
///
/// As [`rust_ct_helper_register`], for `n` of them.
#[no_mangle]
unsafe extern "C" fn rust_ct_helpers_register(
    helpers: *const Raw,
    n: c_uint,
    copies: *mut *mut Raw,
) -> c_int {
    for i in 0..n as usize {
        // SAFETY: The caller vouches for both arrays.
        let result = unsafe { rust_ct_helper_register(helpers.add(i), copies.add(i)) };
        if result < 0 {
            // SAFETY: So many were registered. CAST: `i` is below `n`.
            unsafe { rust_ct_helpers_unregister(copies, i as c_uint) };
            return result;
        }
    }
    0
}

/// nf_conntrack_helpers_unregister(): the last one first.
///
/// # Safety
///
/// As [`rust_ct_helper_unregister`], for `n` of them.
#[no_mangle]
unsafe extern "C" fn rust_ct_helpers_unregister(helpers: *mut *mut Raw, n: c_uint) {
    for i in (0..n as usize).rev() {
        // SAFETY: The caller vouches for the array.
        unsafe { rust_ct_helper_unregister(helpers.add(i).replace(ptr::null_mut())) };
    }
}

/// nf_conntrack_helper_unregister(): see [`registry::unregister`].
///
/// # Safety
///
/// Called from C with a helper that the caller has registered.
#[no_mangle]
unsafe extern "C" fn rust_ct_helper_unregister(helper: *mut Raw) {
    if let Some(helper) = NonNull::new(helper) {
        // SAFETY: The caller vouches for the helper.
        unsafe { registry::unregister(helper) };
    }
}

/// nf_conntrack_helper_release(): see [`registry::release`].
#[no_mangle]
extern "C" fn rust_ct_helper_release(helper: Option<Given<Helper>>) {
    if let Some(helper) = helper {
        registry::release(helper.take());
    }
}

/// __nf_conntrack_helper_find(): see [`registry::find`].
///
/// The caller holds RCU as long as it uses the result.
#[no_mangle]
extern "C" fn rust_ct_helper_find(name: Text<'_>, l3num: u16, proto: u8) -> *mut Raw {
    let guard = rcu::read_lock();
    let found = registry::find(name.get().to_bytes(), l3num, proto, ReadSide::of(&guard));
    found.map_or(ptr::null_mut(), Helper::as_ptr)
}

/// nf_conntrack_helper_try_module_get(): see [`registry::get`].
///
/// Process context.
#[no_mangle]
extern "C" fn rust_ct_helper_get(name: Text<'_>, l3num: u16, proto: u8) -> *mut Helper {
    given(registry::get(name.get(), l3num, proto))
}

/// nf_conntrack_helper_put(): see [`registry::put`].
#[no_mangle]
extern "C" fn rust_ct_helper_put(helper: Option<Given<Helper>>) {
    if let Some(helper) = helper {
        // SAFETY: A reference that C has is from `rust_ct_helper_get`.
        unsafe { registry::put(helper.take()) };
    }
}

/// nf_ct_helper_ext_add(): see [`Alone::add_help`].
#[no_mangle]
extern "C" fn rust_ct_helper_ext_add(conn: Alone<'_>, gfp: Gfp) -> Option<&Help> {
    conn.add_help(gfp)
}

/// __nf_ct_try_assign_helper(): gives a connection the helper of a template, unless it has one.
#[no_mangle]
extern "C" fn rust_ct_try_assign_helper(conn: Alone<'_>, template: Option<&Conn>) -> c_int {
    let guard = rcu::read_lock();
    if let Some(template) = template.filter(|_| !conn.conn().status().contains(Status::HELPER)) {
        conn.assign_helper_of(template, ReadSide::of(&guard));
    }
    drop(guard);
    0
}

/// Where the name of a connection's helper is, for a line of the log: sixteen bytes, or null.
///
/// The caller holds RCU as long as it uses the result.
#[no_mangle]
extern "C" fn rust_ct_helper_name(conn: &Conn) -> *const c_char {
    let guard = rcu::read_lock();
    conn.helper(ReadSide::of(&guard))
        .map_or(ptr::null(), |helper| helper.name().as_ptr().cast())
}

/// gre_pptp_destroy_siblings(): the GRE connections of a PPTP control connection that is over go
/// along, or what is expected of them.
///
/// Source: net/netfilter/nf_conntrack_proto_gre.c.
///
/// # Safety
///
/// Called from C with a connection that the caller has, whose helper is that of PPTP.
#[no_mangle]
unsafe extern "C" fn rust_ct_pptp_destroy_siblings(conn: &Conn) {
    let (Some(help), Some(netns)) = (conn.help(), conn.netns()) else {
        return;
    };
    // SAFETY: The helper of PPTP keeps this there; the numbers are in network order.
    let (pns, pac) = unsafe {
        let info = help.data().cast::<bindings::nf_ct_pptp_master>();
        (
            u16::from_be((*info).pns_call_id),
            u16::from_be((*info).pac_call_id),
        )
    };
    netns.keymap.remove(ptr::from_ref(conn).addr());
    for (dir, src, dst) in [
        (Direction::Original, pns, pac),
        (Direction::Reply, pac, pns),
    ] {
        let call = conn
            .tuple(dir)
            .with_proto(ipproto::GRE)
            .with_ports(src, dst);
        end_call(conn.net(), &conn.zone(), &call);
    }
}

fn end_call(net: &Net, zone: &crate::pure::zone::Zone, call: &Tuple) {
    let guard = rcu::read_lock();
    let rcu = ReadSide::of(&guard);
    let key = crate::object::conn::Key::new(call, *zone, net);
    if let Some((sibling, _)) = lookup::find(&key, key.hash(Direction::Original), rcu) {
        end::kill(&sibling);
    } else if let Some(exp) = expect::find(net, zone, call, rcu) {
        exp.mark_dead();
    }
}
