// SPDX-License-Identifier: GPL-2.0

//! What modules of rules call: templates, extensions, timeouts, labels.

use super::ID_KEY;
use crate::{
    bindings,
    datapath::expire,
    object::conn::{
        ext::{
            EventMasks,
            Kind, //
        },
        label,
        Alone,
        Conn,
        Last, //
    },
    pure::{
        state::CtInfo,
        tuple::Tuple,
        zone::Zone, //
    },
    sys::{
        abi::{
            given,
            Array, //
        },
        field::Fixed,
        memory::Gfp,
        net::Net, //
    },
};
use core::{
    mem::MaybeUninit,
    ptr::NonNull, //
};
use kernel::{
    error::from_result,
    ffi::{
        c_int,
        c_uint, //
    },
    prelude::*, //
};

/// nf_ct_tmpl_alloc(): see [`Conn::template`].
#[no_mangle]
extern "C" fn rust_ct_tmpl_alloc(net: &Net, zone: &Fixed<Zone>, gfp: Gfp) -> *mut Conn {
    given(Conn::template(net, zone.load(), gfp))
}

/// nf_ct_tmpl_free(): frees a template to which there is no other reference.
#[no_mangle]
extern "C" fn rust_ct_tmpl_free(template: Option<Last>) {
    if let Some(template) = template {
        template.destroy();
    }
}

/// nf_ct_ext_add(): see [`Alone::add_extension`].
#[no_mangle]
extern "C" fn rust_ct_ext_add(conn: Alone<'_>, id: c_uint, gfp: Gfp) -> Option<NonNull<u8>> {
    conn.add_extension(Kind::from_id(id as usize)?, gfp)
}

/// nf_ct_ecache_ext_add(): see [`Alone::add_events`].
#[no_mangle]
extern "C" fn rust_ct_ecache_ext_add(
    conn: Alone<'_>,
    conn_events: u16,
    expect_events: u16,
    gfp: Gfp,
) -> bool {
    conn.add_events(EventMasks::new(conn_events, expect_events), gfp)
}

/// nf_ct_get_id(): see [`Conn::id`].
#[no_mangle]
extern "C" fn rust_ct_get_id(conn: &Conn) -> u32 {
    conn.id(&ID_KEY)
}

/// __nf_ct_refresh_acct(): see [`Conn::refresh`] and [`Conn::account`].
#[no_mangle]
extern "C" fn rust_ct_refresh_acct(
    conn: &Conn,
    info: bindings::ip_conntrack_info,
    jiffies: u32,
    bytes: c_uint,
) {
    conn.refresh(jiffies);
    expire::lives_for(jiffies);
    // CAST: There are eight.
    if let Some(info) = CtInfo::from_bits(info as u8).filter(|_| bytes > 0) {
        conn.account(info.direction(), bytes);
    }
}

/// nf_ct_invert_tuple(): see [`Tuple::invert`].
#[no_mangle]
extern "C" fn rust_ct_invert_tuple(
    inverse: &mut MaybeUninit<Tuple>,
    original: &Fixed<Tuple>,
) -> bool {
    let found = original.load().invert();
    if let Some(found) = found {
        inverse.write(found);
    }
    found.is_some()
}

/// nf_connlabels_get(): new connections of a namespace have room for labels from now on.
#[no_mangle]
extern "C" fn rust_ct_connlabels_get(net: &Net, bit: c_uint) -> c_int {
    from_result(|| {
        if bit as usize >= label::WORDS * u32::BITS as usize {
            return Err(ERANGE);
        }
        net.use_labels();
        Ok(0)
    })
}

/// nf_connlabels_put(): gives back one [`rust_ct_connlabels_get`].
#[no_mangle]
extern "C" fn rust_ct_connlabels_put(net: &Net) {
    net.unuse_labels();
}

/// nf_connlabels_replace(): see [`Conn::replace_labels`]. Words that are not given become zero, and
/// where there are no masks all bits are meant.
#[no_mangle]
extern "C" fn rust_ct_connlabels_replace(
    conn: &Conn,
    values: Array<'_, u32>,
    masks: Array<'_, u32>,
) -> c_int {
    let masks = masks.get();
    let mut changes = [(u32::MAX, 0); label::WORDS];
    for (i, (change, value)) in changes.iter_mut().zip(values.get()).enumerate() {
        *change = (masks.get(i).copied().unwrap_or(u32::MAX), *value);
    }
    from_result(|| conn.replace_labels(&changes).map(|()| 0))
}
