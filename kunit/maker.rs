// SPDX-License-Identifier: GPL-2.0

//! Connections for tests, and the table that each test case finds and leaves empty.

use crate::{
    bindings,
    datapath::{
        begin,
        end,
        lookup, //
    },
    object::{
        conn::{
            ext::Kind,
            Alone,
            Conn,
            Key,
            NewConn,
            UniqueConn, //
        },
        helper::Helper,
        netns::{
            Netns,
            NETNS, //
        },
        table::{
            Cursor,
            Place,
            Which,
            TABLE, //
        },
    },
    pure::{
        state::Status,
        tuple::{
            Addr,
            Direction,
            Tuple, //
        },
        wire::{
            ipproto,
            Family, //
        },
        zone::Zone, //
    },
    sys::{
        memory,
        net::Net,
        rcu::ReadSide,
        time::HZ, //
    },
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::{
        aref::ARef,
        rcu, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// Runs a test case with the state of the initial namespace. There is no connection before, and
/// none afterwards: a test that keeps a reference fails here.
pub(crate) fn case(body: impl FnOnce(&'static Netns) -> Result) -> Result {
    let netns = NETNS.get(Net::init()).ok_or(ENOENT)?;
    check_eq!(netns.connections(), 0, "an earlier case has left something");
    let result = body(netns);
    end::kill_all(None);
    result?;
    check_eq!(netns.connections(), 0, "a reference was kept");
    Ok(())
}

/// The tuple of the first packet of connection number `n`, one for each number.
pub(crate) fn tuple(proto: u8, n: u32) -> Tuple {
    let [a, b, c, d] = n.to_be_bytes();
    let (src, dst) = (Addr::v4([10, a, b, 1]), Addr::v4([192, 0, 2, 1]));
    let port = u16::from_be_bytes([c, d]);
    Tuple::new(Family::Ipv4, proto, src, dst).with_ports(port, 80)
}

/// The same with UDP.
pub(crate) fn udp(n: u32) -> Tuple {
    tuple(ipproto::UDP, n)
}

/// An unconfirmed connection of a namespace, which lives for an hour once it is in the table.
pub(crate) fn begin_in(
    net: &Net,
    original: &Tuple,
    reply: &Tuple,
    zone: Zone,
) -> Result<ARef<Conn>> {
    let netns = NETNS.get(net).ok_or(ENOENT)?;
    let hash = Key::new(original, zone, net).hash(Direction::Original);
    let new_conn = NewConn {
        original,
        reply,
        zone,
        hash,
    };
    netns.count();
    let Some(unique) = UniqueConn::new(net, &new_conn) else {
        netns.uncount();
        return Err(ENOMEM);
    };
    let conn = unique.publish();
    conn.refresh(3600 * HZ);
    Ok(conn)
}

/// An unconfirmed connection of the initial namespace, in no zone.
pub(crate) fn begin(original: &Tuple) -> Result<ARef<Conn>> {
    let reply = original.invert().ok_or(EINVAL)?;
    begin_in(Net::init(), original, &reply, Zone::DEFAULT)
}

/// Calls `f` with what is known of a connection of a namespace by its first packet, under RCU.
pub(crate) fn first_packet<R>(
    net: &Net,
    original: &Tuple,
    f: impl FnOnce(&NewConn<'_>, ReadSide<'_>) -> R,
) -> Result<R> {
    let new_conn = NewConn {
        original,
        reply: &original.invert().ok_or(EINVAL)?,
        zone: Zone::DEFAULT,
        hash: Key::new(original, Zone::DEFAULT, net).hash(Direction::Original),
    };
    let guard = rcu::read_lock();
    let result = f(&new_conn, ReadSide::of(&guard));
    drop(guard);
    Ok(result)
}

/// Begins a connection of a namespace as a packet does, if there is room.
pub(crate) fn newcomer_in(net: &Net, original: &Tuple) -> Option<ARef<Conn>> {
    let netns = NETNS.get(net)?;
    let begun = first_packet(net, original, |new_conn, rcu| {
        begin::begin(netns, net, new_conn, None, rcu)
    });
    begun.ok()?.ok()
}

/// Enters a connection into the table.
///
/// # Errors
///
/// `EEXIST` if one of its tuples is taken, `ENOSPC` if one of its buckets is crowded.
pub(crate) fn enter(conn: &Conn) -> Result {
    let guard = rcu::read_lock();
    let admission = TABLE
        .admit(conn, ReadSide::of(&guard))
        .map_err(|_| ENODEV)?;
    match admission.place() {
        Place::Free => (),
        Place::Taken(_) => return Err(EEXIST),
        Place::Crowded => return Err(ENOSPC),
    }
    conn.begin_timeout();
    admission.insert();
    Ok(())
}

/// Sets status bits as C does, which writes to the word by itself.
pub(crate) fn raise(conn: &Conn, bits: Status) {
    let ct = ptr::from_ref(conn).cast_mut().cast::<bindings::nf_conn>();
    // SAFETY: The field is inside the connection, and no other code changes it now.
    unsafe {
        let word = &raw mut (*ct).status;
        word.write_volatile(word.read_volatile() | bits.bits() as usize);
    }
}

/// An unconfirmed connection, or a template, to get extensions.
pub(crate) fn alone(conn: &Conn) -> Alone<'_> {
    // SAFETY: No other code has it, and the test has nothing borrowed.
    unsafe { Alone::assume(conn) }
}

/// Gives an unconfirmed connection, or a template, a helper.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn assign_helper(conn: &Conn, helper: &Helper) -> Result {
    alone(conn).assign_helper(helper)
}

/// Adds an extension to an unconfirmed connection.
pub(crate) fn add_extension(conn: &Conn, kind: Kind) -> Option<NonNull<u8>> {
    alone(conn).add_extension(kind, memory::ATOMIC)
}

/// Adds the extension of a helper to an unconfirmed connection, or a template.
pub(crate) fn add_help(conn: &Conn) -> Option<()> {
    alone(conn).add_help(memory::ATOMIC).map(drop)
}

/// A connection that is in the table.
pub(crate) fn entered(original: &Tuple) -> Result<ARef<Conn>> {
    let conn = begin(original)?;
    enter(&conn)?;
    Ok(conn)
}

/// Looks a connection up by the tuple of a packet, in a zone of a namespace.
pub(crate) fn find_in(net: &Net, tuple: &Tuple, zone: Zone) -> Option<(ARef<Conn>, Direction)> {
    let key = Key::new(tuple, zone, net);
    let guard = rcu::read_lock();
    let found = lookup::find_either(&key, ReadSide::of(&guard));
    drop(guard);
    found
}

/// Looks a connection of the initial namespace up, in no zone.
pub(crate) fn find(tuple: &Tuple) -> Option<(ARef<Conn>, Direction)> {
    find_in(Net::init(), tuple, Zone::DEFAULT)
}

/// Calls `f` for each connection of a namespace, or of all, in the order of the table, until it
/// fails.
pub(crate) fn walk(net: Option<&Net>, mut f: impl FnMut(&Conn) -> Result) -> Result {
    let mut at = Some(Cursor::BEGIN);
    while let Some((conn, cursor)) = at.and_then(|at| TABLE.seek(at, Which::Listed, net)) {
        f(&conn)?;
        at = cursor.next();
    }
    Ok(())
}

/// The bucket that the first packet of a connection of the initial namespace, in no zone, is looked
/// for in.
pub(crate) fn bucket_of(original: &Tuple) -> usize {
    let key = Key::new(original, Zone::DEFAULT, Net::init());
    let guard = rcu::read_lock();
    TABLE.index(key.hash(Direction::Original), ReadSide::of(&guard))
}

/// The number of a UDP connection in a bucket, from `from` on, and the tuple of its first packet.
pub(crate) fn next_in_bucket(index: usize, from: u32) -> Result<(u32, Tuple)> {
    for n in from..from.saturating_add(1_000_000) {
        let original = udp(n);
        if bucket_of(&original) == index {
            return Ok((n, original));
        }
    }
    Err(ENOENT)
}

/// Puts more connections into a bucket than it takes by itself, which are 80 at most. Returns the
/// one that came first with its tuple, and where the next tuple of that bucket is to be looked for.
pub(crate) fn crowd(index: usize) -> Result<(ARef<Conn>, Tuple, u32)> {
    let guard = rcu::read_lock();
    let mut from = 0;
    let mut first = None;
    for _ in 0..90 {
        let (n, original) = next_in_bucket(index, from)?;
        from = n.wrapping_add(1);
        let conn = begin(&original)?;
        let admission = TABLE
            .admit(&conn, ReadSide::of(&guard))
            .map_err(|_| ENODEV)?;
        conn.begin_timeout();
        admission.insert();
        first.get_or_insert((conn, original));
    }
    let (conn, original) = first.ok_or(EINVAL)?;
    Ok((conn, original, from))
}

/// Returns whether a packet with a tuple is found to belong to a connection, in a direction.
pub(crate) fn leads_to(tuple: &Tuple, conn: &Conn, dir: Direction) -> bool {
    find(tuple).is_some_and(|(found, at)| ptr::eq(&*found, conn) && at == dir)
}

/// The zone with a number, for packets of the directions `dir`.
pub(crate) fn zone(id: u16, dir: u8) -> Zone {
    Zone { id, flags: 0, dir }
}

/// How many connections a walk meets.
pub(crate) fn in_table() -> usize {
    let mut met = 0usize;
    // The closure does not fail.
    let _ = walk(None, |_| {
        met = met.wrapping_add(1);
        Ok(())
    });
    met
}

/// Starts a program, which ends by itself. Process context.
fn start<const N: usize>(words: [&'static CStr; N]) -> Result {
    let null = core::ptr::null_mut();
    let mut argv = KVec::new();
    for word in words {
        argv.push(word.as_char_ptr().cast_mut(), GFP_KERNEL)?;
    }
    argv.push(null, GFP_KERNEL)?;
    let mut envp = [c"PATH=/usr/bin:/bin".as_char_ptr().cast_mut(), null];
    // SAFETY: Both are lists of C strings that end with a null pointer. The call ends once the
    // program runs, and no code writes to them.
    to_result(unsafe { bindings::rct_kunit_exec(argv.as_mut_ptr(), envp.as_mut_ptr()) })
}

/// A namespace other than the initial one, which cannot go away while this lives.
pub(crate) struct OtherNet(NonNull<bindings::net>);

impl OtherNet {
    /// Takes an existing one, or has a process make one for itself. Process context.
    pub(crate) fn get() -> Result<Self> {
        // SAFETY: Process context.
        let take = || NonNull::new(unsafe { bindings::rct_kunit_get_net() }).map(Self);
        if let Some(net) = take() {
            return Ok(net);
        }
        // The kernel exports no way to make a namespace: a process has to.
        start([c"/usr/bin/unshare", c"--net", c"/usr/bin/sleep", c"5"])?;
        for _ in 0..6000 {
            if let Some(net) = take() {
                return Ok(net);
            }
            fsleep(Delta::from_millis(10));
        }
        pr_err!("# no process made a namespace\n");
        Err(ETIMEDOUT)
    }

    /// The namespace.
    pub(crate) fn net(&self) -> &Net {
        // SAFETY: The reference that was taken keeps the namespace alive.
        unsafe { Net::from_raw(self.0.as_ptr()) }
    }
}

impl Drop for OtherNet {
    fn drop(&mut self) {
        // SAFETY: The reference is ours.
        unsafe { bindings::rct_kunit_put_net(self.0.as_ptr()) };
    }
}
