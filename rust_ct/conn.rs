// SPDX-License-Identifier: GPL-2.0

//! Connections: the object that a packet carries, and who may do what with it.
//!
//! A connection is the kernel's `struct nf_conn`, because the rest of the kernel reads it, with a
//! few words of ours behind it. Its life:
//!
//! - [`Fresh`]: just allocated, with no reference; one owner, who may still fail and drop it.
//! - unconfirmed: a packet holds the only reference ([`attach`]). It is in no table, and if the
//!   packet is dropped, it is gone.
//! - confirmed: the table holds a reference too, and so does every packet of the connection on its
//!   way.
//! - dying: out of the table. Who still has a reference may use it to the end.
//!
//! The memory is that of a connection until a grace period after the last reference was given back,
//! but it may be another connection by then: see [`Candidate`].

pub(crate) mod event;
pub(crate) mod ext;
pub(crate) mod help;
pub(crate) mod label;
mod nat;
pub(crate) mod template;
pub(crate) mod untold;

use crate::{
    bindings,
    helper::{
        self,
        Helper, //
    },
    l4proto::{
        gre,
        sctp,
        tcp,
        udp, //
    },
    netns::{
        Netns,
        NETNS, //
    },
    stat::Stat,
    state::{
        CtInfo,
        Status, //
    },
    sys::{
        lock::{
            RawGuard,
            RawLock, //
        },
        net::Net,
        nulls,
        rcu::ReadSide,
        siphash,
        skb::Skb,
        slab,
        time, //
    },
    tuple::{
        Direction,
        Tuple, //
    },
    wire::{
        ipproto,
        Family, //
    },
    zone::Zone, //
};
use core::{
    cell::UnsafeCell,
    mem::offset_of,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    sync::{
        aref::{
            ARef,
            AlwaysRefCounted, //
        },
        barrier::{
            smp_mb,
            Read, //
        },
    },
};

/// The low bits of a packet's slot, which say what the packet is to its connection
/// (`NFCT_INFOMASK`).
const INFO_MASK: usize = 7;

/// Where connections are allocated.
pub(crate) static CACHE: slab::Cache<Conn> = slab::Cache::new();

/// The offset in a connection of the pointer that the allocator may use while the connection is
/// free.
///
/// Nobody looks at the master of a connection without a reference to the connection.
pub(crate) const FREE_POINTER: usize = offset_of!(bindings::nf_conn, master);

/// The key of the hash of tuples, drawn when the module is loaded.
pub(crate) static HASH_KEY: siphash::Key = siphash::Key::new();

/// A connection.
///
/// # Invariants
///
/// - The fields that a [`Candidate`] reads are written with volatile accesses.
/// - `hash` holds the hash of both directions' keys while the connection is in the table.
/// - The tuple in slot `d` of `tuplehash` has direction `d`, from the allocation of the memory on.
#[repr(C)]
pub(crate) struct Conn {
    ct: UnsafeCell<bindings::nf_conn>,
    hash: UnsafeCell<[u32; 2]>,
}

// SAFETY: Connections are shared by all CPUs: what changes in one is atomic, or under its lock or
// the table's.
unsafe impl Sync for Conn {}
// SAFETY: A connection belongs to no thread.
unsafe impl Send for Conn {}

// The layouts that pure code and the kernel share.
const _: () = {
    use bindings::{
        ip_conntrack_stat,
        nf_conn,
        nf_conntrack_tuple,
        nf_conntrack_tuple_hash,
        nf_conntrack_zone, //
    };
    assert!(size_of::<Tuple>() == size_of::<nf_conntrack_tuple>());
    assert!(offset_of!(nf_conntrack_tuple, src.u) == 16);
    assert!(offset_of!(nf_conntrack_tuple, src.l3num) == 18);
    assert!(offset_of!(nf_conntrack_tuple, dst.u3) == 20);
    assert!(offset_of!(nf_conntrack_tuple, dst.u) == 36);
    assert!(offset_of!(nf_conntrack_tuple, dst.protonum) == 38);
    assert!(offset_of!(nf_conntrack_tuple, dst.dir) == Tuple::KEY_LEN);
    assert!(size_of::<Zone>() == size_of::<nf_conntrack_zone>());
    assert!(offset_of!(nf_conntrack_zone, flags) == 2 && offset_of!(nf_conntrack_zone, dir) == 3);
    assert!(size_of::<tcp::Proto>() == size_of::<bindings::ip_ct_tcp>());
    assert!(size_of::<sctp::Proto>() == size_of::<bindings::ip_ct_sctp>());
    assert!(size_of::<gre::Proto>() == size_of::<bindings::nf_ct_gre>());
    assert!(size_of::<udp::Proto>() == size_of::<bindings::nf_ct_udp>());
    assert!(align_of::<bindings::nf_conntrack_proto>() >= align_of::<udp::Proto>());
    // Counters are found by position.
    assert!(offset_of!(ip_conntrack_stat, found) == Stat::Found as usize * 4);
    assert!(offset_of!(ip_conntrack_stat, drop) == Stat::Drop as usize * 4);
    assert!(offset_of!(ip_conntrack_stat, error) == Stat::Error as usize * 4);
    assert!(offset_of!(ip_conntrack_stat, chaintoolong) == Stat::ChainTooLong as usize * 4);
    assert!(size_of::<ip_conntrack_stat>() == Stat::Full as usize * 4);
    // Tuples are read word by word, and what fits the kernel's slab size of today stays within it.
    assert!((offset_of!(nf_conn, tuplehash) + offset_of!(nf_conntrack_tuple_hash, tuple)) % 8 == 0);
    assert!(size_of::<nf_conntrack_tuple_hash>() % 8 == 0);
    assert!(size_of::<nf_conn>() != 248 || size_of::<Conn>() == 256);
    assert!(align_of::<Conn>() > INFO_MASK);
};

