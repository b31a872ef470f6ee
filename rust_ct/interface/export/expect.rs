// SPDX-License-Identifier: GPL-2.0

//! What helpers in C call to expect connections.

use super::conn;
use crate::{
    bindings,
    object::{
        conn::event::Requester,
        expect::{
            self,
            Expect,
            Held,
            Wanted, //
        },
    },
    pure::tuple::Addr,
    sys::{
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
        c_int,
        c_uint,
        c_void, //
    },
    sync::{
        aref::ARef,
        rcu, //
    },
};

/// The expectation of a kernel's pointer to one.
///
/// # Safety
///
/// The caller must have a reference to it, or hold what keeps it, for `'a`.
unsafe fn expectation<'a>(exp: *mut bindings::nf_conntrack_expect) -> &'a Expect {
    // SAFETY: An `Expect` is a transparent wrapper, and the caller vouches for the pointer.
    unsafe { &*exp.cast() }
}

/// The kernel's pointer to an expectation, or null.
fn raw(exp: Option<&Expect>) -> *mut bindings::nf_conntrack_expect {
    exp.map_or(ptr::null_mut(), |exp| ptr::from_ref(exp).cast_mut().cast())
}

/// nf_ct_expect_alloc(): see [`Expect::new`].
///
/// # Safety
///
/// Called from C with a connection that the caller has.
#[no_mangle]
unsafe extern "C" fn rust_ct_expect_alloc(
    ct: *mut bindings::nf_conn,
) -> *mut bindings::nf_conntrack_expect {
    // SAFETY: The caller vouches for the connection.
    Expect::new(unsafe { conn(ct.cast()) })
        .map_or(ptr::null_mut(), |exp| ARef::into_raw(exp).as_ptr().cast())
}

/// nf_ct_expect_init(): see [`Expect::describe`].
///
/// # Safety
///
/// Called from C under RCU, with an expectation that is not in the table, and with addresses of the
/// family, ports in network order, each of which may be null for the source.
#[no_mangle]
unsafe extern "C" fn rust_ct_expect_init(
    exp: *mut bindings::nf_conntrack_expect,
    class: c_uint,
    family: u8,
    saddr: *const bindings::nf_inet_addr,
    daddr: *const bindings::nf_inet_addr,
    proto: u8,
    src: *const [u8; 2],
    dst: *const [u8; 2],
) {
    // SAFETY: The caller vouches for all of them. An IPv4 address may be four bytes long.
    unsafe {
        let address = |addr: *const bindings::nf_inet_addr| match family.into() {
            bindings::NFPROTO_IPV4 => Addr::v4(addr.cast::<[u8; 4]>().read()),
            _ => Addr::v6(addr.cast::<[u8; 16]>().read()),
        };
        let src_addr = (!saddr.is_null()).then(|| address(saddr));
        let wanted = Wanted {
            class,
            l3num: family.into(),
            src: src_addr.as_ref(),
            src_id: src.as_ref().copied(),
            dst: &address(daddr),
            dst_id: dst.read(),
            proto,
        };
        expectation(exp).describe(&wanted, ReadSide::assume());
    }
}

/// nf_ct_expect_put(): gives back a reference.
///
/// # Safety
///
/// Called from C with a reference.
#[no_mangle]
unsafe extern "C" fn rust_ct_expect_put(exp: *mut bindings::nf_conntrack_expect) {
    if let Some(exp) = NonNull::new(exp.cast::<Expect>()) {
        // SAFETY: The caller vouches for the reference.
        drop(unsafe { ARef::from_raw(exp) });
    }
}

/// nf_ct_expect_related_report(): see [`expect::insert`].
///
/// # Safety
///
/// Called from C with an expectation and, as a packet does, its master.
#[no_mangle]
unsafe extern "C" fn rust_ct_expect_related(
    exp: *mut bindings::nf_conntrack_expect,
    portid: u32,
    report: c_int,
    flags: c_uint,
) -> c_int {
    // SAFETY: The caller vouches for the expectation.
    let exp = unsafe { expectation(exp) };
    from_result(|| expect::insert(exp, flags, Requester { portid, report }).map(|()| 0))
}

