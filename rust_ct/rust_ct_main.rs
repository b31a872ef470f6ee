// SPDX-License-Identifier: GPL-2.0

//! rust_ct: connection tracking in Rust, in the place of nf_conntrack.ko.
//!
//! Documentation/ tells how a packet goes through, what is locked when, and how a connection lives.

#![allow(clippy::module_inception)]

mod begin;
mod bindings;
mod confirm;
mod conn;
mod expect;
mod expect_line;
mod expire;
mod export;
mod helper;
mod hooks;
mod keymap;
#[allow(dead_code)] // The tests use all of it.
mod l4proto;
mod line;
#[allow(dead_code)] // The tests use all of it.
mod mask;
mod netns;
mod packet;
mod param;
#[allow(dead_code)] // The tests use all of it.
mod payload;
mod pernet;
#[allow(dead_code)] // The tests use all of it.
mod reason;
mod seqadj;
mod show;
mod stat;
#[allow(dead_code)] // The tests use all of it.
mod state;
mod sys;
mod sysctl;
mod table;
#[allow(dead_code)] // The tests use all of it.
mod timeout;
#[allow(dead_code)] // The tests use all of it.
mod tuple;
#[allow(dead_code)] // The tests use all of it.
mod wire;
#[allow(dead_code)] // The tests use all of it.
mod zone;

use kernel::prelude::*;

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
    _proc: [sys::proc::Symlink; 3],
    _options: export::origdst::Options,
    _expiry: sys::work::Running<expire::Expiry>,
    _retry: sys::work::Running<conn::untold::Retry>,
    _netns: sys::pernet::Registration<netns::Netns>,
    _tracker: sys::hook::Tracker,
    _helpers: helper::own::Registered,
    _expect: expect::SetUp,
    _cache: sys::slab::Created<conn::Conn>,
    _table: table::SetUp,
}

impl kernel::Module for RustCt {
    fn init(module: &'static ThisModule) -> Result<Self> {
        conn::HASH_KEY.draw();
        export::ID_KEY.draw();
        let (size, expect_lists) = param::settle();
        let table = table::TABLE.set_up(size)?;
        let cache = conn::CACHE.create(c"nf_conntrack", conn::FREE_POINTER)?;
        let expect = expect::set_up(expect_lists)?;
        helper::set_up();
        let helpers = helper::own::Registered::new(module)?;
        let tracker = sys::hook::Tracker::publish(&export::CT_HOOK).inspect_err(|_| {
            pr_err!("another connection tracker is loaded: unload it first (rmmod nf_conntrack)\n")
        })?;
        let retry = conn::untold::WORKER.start(None)?;
        let netns = netns::NETNS.register()?;
        let this = Self {
            _expiry: expire::WORKER.start(Some(sys::time::HZ))?,
            _writable: param::Writable::new(),
            _proc: [
                sys::proc::Symlink::create(c"rust_ct", c"net/nf_conntrack")?,
                sys::proc::Symlink::create(c"rust_ct_expect", c"net/nf_conntrack_expect")?,
                sys::proc::Symlink::create(c"rust_ct_stat", c"net/stat/rust_ct")?,
            ],
            _options: export::origdst::Options::register(module)?,
            _retry: retry,
            _netns: netns,
            _tracker: tracker,
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
