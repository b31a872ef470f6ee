// SPDX-License-Identifier: GPL-2.0

//! The files below /proc/sys/net/netfilter, with nf_conntrack's names, defaults and ranges.
//!
//! The settings that are a byte each have their rows in [`setting`]; the others are here.
//!
//! Source: net/netfilter/nf_conntrack_standalone.c, nf_ct_sysctl_table.

use crate::{
    object::{
        l4proto::for_each_timeout,
        netns::{
            EXPECT_MAX,
            NETNS, //
        },
        setting,
        table::{
            self,
            TABLE, //
        },
    },
    sys::{
        net::Net,
        pernet::Here,
        sysctl::{
            Draft,
            Files,
            Format,
            Mode,
            Setter,
            Setting, //
        },
    },
};
use kernel::{
    prelude::*,
    sync::atomic::Relaxed, //
};

/// How many connections a namespace may hold. The limit of the initial namespace holds for each;
/// root may give a lower limit to a namespace, and its owner may lower that.
pub(crate) const MAX: Setting = Setting {
    name: c"nf_conntrack_max",
    mode: Mode::Writable,
    format: Format::Number(1, i32::MAX),
    get: |net| NETNS.get(net).map_or(0, |netns| netns.limit()),
    set: Setter::Try(|net, value| NETNS.get(net).ok_or(ENOENT)?.set_limit(net, value)),
};

/// How many connections the namespace has.
pub(crate) const COUNT: Setting = Setting {
    name: c"nf_conntrack_count",
    mode: Mode::ReadOnly,
    format: Format::Any,
    get: |net| NETNS.get(net).map_or(0, |netns| netns.connections()),
    set: Setter::Try(|_, _| Err(EPERM)),
};

/// How many buckets the table has.
pub(crate) const BUCKETS: Setting = Setting {
    name: c"nf_conntrack_buckets",
    mode: Mode::WritableInInit,
    format: Format::Any,
    get: |_| TABLE.size(),
    set: Setter::Try(|_, value| {
        if value > table::MAX_SIZE {
            // For a table beyond all bounds there is no memory, as elsewhere.
            return Err(ENOMEM);
        }
        TABLE.resize(value)
    }),
};

/// How many connections may be expected.
pub(crate) const EXPECTATIONS: Setting = Setting {
    name: c"nf_conntrack_expect_max",
    mode: Mode::WritableInInit,
    format: Format::Number(1, i32::MAX),
    get: |_| EXPECT_MAX.load(Relaxed),
    set: Setter::Store(|_, value| EXPECT_MAX.store(value, Relaxed)),
};

/// Whether no TCP segment is INVALID that its receiver may answer or take. Not nf_conntrack's.
pub(crate) const RFC5961: Setting = Setting {
    name: c"nf_conntrack_tcp_rfc5961",
    mode: Mode::Writable,
    format: Format::Byte(0, 1),
    get: |net| {
        NETNS
            .get(net)
            .map_or(0, |netns| netns.rfc5961.load(Relaxed))
    },
    set: Setter::Try(|net, value| {
        let netns = NETNS.get(net).ok_or(ENOENT)?;
        netns.rfc5961.store(value, Relaxed);
        Ok(())
    }),
};

/// Creates the files of a namespace. Process context.
pub(crate) fn create(here: Here<'_>) -> Result<[Option<Files>; 2]> {
    let mut files = Draft::new(here);
    for_each(&mut |setting| files.add(setting))?;
    let alias = if here.net().is_init() {
        let mut files = Draft::new(here);
        files.add(&MAX)?;
        Some(files.register(c"net")?)
    } else {
        None
    };
    Ok([Some(files.register(c"net/netfilter")?), alias])
}

/// Calls `f` for each setting, until it fails.
pub(crate) fn for_each(f: &mut dyn FnMut(&Setting) -> Result) -> Result {
    for row in setting::ALL {
        f(row.file())?;
    }
    for row in [MAX, COUNT, BUCKETS, EXPECTATIONS, RFC5961] {
        f(&row)?;
    }
    for_each_timeout(&mut |timeout| match timeout.name {
        Some(name) => f(&seconds(name, timeout.get, timeout.set)),
        None => Ok(()),
    })
}

/// The row of a timeout, that is kept in jiffies.
fn seconds(name: &'static CStr, get: fn(&Net) -> u32, set: fn(&Net, u32)) -> Setting {
    Setting {
        name,
        mode: Mode::Writable,
        format: Format::Seconds,
        get,
        set: Setter::Store(set),
    }
}
