// SPDX-License-Identifier: GPL-2.0

//! Events: a listener of ours is told what happens to connections, or has no room.

use crate::{
    bindings,
    datapath::end,
    maker::{
        case,
        in_table, //
    },
    object::{
        conn::{
            event::{
                Event,
                Requester, //
            },
            Conn, //
        },
        netns::Netns,
        setting, //
    },
    pure::{
        fate::Ended,
        tuple::Direction::{
            self,
            Original,
            Reply, //
        },
        wire::{
            ipproto,
            Family, //
        },
    },
    skbs::{
        ip,
        seal,
        tcp,
        udp,
        Buffer, //
    },
    sys::{
        abi::Lasting,
        hook::{
            Place,
            Verdict, //
        },
        net::Net, //
    },
};
use kernel::{
    ffi::{
        c_int,
        c_uint, //
    },
    macros::kunit_tests,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        rcu, //
    },
};

const CLIENT: u16 = 4000;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// What was heard, one after the other: the events, and the port of their requester.
static HEARD: [Atomic<u64>; 16] = [const { Atomic::new(0) }; 16];
/// How often something was told.
static TOLD: Atomic<u32> = Atomic::new(0);
/// Whether the listener has no room.
static FULL: Atomic<bool> = Atomic::new(false);

/// The listener of the tests.
static LISTENER: Listener = Listener(bindings::nf_ct_event_notifier {
    ct_event: Some(hear),
    exp_event: None,
});

struct Listener(bindings::nf_ct_event_notifier);

// SAFETY: Nothing in here is ever changed.
unsafe impl Sync for Listener {}

/// Hears of events.
///
/// # Safety
///
/// Called with an item.
unsafe extern "C" fn hear(events: c_uint, item: *const bindings::nf_ct_event) -> c_int {
    if FULL.load(Relaxed) {
        return ENOBUFS.to_errno();
    }
    // SAFETY: By the contract.
    let (portid, ct) = unsafe { ((*item).portid, (*item).ct) };
    // SAFETY: The event is of one of the tracker's connections, which begin with the kernel's part.
    let conn = unsafe { &*ct.cast::<Conn>() };
    // As ctnetlink does for TCP's private state: lockdep is to see what it is taken under.
    drop(conn.lock());
    if let Some(place) = HEARD.get(TOLD.load(Relaxed) as usize) {
        place.store(u64::from(portid) << 32 | u64::from(events), Relaxed);
    }
    TOLD.add(1, Relaxed);
    0
}

