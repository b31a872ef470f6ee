// SPDX-License-Identifier: GPL-2.0

//! Helpers: who reads in what a connection says which other connections will come.
//!
//! A helper is the kernel's `struct nf_conntrack_helper`: those in C are modules of their own,
//! which register here. Ours, [`ftp`] and [`tftp`], register in the same way, if the parameter
//! `helpers` names them.
//!
//! The registry has a reference to each helper, and so has each connection that it helps. One that
//! is unregistered does nothing more: its function is taken away.
//!
//! Source: net/netfilter/nf_conntrack_helper.c.

pub(crate) mod ftp;
pub(crate) mod own;
pub(crate) mod tftp;

use crate::{
    bindings,
    conn::Conn,
    expect,
    stat::Stat,
    state::CtInfo,
    sys::{
        hlist::{
            Head,
            Node, //
        },
        hook::Verdict,
        memory,
        module,
        rcu::ReadSide,
        skb::Skb, //
    },
    wire::L4, //
};
use core::{
    cell::UnsafeCell,
    ops::ControlFlow,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    ffi::{
        c_char,
        c_int,
        c_uint, //
    },
    prelude::*,
    sync::{
        aref::{
            ARef,
            AlwaysRefCounted, //
        },
        rcu, //
    },
};

pub(crate) use own::FTP;

/// How many classes of expectations a helper may have (`NF_CT_MAX_EXPECT_CLASSES`).
pub(crate) const CLASSES: usize = bindings::NF_CT_MAX_EXPECT_CLASSES as usize;

/// Stands for both families (`NFPROTO_UNSPEC`).
const ANY_FAMILY: u8 = 0;

/// A helper whose packets user space reads (`NF_CT_HELPER_F_USERSPACE`).
const USERSPACE: u32 = 1 << 0;

/// How many lists the registry has.
const LISTS: usize = 64;

/// The registry.
static HEADS: [Head; LISTS] = [const { Head::new() }; LISTS];

kernel::sync::global_lock! {
    // SAFETY: Initialised in `set_up`, before first use.
    unsafe(uninit) static REGISTRY: Mutex<()> = ();
}

/// Makes the registry ready. Called once, before anybody registers.
pub(crate) fn set_up() {
    // SAFETY: This is called once, and the variables are ours: other modules read them while they
    // are on top of us, which none is yet.
    unsafe {
        REGISTRY.init();
        (&raw mut bindings::nf_ct_helper_hash).write_volatile(HEADS.as_ptr().cast_mut().cast());
        // CAST: A few.
        (&raw mut bindings::nf_ct_helper_hsize).write_volatile(LISTS as u32);
    }
}

/// The list that a helper of a name is in. Names are given by modules, not by packets.
fn list(name: &[u8], proto: u8) -> &'static Head {
    let sum = name.iter().fold(usize::from(proto), |sum, byte| {
        sum.wrapping_mul(31).wrapping_add((*byte).into())
    });
    // The remainder is below the number of lists.
    HEADS.get(sum % LISTS).unwrap_or(&HEADS[0])
}

/// A helper.
///
/// # Invariants
///
/// It is freed a grace period after the last reference. All but its links, its function and its
/// count is constant while it is registered.
#[repr(transparent)]
pub(crate) struct Helper(UnsafeCell<bindings::nf_conntrack_helper>);

// SAFETY: What changes in a helper that others can see is atomic, or under the registry's lock.
unsafe impl Sync for Helper {}
// SAFETY: A helper belongs to no thread.
unsafe impl Send for Helper {}