/// nf_ct_expect_related_pair(): see [`expect::insert_pair`].
///
/// # Safety
///
/// Called from C with two expectations and, as a packet does, their master.
#[no_mangle]
unsafe extern "C" fn rust_ct_expect_related_pair(
    pair: *mut *mut bindings::nf_conntrack_expect,
    flags: c_uint,
) -> c_int {
    // SAFETY: The caller vouches for both.
    let pair = unsafe { [expectation(pair.read()), expectation(pair.add(1).read())] };
    from_result(|| expect::insert_pair(pair, flags).map(|()| 0))
}

/// __nf_ct_expect_find(): see [`expect::find`].
///
/// # Safety
///
/// Called from C with a namespace, a zone and a tuple, under RCU or the lock of expectations.
#[no_mangle]
unsafe extern "C" fn rust_ct_expect_find(
    net: *mut bindings::net,
    zone: *const bindings::nf_conntrack_zone,
    wanted: *const bindings::nf_conntrack_tuple,
) -> *mut bindings::nf_conntrack_expect {
    // SAFETY: The caller vouches for all three, and for RCU or the lock, whose holder does not
    // sleep either.
    unsafe {
        let (net, zone, tuple) = super::wanted(net, zone, wanted);
        raw(expect::find(net, &zone, &tuple, ReadSide::assume()))
    }
}

/// nf_ct_expect_find_get(): as [`rust_ct_expect_find`], with a reference.
///
/// # Safety
///
/// Called from C with a namespace, a zone and a tuple.
#[no_mangle]
unsafe extern "C" fn rust_ct_expect_find_get(
    net: *mut bindings::net,
    zone: *const bindings::nf_conntrack_zone,
    wanted: *const bindings::nf_conntrack_tuple,
) -> *mut bindings::nf_conntrack_expect {
    let guard = rcu::read_lock();
    // SAFETY: The caller vouches for all three.
    let (net, zone, tuple) = unsafe { super::wanted(net, zone, wanted) };
    let found = expect::find(net, &zone, &tuple, ReadSide::of(&guard)).and_then(Expect::try_get);
    found.map_or(ptr::null_mut(), |exp| ARef::into_raw(exp).as_ptr().cast())
}

/// nf_ct_unlink_expect_report(): see [`expect::unlink_for`].
///
/// # Safety
///
/// Called from C with the lock of expectations held, and an expectation that is kept by it.
#[no_mangle]
unsafe extern "C" fn rust_ct_unlink_expect(
    exp: *mut bindings::nf_conntrack_expect,
    portid: u32,
    report: c_int,
) {
    let requester = Requester { portid, report };
    // SAFETY: The caller vouches for the expectation, and for the lock.
    unsafe { expect::unlink_for(expectation(exp), requester, Held::assume()) };
}

/// nf_ct_unexpect_related(): see [`Expect::mark_dead`].
///
/// # Safety
///
/// Called from C with an expectation that the caller has.
#[no_mangle]
unsafe extern "C" fn rust_ct_unexpect_related(exp: *mut bindings::nf_conntrack_expect) {
    // SAFETY: The caller vouches for the expectation.
    unsafe { expectation(exp) }.mark_dead();
}

/// nf_ct_remove_expectations(): see [`expect::remove_all`].
///
/// # Safety
///
/// Called from C with a connection that the caller has.
#[no_mangle]
unsafe extern "C" fn rust_ct_remove_expectations(ct: *mut bindings::nf_conn) {
    // SAFETY: The caller vouches for the connection.
    expect::remove_all(unsafe { conn(ct.cast()) });
}

/// What another module says of an expectation: whether it goes.
type Iter = unsafe extern "C" fn(*mut bindings::nf_conntrack_expect, *mut c_void) -> bool;

/// nf_ct_expect_iterate_net() and nf_ct_expect_iterate_destroy(), where `net` is null: see
/// [`expect::remove_if_for`].
///
/// # Safety
///
/// Called from C with a namespace or null, and a function to be called with the lock of
/// expectations held and `data`.
#[no_mangle]
unsafe extern "C" fn rust_ct_expect_iterate(
    net: *mut bindings::net,
    iter: Iter,
    data: *mut c_void,
    portid: u32,
    report: c_int,
) {
    // SAFETY: The caller vouches for the namespace.
    let net = (!net.is_null()).then(|| unsafe { Net::from_raw(net) });
    let requester = Requester { portid, report };
    // SAFETY: The caller vouches for function and data.
    expect::remove_if_for(net, requester, |exp| unsafe { iter(raw(Some(exp)), data) });
}