/// The words of a tuple. Equal ones name the same connection, whatever the direction.
#[derive(Clone, Copy)]
pub(crate) struct Words([u64; 5]);

impl Words {
    /// All bits of the last word but the direction's.
    const MASK: u64 = u64::from_ne_bytes([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]);

    /// The words of a tuple.
    #[inline]
    pub(crate) fn of(tuple: &Tuple) -> Self {
        Self(zerocopy::transmute!(*tuple))
    }

    #[inline]
    fn tuple(&self) -> Tuple {
        zerocopy::transmute!(self.0)
    }

    #[inline]
    fn same_key(&self, other: &Self) -> bool {
        let [a0, a1, a2, a3, a4] = self.0;
        let [b0, b1, b2, b3, b4] = other.0;
        (a0 ^ b0) | (a1 ^ b1) | (a2 ^ b2) | (a3 ^ b3) | ((a4 ^ b4) & Self::MASK) == 0
    }
}

/// What a connection is looked up by.
pub(crate) struct Key<'a> {
    words: Words,
    family: Option<Family>,
    zone: Zone,
    /// The namespace of the packets.
    pub(crate) net: &'a Net,
}

impl<'a> Key<'a> {
    /// The key of packets with a tuple, in a zone of a namespace.
    #[inline]
    pub(crate) fn new(tuple: &Tuple, zone: Zone, net: &'a Net) -> Self {
        Self {
            words: Words::of(tuple),
            family: tuple.family(),
            zone,
            net,
        }
    }

    /// Tells whether the number of the zone is another one for packets in the reply direction.
    #[inline]
    pub(crate) fn has_other_reply(&self) -> bool {
        self.zone.id(Direction::Original) != self.zone.id(Direction::Reply)
    }

    /// The hash by which connections are found whose packets in direction `dir` have the key.
    ///
    /// The namespace and the number of the zone are part of it: equal tuples in many of them spread
    /// out.
    #[inline]
    pub(crate) fn hash(&self, dir: Direction) -> u32 {
        let [a, b, c, d, e] = self.words.0;
        let a = a ^ u64::from(self.net.hash_mix()) << 32;
        let e = (e & Words::MASK) ^ u64::from(self.zone.id(dir));

        let hash = match self.family {
            // Of the addresses, one word each is not zero, and neither is in `b` or `d`.
            Some(Family::Ipv4) => HASH_KEY.hash3(a, c, e),
            _ => HASH_KEY.hash3(HASH_KEY.hash3(a, b, c), d, e),
        };
        // CAST: One half is as good as the other.
        hash as u32
    }
}

/// What a new connection begins with.
pub(crate) struct Beginning<'a> {
    /// The tuple of its first packet.
    pub(crate) original: &'a Tuple,
    /// The tuple of the answers.
    pub(crate) reply: &'a Tuple,
    /// The zone of its first packet.
    pub(crate) zone: Zone,
    /// The hash of the first packet's key.
    pub(crate) hash: u32,
}

impl Conn {
    fn ct(&self) -> *mut bindings::nf_conn {
        self.ct.get()
    }

    /// The part of a connection that counts references.
    #[inline]
    fn nfct(&self) -> *mut bindings::nf_conntrack {
        // SAFETY: The field is inside the connection.
        unsafe { &raw mut (*self.ct()).ct_general }
    }