// SAFETY: The counter is that of the helper, which lives until a grace period after it is zero.
unsafe impl AlwaysRefCounted for Helper {
    fn inc_ref(&self) {
        // SAFETY: A reference exists.
        unsafe { bindings::rct_refcount_inc(&raw mut (*self.raw()).ct_refcnt) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        let helper = obj.as_ptr().cast::<bindings::nf_conntrack_helper>();
        // SAFETY: The caller has a reference, which it gives up; after the last one, nobody but
        // readers under RCU is left.
        unsafe {
            if bindings::rct_refcount_put(&raw mut (*helper).ct_refcnt) {
                bindings::rct_free_helper(helper);
            }
        }
    }
}

/// What a helper reads packets with.
pub(crate) type HelpFunction = Option<
    unsafe extern "C" fn(
        *mut bindings::sk_buff,
        c_uint,
        *mut bindings::nf_conn,
        bindings::ip_conntrack_info,
    ) -> c_int,
>;

/// What a helper reads with what netlink says of it.
pub(crate) type ParseFunction =
    Option<unsafe extern "C" fn(*mut bindings::nlattr, *mut bindings::nf_conn) -> c_int>;

/// How much of a class a connection may expect, and for how long.
pub(crate) type Policy = bindings::nf_conntrack_expect_policy;

impl Helper {
    /// The helper at `helper`.
    ///
    /// # Safety
    ///
    /// `helper` must be null, or at a helper that has or had a reference within `'a`.
    pub(crate) unsafe fn from_raw<'a>(
        helper: *mut bindings::nf_conntrack_helper,
        _rcu: ReadSide<'a>,
    ) -> Option<&'a Self> {
        // SAFETY: The caller vouches for the pointer.
        unsafe { helper.cast::<Self>().as_ref() }
    }

    /// The kernel's pointer.
    pub(crate) fn raw(&self) -> *mut bindings::nf_conntrack_helper {
        self.0.get()
    }

    /// Takes a reference, unless the last one is gone.
    pub(crate) fn try_get(&self) -> Option<ARef<Self>> {
        // SAFETY: The memory is a helper's; the counter is changed atomically.
        if !unsafe { bindings::rct_refcount_tryget(&raw mut (*self.raw()).ct_refcnt) } {
            return None;
        }
        // SAFETY: The reference is the one just taken.
        Some(unsafe { ARef::from_raw(NonNull::from(self)) })
    }

    /// The name, without its end.
    pub(crate) fn name(&self) -> &[u8] {
        // SAFETY: By the type invariant, the name does not change.
        text(unsafe { &(*self.raw()).name })
    }

    /// The name of the module that rewrites for NAT what the helper reads, with zeroes behind it.
    pub(crate) fn nat_module(&self) -> NatModule {
        // SAFETY: By the type invariant, the name does not change.
        unsafe { (*self.raw()).nat_mod_name }
    }

    /// The policy of a class.
    pub(crate) fn policy(&self, class: usize) -> Option<&Policy> {
        // SAFETY: By the type invariant, the policies do not change.
        unsafe { (*self.raw()).expect_policy.get(class) }
    }

    /// The name of a class, which may be empty.
    pub(crate) fn class_name(&self, class: usize) -> &[u8] {
        self.policy(class).map_or(&[], |policy| text(&policy.name))
    }

    /// Tells whether user space reads the packets.
    pub(crate) fn is_in_user_space(&self) -> bool {
        // SAFETY: By the type invariant, the flags do not change.
        unsafe { (*self.raw()).flags & USERSPACE != 0 }
    }

    fn is_for(&self, name: &[u8], l3num: u16, proto: u8) -> bool {
        // SAFETY: By the type invariant, the numbers do not change.
        let (family, l4proto) = unsafe { ((*self.raw()).nfproto, (*self.raw()).l4proto) };
        self.name() == name
            && l4proto == proto
            && (family == ANY_FAMILY || u16::from(family) == l3num)
    }

    /// Lets the helper read a packet of a connection that it helps. A hook runs.
    ///
    /// The helper was unregistered meanwhile if it has no function.
    pub(crate) fn help(&self, skb: &mut Skb, l4: &L4, conn: &Conn, info: CtInfo) -> Verdict {
        // SAFETY: The field is valid, and others write it with one access.
        let function = unsafe { (&raw const (*self.raw()).help).read_volatile() };
        let Some(function) = function else {
            return Verdict::ACCEPT;
        };
        // SAFETY: The function is there until a grace period after it was taken away, and a hook
        // runs under RCU. Packet and connection are those of the hook.
        let verdict = unsafe {
            function(
                skb.as_mut_ptr(),
                l4.offset,
                ptr::from_ref(conn).cast_mut().cast(),
                info.bits().into(),
            )
        };
        // CAST: Verdicts are bits.
        Verdict::from_raw(verdict as u32)
    }

    /// Tells the helper that a connection is over, if it wants to know.
    pub(crate) fn destroy(&self, conn: &Conn) {
        // SAFETY: By the type invariant, the function does not change.
        if let Some(function) = unsafe { (*self.raw()).destroy } {
            // SAFETY: The helper of PPTP alone has such a function, which is one of ours,
            // gre_pptp_destroy_siblings(), for the case that its module is gone.
            unsafe { function(ptr::from_ref(conn).cast_mut().cast()) };
        }
    }

    /// Tells whether the helper wants to know when its connections are over: that of PPTP.
    pub(crate) fn cares_for_ends(&self) -> bool {
        // SAFETY: By the type invariant, the function does not change.
        unsafe { (*self.raw()).destroy.is_some() }
    }

    fn node(&self) -> NonNull<Node> {
        // SAFETY: The link is inside the helper, and has the layout of a node.
        unsafe { NonNull::new_unchecked((&raw mut (*self.raw()).hnode).cast()) }
    }

    /// The helper that a link in the registry belongs to.
    ///
    /// # Safety
    ///
    /// The link must have been met in the registry, under its lock or RCU, held for `'a`.
    unsafe fn of_node<'a>(node: NonNull<Node>) -> &'a Self {
        const AT: usize = core::mem::offset_of!(bindings::nf_conntrack_helper, hnode);
        // SAFETY: The link is that far into the helper.
        unsafe { node.byte_sub(AT).cast::<Self>().as_ref() }
    }
}

