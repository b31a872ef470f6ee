// SPDX-License-Identifier: GPL-2.0

//! What BPF programs call that look connections up, make them, and change them: the functions of
//! `bpf.c`.
//!
//! A program holds RCU, in softirq context or with softirqs off. Its memory may be written while we
//! look, by another program.
//!
//! Source: net/netfilter/nf_conntrack_bpf.c.

use super::ctnetlink;
use crate::{
    bindings,
    datapath::{
        expire,
        lookup, //
    },
    object::{
        conn::{
            Conn,
            Key,
            UniqueConn, //
        },
        table::TABLE, //
    },
    pure::bpf::{
        self,
        Denied,
        Refusal,
        Request,
        Want,
        DIR_AT,
        ERROR_AT,
        ZONE_DIR_AT, //
    },
    sys::{
        abi::{
            Array,
            Given, //
        },
        bpf::{
            Log,
            Registered, //
        },
        field::Field,
        net::Net,
        net_ref::NetRef,
        rcu::ReadSide,
        time::HZ, //
    },
};
use core::mem::offset_of;
use kernel::{
    error::from_result,
    ffi::c_int,
    prelude::*,
    sync::{
        aref::ARef,
        rcu, //
    },
};

/// How long a connection lives after its insertion that was given no timeout, in seconds.
const TIMEOUT: u64 = 10;

/// Memory of a program.
type Lent<'a> = Array<'a, Field<u8>>;

/// A copy of such memory. What is longer than this is no tuple and no options.
struct Snapshot {
    bytes: [u8; Self::ROOM],
    len: usize,
}

impl Snapshot {
    const ROOM: usize = 40;

    fn of(lent: &[Field<u8>]) -> Self {
        let mut bytes = [0; Self::ROOM];
        for (to, from) in bytes.iter_mut().zip(lent) {
            *to = from.load();
        }
        Self {
            bytes,
            len: lent.len().min(Self::ROOM),
        }
    }