    /// The status bits now.
    #[inline]
    pub(crate) fn status(&self) -> Status {
        // SAFETY: The field is valid, and others change it atomically.
        let bits = unsafe { (&raw const (*self.ct()).status).read_volatile() };
        Status::from_bits(bits as u64)
    }

    #[inline]
    fn status_word(&self) -> *mut usize {
        // SAFETY: The field is inside the connection.
        unsafe { &raw mut (*self.ct()).status }
    }

    /// Sets one status bit; what was done before is visible to who sees it. Tells whether it was
    /// not set.
    pub(crate) fn set_status(&self, bit: Status) -> bool {
        // SAFETY: The field is a word that is changed atomically.
        unsafe { !bindings::rct_test_and_set_bit(bit.bits().trailing_zeros(), self.status_word()) }
    }

    /// Sets and lowers status bits, but those that only the tracker or NAT may change.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, __nf_ct_change_status().
    pub(crate) fn change_status(&self, on: Status, off: Status) {
        let (on, off) = (
            on.without(Status::UNCHANGEABLE),
            off.without(Status::UNCHANGEABLE),
        );
        for bit in 0..Status::BITS {
            let one = Status::from_bits(1 << bit);
            if on.contains(one) {
                self.set_status(one);
            } else if off.contains(one) {
                // SAFETY: The field is a word that is changed atomically.
                unsafe { bindings::rct_clear_bit(bit, self.status_word()) };
            }
        }
    }

    /// Sets the status bits that user space wants to be set, if it may.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_ct_change_status_common().
    ///
    /// # Errors
    ///
    /// `EBUSY` if it wants a bit otherwise that nobody may change, or lower one that stays.
    pub(crate) fn ask_status(&self, wanted: Status) -> Result {
        let is = self.status();
        let never = Status::EXPECTED.with(Status::CONFIRMED).with(Status::DYING);
        let lowered = is.without(wanted);
        if is
            .without(wanted)
            .with(wanted.without(is))
            .intersects(never)
            || lowered.intersects(Status::SEEN_REPLY.with(Status::ASSURED))
        {
            return Err(EBUSY);
        }
        self.change_status(wanted, Status::default());
        Ok(())
    }

    /// The tuple of packets in a direction. NAT may change that of the replies until confirmation.
    #[inline]
    pub(crate) fn tuple(&self, dir: Direction) -> Tuple {
        self.words(dir).tuple()
    }

    #[inline]
    fn words(&self, dir: Direction) -> Words {
        // SAFETY: The tuple is inside the connection.
        let words = unsafe { &raw const (*self.ct()).tuplehash[dir.index()].tuple }.cast::<u64>();
        // SAFETY: A tuple is five words, aligned as asserted above.
        Words(core::array::from_fn(|i| unsafe {
            words.add(i).read_volatile()
        }))
    }

    /// The transport protocol.
    #[inline]
    pub(crate) fn proto(&self) -> u8 {
        self.tuple(Direction::Original).proto()
    }

    /// The zone.
    #[inline]
    pub(crate) fn zone(&self) -> Zone {
        // SAFETY: The field is inside the connection; any bytes are a zone.
        unsafe {
            (&raw const (*self.ct()).zone)
                .cast::<Zone>()
                .read_volatile()
        }
    }

    /// The namespace, which lives as long as one of its connections.
    #[inline]
    pub(crate) fn net(&self) -> &Net {
        // SAFETY: A namespace waits for its connections before it goes away.
        unsafe { Net::from_raw((&raw const (*self.ct()).ct_net.net).read_volatile()) }
    }

    /// The state of the connection's namespace.
    pub(crate) fn netns(&self) -> Option<&Netns> {
        NETNS.get(self.net())
    }

