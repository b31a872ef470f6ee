// SPDX-License-Identifier: GPL-2.0

//! The registry of helpers: finding one by name, registering and unregistering.
//!
//! Source: net/netfilter/nf_conntrack_helper.c.

use crate::{
    bindings,
    object::{
        expect,
        helper::{
            text,
            Helper,
            KeptHelper,
            NewHelper,
            RegisteredHelper,
            CLASSES, //
        },
    },
    sys::{
        field::field,
        hlist::{
            Head,
            Listed, //
        },
        module,
        rcu::ReadSide,
        refcount::Counted, //
    },
};
use core::{
    mem::offset_of,
    ops::ControlFlow,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Release, //
        },
        rcu, //
    },
};

/// How many lists the registry has. The kernel's fill a page, which makes 512. With all helpers of
/// the kernel's modules there are some twenty, and user space may add a few: lists are short, and
/// they are in the module's own memory.
const LISTS: usize = 64;

/// The lists of the registry.
struct Registered;

// SAFETY: A helper is freed a grace period after its last reference, and the registry has one.
unsafe impl Listed for Registered {
    type Object = Helper;
    const OFFSET: usize = offset_of!(bindings::nf_conntrack_helper, hnode);
}

/// The registry.
static HEADS: [Head<Registered>; LISTS] = [const { Head::new() }; LISTS];

kernel::sync::global_lock! {
    // SAFETY: Initialised in `set_up`, before first use.
    unsafe(uninit) static REGISTRY: Mutex<()> = ();
}

/// Raised when the registry is ready.
static READY: Atomic<bool> = Atomic::new(false);

/// Makes the registry ready, before any helper is registered; it does so once. Process context.
pub(crate) fn set_up() {
    static BEGUN: Atomic<bool> = Atomic::new(false);
    if BEGUN.xchg(true, Full) {
        return;
    }
    // SAFETY: This is the one call that raised `BEGUN`, and the variables are ours: other modules
    // read them while they are on top of us, which none is yet.
    unsafe {
        REGISTRY.init();
        (&raw mut bindings::nf_ct_helper_hash).write_volatile(HEADS.as_ptr().cast_mut().cast());
        // CAST: A few.
        (&raw mut bindings::nf_ct_helper_hsize).write_volatile(LISTS as u32);
    }
    READY.store(true, Release);
}

/// The list that a helper of a name is in. Names are given by modules, not by packets.
fn list(name: &[u8], proto: u8) -> &'static Head<Registered> {
    let sum = name.iter().fold(usize::from(proto), |sum, byte| {
        sum.wrapping_mul(31).wrapping_add((*byte).into())
    });
    // The remainder is below the number of lists.
    HEADS.get(sum % LISTS).unwrap_or(&HEADS[0])
}

/// Finds a helper by its name. Any context.
///
/// Source: __nf_conntrack_helper_find().
pub(crate) fn find<'a>(
    name: &[u8],
    l3num: u16,
    proto: u8,
    rcu: ReadSide<'a>,
) -> Option<&'a Helper> {
    list(name, proto).walk(rcu, |helper| {
        if helper.is_for(name, l3num, proto) {
            ControlFlow::Break(helper)
        } else {
            ControlFlow::Continue(())
        }
    })
}

/// Finds a helper by its name for a rule, which keeps its module from being unloaded; loads the
/// module where that is needed. Process context, sleeps. Given back by [`put`].
///
/// Source: nf_conntrack_helper_try_module_get().
pub(crate) fn get(name: &CStr, l3num: u16, proto: u8) -> Option<KeptHelper> {
    let known = || {
        let guard = rcu::read_lock();
        find(name.to_bytes(), l3num, proto, ReadSide::of(&guard)).is_some()
    };
    if !known() && !module::request(c"nfct-helper-", name) {
        return None;
    }
    let guard = rcu::read_lock();
    let helper = find(name.to_bytes(), l3num, proto, ReadSide::of(&guard))?.try_get()?;
    // SAFETY: The module is there while its helper is registered, and for a grace period longer.
    let kept = unsafe { module::get(field!(helper.0, me).load()) };
    drop(guard);
    // INVARIANT: The module was just kept.
    kept.then(|| KeptHelper(helper.into()))
}

