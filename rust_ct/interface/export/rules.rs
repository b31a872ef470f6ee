// SPDX-License-Identifier: GPL-2.0

//! What modules of rules call: templates, extensions, timeouts, labels.

use super::{
    conn,
    tuple,
    ID_KEY, //
};
use crate::{
    bindings,
    object::conn::{
        ext::{
            EventMasks,
            Kind, //
        },
        label,
        Conn, //
    },
    pure::{
        state::CtInfo,
        tuple::Tuple,
        zone::Zone, //
    },
    sys::{
        memory::Gfp,
        net::Net, //
    },
};
use core::ptr;
use kernel::{
    error::from_result,
    ffi::{
        c_int,
        c_uint,
        c_void, //
    },
    prelude::*,
    sync::aref::ARef, //
};

/// nf_ct_tmpl_alloc(): see [`Conn::template`].
///
/// # Safety
///
/// Called from C with a namespace and a zone.
#[no_mangle]
unsafe extern "C" fn rust_ct_tmpl_alloc(
    net: *mut bindings::net,
    zone: *const bindings::nf_conntrack_zone,
    gfp: Gfp,
) -> *mut bindings::nf_conn {
    // SAFETY: The caller vouches for both; any bytes are a zone.
    let (net, zone) = unsafe { (Net::from_raw(net), zone.cast::<Zone>().read()) };
    Conn::template(net, zone, gfp).map_or(ptr::null_mut(), |template| {
        ARef::into_raw(template).as_ptr().cast()
    })
}

/// nf_ct_tmpl_free(): a template that no packet carries goes.
///
/// # Safety
///
/// Called from C with a template that nobody else has.
#[no_mangle]
unsafe extern "C" fn rust_ct_tmpl_free(template: *mut bindings::nf_conn) {
    if let Some(template) = ptr::NonNull::new(template.cast::<Conn>()) {
        // SAFETY: The caller has the last reference, or gives it up with this.
        unsafe { Conn::destroy(template) };
    }
}

/// nf_ct_ext_add(): see [`Conn::add_extension`].
///
/// # Safety
///
/// Called from C with a connection or template that nobody else has.
#[no_mangle]
unsafe extern "C" fn rust_ct_ext_add(
    ct: *mut bindings::nf_conn,
    id: c_uint,
    gfp: Gfp,
) -> *mut c_void {
    // SAFETY: The caller vouches for the connection.
    let conn = unsafe { conn(ct.cast()) };
    let kind = Kind::from_id(id as usize);
    // SAFETY: The caller has the connection alone.
    let added = kind.and_then(|kind| unsafe { conn.add_extension(kind, gfp) });
    added.map_or(ptr::null_mut(), |place| place.as_ptr().cast())
}

/// nf_ct_ecache_ext_add(): see [`Conn::add_events`].
///
/// # Safety
///
/// As [`rust_ct_ext_add`].
#[no_mangle]
unsafe extern "C" fn rust_ct_ecache_ext_add(
    ct: *mut bindings::nf_conn,
    conn_events: u16,
    expect_events: u16,
    gfp: Gfp,
) -> bool {
    // SAFETY: The caller vouches for the connection.
    unsafe { conn(ct.cast()).add_events(EventMasks::new(conn_events, expect_events), gfp) }
}

/// nf_ct_get_id(): see [`Conn::id`].
///
/// # Safety
///
/// Called from C with a connection that the caller has.
#[no_mangle]
unsafe extern "C" fn rust_ct_get_id(ct: *const bindings::nf_conn) -> u32 {
    // SAFETY: The caller vouches for the connection.
    unsafe { conn(ct.cast()) }.id(&ID_KEY)
}

/// __nf_ct_refresh_acct(): see [`Conn::refresh`] and [`Conn::account`].
///
/// # Safety
///
/// Called from C with a connection that the caller has.
#[no_mangle]
unsafe extern "C" fn rust_ct_refresh_acct(
    ct: *mut bindings::nf_conn,
    info: bindings::ip_conntrack_info,
    jiffies: u32,
    bytes: c_uint,
) {
    // SAFETY: The caller vouches for the connection.
    let conn = unsafe { conn(ct.cast()) };
    conn.refresh(jiffies);
    // CAST: There are eight.
    if let Some(info) = CtInfo::from_bits(info as u8).filter(|_| bytes > 0) {
        conn.account(info.direction(), bytes);
    }
}

/// nf_ct_invert_tuple(): see [`Tuple::invert`].
///
/// # Safety
///
/// Called from C with a tuple and room for one.
#[no_mangle]
unsafe extern "C" fn rust_ct_invert_tuple(
    inverse: *mut bindings::nf_conntrack_tuple,
    original: *const bindings::nf_conntrack_tuple,
) -> bool {
    // SAFETY: The caller vouches for both.
    match unsafe { tuple(original) }.invert() {
        // SAFETY: As above; the layout is that of ours.
        Some(found) => unsafe {
            inverse.cast::<Tuple>().write(found);
            true
        },
        None => false,
    }
}

/// nf_connlabels_get(): new connections of a namespace have room for labels from now on.
///
/// # Safety
///
/// Called from C with a namespace.
#[no_mangle]
unsafe extern "C" fn rust_ct_connlabels_get(net: *mut bindings::net, bit: c_uint) -> c_int {
    // SAFETY: The caller vouches for the namespace.
    let net = unsafe { Net::from_raw(net) };
    from_result(|| {
        if bit as usize >= label::WORDS * u32::BITS as usize {
            return Err(ERANGE);
        }
        net.use_labels();
        Ok(0)
    })
}

/// nf_connlabels_put(): gives back one [`rust_ct_connlabels_get`].
///
/// # Safety
///
/// Called from C with a namespace.
#[no_mangle]
unsafe extern "C" fn rust_ct_connlabels_put(net: *mut bindings::net) {
    // SAFETY: The caller vouches for the namespace.
    unsafe { Net::from_raw(net) }.unuse_labels();
}

/// nf_connlabels_replace(): see [`Conn::replace_labels`]. Words that are not given become zero.
///
/// # Safety
///
/// Called from C with a connection that the caller has, `words` values, and as many masks or none.
#[no_mangle]
unsafe extern "C" fn rust_ct_connlabels_replace(
    ct: *mut bindings::nf_conn,
    values: *const u32,
    masks: *const u32,
    words: c_uint,
) -> c_int {
    // SAFETY: The caller vouches for the connection.
    let conn = unsafe { conn(ct.cast()) };
    let mut changes = [(u32::MAX, 0); label::WORDS];
    for (i, change) in changes.iter_mut().enumerate().take(words as usize) {
        // SAFETY: The caller vouches for both arrays.
        *change = unsafe {
            let mask = if masks.is_null() {
                u32::MAX
            } else {
                masks.add(i).read()
            };
            (mask, values.add(i).read())
        };
    }
    from_result(|| conn.replace_labels(&changes).map(|()| 0))
}
