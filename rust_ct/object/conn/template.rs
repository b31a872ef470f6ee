// SPDX-License-Identifier: GPL-2.0

//! Templates: what a rule wants of the connections to come. A packet carries one in the place of a
//! connection until it is tracked.
//!
//! Source: net/netfilter/nf_conntrack_core.c, nf_ct_tmpl_alloc().

use crate::{
    bindings,
    object::conn::{
        attached::INFO_MASK,
        Conn, //
    },
    pure::{
        state::Status,
        zone::Zone, //
    },
    sys::{
        memory::{
            self,
            Gfp, //
        },
        net::Net, //
    },
};
use kernel::sync::aref::ARef;

// The allocator's smallest alignment leaves room for what a packet's slot says besides.
const _: () = assert!(bindings::RUST_CT_CONST_KMALLOC_MINALIGN > INFO_MASK);

impl Conn {
    /// Makes a template of a namespace, with a reference that its last user gives back.
    pub(crate) fn template(net: &Net, zone: Zone, gfp: Gfp) -> Option<ARef<Self>> {
        let memory = memory::zeroed(size_of::<Self>(), gfp)?;
        let ct = memory.cast::<bindings::nf_conn>().as_ptr();
        // SAFETY: The memory is ours, and zeroes are right for all other fields. The reference that
        // is published is the caller's.
        unsafe {
            // CAST: One bit.
            (*ct).status = Status::TEMPLATE.bits() as usize;
            (*ct).ct_net.net = net.as_ptr();
            (&raw mut (*ct).zone).cast::<Zone>().write(zone);
            bindings::rct_conntrack_publish(&raw mut (*ct).ct_general);
            // The count of one is this reference.
            Some(ARef::from_raw(memory.cast()))
        }
    }
}
