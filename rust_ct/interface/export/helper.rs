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
            registry,
            write_text,
            Helper,
            KeptHelper,
            NewHelper,
            RegisteredHelper, //
        },
    },
    pure::{
        fate::Ended,
        state::Status,
        tuple::{
            Direction,
            Tuple, //
        },
        wire::ipproto, //
    },
    sys::{
        abi::{
            Array,
            Given,
            Text, //
        },
        memory::Gfp,
        net::Net,
        rcu::ReadSide,
        refcount::Counted, //
    },
};
use core::{
    cell::Cell,
    mem::{
        offset_of,
        MaybeUninit, //
    },
    ptr, //
};
use kernel::{
    error::from_result,
    ffi::{
        c_char,
        c_int, //
    },
    prelude::*,
    sync::rcu, //
};

type Raw = bindings::nf_conntrack_helper;

/// __nf_conntrack_helper_register(): see [`registry::register`]. If it fails the helper remains the
/// caller's.
#[no_mangle]
extern "C" fn rust_ct_helper_register_as_is(helper: Option<KBox<NewHelper>>) -> c_int {
    match helper.map(registry::register) {
        None => EINVAL.to_errno(),
        // The caller knows where it is.
        Some(Ok(_)) => 0,
        Some(Err((helper, error))) => {
            let _ = KBox::into_raw(helper);
            error.to_errno()
        }
    }
}

/// nf_conntrack_helper_register(): see [`registry::register_copy`].
#[no_mangle]
extern "C" fn rust_ct_helper_register(
    helper: &NewHelper,
    copy: &mut MaybeUninit<Option<RegisteredHelper>>,
) -> c_int {
    let copy = copy.write(None);
    from_result(|| {
        *copy = Some(registry::register_copy(helper)?);
        Ok(0)
    })
}

/// nf_ct_helper_init(): fills in a helper.
///
/// Source: net/netfilter/nf_conntrack_helper.c.
#[no_mangle]
extern "C" fn rust_ct_helper_init(
    helper: &mut MaybeUninit<Raw>,
    l3num: u8,
    proto: u16,
    name: Text<'_>,
    policies: Array<'_, bindings::nf_conntrack_expect_policy>,
    help: bindings::rct_help,
    from_nlattr: bindings::rct_from_nlattr,
    module: *mut bindings::module,
) {
    let name = name.get().to_bytes();
    let policies = policies.get();
    let mut new: Raw = pin_init::zeroed();
    write_text(&mut new.name, name.iter().copied());
    let nat_module = [NAT_PREFIX, name].into_iter().flatten().copied();
    write_text(&mut new.nat_mod_name, nat_module);
    new.nfproto = l3num;
    // CAST: Protocols are bytes.
    new.l4proto = proto as u8;
    new.help = help;
    new.from_nlattr = from_nlattr;
    new.me = module;
    // What is out of range is refused when the helper is registered. CAST: C has 32 bits for it.
    new.expect_class_max = policies.len().wrapping_sub(1) as u32;
    for (place, policy) in new.expect_policy.iter_mut().zip(policies) {
        *place = *policy;
    }
    helper.write(new);
}

/// What the name of a helper's NAT module begins with (`NF_NAT_HELPER_PREFIX`).
const NAT_PREFIX: &[u8] = b"ip_nat_";

/// Where another module has the helpers that it has registered: null or a helper in each place.
type Places<'a> = Array<'a, Cell<Option<RegisteredHelper>>>;

/// nf_conntrack_helpers_register(): copies of several helpers, or of none.
#[no_mangle]
extern "C" fn rust_ct_helpers_register(helpers: Array<'_, NewHelper>, copies: Places<'_>) -> c_int {
    let copies = copies.get();
    from_result(|| {
        for (i, (helper, copy)) in helpers.get().iter().zip(copies).enumerate() {
            copy.set(None);
            let registered = registry::register_copy(helper);
            copy.set(Some(registered.inspect_err(|_| unregister(&copies[..i]))?));
        }
        Ok(0)
    })
}