/// Runs a test case with the listener, in a namespace whose connections have room for events.
fn listening(body: impl FnOnce(&'static Netns) -> Result) -> Result {
    let net = Net::init();
    TOLD.store(0, Relaxed);
    FULL.store(false, Relaxed);
    setting::EVENTS.set(net, 1);
    net.set_listener(Some(Lasting::from(&LISTENER.0)));
    let result = case(body);
    net.set_listener(None);
    rcu::synchronize_rcu();
    setting::EVENTS.set(net, 2);
    result
}

/// Checks what was heard since the last time: events, bit by bit, and the port of their requester.
#[track_caller]
fn check_heard(want: &[(&[Event], u32)]) -> Result {
    check_eq!(TOLD.load(Relaxed) as usize, want.len(), "so often");
    for (n, ((events, requester), heard)) in want.iter().zip(&HEARD).enumerate() {
        let bits = events.iter().fold(0, |bits, event| bits | event.bit());
        let heard = heard.load(Relaxed);
        check_eq!(
            heard,
            u64::from(*requester) << 32 | u64::from(bits),
            "number {n}"
        );
    }
    TOLD.store(0, Relaxed);
    Ok(())
}

/// Passes a packet in and out.
fn pass(sender: Direction, proto: u8, body: &[u8]) -> Result<Buffer> {
    let pkt = ip(Family::Ipv4, sender, proto, body);
    let mut buffer = Buffer::new(seal(Family::Ipv4, proto, 20, pkt).get())?;
    check_eq!(
        buffer.track(Place::PreRouting, Family::Ipv4)?,
        Verdict::ACCEPT
    );
    check_eq!(buffer.leave(Family::Ipv4)?, Verdict::ACCEPT);
    Ok(buffer)
}

fn pass_udp(sender: Direction) -> Result<Buffer> {
    pass(sender, ipproto::UDP, udp(sender, CLIENT, b"x").get())
}

fn pass_tcp(sender: Direction, flags: u8, seq: u32, ack: u32) -> Result<Buffer> {
    let body = tcp(sender, CLIENT, flags, seq, ack, b"");
    pass(sender, ipproto::TCP, body.get())
}

/// A requester.
const SOMEBODY: Requester = Requester {
    portid: 77,
    report: 0,
};

#[kunit_tests(rust_ct_event)]
mod tests {
    use super::*;

    /// All events of a packet are delivered at once when it leaves; a packet without events
    /// delivers none.
    #[test]
    fn packets() -> Result {
        listening(|_| {
            pass_udp(Original)?;
            check_heard(&[(&[Event::New], 0)])?;
            pass_udp(Original)?;
            check_heard(&[])?;
            let last = pass_udp(Reply)?;
            check_heard(&[(&[Event::Reply], 0)])?;
            pass_udp(Reply)?;
            check_heard(&[])?;
            let conn = last.conn().ok_or(EINVAL)?;
            check!(end::kill_for(conn, SOMEBODY, Ended::Deleted));
            check_heard(&[(&[Event::Destroy], 77)])?;
            check!(!end::kill(conn), "it is told once");
            check_heard(&[])
        })
    }

    /// TCP has events for its states, the first reply and ASSURED; a connection that a reset ends
    /// before a reply has one for its end.
    #[test]
    fn segments() -> Result {
        listening(|_| {
            pass_tcp(Original, SYN, 1000, 0)?;
            check_heard(&[(&[Event::New, Event::ProtoInfo], 0)])?;
            pass_tcp(Reply, SYN | ACK, 5000, 1001)?;
            check_heard(&[(&[Event::Reply, Event::ProtoInfo], 0)])?;
            let last = pass_tcp(Original, ACK, 1001, 5001)?;
            check_heard(&[(&[Event::Assured, Event::ProtoInfo], 0)])?;
            pass_tcp(Original, ACK, 1001, 5001)?;
            check_heard(&[])?;
            check!(end::kill(last.conn().ok_or(EINVAL)?));
            check_heard(&[(&[Event::Destroy], 0)])?;

            pass_tcp(Original, SYN, 1000, 0)?;
            check_heard(&[(&[Event::New, Event::ProtoInfo], 0)])?;
            pass_tcp(Reply, RST | ACK, 0, 1001)?;
            check_heard(&[(&[Event::Destroy], 0)])
        })
    }

    /// An event that the listener has no room for goes along with the next one.
    #[test]
    fn missed() -> Result {
        listening(|_| {
            FULL.store(true, Relaxed);
            pass_udp(Original)?;
            check_heard(&[])?;
            FULL.store(false, Relaxed);
            pass_udp(Reply)?;
            check_heard(&[(&[Event::New, Event::Reply], 0)])?;
            pass_udp(Original)?;
            check_heard(&[])
        })
    }

    /// A DESTROY event without room keeps the connection, out of the table, until there is room;
    /// then it is delivered once, with its requester, and without missed events.
    #[test]
    fn undelivered_ends() -> Result {
        listening(|netns| {
            let last = pass_udp(Original)?;
            check_heard(&[(&[Event::New], 0)])?;
            FULL.store(true, Relaxed);
            pass_udp(Reply)?;
            let conn = last.conn().ok_or(EINVAL)?;
            check!(!end::kill_for(conn, SOMEBODY, Ended::Deleted), "it is kept");
            drop(last);
            check_eq!((netns.connections(), in_table()), (1, 0));
            check!(!netns.dying.is_empty());
            check!(
                !netns.dying.deliver(i64::MAX, &mut 0),
                "there is no room yet"
            );
            check_heard(&[])?;
            check_eq!(netns.connections(), 1);
            FULL.store(false, Relaxed);
            check!(netns.dying.deliver(i64::MAX, &mut 0));
            check_heard(&[(&[Event::Destroy], 77)])?;
            check!(netns.dying.is_empty());
            check_eq!(netns.connections(), 0);
            check!(netns.dying.deliver(i64::MAX, &mut 0));
            check_heard(&[])
        })
    }

    /// A connection whose DESTROY event waits is forgotten where there is no room for it: the
    /// list's reference goes, and no event is delivered.
    #[test]
    fn forgotten_ends() -> Result {
        listening(|netns| {
            FULL.store(true, Relaxed);
            let last = pass_udp(Original)?;
            check!(!end::kill(last.conn().ok_or(EINVAL)?), "it is kept");
            drop(last);
            check_eq!(netns.connections(), 1);
            check!(netns.dying.evict());
            check_eq!(
                netns.connections(),
                0,
                "the list has given its reference back"
            );
            check!(!netns.dying.evict(), "there is no other one");
            FULL.store(false, Relaxed);
            check!(netns.dying.deliver(i64::MAX, &mut 0));
            check_heard(&[])
        })
    }

    /// Without the extension of events, or without a listener, none is delivered, and no connection
    /// is kept for one.
    #[test]
    fn nobody() -> Result {
        listening(|netns| {
            let net = Net::init();
            setting::EVENTS.set(net, 0);
            FULL.store(true, Relaxed);
            let last = pass_udp(Original)?;
            check!(end::kill(last.conn().ok_or(EINVAL)?));
            drop(last);
            check_eq!(netns.connections(), 0);

            setting::EVENTS.set(net, 1);
            net.set_listener(None);
            pass_udp(Original)?;
            net.set_listener(Some(Lasting::from(&LISTENER.0)));
            FULL.store(false, Relaxed);
            let last = pass_udp(Reply)?;
            check_heard(&[(&[Event::Reply], 0)])?;
            check!(end::kill(last.conn().ok_or(EINVAL)?));
            check_heard(&[(&[Event::Destroy], 0)])
        })
    }
}