    /// The key of packets in a direction.
    pub(crate) fn key(&self, dir: Direction) -> Key<'_> {
        Key::new(&self.tuple(dir), self.zone(), self.net())
    }

    /// When the connection expires, in jiffies; from confirmation until then, before it.
    #[inline]
    pub(crate) fn timeout(&self) -> u32 {
        // SAFETY: The field is valid, and others write it with one access.
        unsafe { (&raw const (*self.ct()).timeout).read_volatile() }
    }

    #[inline]
    fn store_timeout(&self, jiffies: u32) {
        // SAFETY: The field is valid, and others read it with one access.
        unsafe { (&raw mut (*self.ct()).timeout).write_volatile(jiffies) };
    }

    /// Lets the connection expire `jiffies` from now, or from its confirmation, unless its timeout
    /// is fixed. Writers may race: each of them is right.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, __nf_ct_refresh_acct().
    #[inline]
    pub(crate) fn refresh(&self, jiffies: u32) {
        let status = self.status();
        if status.contains(Status::FIXED_TIMEOUT) {
            return;
        }
        let timeout = if status.contains(Status::CONFIRMED) {
            jiffies.wrapping_add(time::now())
        } else {
            jiffies
        };
        // The connection's line is left alone where nothing changes.
        if self.timeout() != timeout {
            self.store_timeout(timeout);
        }
    }

    /// Turns the timeout from a span into a moment; called at confirmation, by who has the table's
    /// locks.
    pub(crate) fn begin_timeout(&self) {
        self.store_timeout(self.timeout().wrapping_add(time::now()));
    }

    /// Lets a connection that lost a clash expire soon whatever happens, and be found by replies
    /// only.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_ct_resolve_clash_harder().
    pub(crate) fn begin_clash(&self) {
        self.store_timeout(time::now().wrapping_add(time::HZ));
        self.set_status(Status::FIXED_TIMEOUT);
        self.set_status(Status::NAT_CLASH);
    }

    /// Jiffies until the connection expires; zero if it has.
    #[inline]
    pub(crate) fn remaining(&self) -> u32 {
        time::until(self.timeout()).max(0).unsigned_abs()
    }

    /// Tells whether the connection has expired and is to be removed by who notices.
    ///
    /// CONFIRMED is looked at first: before, the timeout is a span.
    /// Source: include/net/netfilter/nf_conntrack.h, nf_ct_should_gc().
    pub(crate) fn is_overdue(&self) -> bool {
        let status = self.status();
        if !status.contains(Status::CONFIRMED) || status.contains(Status::DYING) {
            return false;
        }
        // Pairs with the barrier of the bit that confirmation sets behind the timeout.
        smp_mb(Read);
        time::until(self.timeout()) <= 0
    }

    /// The mark that rules gave the connection.
    pub(crate) fn mark(&self) -> u32 {
        // SAFETY: The field is valid, and others write it with one access.
        unsafe { (&raw const (*self.ct()).mark).read_volatile() }
    }

    /// The security mark that rules gave the connection.
    #[cfg(CONFIG_NF_CONNTRACK_SECMARK)]
    pub(crate) fn secmark(&self) -> u32 {
        // SAFETY: The field is valid, and others write it with one access.
        unsafe { (&raw const (*self.ct()).secmark).read_volatile() }
    }

    /// No connection has a security mark.
    #[cfg(not(CONFIG_NF_CONNTRACK_SECMARK))]
    pub(crate) fn secmark(&self) -> u32 {
        0
    }

    /// How many references there are.
    pub(crate) fn use_count(&self) -> u32 {
        // SAFETY: The counter is inside the connection.
        unsafe { bindings::rct_conntrack_use(self.nfct()) }
    }

    /// The hash of the key of packets in a direction, if the connection is in the table.
    #[inline]
    pub(crate) fn hash(&self, dir: Direction) -> u32 {
        let hash = self.hash.get().cast::<u32>().wrapping_add(dir.index());
        // SAFETY: There is one for each direction.
        unsafe { hash.read_volatile() }
    }

    /// The half of the connection that is in the table for packets in a direction, as the kernel
    /// knows it.
    pub(crate) fn tuplehash(&self, dir: Direction) -> *mut bindings::nf_conntrack_tuple_hash {
        // SAFETY: There is one for each direction.
        unsafe { &raw mut (*self.ct()).tuplehash[dir.index()] }
    }

    /// Remembers the hash of the key of packets in a direction; by who has the table's locks, or
    /// the only reference.
    pub(crate) fn store_hash(&self, dir: Direction, value: u32) {
        let hash = self.hash.get().cast::<u32>().wrapping_add(dir.index());
        // SAFETY: There is one for each direction.
        unsafe { hash.write_volatile(value) };
    }

    /// The link of a direction.
    #[inline]
    pub(crate) fn node(&self, dir: Direction) -> NonNull<nulls::Node> {
        // SAFETY: The link is inside the connection, and has the layout of a node.
        unsafe {
            NonNull::new_unchecked((&raw mut (*self.ct()).tuplehash[dir.index()].hnnode).cast())
        }
    }

    /// The private state of the connection's protocol, to be changed.
    #[inline]
    pub(crate) fn lock(&self) -> Locked<'_> {
        // SAFETY: The lock is inside the connection, and was initialised at allocation.
        let guard = unsafe { RawLock::new(&raw mut (*self.ct()).lock) }.lock();
        Locked {
            conn: self,
            _guard: guard,
        }
    }

    /// The private state of a UDP connection. It is not locked: it is written before confirmation
    /// only.
    #[inline]
    pub(crate) fn udp(&self) -> udp::Proto {
        // SAFETY: The field is inside the connection; any bytes are a state.
        unsafe {
            (&raw const (*self.ct()).proto)
                .cast::<udp::Proto>()
                .read_volatile()
        }
    }

    /// Writes the private state of a UDP connection, before confirmation.
    #[inline]
    pub(crate) fn store_udp(&self, proto: udp::Proto) {
        // SAFETY: The field is inside the connection.
        unsafe {
            (&raw mut (*self.ct()).proto)
                .cast::<udp::Proto>()
                .write_volatile(proto)
        };
    }

    /// The private state of a GRE connection. It is not locked: it is written before confirmation
    /// only.
    pub(crate) fn gre(&self) -> gre::Proto {
        // SAFETY: The field is inside the connection; any bytes are a state.
        unsafe {
            (&raw const (*self.ct()).proto)
                .cast::<gre::Proto>()
                .read_volatile()
        }
    }

    /// Writes the private state of a GRE connection, before confirmation.
    pub(crate) fn store_gre(&self, proto: gre::Proto) {
        // SAFETY: The field is inside the connection.
        unsafe {
            (&raw mut (*self.ct()).proto)
                .cast::<gre::Proto>()
                .write_volatile(proto)
        };
    }

    /// The connection that has announced this one.
    pub(crate) fn master(&self) -> Option<&Conn> {
        // SAFETY: The field is inside the connection, and constant while somebody else has it;
        // there is a reference to what it points at.
        unsafe { (*self.ct()).master.cast::<Conn>().as_ref() }
    }

    /// Takes a reference to a connection whose memory is known to be there, unless the last one is
    /// gone.
    #[inline]
    pub(crate) fn try_get(&self) -> Option<ARef<Conn>> {
        // SAFETY: The memory is a connection's; the counter is changed atomically, and acquires
        // what `Fresh::publish` released.
        if !unsafe { bindings::rct_conntrack_tryget(self.nfct()) } {
            return None;
        }
        // SAFETY: The reference is the one just taken.
        Some(unsafe { ARef::from_raw(NonNull::from(self)) })
    }

    /// The number by which user space knows the connection, made with a key of its own.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_ct_get_id(): what goes into it does not change
    /// while the connection lives.
    pub(crate) fn id(&self, key: &siphash::Key) -> u32 {
        // SAFETY: The field is inside the connection, and constant once that is confirmed.
        let master = unsafe { (&raw const (*self.ct()).master).read_volatile() };
        let Words([a, b, c, d, e]) = self.words(Direction::Original);
        let tuple = key.hash4(key.hash4(a, b, c, d), e, 0, 0);
        // CAST: Pointers are words, and one half of the hash is as good as the other.
        key.hash4(
            core::ptr::from_ref(self).addr() as u64,
            master.addr() as u64,
            self.net().as_ptr().addr() as u64,
            tuple,
        ) as u32
    }

    /// Gives the memory of a connection back that has no reference left, and its reference to its
    /// master; if that was the last one, so on.
    ///
    /// # Safety
    ///
    /// The last reference must be gone, and the connection in no table.
    pub(crate) unsafe fn destroy(this: NonNull<Self>) {
        let mut last = Some(this);
        while let Some(conn) = last {
            // SAFETY: The last reference is gone: by the contract, or because the one that its last
            // child had is. A connection leaves the table before the table's reference goes.
            last = unsafe { Self::free(conn) }.filter(|master| {
                // SAFETY: The child had a reference, which is given up.
                unsafe { bindings::rct_conntrack_put(master.as_ref().nfct()) }
            });
        }
    }

    /// Gives the memory of a connection or template back, and hands its reference to its master on.
    ///
    /// # Safety
    ///
    /// As [`Conn::destroy`].
    unsafe fn free(this: NonNull<Self>) -> Option<NonNull<Self>> {
        // SAFETY: The memory is that of a connection or of a template, which has no words of ours.
        let ct = unsafe { UnsafeCell::raw_get(&raw const (*this.as_ptr()).ct) };
        // SAFETY: Nobody else is left.
        let (status, ext, net, master) =
            unsafe { ((*ct).status, (*ct).ext, (*ct).ct_net.net, (*ct).master) };
        if Status::from_bits(status as u64).contains(Status::TEMPLATE) {
            // SAFETY: Templates and extensions come from kmalloc(), and a null pointer is none.
            // What a template's extensions refer to belongs to the rule that made it.
            unsafe {
                bindings::kfree(ext.cast());
                bindings::kfree(ct.cast());
            }
            return None;
        }
        // SAFETY: The connection is whole but for its references, and ours alone.
        let conn = unsafe { this.as_ref() };
        if !master.is_null() {
            conn.forget_call();
        }
        conn.leave_nat();
        if !ext.is_null() {
            conn.drop_help();
            // SAFETY: As above; a connection has a reference to its policy.
            unsafe {
                bindings::rct_timeout_put(ct);
                bindings::kfree(ext.cast());
            }
        }
        // SAFETY: The connection is from the cache, and nobody but readers under RCU is left.
        unsafe { CACHE.free(this) };
        // The memory goes before the count: who waits for the count finds no connection left.
        // SAFETY: A namespace waits for its count before it goes away.
        if let Some(netns) = NETNS.get(unsafe { Net::from_raw(net) }) {
            netns.uncount();
        }
        NonNull::new(master.cast())
    }
}