/// nf_conntrack_helpers_unregister().
#[no_mangle]
extern "C" fn rust_ct_helpers_unregister(helpers: Places<'_>) {
    unregister(helpers.get());
}

/// Unregisters helpers, the last one first.
fn unregister(helpers: &[Cell<Option<RegisteredHelper>>]) {
    let registered = helpers.iter().rev().filter_map(Cell::take);
    registered.for_each(registry::unregister);
}

/// nf_conntrack_helper_unregister(): see [`registry::unregister`].
#[no_mangle]
extern "C" fn rust_ct_helper_unregister(helper: Option<RegisteredHelper>) {
    if let Some(helper) = helper {
        registry::unregister(helper);
    }
}

/// nf_conntrack_helper_release(): see [`registry::release`].
#[no_mangle]
extern "C" fn rust_ct_helper_release(helper: Option<Given<Counted<Helper>>>) {
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
extern "C" fn rust_ct_helper_get(name: Text<'_>, l3num: u16, proto: u8) -> Option<KeptHelper> {
    registry::get(name.get(), l3num, proto)
}

/// nf_conntrack_helper_put(): see [`registry::put`].
#[no_mangle]
extern "C" fn rust_ct_helper_put(helper: Option<KeptHelper>) {
    if let Some(helper) = helper {
        registry::put(helper);
    }
}

/// nf_ct_helper_ext_add(): see [`Alone::add_help`].
#[no_mangle]
extern "C" fn rust_ct_helper_ext_add(conn: Alone<'_>, gfp: Gfp) -> Option<&Help> {
    conn.add_help(gfp)
}

/// __nf_ct_try_assign_helper(): gives a connection the helper of a template, unless it has one.
/// `ENOMEM` if there is no memory.
#[no_mangle]
extern "C" fn rust_ct_try_assign_helper(conn: Alone<'_>, template: Option<&Conn>) -> c_int {
    let guard = rcu::read_lock();
    let helper = template
        .filter(|_| !conn.status().contains(Status::HELPER))
        .and_then(|template| template.helper(ReadSide::of(&guard)));
    let result = from_result(|| match helper {
        Some(helper) => conn.assign_helper(helper).map(|()| 0),
        None => Ok(0),
    });
    drop(guard);
    result
}

/// Where the name of a connection's helper is, for a line of the log: sixteen bytes, or null.
///
/// The caller holds RCU as long as it uses the result.
#[no_mangle]
extern "C" fn rust_ct_helper_name(conn: &Conn) -> *const c_char {
    let guard = rcu::read_lock();
    conn.helper(ReadSide::of(&guard))
        .map_or(ptr::null(), Helper::name_ptr)
}

/// gre_pptp_destroy_siblings(): the GRE connections of a PPTP control connection that is over go
/// along, or what is expected of them.
///
/// Source: net/netfilter/nf_conntrack_proto_gre.c. The connection's helper is that of PPTP.
#[no_mangle]
pub(crate) extern "C" fn rust_ct_pptp_destroy_siblings(conn: &Conn) {
    let (Some(help), Some(netns)) = (conn.help(), conn.netns()) else {
        return;
    };
    let call_id = |at: usize| {
        let byte = |at: usize| help.byte(at).unwrap_or(0);
        u16::from_be_bytes([byte(at), byte(at + 1)])
    };
    let pns = call_id(offset_of!(bindings::nf_ct_pptp_master, pns_call_id));
    let pac = call_id(offset_of!(bindings::nf_ct_pptp_master, pac_call_id));
    netns.keymap.remove(ptr::from_ref(conn).addr());
    // Traffic control gives a helper to a connection of any protocol. A call has no calls, so that
    // one end does not lead to the next on one stack.
    if conn.proto() != ipproto::TCP {
        return;
    }
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
    if let Some(sibling) = lookup::find_sibling(&key, rcu) {
        end::kill_as(&sibling, Ended::Master);
    } else if let Some(exp) = expect::find(net, zone, call, rcu) {
        exp.mark_dead();
    }
}