    fn get(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

/// Writes to the options, as far as there is room for all of it.
fn tell(opts: &[Field<u8>], at: usize, bytes: &[u8]) {
    let room = at
        .checked_add(bytes.len())
        .and_then(|end| opts.get(at..end));
    for (to, &from) in room.into_iter().flatten().zip(bytes) {
        to.store(from);
    }
}

/// The kernel's number for a refusal.
fn errno(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Invalid => EINVAL,
        Refusal::Proto => EPROTO,
        Refusal::Family => EAFNOSUPPORT,
    }
}

/// Does what a program asks for; if that fails, it finds the reason in its options, and gets
/// nothing.
fn answer<T>(
    want: Want,
    net: &Net,
    tuple: Lent<'_>,
    opts: &[Field<u8>],
    act: impl FnOnce(&Net, &Request) -> Result<T>,
) -> Option<T> {
    let ask = || {
        let tuple = tuple.given().map(Snapshot::of);
        let tuple = tuple.as_ref().map(Snapshot::get);
        let request = Request::parse(want, tuple, Snapshot::of(opts).get()).map_err(errno)?;
        let other = match request.net {
            Some(id) => Some(NetRef::of_id(net, id).ok_or(ENONET)?),
            None => None,
        };
        if request.tell_zone_dir {
            tell(opts, ZONE_DIR_AT, &[request.zone.dir]);
        }
        act(other.as_deref().unwrap_or(net), &request)
    };
    ask()
        .inspect_err(|error| tell(opts, ERROR_AT, &error.to_errno().to_ne_bytes()))
        .ok()
}

/// bpf_xdp_ct_lookup() and bpf_skb_ct_lookup(): the connection with a tuple, with a reference.
#[no_mangle]
extern "C" fn rust_ct_bpf_lookup(
    net: &Net,
    tuple: Lent<'_>,
    opts: Lent<'_>,
) -> Option<Given<ARef<Conn>>> {
    let opts = opts.get();
    answer(Want::Known, net, tuple, opts, |net, request| {
        let guard = rcu::read_lock();
        let key = Key::new(&request.tuple, request.zone, net);
        let found = lookup::find_either(&key, ReadSide::of(&guard));
        drop(guard);
        let (conn, dir) = found.ok_or(ENOENT)?;
        tell(opts, DIR_AT, &[dir as u8]);
        Ok(conn.into())
    })
}

/// bpf_xdp_ct_alloc() and bpf_skb_ct_alloc(): a connection that is in no table yet.
#[no_mangle]
extern "C" fn rust_ct_bpf_alloc(net: &Net, tuple: Lent<'_>, opts: Lent<'_>) -> Option<UniqueConn> {
    answer(Want::New, net, tuple, opts.get(), |net, request| {
        let original = &request.tuple;
        let reply = original.answered(original.dst_id(), original.src_id());
        let mut unique = ctnetlink::allocate(net, request.zone, original, &reply).ok_or(ENOMEM)?;
        unique.set_timeout(TIMEOUT * u64::from(HZ));
        Ok(unique)
    })
}

/// bpf_ct_insert_entry(): puts a connection into the table, where its timeout begins. Afterwards
/// the program has a reference; nothing, and the connection is gone, if it cannot be inserted.
#[no_mangle]
extern "C" fn rust_ct_bpf_insert(mut unique: UniqueConn) -> Option<Given<ARef<Conn>>> {
    unique.begin_timeout();
    let conn = TABLE.insert(unique).ok()?;
    expire::lives_for(conn.remaining());
    Some(Given::from(conn))
}

/// bpf_ct_release(): gives back the reference.
#[no_mangle]
extern "C" fn rust_ct_bpf_release(conn: Given<ARef<Conn>>) {
    drop(conn.take());
}

/// bpf_ct_set_timeout(): how long a connection lives after its insertion, in jiffies.
#[no_mangle]
extern "C" fn rust_ct_bpf_set_timeout(conn: &Conn, jiffies: u64) {
    conn.set_timeout(jiffies);
}

/// Returns whether a program may write to what it has a pointer at, at an offset: to the mark of a
/// connection, as rules do. Process context; called while the program is verified.
///
/// # Errors
///
/// `EACCES`, and the verifier's log says why.
#[no_mangle]
extern "C" fn rust_ct_bpf_may_write(log: &Log, is_conn: bool, off: c_int, size: c_int) -> c_int {
    /// Where the mark is.
    const MARK: usize = offset_of!(bindings::nf_conn, mark);
    const MARK_END: usize = MARK + size_of::<u32>();

    from_result(|| {
        if !is_conn {
            log.say(fmt!("only read is supported\n"));
            return Err(EACCES);
        }
        match bpf::may_write(MARK..MARK_END, off, size) {
            Ok(()) => return Ok(0),
            Err(Denied::Offset) => log.say(fmt!("no write support to nf_conn at off {off}\n")),
            Err(Denied::Size) => log.say(fmt!(
                "write access at off {off} with size {size} beyond the member of nf_conn ended at \
                 {MARK_END}\n"
            )),
        }
        Err(EACCES)
    })
}

/// BPF programs can call us while this lives.
pub(crate) struct Functions {
    _registered: Option<Registered>,
}

impl Functions {
    /// Lets BPF programs call us. Without BTF that cannot be, and a line in the log says so. To be
    /// called while the module is being loaded, when there is a table.
    pub(crate) fn register() -> Self {
        let registered = Registered::new();
        match &registered {
            Ok(Some(_)) => (),
            Ok(None) => pr_info!("built without BTF: BPF programs cannot call it\n"),
            Err(e) => pr_warn!("not all BPF programs can call it: its BTF is refused ({e:?})\n"),
        }
        Self {
            _registered: registered.ok().flatten(),
        }
    }
}