/// Drops a packet whose announcement there is no room for, and counts it: it comes again.
fn refuse(conn: &Conn) -> Verdict {
    if let Some(netns) = conn.netns() {
        netns.stats.count(Stat::Drop);
    }
    Verdict::DROP
}

/// The name of a module, with zeroes behind it.
pub(crate) type NatModule = [c_char; bindings::NF_CT_HELPER_NAME_LEN as usize];

/// Writes a text to an array, as far as there is room before the zero at its end.
pub(crate) fn write_text<const N: usize>(to: &mut [c_char; N], text: impl Iterator<Item = u8>) {
    for (to, byte) in to.iter_mut().take(N - 1).zip(text) {
        // CAST: A character is a byte.
        *to = byte as c_char;
    }
}

/// The text of an array that ends with a zero, or where the array does.
pub(crate) fn text(chars: &[c_char]) -> &[u8] {
    let len = chars.iter().position(|c| *c == 0).unwrap_or(chars.len());
    // SAFETY: Characters are bytes, and so many are there.
    unsafe { core::slice::from_raw_parts(chars.as_ptr().cast(), len) }
}

/// Finds a helper by its name. Any context.
///
/// Source: __nf_conntrack_helper_find().
pub(crate) fn find<'a>(
    name: &[u8],
    l3num: u16,
    proto: u8,
    _rcu: ReadSide<'a>,
) -> Option<&'a Helper> {
    // SAFETY: RCU is held for `'a`, and helpers are freed a grace period after their removal.
    unsafe {
        list(name, proto).walk(|node| {
            let helper: &'a Helper = Helper::of_node(node);
            if helper.is_for(name, l3num, proto) {
                ControlFlow::Break(helper)
            } else {
                ControlFlow::Continue(())
            }
        })
    }
}

/// Finds a helper by its name for a rule, which keeps its module from being unloaded; loads the
/// module where that is needed. Process context, sleeps. Given back by [`put`].
///
/// Source: nf_conntrack_helper_try_module_get().
pub(crate) fn get(name: &CStr, l3num: u16, proto: u8) -> Option<ARef<Helper>> {
    let known = || {
        let guard = rcu::read_lock();
        find(name.to_bytes(), l3num, proto, ReadSide::of(&guard)).is_some()
    };
    if !known() && !module::request(c"nfct-helper-", name) {
        return None;
    }
    let guard = rcu::read_lock();
    let helper = find(name.to_bytes(), l3num, proto, ReadSide::of(&guard))?;
    // SAFETY: By the type invariant, the module does not change. It is there while its helper is
    // registered, and for a grace period longer.
    let module = unsafe { (*helper.raw()).me };
    // SAFETY: See above.
    if !unsafe { module::get(module) } {
        return None;
    }
    let found = helper.try_get();
    if found.is_none() {
        // SAFETY: The module was just kept.
        unsafe { module::put(module) };
    }
    found
}

/// Gives back one [`get`].
///
/// # Safety
///
/// The helper must be from [`get`].
pub(crate) unsafe fn put(helper: ARef<Helper>) {
    // SAFETY: By the type invariant, the module does not change; `get` has kept it.
    unsafe { module::put((*helper.raw()).me) };
}

