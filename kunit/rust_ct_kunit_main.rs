// SPDX-License-Identifier: GPL-2.0

//! Tests of rust_ct in the kernel.
//!
//! The module is made of rust_ct's own files, and tests them where they live: on real packets, with
//! the kernel's allocator, its locks and RCU. It registers no hook and publishes no tracker, so
//! that it meets no packet but those that its tests make. KUnit runs the suites once the module is
//! loaded; the log has the results. One file is about one noun, as in rust_ct.

// Without this the suites would be left out without a message.
#[cfg(not(CONFIG_KUNIT = "y"))]
compile_error!("rust_ct_kunit needs a kernel with CONFIG_KUNIT=y");

/// The files under test; an inline module gives their own modules the right directory.
#[path = "../rust_ct"]
#[allow(dead_code)] // Hooks, parameters and exports are entered from C that is not here.
mod rust_ct {
    pub(crate) mod bindings;
    pub(crate) mod datapath;
    pub(crate) mod interface;
    pub(crate) mod object;
    pub(crate) mod pernet;
    pub(crate) mod pure;
    pub(crate) mod sys;
}

// The files call each other by these names.
use rust_ct::*;

use datapath::helper::builtin;
use interface::{
    export,
    param, //
};
use object::{
    conn,
    expect,
    helper::registry,
    netns,
    recent,
    table, //
};

#[macro_use]
mod check;
#[path = "../tests/expected/mod.rs"]
mod expected;
mod maker;
mod random;
mod skbs;
mod text;
mod thread;
#[path = "../tests/shared/timeouts.rs"]
mod timeouts;

mod attribute_test;
mod confirm_test;
mod conn_test;
mod event_test;
mod expect_test;
mod expire_test;
mod ext_test;
mod helper_test;
mod hook_test;
mod keymap_test;
mod l4proto_test;
mod limit_test;
mod line_test;
mod link_test;
mod param_test;
mod sctp_test;
mod siphash_test;
mod state_test;
mod sysctl_test;
mod table_test;
mod tcp_test;
mod template_test;
mod timeout_test;
mod top_test;
mod tuple_test;
mod wire_test;

use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

module! {
    type: RustCtKunit,
    name: "rust_ct_kunit",
    authors: ["The rust_ct developers"],
    description: "KUnit tests of rust_ct",
    license: "GPL",
    params: {
        seed: u64 {
            default: 0,
            description: "seed of the random tests, as an earlier log has it (default: drawn)",
        },
    },
}

/// How many buckets the table has while no test changes it.
const BUCKETS: u32 = 512;

/// The size that the table would have by default.
static SETTLED: Atomic<u32> = Atomic::new(0);

/// The loaded module.
///
/// Fields are dropped in their order, as those of rust_ct.
struct RustCtKunit {
    _netns: sys::pernet::Registration<netns::Netns>,
    _recent: recent::SetUp,
    _helpers: builtin::Registered,
    _expect: expect::SetUp,
    _cache: sys::slab::Created<conn::Conn>,
    _table: table::SetUp,
    _forgotten: Forgotten,
}

/// Looks, when all else is gone, whether the number under which namespaces had their state is
/// forgotten: the next module that registers has it, and its data is no state of ours.
struct Forgotten;

impl Drop for Forgotten {
    fn drop(&mut self) {
        // SAFETY: Process context.
        if unsafe { bindings::rct_kunit_register_state() } != 0 {
            return warn(c"nobody has the number of the states");
        }
        // A state that should not be there is not read.
        if netns::NETNS.get(sys::net::Net::init()).is_some() {
            warn(c"a namespace has the state of somebody else");
        }
        // SAFETY: Process context, and it is registered.
        unsafe { bindings::rct_kunit_unregister_state() };
    }
}

/// Complains on the console: the cases are over.
fn warn(what: &CStr) {
    // SAFETY: The text is a C string.
    unsafe { bindings::rct_kunit_warn(what.as_char_ptr()) };
}

impl kernel::Module for RustCtKunit {
    fn init(module: &'static ThisModule) -> Result<Self> {
        // SAFETY: The kernel's variable is a pointer that is valid throughout.
        let tracker = unsafe { (&raw const bindings::nf_ct_hook).read_volatile() };
        if !tracker.is_null() {
            pr_err!(
                "a connection tracker is loaded: unload it first (rmmod rust_ct nf_conntrack)\n"
            );
            return Err(EBUSY);
        }
        SETTLED.store(param::settle().0, Relaxed);
        conn::HASH_KEY.draw();
        export::ID_KEY.draw();
        let table = table::TABLE.set_up(BUCKETS)?;
        let cache = conn::CACHE.create(c"rust_ct_kunit", conn::FREE_POINTER)?;
        let expect = expect::set_up(1)?;
        registry::set_up();
        builtin::FTP.want(&[helper_test::PORT, 0, 0, 0, 0, 0, 0, 0]);
        let helpers = builtin::Registered::new(module)?;
        let recent = recent::set_up()?;
        let netns = netns::NETNS.register()?;
        random::begin(module_parameters::seed.value());
        Ok(Self {
            _netns: netns,
            _recent: recent,
            _helpers: helpers,
            _expect: expect,
            _cache: cache,
            _table: table,
            _forgotten: Forgotten,
        })
    }
}
