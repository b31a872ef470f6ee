// SPDX-License-Identifier: GPL-2.0

//! rust_ct: connection tracking in Rust, in the place of nf_conntrack.ko.
//!
//! Documentation/ tells how a packet goes through, what is locked when, and how a connection lives.

#![allow(clippy::module_inception)]

mod bindings;
mod datapath;
mod interface;
mod object;
mod pernet;
mod pure;
mod sys;

use datapath::{
    expire,
    helper::builtin,
    retry, //
};
use interface::{
    export,
    param, //
};
use kernel::prelude::*;
use object::{
    conn,
    expect,
    helper::registry,
    netns,
    recent,
    table, //
};

module! {
    type: RustCt,
    name: "rust_ct",
    authors: ["The rust_ct developers"],
    description: "Connection tracking in Rust",
    license: "GPL",
}

/// The loaded module.
///
/// Fields are dropped in their order: first what lets user space in, then what packets come
/// through, which waits for every connection to be gone, then what connections are made of.
struct RustCt {
    _writable: param::Writable,
    _proc: [sys::proc::File; 4],
    #[cfg(CONFIG_DEBUG_INFO_BTF_MODULES)]
    _functions: export::bpf::Functions,
    _options: export::origdst::Options,
    _expiry: sys::work::Running,
    _retry: sys::work::Running,
    _netns: sys::pernet::Registration<netns::Netns>,
    _tracker: sys::hook::Tracker,
    _recent: recent::SetUp,
    _helpers: builtin::Registered,
    _expect: expect::SetUp,
    _cache: sys::slab::Created<conn::Conn>,
    _table: table::SetUp,
}

impl kernel::Module for RustCt {
    fn init(module: &'static ThisModule) -> Result<Self> {
        if let Some(place) = sys::layout::misfit() {
            pr_err!(
                "this kernel was configured otherwise than the one that this module was built for \
                 ({place} differs): build it for this kernel\n"
            );
            return Err(ENOEXEC);
        }
        conn::HASH_KEY.draw();
        export::ID_KEY.draw();
        let (size, expect_lists) = param::settle();
        let table = table::TABLE.set_up(size)?;
        let cache = conn::CACHE.create(c"nf_conntrack", conn::FREE_POINTER)?;
        let expect = expect::set_up(expect_lists)?;
        registry::set_up();
        let helpers = builtin::Registered::new(module)?;
        let recent = recent::set_up()?;
        let tracker = sys::hook::Tracker::publish(&export::CT_HOOK).inspect_err(|_| {
            pr_err!("another connection tracker is loaded: unload it first (rmmod nf_conntrack)\n")
        })?;
        let netns = netns::NETNS.register()?;
        let retry = retry::WORKER.start(None)?;
        let this = Self {
            _expiry: expire::WORKER.start(Some(sys::time::HZ))?,
            _writable: param::Writable::new(),
            _proc: [
                sys::proc::File::link(c"rust_ct", c"net/nf_conntrack")?,
                sys::proc::File::link(c"rust_ct_expect", c"net/nf_conntrack_expect")?,
                sys::proc::File::link(c"rust_ct_stat", c"net/stat/rust_ct")?,
                sys::proc::File::link(c"rust_ct_top", c"net/rust_ct_top")?,
            ],
            #[cfg(CONFIG_DEBUG_INFO_BTF_MODULES)]
            _functions: export::bpf::Functions::register(),
            _options: export::origdst::Options::register()?,
            _retry: retry,
            _netns: netns,
            _tracker: tracker,
            _recent: recent,
            _helpers: helpers,
            _expect: expect,
            _cache: cache,
            _table: table,
        };
        pr_info!(
            "tracking connections ({} buckets, {} max)\n",
            param::hashsize(),
            param::max()
        );
        Ok(this)
    }
}