/// Registers a helper, which the registry has the first reference to. Process context, sleeps.
///
/// Source: __nf_conntrack_helper_register().
///
/// # Safety
///
/// `helper` must be at a helper that nobody else uses, whose functions are there until it is
/// unregistered, and whose memory is from kmalloc() and the registry's from now on. If it fails it
/// remains the caller's.
///
/// # Errors
///
/// `EINVAL` if its numbers are out of range, `EBUSY` if there is one of its name.
pub(crate) unsafe fn register(helper: NonNull<bindings::nf_conntrack_helper>) -> Result {
    // SAFETY: The caller vouches for the helper.
    let new = unsafe { &mut *helper.as_ptr() };
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
    let list = list(text(&new.name), new.l4proto);

    let registry = REGISTRY.lock();
    let (name, family, proto) = (text(&new.name), new.nfproto, new.l4proto);
    // SAFETY: The lock is held.
    let taken = unsafe {
        list.walk(|node| {
            if Helper::of_node(node).is_for(name, family.into(), proto) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
    };
    if taken.is_some() {
        return Err(EBUSY);
    }
    // SAFETY: The helper is the caller's alone, and in no list.
    unsafe {
        bindings::rct_refcount_set(&raw mut (*helper.as_ptr()).ct_refcnt, 1);
        list.add(NonNull::new_unchecked(
            (&raw mut (*helper.as_ptr()).hnode).cast(),
        ));
    }
    drop(registry);
    Ok(())
}

/// Registers a copy of a helper, and gives it. Process context, sleeps.
///
/// Source: nf_conntrack_helper_register().
///
/// # Safety
///
/// The functions of the helper must be there until it is unregistered.
///
/// # Errors
///
/// As [`register`], and `ENOMEM`.
pub(crate) unsafe fn register_copy(
    helper: &bindings::nf_conntrack_helper,
) -> Result<NonNull<bindings::nf_conntrack_helper>> {
    let size = size_of::<bindings::nf_conntrack_helper>();
    let copy = memory::zeroed(size, memory::KERNEL).ok_or(ENOMEM)?;
    let copy = copy.cast::<bindings::nf_conntrack_helper>();
    // SAFETY: Both are helpers, and the copy is ours.
    unsafe { ptr::copy_nonoverlapping(helper, copy.as_ptr(), 1) };
    // SAFETY: The memory is ours, and the caller vouches for the functions.
    match unsafe { register(copy) } {
        Ok(()) => Ok(copy),
        Err(e) => {
            // SAFETY: The memory is ours again.
            unsafe { memory::free(copy.cast()) };
            Err(e)
        }
    }
}

/// Unregisters a helper: it reads nothing more, and what it expects is forgotten. Its connections
/// keep it until they are over. Process context, sleeps.
///
/// Source: nf_conntrack_helper_unregister().
///
/// # Safety
///
/// The helper must be registered, and the caller the one who did that.
pub(crate) unsafe fn unregister(helper: NonNull<bindings::nf_conntrack_helper>) {
    let registry = REGISTRY.lock();
    // SAFETY: The helper is in the registry, whose lock is held.
    unsafe { Node::remove(helper.cast::<Helper>().as_ref().node()) };
    drop(registry);
    // SAFETY: The field is valid, and readers read it with one access.
    unsafe { (&raw mut (*helper.as_ptr()).help).write_volatile(None) };
    // Nobody is in its function, or finds it, any more.
    rcu::synchronize_rcu();
    // SAFETY: The registry's reference is ours.
    release(unsafe { ARef::from_raw(helper.cast()) });
}

/// Gives back the first reference to a helper, after what it expects was forgotten. Any context.
///
/// Source: nf_conntrack_helper_release().
pub(crate) fn release(helper: ARef<Helper>) {
    let guard = rcu::read_lock();
    let rcu = ReadSide::of(&guard);
    let is_it = |other: Option<&Helper>| other.is_some_and(|other| ptr::eq(other, &*helper));
    expect::remove_if(None, |exp| {
        is_it(exp.helper(rcu)) || is_it(exp.assign_helper(rcu))
    });
    drop(guard);
}

/// Gives a new connection the helper of a template, unless it has one.
///
/// Source: __nf_ct_try_assign_helper(), for a connection that is new.
pub(crate) fn assign_of_template(conn: &Conn, template: &Conn, rcu: ReadSide<'_>) -> bool {
    let helper = template.helper(rcu);
    if let Some(helper) = helper {
        conn.assign_helper(helper);
    }
    helper.is_some()
}
