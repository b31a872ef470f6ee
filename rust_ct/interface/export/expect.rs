// SPDX-License-Identifier: GPL-2.0

//! What helpers in C call to expect connections.

use crate::{
    bindings,
    object::{
        conn::{
            event::Requester,
            Conn, //
        },
        expect::{
            self,
            Expect,
            Held,
            Wanted, //
        },
    },
    pure::{
        tuple::{
            Addr,
            Tuple, //
        },
        zone::Zone, //
    },
    sys::{
        abi::{
            given,
            Given, //
        },
        field::{
            Field,
            Fixed, //
        },
        net::Net,
        rcu::ReadSide,
        refcount::Counted, //
    },
};
use core::ptr;
use kernel::{
    error::from_result,
    ffi::{
        c_int,
        c_uint, //
    },
    sync::rcu, //
};

/// nf_ct_expect_alloc(): see [`Expect::new`].
#[no_mangle]
extern "C" fn rust_ct_expect_alloc(conn: &Conn) -> *mut Expect {
    given(Expect::new(conn))
}

/// nf_ct_expect_init(): see [`Expect::describe`].
///
/// # Safety
///
/// Called from C under RCU, with an expectation that is not in the table, and with addresses of the
/// family, ports in network order, each of which may be null for the source.
#[no_mangle]
unsafe extern "C" fn rust_ct_expect_init(
    exp: &Expect,
    class: c_uint,
    family: u8,
    saddr: *const bindings::nf_inet_addr,
    daddr: *const bindings::nf_inet_addr,
    proto: u8,
    src: Option<&Field<[u8; 2]>>,
    dst: &Field<[u8; 2]>,
) {
    // SAFETY: The caller vouches for the address. An IPv4 address may be four bytes long.
    let address = |addr: *const bindings::nf_inet_addr| unsafe {
        match family.into() {
            bindings::NFPROTO_IPV4 => Addr::v4(addr.cast::<[u8; 4]>().read()),
            _ => Addr::v6(addr.cast::<[u8; 16]>().read()),
        }
    };
    let src_addr = (!saddr.is_null()).then(|| address(saddr));
    let wanted = Wanted {
        class,
        l3num: family.into(),
        src: src_addr.as_ref(),
        src_id: src.map(Field::load),
        dst: &address(daddr),
        dst_id: dst.load(),
        proto,
    };
    let guard = rcu::read_lock();
    // SAFETY: The caller has just made the expectation, for a connection that it has.
    unsafe { exp.describe(&wanted, ReadSide::of(&guard)) };
    drop(guard);
}

/// nf_ct_expect_put(): gives back a reference.
#[no_mangle]
extern "C" fn rust_ct_expect_put(exp: Option<Given<Counted<Expect>>>) {
    drop(exp.map(Given::take));
}

/// nf_ct_expect_related_report(): see [`expect::insert`].
///
/// # Safety
///
/// Called from C, which has the master.
#[no_mangle]
unsafe extern "C" fn rust_ct_expect_related(
    exp: &Expect,
    portid: u32,
    report: c_int,
    flags: c_uint,
) -> c_int {
    // SAFETY: As the caller says.
    from_result(|| unsafe { expect::insert(exp, flags, Requester { portid, report }).map(|()| 0) })
}

/// nf_ct_expect_related_pair(): see [`expect::insert_pair`].
///
/// # Safety
///
/// Called from C, which has the master.
#[no_mangle]
unsafe extern "C" fn rust_ct_expect_related_pair(pair: &[&Expect; 2], flags: c_uint) -> c_int {
    // SAFETY: As the caller says.
    from_result(|| unsafe { expect::insert_pair(*pair, flags).map(|()| 0) })
}

/// __nf_ct_expect_find(): see [`expect::find`].
///
/// The caller holds RCU or the lock of expectations as long as it uses the result.
#[no_mangle]
extern "C" fn rust_ct_expect_find(
    net: &Net,
    zone: &Fixed<Zone>,
    wanted: &Fixed<Tuple>,
) -> *const Expect {
    let guard = rcu::read_lock();
    let found = expect::find(net, &zone.load(), &wanted.load(), ReadSide::of(&guard));
    found.map_or(ptr::null(), ptr::from_ref)
}

/// nf_ct_expect_find_get(): as [`rust_ct_expect_find`], with a reference.
#[no_mangle]
extern "C" fn rust_ct_expect_find_get(
    net: &Net,
    zone: &Fixed<Zone>,
    wanted: &Fixed<Tuple>,
) -> *mut Expect {
    let guard = rcu::read_lock();
    let found = expect::find(net, &zone.load(), &wanted.load(), ReadSide::of(&guard));
    given(found.and_then(Expect::try_get))
}

/// nf_ct_unlink_expect_report(): see [`expect::unlink_for`].
///
/// # Safety
///
/// Called from C with the lock of expectations held, and an expectation that is kept by it.
#[no_mangle]
unsafe extern "C" fn rust_ct_unlink_expect(exp: &Expect, portid: u32, report: c_int) {
    // SAFETY: The caller vouches for the lock.
    let held = unsafe { Held::assume() };
    expect::unlink_for(exp, Requester { portid, report }, held);
}

/// nf_ct_unexpect_related(): see [`Expect::mark_dead`].
#[no_mangle]
extern "C" fn rust_ct_unexpect_related(exp: &Expect) {
    exp.mark_dead();
}

/// nf_ct_remove_expectations(): see [`expect::remove_all`].
#[no_mangle]
extern "C" fn rust_ct_remove_expectations(conn: &Conn) {
    expect::remove_all(conn);
}

/// What another module says of an expectation: whether it goes.
///
/// # Invariants
///
/// The function may be called with an expectation, with the lock of expectations held, and with the
/// data.
#[repr(transparent)]
struct Iter(bindings::rct_expect_iter);

impl Iter {
    fn takes(&self, exp: &Expect) -> bool {
        let exp = ptr::from_ref(exp).cast_mut().cast();
        // SAFETY: By the type invariant; the caller holds the lock of expectations.
        (self.0.iter).is_some_and(|iter| unsafe { iter(exp, self.0.data) })
    }
}

/// nf_ct_expect_iterate_net() and nf_ct_expect_iterate_destroy(), where `net` is null: see
/// [`expect::remove_if_for`].
#[no_mangle]
extern "C" fn rust_ct_expect_iterate(net: Option<&Net>, iter: Iter, portid: u32, report: c_int) {
    expect::remove_if_for(net, Requester { portid, report }, |exp| iter.takes(exp));
}