// SAFETY: The counter is that of the connection, which lives until it is zero.
unsafe impl AlwaysRefCounted for Conn {
    fn inc_ref(&self) {
        // SAFETY: A reference exists.
        unsafe { bindings::rct_conntrack_get(self.nfct()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller has a reference, which it gives up.
        if unsafe { bindings::rct_conntrack_put(obj.as_ref().nfct()) } {
            // SAFETY: It was the last one: the table's, if any, is gone, so the connection is out
            // of it.
            unsafe { Self::destroy(obj) };
        }
    }
}

/// The private state of a connection's protocol, with its lock held.
pub(crate) struct Locked<'a> {
    conn: &'a Conn,
    _guard: RawGuard,
}

impl Locked<'_> {
    /// The private state of a TCP connection.
    #[inline]
    pub(crate) fn tcp(&mut self) -> &mut tcp::Proto {
        // SAFETY: The field is inside the connection, large enough as asserted above; its lock is
        // held, and any bytes are a state.
        unsafe { &mut *(&raw mut (*self.conn.ct()).proto).cast() }
    }

    /// The private state of an SCTP association.
    pub(crate) fn sctp(&mut self) -> &mut sctp::Proto {
        // SAFETY: As above.
        unsafe { &mut *(&raw mut (*self.conn.ct()).proto).cast() }
    }

