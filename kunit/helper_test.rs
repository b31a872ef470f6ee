// SPDX-License-Identifier: GPL-2.0

//! Helpers: which is registered, and what ours makes of packets.

use crate::{
    bindings,
    datapath::end,
    interface::export::helper::rust_ct_pptp_destroy_siblings,
    maker::{
        self,
        assign_helper,
        begin,
        bucket_of,
        case,
        enter, //
    },
    object::{
        conn::Conn,
        helper::{
            builtin,
            registry,
            NewHelper,
            RegisteredHelper, //
        },
        netns::Netns, //
    },
    pure::{
        payload::ftp::Refused,
        state::{
            CtInfo,
            Status, //
        },
        tuple::Direction,
        wire::{
            ipproto,
            Family, //
        },
    },
    skbs::{
        ip,
        seal,
        tcp,
        Buffer,
        Shape, //
    },
    sys::{
        hook::{
            Place,
            Verdict, //
        },
        rcu::ReadSide, //
    },
};
use core::mem::offset_of;
use kernel::{
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

/// The port at which connections get our FTP helper while the tests run.
pub(crate) const PORT: u16 = 2121;

/// The client's port.
const CLIENT: u16 = 4000;

const SYN: u8 = 2;
const ACK: u8 = 16;

/// A segment of the control connection, in some shape.
fn segment(
    sender: Direction,
    flags: u8,
    seq: u32,
    ack: u32,
    text: &[u8],
    shape: Shape,
) -> Result<Buffer> {
    let at = match sender {
        Direction::Original => 2,
        Direction::Reply => 0,
    };
    let body = tcp(sender, CLIENT, flags, seq, ack, text).patched(at, &PORT.to_be_bytes());
    let pkt = ip(Family::Ipv4, sender, ipproto::TCP, body.get());
    Buffer::shaped(seal(Family::Ipv4, ipproto::TCP, 20, pkt).get(), shape)
}

/// A control connection, and the sequence numbers that both sides have reached.
struct Control {
    said: [u32; 2],
}

impl Control {
    /// A control connection after the first line of each side.
    fn open() -> Result<Self> {
        let mut this = Self { said: [1000, 5000] };
        let [client, server] = Direction::BOTH;
        this.pass(client, SYN, b"")?;
        this.pass(server, SYN | ACK, b"")?;
        this.pass(client, ACK, b"")?;
        this.say(server, b"220 hello\r\n")?;
        this.say(client, b"USER me\r\n")?;
        Ok(this)
    }

    fn pass(&mut self, sender: Direction, flags: u8, text: &[u8]) -> Result<Buffer> {
        self.pass_shaped(sender, flags, text, Shape::Linear)
    }

    fn pass_shaped(
        &mut self,
        sender: Direction,
        flags: u8,
        text: &[u8],
        shape: Shape,
    ) -> Result<Buffer> {
        let [client, server] = self.said;
        let (seq, ack) = match sender {
            Direction::Original => (client, server),
            Direction::Reply => (server, client),
        };
        let mut buffer = segment(sender, flags, seq, ack, text, shape)?;
        check_eq!(
            buffer.track(Place::PreRouting, Family::Ipv4)?,
            Verdict::ACCEPT
        );
        check_eq!(buffer.leave(Family::Ipv4)?, Verdict::ACCEPT);
        // CAST: Lines are short.
        let len = text.len() as u32 + u32::from(flags & SYN != 0);
        if let Some(said) = self.said.get_mut(sender.index()) {
            *said = said.wrapping_add(len);
        }
        Ok(buffer)
    }

    fn say(&mut self, sender: Direction, line: &[u8]) -> Result {
        self.pass(sender, ACK, line).map(|_| ())
    }
}

/// Tracks the first packet of a data connection, and calls `f` with it.
fn data<R>(
    from: Direction,
    dport: u16,
    f: impl FnOnce(&Conn, Option<CtInfo>) -> Result<R>,
) -> Result<R> {
    let body = tcp(from, 20, SYN, 1, 0, b"")
        .patched(0, &40000u16.to_be_bytes())
        .patched(2, &dport.to_be_bytes());
    let pkt = ip(Family::Ipv4, from, ipproto::TCP, body.get());
    let mut buffer = Buffer::new(seal(Family::Ipv4, ipproto::TCP, 20, pkt).get())?;
    check_eq!(
        buffer.track(Place::PreRouting, Family::Ipv4)?,
        Verdict::ACCEPT
    );
    let info = buffer.info();
    f(buffer.conn().ok_or(ENOENT)?, info)
}

/// How many references there are to our FTP helper for IPv4.
fn references() -> Result<i32> {
    let guard = rcu::read_lock();
    let helper = registry::find(b"ftp", 2, ipproto::TCP, ReadSide::of(&guard)).ok_or(ENOENT)?;
    let raw = helper.as_ptr();
    // SAFETY: The helper is registered, and so not freed; the count is read by one access.
    let count = unsafe { (&raw const (*raw).ct_refcnt.refs.counter).read_volatile() };
    drop(guard);
    Ok(count)
}

fn expected(netns: &Netns) -> u32 {
    netns.expects.load(Relaxed)
}

/// How many ends of connections with the helper of [`ended`] are on the stack, and how many were at
/// the most.
static ENDS: [Atomic<u32>; 2] = [const { Atomic::new(0) }; 2];

/// What the helper of PPTP does at the end of a connection.
///
/// # Safety
///
/// Called with a connection.
unsafe extern "C" fn ended(ct: *mut bindings::nf_conn) {
    let [now, most] = &ENDS;
    let depth = now.fetch_add(1, Relaxed) + 1;
    most.store(most.load(Relaxed).max(depth), Relaxed);
    // SAFETY: By the contract.
    rust_ct_pptp_destroy_siblings(unsafe { &*ct.cast() });
    now.fetch_sub(1, Relaxed);
}

/// Registers a helper for TCP that does nothing but [`ended`].
fn pptp() -> Result<RegisteredHelper> {
    let raw = bindings::nf_conntrack_helper {
        nfproto: 2,
        l4proto: ipproto::TCP,
        destroy: Some(ended),
        ..pin_init::zeroed()
    };
    let raw = KBox::into_raw(KBox::new(raw, GFP_KERNEL)?);
    // SAFETY: The memory is a `KBox`'s, and `NewHelper` is a wrapper of the helper. The helper's
    // function is this module's, which waits for its connections.
    let new = unsafe { KBox::from_raw(raw.cast::<NewHelper>()) };
    registry::register(new).map_err(|(_, error)| error)
}

#[kunit_tests(rust_ct_helper)]
mod tests {
    use super::*;

    /// The end of a PPTP connection looks for its calls, and leaves alone expired connections that
    /// it meets there: if it did not, one end would lead to the next, on one stack.
    #[test]
    fn one_end_does_not_lead_to_the_next() -> Result {
        const CHAIN: u32 = 6;
        let registered = pptp()?;
        let result = case(|netns| {
            let mut n = 0;
            let mut first = None;
            for _ in 0..CHAIN {
                let original = maker::tuple(ipproto::TCP, n);
                let conn = begin(&original)?;
                let guard = rcu::read_lock();
                let helper = registry::find(b"", 2, ipproto::TCP, ReadSide::of(&guard));
                assign_helper(&conn, helper.ok_or(ENOENT)?)?;
                drop(guard);
                conn.refresh(0);
                enter(&conn)?;
                first.get_or_insert(conn);
                let call = original.with_proto(ipproto::GRE).with_ports(0, 0);
                let calls = bucket_of(&call);
                n = (n + 1..n + 100_000)
                    .find(|n| bucket_of(&maker::tuple(ipproto::TCP, *n)) == calls)
                    .ok_or(ENOENT)?;
            }
            ENDS.each_ref().map(|count| count.store(0, Relaxed));
            check!(end::kill(first.as_ref().ok_or(EINVAL)?));
            drop(first);
            check_eq!(ENDS[1].load(Relaxed), 1, "ends on one stack");
            check_eq!(netns.connections(), CHAIN - 1);
            Ok(())
        });
        registry::unregister(registered);
        result
    }

    /// A call ends no calls, though traffic control has given it PPTP's helper and it has noted the
    /// next call as its own.
    #[test]
    fn a_call_has_no_calls() -> Result {
        const CHAIN: u16 = 6;
        let registered = pptp()?;
        let result = case(|netns| {
            let mut first = None;
            for id in 0..CHAIN {
                let original = maker::tuple(ipproto::GRE, 0).with_ports(0, id + 1);
                let conn = begin(&original)?;
                let guard = rcu::read_lock();
                let helper = registry::find(b"", 2, ipproto::TCP, ReadSide::of(&guard));
                assign_helper(&conn, helper.ok_or(ENOENT)?)?;
                drop(guard);
                let data = conn.help().ok_or(ENOENT)?.data();
                let next = (id + 2).to_be_bytes();
                // SAFETY: The helper's memory is as large as what PPTP has in it, and no other code
                // has the connection.
                unsafe {
                    data.add(offset_of!(bindings::nf_ct_pptp_master, pac_call_id))
                        .copy_from_nonoverlapping(next.as_ptr(), next.len());
                }
                enter(&conn)?;
                first.get_or_insert(conn);
            }
            ENDS.each_ref().map(|count| count.store(0, Relaxed));
            check!(end::kill(first.as_ref().ok_or(EINVAL)?));
            drop(first);
            check_eq!(ENDS[1].load(Relaxed), 1, "ends on one stack");
            check_eq!(netns.connections(), u32::from(CHAIN) - 1);
            Ok(())
        });
        registry::unregister(registered);
        result
    }

    /// Our helper is found by its name, for both families, and for its protocol.
    #[test]
    fn by_name() -> Result {
        let guard = rcu::read_lock();
        let rcu = ReadSide::of(&guard);
        for (name, l3num, proto, there) in [
            (&b"ftp"[..], 2, ipproto::TCP, true),
            (b"ftp", 10, ipproto::TCP, true),
            (b"ftp", 2, ipproto::UDP, false),
            (b"ft", 2, ipproto::TCP, false),
            (b"ftpd", 2, ipproto::TCP, false),
            (b"", 2, ipproto::TCP, false),
            (b"tftp", 2, ipproto::UDP, false),
        ] {
            let found = registry::find(name, l3num, proto, rcu);
            check_eq!(
                found.is_some_and(|helper| builtin::FTP.is(helper)),
                there,
                "{l3num} {proto}"
            );
        }
        drop(guard);
        Ok(())
    }

    /// PORT, split anywhere, lets the server's connection in, and no other host's.
    #[test]
    fn active() -> Result {
        const LINE: &[u8] = b"PORT 10,0,0,1,8,1\r\n";
        for cut in 0..LINE.len() {
            case(|netns| {
                let mut control = Control::open()?;
                let (a, b) = LINE.split_at(cut);
                if !a.is_empty() {
                    control.say(Direction::Original, a)?;
                }
                check_eq!(expected(netns), 0, "cut at {cut}");
                control.say(Direction::Original, b)?;
                check_eq!(expected(netns), 1, "cut at {cut}");
                data(Direction::Reply, 2050, |_, info| {
                    check_eq!(info, Some(CtInfo::New), "another port");
                    Ok(())
                })?;
                data(Direction::Reply, 2049, |conn, info| {
                    check_eq!(info, Some(CtInfo::Related), "cut at {cut}");
                    check!(conn.status().contains(Status::EXPECTED) && conn.master().is_some());
                    Ok(())
                })?;
                check_eq!(expected(netns), 0);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// 227 lets the client's connection in, in whatever pieces the packet comes.
    #[test]
    fn passive() -> Result {
        for shape in [
            Shape::Linear,
            Shape::Page(20),
            Shape::List(45),
            Shape::Mixed(30, 20, 10),
        ] {
            case(|netns| {
                let mut control = Control::open()?;
                let line = b"227 Entering Passive Mode (10,0,0,2,8,1).\r\n";
                control.pass_shaped(Direction::Reply, ACK, line, shape)?;
                check_eq!(expected(netns), 1, "{shape:?}");
                data(Direction::Original, 2049, |conn, info| {
                    check_eq!(info, Some(CtInfo::Related), "{shape:?}");
                    check!(!conn.status().contains(Status::HELPER));
                    Ok(())
                })
            })?;
        }
        Ok(())
    }

    /// A connection has a reference to its helper, and gives it back; its expectation has none.
    #[test]
    fn given_back() -> Result {
        let before = references()?;
        case(|_| {
            let mut control = Control::open()?;
            check_eq!(references()?, before + 1);
            control.say(Direction::Original, b"PORT 10,0,0,1,8,1\r\n")?;
            check_eq!(references()?, before + 1);
            data(Direction::Reply, 2049, |_, _| Ok(()))?;
            check_eq!(references()?, before + 1);
            Ok(())
        })?;
        check_eq!(references()?, before);
        Ok(())
    }

    /// An announcement that is refused is counted by the reason, and opens nothing.
    #[test]
    fn refused() -> Result {
        let [client, server] = Direction::BOTH;
        for (sender, line, reason) in [
            (
                client,
                &b"PORT 10,0,0,3,8,1\r\n"[..],
                Refused::ForeignAddress,
            ),
            (client, b"PORT 10,0,0,1,0,22\r\n", Refused::LowPort),
            (client, b"PORT 10,0,0,1,0,0\r\n", Refused::PortZero),
            (client, b"PORT 10,0,0,256,8,1\r\n", Refused::Number),
            (client, b"EPRT |2|::1|2049|\r\n", Refused::Family),
            (server, b"227 (10,0,0,1,8,1)\r\n", Refused::ForeignAddress),
            (server, b"229 (|||80|)\r\n", Refused::LowPort),
            (server, b"229 (|||65536|)\r\n", Refused::Number),
        ] {
            case(|netns| {
                let before = netns.stats.total_refused(reason);
                Control::open()?.say(sender, line)?;
                check_eq!(
                    netns.stats.total_refused(reason),
                    before + 1,
                    "{}",
                    reason.name()
                );
                check_eq!(expected(netns), 0, "{}", reason.name());
                Ok(())
            })?;
        }
        Ok(())
    }

    /// A segment that passes by, or is below the window, goes with the connection, but is not read;
    /// segments that fit are, as before.
    #[test]
    fn strangers() -> Result {
        const LINE: &[u8] = b"PORT 10,0,0,1,8,1\r\n";
        const FAR: u32 = 1 << 30;
        case(|netns| {
            let mut control = Control::open()?;
            let [seq, ack] = control.said;
            let below = seq.wrapping_sub(FAR);
            for (seq, ack, text) in [
                // The end of a line, and what follows it.
                (below.wrapping_sub(2), ack, &b"\r\n"[..]),
                (below, ack, LINE),
                (seq.wrapping_add(FAR), ack, LINE),
                (seq, ack.wrapping_add(FAR), LINE),
            ] {
                let client = Direction::Original;
                let mut buffer = segment(client, ACK, seq, ack, text, Shape::Linear)?;
                check_eq!(
                    buffer.track(Place::PreRouting, Family::Ipv4)?,
                    Verdict::ACCEPT
                );
                check_eq!(buffer.info(), Some(CtInfo::Established));
                check_eq!(buffer.leave(Family::Ipv4)?, Verdict::ACCEPT);
                check_eq!(expected(netns), 0);
                check!(netns.has_overheard());
            }
            control.say(Direction::Original, LINE)?;
            check_eq!(expected(netns), 1);
            Ok(())
        })
    }

    /// A connection at another port has no helper, and its lines open nothing.
    #[test]
    fn other_ports() -> Result {
        case(|netns| {
            let pkt = |flags, seq, text: &[u8]| {
                let body = tcp(Direction::Original, CLIENT, flags, seq, 1, text);
                let pkt = ip(Family::Ipv4, Direction::Original, ipproto::TCP, body.get());
                Buffer::new(seal(Family::Ipv4, ipproto::TCP, 20, pkt).get())
            };
            let mut first = pkt(SYN, 1, b"")?;
            check_eq!(
                first.track(Place::PreRouting, Family::Ipv4)?,
                Verdict::ACCEPT
            );
            check!(first.conn().ok_or(ENOENT)?.help().is_none());
            check_eq!(expected(netns), 0);
            Ok(())
        })
    }

    /// A program that writes the status of a connection with the verdict on a packet does not take
    /// the helper off it.
    #[test]
    fn a_verdict_leaves_the_helper() -> Result {
        case(|netns| {
            let mut control = Control::open()?;
            let last = control.pass(Direction::Original, ACK, b"")?;
            let conn = last.conn().ok_or(ENOENT)?;
            let wanted = Status::SEEN_REPLY.with(Status::ASSURED);
            conn.change_status(wanted, Status::from_bits(!wanted.bits()));
            check!(conn.status().contains(Status::HELPER));
            control.say(Direction::Original, b"EPRT |1|10.0.0.1|2049|\r\n")?;
            check_eq!(expected(netns), 1);
            end::kill(conn);
            Ok(())
        })
    }

    /// The end of a master removes its expectations.
    #[test]
    fn over() -> Result {
        case(|netns| {
            let mut control = Control::open()?;
            control.say(Direction::Original, b"EPRT |1|10.0.0.1|2049|\r\n")?;
            check_eq!(expected(netns), 1);
            let last = control.pass(Direction::Original, ACK, b"")?;
            let conn = last.conn().ok_or(ENOENT)?;
            check!(end::kill(conn));
            check_eq!(expected(netns), 0);
            Ok(())
        })
    }
}