/// Gives back one [`get`].
pub(crate) fn put(helper: KeptHelper) {
    let helper = helper.0.take();
    // SAFETY: By the type invariant; the module of a helper does not change.
    unsafe { module::put(field!(helper.0, me).load()) };
}

impl NewHelper {
    /// Checks the numbers, and fills in those that are not given.
    fn check(&mut self) -> Result {
        let Self(new) = self;
        if new.expect_class_max as usize >= CLASSES || text(&new.name).len() >= new.name.len() {
            return Err(EINVAL);
        }
        for policy in new
            .expect_policy
            .iter_mut()
            .take(new.expect_class_max as usize + 1)
        {
            if policy.max_expected == 0 {
                policy.max_expected = bindings::NF_CT_EXPECT_MAX_CNT;
            }
            if policy.max_expected > bindings::NF_CT_EXPECT_MAX_CNT {
                return Err(EINVAL);
            }
        }
        Ok(())
    }

    /// A copy.
    fn copy(&self) -> Result<KBox<Self>> {
        // SAFETY: It is plain data, and what it points to is there for copies too.
        Ok(KBox::new(unsafe { ptr::read(self) }, GFP_KERNEL)?)
    }
}

/// Registers a helper, which the registry has the first reference to. Process context, sleeps.
///
/// Source: __nf_conntrack_helper_register().
///
/// # Errors
///
/// The helper, and `EINVAL` if its numbers are out of range, `EBUSY` if there is a helper of its
/// name, `ENODEV` if the registry is not ready.
pub(crate) fn register(
    mut new: KBox<NewHelper>,
) -> Result<RegisteredHelper, (KBox<NewHelper>, Error)> {
    if !READY.load(Acquire) {
        return Err((new, ENODEV));
    }
    if let Err(e) = new.check() {
        return Err((new, e));
    }
    let (name, family, proto) = (text(&new.0.name), new.0.nfproto, new.0.l4proto);
    let list = list(name, proto);

    let registry = REGISTRY.lock();
    let guard = rcu::read_lock();
    if find(name, family.into(), proto, ReadSide::of(&guard)).is_some() {
        return Err((new, EBUSY));
    }
    drop(guard);
    let helper = NonNull::from(KBox::leak(new)).cast::<bindings::nf_conntrack_helper>();
    // SAFETY: The helper was the caller's alone, and is in no list.
    unsafe {
        bindings::rct_refcount_set(&raw mut (*helper.as_ptr()).ct_refcnt, 1);
        list.add(helper.cast::<Helper>().as_ref());
    }
    drop(registry);
    // INVARIANT: It was just entered.
    Ok(RegisteredHelper(helper.cast()))
}

/// Registers a copy of a helper. Process context, sleeps.
///
/// Source: nf_conntrack_helper_register().
///
/// # Errors
///
/// As [`register`], and `ENOMEM`.
pub(crate) fn register_copy(helper: &NewHelper) -> Result<RegisteredHelper> {
    register(helper.copy()?).map_err(|(_, e)| e)
}

/// Unregisters a helper: it reads nothing more, and what it expects is forgotten. Its connections
/// keep it until they are over. Process context, sleeps.
///
/// Source: nf_conntrack_helper_unregister().
pub(crate) fn unregister(helper: RegisteredHelper) {
    let registry = REGISTRY.lock();
    // SAFETY: By the type invariant; the lock is held.
    let helper = unsafe {
        let helper = Counted::from_raw(helper.0);
        Head::<Registered>::remove(&helper);
        helper
    };
    drop(registry);
    field!(helper.0, help).store(None);
    // From then on no CPU is in its function, or finds it.
    rcu::synchronize_rcu();
    release(helper);
}

/// Gives back the first reference to a helper, after what it expects was forgotten. Any context.
///
/// Source: nf_conntrack_helper_release().
pub(crate) fn release(helper: Counted<Helper>) {
    let guard = rcu::read_lock();
    let rcu = ReadSide::of(&guard);
    let is_it = |other: Option<&Helper>| other.is_some_and(|other| ptr::eq(other, &*helper));
    expect::remove_if(None, |exp| {
        is_it(exp.helper(rcu)) || is_it(exp.assign_helper(rcu))
    });
    drop(guard);
}