    /// The number of the state that the protocol's tracker keeps.
    pub(crate) fn state(&mut self) -> u8 {
        match self.conn.proto() {
            ipproto::TCP => self.tcp().state,
            // CAST: There are ten of them.
            ipproto::SCTP => self.sctp().state as u8,
            _ => 0,
        }
    }
}

/// A connection that was just allocated: it has no reference, and is dropped with its owner.
pub(crate) struct Fresh(NonNull<Conn>);

impl Fresh {
    /// Allocates a connection of `net`, in any context. It is counted already by the caller.
    ///
    /// The memory may be that of a connection that readers are at: all that they read is written
    /// with single accesses, and without a reference they get none.
    pub(crate) fn new(net: &Net, beginning: &Beginning<'_>) -> Option<Self> {
        let memory = CACHE.alloc()?;
        let conn = memory.as_ptr();
        // SAFETY: The memory is a connection's and ours.
        let ct = unsafe { UnsafeCell::raw_get(&raw const (*conn).ct) };

        // SAFETY: All fields are inside the memory. Nobody but readers is there, and what they read
        // is written with volatile accesses.
        unsafe {
            RawLock::new(&raw mut (*ct).lock).init(c"nf_conn", kernel::static_lock_class!());
            (&raw mut (*ct).ct_general.use_.refs.counter).write_volatile(0);
            (&raw mut (*ct).status).write_volatile(0);
            (&raw mut (*ct).timeout).write_volatile(0);
            (&raw mut (*ct).ct_net.net).write_volatile(net.as_ptr());
            (&raw mut (*ct).zone)
                .cast::<Zone>()
                .write_volatile(beginning.zone);
            // All behind this field is the owner's, and begins as zero.
            let rest = offset_of!(bindings::nf_conn, __nfct_init_offset);
            ct.byte_add(rest)
                .cast::<u8>()
                .write_bytes(0, size_of::<bindings::nf_conn>() - rest);
        }
        let fresh = Self(memory);
        fresh.store_words(Direction::Original, beginning.original);
        fresh.store_words(Direction::Reply, beginning.reply);
        fresh.conn().store_hash(Direction::Original, beginning.hash);
        Some(fresh)
    }

    /// Gives it to C, until [`Fresh::from_raw`].
    pub(crate) fn into_raw(self) -> NonNull<Conn> {
        let conn = self.0;
        core::mem::forget(self);
        conn
    }

    /// Takes it back from C.
    ///
    /// # Safety
    ///
    /// It must be from [`Fresh::into_raw`], and have no reference still.
    pub(crate) unsafe fn from_raw(conn: NonNull<Conn>) -> Self {
        Self(conn)
    }

