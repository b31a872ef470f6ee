// SPDX-License-Identifier: GPL-2.0

//! What can be seen of a connection and its namespace, with either tracker.

use crate::{
    bindings,
    format::{
        Record,
        COUNTERS,
        INFO_NONE, //
    },
};

/// The bits of a packet's slot that say what the packet is to its connection (`NFCT_INFOMASK`).
const INFO_MASK: usize = 7;

/// Now, in jiffies.
pub(crate) fn jiffies() -> usize {
    // SAFETY: The kernel means it to be read with a volatile access.
    unsafe { (&raw const bindings::jiffies).read_volatile() }
}

/// The counters of a namespace, over all processors; zero where there are none.
pub(crate) fn counters(net: *const bindings::net) -> [u32; COUNTERS] {
    let mut sums = [0u32; COUNTERS];
    // SAFETY: The namespace is that of the running task.
    let stat = unsafe { (&raw const (*net).ct.stat).read_volatile() };
    if stat.is_null() {
        return sums;
    }
    for cpu in 0..kernel::cpu::nr_cpu_ids() {
        // SAFETY: The number is below the size of the mask.
        if !unsafe { bindings::rct_cpu_possible(cpu) } {
            continue;
        }
        // SAFETY: The tracker keeps the counters as long as the namespace is there.
        let counters = unsafe { bindings::rct_per_cpu_ptr(stat.cast(), cpu) }.cast::<u32>();
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: There are so many of them.
            *sum = sum.wrapping_add(unsafe { counters.add(i).read_volatile() });
        }
    }
    sums
}

/// Writes down what a packet's slot points at, and gives what the packet is to it.
pub(crate) fn attached(slot: usize, record: &mut Record) -> u8 {
    // CAST: Three bits.
    let info = (slot & INFO_MASK) as u8;
    let ct = core::ptr::with_exposed_provenance_mut::<bindings::nf_conn>(slot & !INFO_MASK);
    if slot == 0 {
        return INFO_NONE;
    }
    if ct.is_null() {
        return info;
    }
    // SAFETY: The packet has a reference to the connection, and is ours. What other CPUs may write
    // meanwhile is read with volatile accesses.
    unsafe {
        record.status = (&raw const (*ct).status).read_volatile() as u32;
        let timeout = (&raw const (*ct).timeout).read_volatile();
        let confirmed = record.status & bindings::ip_conntrack_status_IPS_CONFIRMED != 0;
        // CAST: Differences of jiffies are signed.
        record.timeout = if confirmed {
            timeout.wrapping_sub(jiffies() as u32) as i32
        } else {
            timeout as i32
        };
        record.uses = bindings::rct_conntrack_use((&raw const (*ct).ct_general).cast_mut());
        record.mark = (&raw const (*ct).mark).read_volatile();
        let zone = (&raw const (*ct).zone).read_volatile();
        record.zone = zone.id;
        record.zone_flags = zone.flags;
        record.zone_dir = zone.dir;
        for (i, tuple) in record.tuples.iter_mut().enumerate() {
            *tuple = (&raw const (*ct).tuplehash)
                .cast::<bindings::nf_conntrack_tuple_hash>()
                .add(i)
                .byte_add(TUPLE)
                .cast::<[u8; 40]>()
                .read_volatile();
        }
        record.proto = (&raw const (*ct).proto).cast::<[u8; 64]>().read_volatile();
        extensions((*ct).ext, record);
    }
    if protocol(record) == UDP {
        since_now(&mut record.proto);
    }
    info
}

/// Where a connection's tuple lies behind the link of its direction.
const TUPLE: usize = core::mem::offset_of!(bindings::nf_conntrack_tuple_hash, tuple);

const _: () = {
    assert!(size_of::<bindings::nf_conntrack_tuple>() == 40);
    assert!(size_of::<bindings::nf_conntrack_proto>() >= 64);
};

/// The number of UDP (IANA).
const UDP: u8 = 17;

/// The transport protocol of a connection.
fn protocol(record: &Record) -> u8 {
    // Source: include/net/netfilter/nf_conntrack_tuple.h, `dst.protonum`.
    let [original, _] = &record.tuples;
    original.get(38).copied().unwrap_or(0)
}

/// Makes UDP's moment of becoming a stream relative to now.
fn since_now(proto: &mut [u8; 64]) {
    // There is none in what was made by a request.
    if let Some(moment) = proto.first_chunk_mut::<8>().filter(|at| **at != [0; 8]) {
        // CAST: Jiffies are a word.
        *moment = u64::from_ne_bytes(*moment)
            .wrapping_sub(jiffies() as u64)
            .to_ne_bytes();
    }
}

/// Writes down which extensions a connection has, and what was accounted.
///
/// # Safety
///
/// `ext` must be that of a connection, or null.
unsafe fn extensions(ext: *const bindings::nf_ct_ext, record: &mut Record) {
    if ext.is_null() {
        return;
    }
    // SAFETY: The caller vouches for the pointer; extensions do not move once they are there.
    let offsets = unsafe { (&raw const (*ext).offset).read_volatile() };
    for (id, &offset) in offsets.iter().enumerate() {
        if offset == 0 {
            continue;
        }
        record.extensions |= 1 << id;
        // CAST: An offset.
        if id == bindings::nf_ct_ext_id_NF_CT_EXT_ACCT as usize {
            // SAFETY: The extension is that far behind the beginning: two counters for each
            // direction.
            record.accounting = unsafe {
                ext.byte_add(usize::from(offset))
                    .cast::<[u64; 4]>()
                    .read_volatile()
            };
        }
    }
}