    /// The connection, of which nobody else knows.
    pub(crate) fn conn(&self) -> &Conn {
        // SAFETY: The connection is initialised as far as the methods used here ask for, and ours.
        unsafe { self.0.as_ref() }
    }

    fn store_words(&self, dir: Direction, tuple: &Tuple) {
        let Words(words) = Words::of(&tuple.with_dir(dir));
        // SAFETY: The tuple is inside the connection.
        let to = unsafe { &raw mut (*self.conn().ct()).tuplehash[dir.index()].tuple }.cast::<u64>();
        for (i, word) in words.into_iter().enumerate() {
            // SAFETY: A tuple is five words, aligned as asserted above.
            unsafe { to.add(i).write_volatile(word) };
        }
    }

    /// Makes it one that its master has announced: it is EXPECTED, so that its packets are RELATED,
    /// and it begins with the marks that rules gave the master, to whom it keeps a reference.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, init_conntrack().
    pub(crate) fn follow(&self, master: ARef<Conn>) {
        self.conn().set_status(Status::EXPECTED);
        // SAFETY: The fields are inside the connection, which is ours alone.
        unsafe {
            let ct = self.conn().ct();
            (&raw mut (*ct).mark).write_volatile(master.mark());
            #[cfg(CONFIG_NF_CONNTRACK_SECMARK)]
            (&raw mut (*ct).secmark).write_volatile(master.secmark());
            (&raw mut (*ct).master).write_volatile(ARef::into_raw(master).as_ptr().cast());
        }
    }

    /// Gives it a helper.
    pub(crate) fn assign_helper(&self, helper: &Helper) {
        self.conn().assign_helper(helper);
    }

    /// Gives it the helper that a template wants, or else the one that the parameter `helpers` has
    /// for the port that its first packet goes to.
    pub(crate) fn find_helper(&self, original: &Tuple, template: Option<&Conn>, rcu: ReadSide<'_>) {
        let wanted =
            template.is_some_and(|template| helper::assign_of_template(self.conn(), template, rcu));
        if let Some(helper) = helper::own::of_port(original).filter(|_| !wanted) {
            self.assign_helper(helper);
        }
    }

    /// Makes it a connection that has a reference. From now on others may get at it.
    pub(crate) fn publish(self) -> ARef<Conn> {
        let conn = self.0;
        core::mem::forget(self);
        // SAFETY: The connection is complete. The store releases all that was written before: who
        // gets a reference sees it.
        unsafe { bindings::rct_conntrack_publish(conn.as_ref().nfct()) };
        // SAFETY: The count of one is this reference.
        unsafe { ARef::from_raw(conn) }
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // SAFETY: There is no reference, and the connection was never in a table.
        unsafe { Conn::destroy(self.0) };
    }
}

/// A connection met in the table without a reference. It may be freed and given out anew at any
/// time, so nothing that is read from it counts until [`Candidate::get`] succeeds and it is read
/// again.
///
/// # Invariants
///
/// The memory is that of a connection throughout `'a`, in which RCU or the lock of a list that it
/// is in is held.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'a> {
    conn: &'a Conn,
    dir: Direction,
}

impl<'a> Candidate<'a> {
    /// The connection that a link belongs to.
    ///
    /// # Safety
    ///
    /// The link must be one of a connection's, met in a list of the table with RCU, or the lock of
    /// the list, held for `'a`.
    #[inline]
    pub(crate) unsafe fn new(node: NonNull<nulls::Node>) -> Self {
        const NODE: usize = offset_of!(bindings::nf_conn, tuplehash);
        const SIZE: usize = size_of::<bindings::nf_conntrack_tuple_hash>();
        const DIR: usize = offset_of!(bindings::nf_conntrack_tuple_hash, tuple) + Tuple::KEY_LEN;

        // SAFETY: The link is followed by its tuple. By the invariant of `Conn`, the direction in
        // there says which of the two the link is, whoever's the memory is now.
        let dir = Direction::from_bits(unsafe { node.cast::<u8>().add(DIR).read_volatile() });
        // SAFETY: The link is that far into the connection, and the memory stays a connection's.
        let conn = unsafe {
            node.byte_sub(NODE + dir.index() * SIZE)
                .cast::<Conn>()
                .as_ref()
        };
        // INVARIANT: As the caller says.
        Self { conn, dir }
    }

    /// The direction of the link by which the connection was met.
    #[inline]
    pub(crate) fn dir(&self) -> Direction {
        self.dir
    }

    /// Tells whether packets of this direction have the key, and the connection is in the table.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_ct_key_equal().
    #[inline]
    pub(crate) fn matches(&self, key: &Key<'_>) -> bool {
        self.conn.words(self.dir).same_key(&key.words)
            && self.conn.zone().equal(&key.zone, self.dir)
            && self.conn.status().contains(Status::CONFIRMED)
            && self.is_of(key.net)
    }

    /// Tells whether this is that connection.
    pub(crate) fn is(&self, conn: &Conn) -> bool {
        core::ptr::eq(self.conn, conn)
    }

    /// Tells whether the connection begins with the same packet as another one.
    pub(crate) fn begins_as(&self, conn: &Conn) -> bool {
        let original = Direction::Original;
        self.conn.words(original).same_key(&conn.words(original))
            && self.conn.zone().equal(&conn.zone(), original)
    }

    /// Tells whether the connection is one of a namespace.
    #[inline]
    pub(crate) fn is_of(&self, net: &Net) -> bool {
        // SAFETY: The field is inside the connection. The pointer is compared, not followed.
        let of = unsafe { (&raw const (*self.conn.ct()).ct_net.net).read_volatile() };
        core::ptr::eq(of, net.as_ptr())
    }

    /// Tells whether the connection is one of a namespace, or of any if there is none.
    #[inline]
    pub(crate) fn is_of_any(&self, net: Option<&Net>) -> bool {
        net.is_none_or(|net| self.is_of(net))
    }

    /// Tells whether the connection has expired.
    #[inline]
    pub(crate) fn is_expired(&self) -> bool {
        time::until(self.conn.timeout()) <= 0
    }

    /// Jiffies until the connection expires; zero if it has.
    pub(crate) fn remaining(&self) -> u32 {
        self.conn.remaining()
    }

    /// The status bits now.
    pub(crate) fn status(&self) -> Status {
        self.conn.status()
    }

    /// The hash of the key of packets in this direction.
    #[inline]
    pub(crate) fn hash(&self) -> u32 {
        self.conn.hash(self.dir)
    }

    /// A number that no other connection has while this one lives.
    pub(crate) fn addr(&self) -> usize {
        core::ptr::from_ref(self.conn).addr()
    }

    /// Takes a reference, unless the last one is gone. What is read from now on counts.
    #[inline]
    pub(crate) fn get(&self) -> Option<ARef<Conn>> {
        self.conn.try_get()
    }
}

/// What tracking has attached to a packet.
pub(crate) enum Attached<'a> {
    /// Nothing: the packet was not looked at yet, or is INVALID.
    Nothing,
    /// A connection.
    Conn(&'a Conn, CtInfo),
    /// Nothing, on purpose.
    Untracked,
    /// A rule's wishes for the packet's connection, to come true when it is tracked.
    Template(&'a Conn),
}

/// What tracking has attached to a packet.
#[inline]
pub(crate) fn attached(skb: &Skb) -> Attached<'_> {
    let slot = skb.nfct();
    // CAST: Three bits.
    let info = CtInfo::from_bits((slot & INFO_MASK) as u8);
    let conn = core::ptr::with_exposed_provenance_mut::<Conn>(slot & !INFO_MASK);

    // SAFETY: The slot holds a reference to a connection, or nothing. As long as the packet is
    // borrowed, nobody takes it out.
    match (unsafe { conn.as_ref() }, info) {
        (Some(conn), _) if conn.status().contains(Status::TEMPLATE) => Attached::Template(conn),
        (Some(conn), Some(info)) => Attached::Conn(conn, info),
        (None, Some(CtInfo::Untracked)) => Attached::Untracked,
        _ => Attached::Nothing,
    }
}

/// Attaches a connection to a packet, which takes the reference over. What was attached is
/// forgotten.
#[inline]
pub(crate) fn attach(skb: &mut Skb, conn: ARef<Conn>, info: CtInfo) {
    let slot = ARef::into_raw(conn).as_ptr().expose_provenance();
    skb.set_nfct(slot | usize::from(info.bits()));
}

/// Marks a packet that has no connection as not tracked, on purpose.
pub(crate) fn attach_untracked(skb: &mut Skb) {
    skb.set_nfct(usize::from(CtInfo::Untracked.bits()));
}

/// Takes the connection or template off a packet, with its reference.
pub(crate) fn detach(skb: &mut Skb) -> Option<ARef<Conn>> {
    let conn = core::ptr::with_exposed_provenance_mut::<Conn>(skb.take_nfct() & !INFO_MASK);
    // SAFETY: The slot held a reference, which is ours now.
    NonNull::new(conn).map(|conn| unsafe { ARef::from_raw(conn) })
}
