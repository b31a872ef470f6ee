// SPDX-License-Identifier: GPL-2.0

//! Packets: their bytes, and socket buffers that hold them in one piece or in many.

use crate::{
    bindings,
    datapath::{
        confirm,
        straight, //
    },
    object::{
        conn::{
            self,
            Attached,
            Conn, //
        },
        netns::NETNS, //
    },
    pure::{
        state::CtInfo,
        tuple::Direction,
        wire::{
            ipproto,
            Checksum,
            Family,
            Packet,
            L4, //
        },
    },
    sys::{
        hook::{
            Place,
            State,
            Verdict, //
        },
        net::Net,
        skb::Skb, //
    },
};
use core::ptr::NonNull;
use kernel::{
    prelude::*,
    sync::rcu, //
};

/// The addresses of the two ends.
pub(crate) const CLIENT: [u8; 4] = [10, 0, 0, 1];
pub(crate) const SERVER: [u8; 4] = [10, 0, 0, 2];
pub(crate) const CLIENT6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
pub(crate) const SERVER6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

/// The longest packet of these tests has so many bytes: IPv6, thirteen extension headers and UDP.
const ROOM: usize = 160;

/// The bytes of a packet. Bytes that do not fit are cut off.
#[derive(Clone, Copy)]
pub(crate) struct Bytes {
    bytes: [u8; ROOM],
    len: usize,
}

impl Bytes {
    /// No bytes.
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; ROOM],
            len: 0,
        }
    }

    /// The same with more bytes behind.
    pub(crate) fn with(mut self, more: &[u8]) -> Self {
        for (to, from) in self.bytes.iter_mut().skip(self.len).zip(more) {
            *to = *from;
            self.len = self.len.wrapping_add(1);
        }
        self
    }

    /// The same with other bytes at a place.
    pub(crate) fn patched(mut self, at: usize, patch: &[u8]) -> Self {
        for (to, from) in self.bytes.iter_mut().skip(at).zip(patch) {
            *to = *from;
        }
        self
    }

    /// The first bytes only.
    pub(crate) fn cut(mut self, len: usize) -> Self {
        self.len = self.len.min(len);
        self
    }

    /// The bytes.
    pub(crate) fn get(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

/// The end that sends a packet of the connection between client and server.
pub(crate) type Sender = Direction;

/// The IP header of either family in front of a body.
pub(crate) fn ip(family: Family, sender: Sender, proto: u8, body: &[u8]) -> Bytes {
    match family {
        Family::Ipv4 => {
            let (src, dst) = ends(sender, CLIENT, SERVER);
            let [hi, lo] = length(body.len().wrapping_add(20));
            let header = Bytes::new()
                .with(&[0x45, 0, hi, lo, 0, 0, 0, 0, 64, proto, 0, 0])
                .with(&src)
                .with(&dst);
            // The kernel sums whole packets up, and relies on the header to be right.
            let sum = !fold(ones(header.get()));
            header.patched(10, &sum.to_be_bytes()).with(body)
        }
        Family::Ipv6 => {
            let (src, dst) = ends(sender, CLIENT6, SERVER6);
            let [hi, lo] = length(body.len());
            Bytes::new()
                .with(&[0x60, 0, 0, 0, hi, lo, proto, 255])
                .with(&src)
                .with(&dst)
                .with(body)
        }
    }
}

fn ends<T>(sender: Sender, client: T, server: T) -> (T, T) {
    match sender {
        Direction::Original => (client, server),
        Direction::Reply => (server, client),
    }
}

// CAST: Packets of these tests are short.
fn length(len: usize) -> [u8; 2] {
    (len as u16).to_be_bytes()
}

/// A TCP segment between the client's port and port 80, with a window of 4096 and a payload of a
/// few bytes.
pub(crate) fn tcp(
    sender: Sender,
    client: u16,
    flags: u8,
    seq: u32,
    ack: u32,
    payload: &[u8],
) -> Bytes {
    let (sport, dport) = ends(sender, client, 80);
    Bytes::new()
        .with(&sport.to_be_bytes())
        .with(&dport.to_be_bytes())
        .with(&seq.to_be_bytes())
        .with(&ack.to_be_bytes())
        .with(&[0x50, flags, 0x10, 0, 0, 0, 0, 0])
        .with(payload)
}

/// A UDP datagram between the client's port and port 53, without a checksum.
pub(crate) fn udp(sender: Sender, client: u16, payload: &[u8]) -> Bytes {
    let (sport, dport) = ends(sender, client, 53);
    Bytes::new()
        .with(&sport.to_be_bytes())
        .with(&dport.to_be_bytes())
        .with(&length(payload.len().wrapping_add(8)))
        .with(&[0, 0])
        .with(payload)
}

/// An ICMP or ICMPv6 message.
pub(crate) fn icmp(kind: u8, code: u8, id: u16, rest: &[u8]) -> Bytes {
    Bytes::new()
        .with(&[kind, code, 0, 0])
        .with(&id.to_be_bytes())
        .with(&[0, 1])
        .with(rest)
}

/// Fills in the checksum of a transport header that begins at `at` (RFC 9293 section 3.1, RFC 8200
/// section 8.1): TCP, UDP, ICMP or ICMPv6.
pub(crate) fn seal(family: Family, proto: u8, at: usize, pkt: Bytes) -> Bytes {
    let field = match proto {
        ipproto::TCP => 16,
        ipproto::UDP => 6,
        _ => 2,
    };
    let addrs = match family {
        Family::Ipv4 => 12..20,
        Family::Ipv6 => 8..40,
    };
    let body = pkt.get().get(at..).unwrap_or(&[]);
    let mut sum = ones(body);
    if proto != ipproto::ICMP {
        sum += ones(pkt.get().get(addrs).unwrap_or(&[])) + body.len() as u32 + u32::from(proto);
    }
    pkt.patched(at + field, &(!fold(sum)).to_be_bytes())
}

/// Folds a sum of words to one, carrying round.
fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    // CAST: Packets of these tests are short: what is carried now carries no further.
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// The sum of words in network order (RFC 1071), not folded.
fn ones(bytes: &[u8]) -> u32 {
    let word = |pair: &[u8]| match *pair {
        [a, b] => u32::from(u16::from_be_bytes([a, b])),
        [a] => u32::from(a) << 8,
        _ => 0,
    };
    bytes.chunks(2).map(word).sum()
}

/// In which pieces a buffer holds a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// One.
    Linear,
    /// So many bytes, and the rest in a page.
    Page(usize),
    /// So many bytes, and the rest in another buffer.
    List(usize),
    /// So many bytes, so many in a page, so many in another buffer, and the rest in the page of a
    /// third.
    Mixed(usize, usize, usize),
}

/// A socket buffer that we own. When it is dropped, so is our reference to its connection, which
/// the kernel would give back to a tracker that is not there.
pub(crate) struct Buffer(NonNull<bindings::sk_buff>);

impl Buffer {
    /// A packet in one piece. Process context.
    pub(crate) fn new(bytes: &[u8]) -> Result<Self> {
        Self::shaped(bytes, Shape::Linear)
    }

    /// A packet in pieces; a piece ends where the packet does. Process context.
    pub(crate) fn shaped(bytes: &[u8], shape: Shape) -> Result<Self> {
        let split = |bytes: &'_ [u8], at: usize| bytes.len().min(at);
        match shape {
            Shape::Linear => Self::alloc(bytes),
            Shape::Page(head) => {
                let (head, rest) = bytes.split_at(split(bytes, head));
                Self::alloc(head)?.add_page(rest)
            }
            Shape::List(head) => {
                let (head, rest) = bytes.split_at(split(bytes, head));
                Self::alloc(head)?.add_buffers([Some(Self::alloc(rest)?), None])
            }
            Shape::Mixed(head, page, list) => {
                let (head, rest) = bytes.split_at(split(bytes, head));
                let (page, rest) = rest.split_at(split(rest, page));
                let (list, rest) = rest.split_at(split(rest, list));
                let last = Self::alloc(&[])?.add_page(rest)?;
                Self::alloc(head)?
                    .add_page(page)?
                    .add_buffers([Some(Self::alloc(list)?), Some(last)])
            }
        }
    }

    /// An empty message with room for so many bytes. Process context.
    pub(crate) fn with_room(len: u32) -> Result<Self> {
        // SAFETY: Process context.
        let skb = NonNull::new(unsafe { bindings::rct_kunit_alloc_skb(len) }).ok_or(ENOMEM)?;
        Ok(Self(skb))
    }

    fn alloc(bytes: &[u8]) -> Result<Self> {
        // CAST: Packets of these tests are short.
        let len = bytes.len() as u32;
        let buffer = Self::with_room(len)?;
        // SAFETY: The buffer has room for the bytes.
        unsafe { bindings::rct_kunit_skb_put(buffer.0.as_ptr(), bytes.as_ptr().cast(), len) };
        Ok(buffer)
    }

    fn add_page(self, bytes: &[u8]) -> Result<Self> {
        // CAST: Packets of these tests are short, and fit into a page.
        let len = bytes.len() as u32;
        // SAFETY: The buffer is ours.
        if !unsafe { bindings::rct_kunit_skb_add_page(self.0.as_ptr(), bytes.as_ptr().cast(), len) }
        {
            return Err(ENOMEM);
        }
        Ok(self)
    }

    fn add_buffers(self, parts: [Option<Self>; 2]) -> Result<Self> {
        let mut last = core::ptr::null_mut();
        for part in parts.into_iter().flatten() {
            let next = part.0.as_ptr();
            // The whole owns its parts.
            core::mem::forget(part);
            // SAFETY: All buffers are ours, and `last` is the last one of the list, or null.
            unsafe { bindings::rct_kunit_skb_add_skb(self.0.as_ptr(), last, next) };
            last = next;
        }
        Ok(self)
    }

    /// A second buffer with the same bytes and the same connection. Process context.
    pub(crate) fn clone(&self) -> Result<Self> {
        // SAFETY: The buffer is valid, and cloning it takes a reference to its connection.
        let skb = unsafe { bindings::rct_kunit_clone_skb(self.0.as_ptr()) };
        NonNull::new(skb).map(Self).ok_or(ENOMEM)
    }

    /// Sends the packet past the hook where packets are tracked, in the initial namespace.
    pub(crate) fn track(&mut self, place: Place, family: Family) -> Result<Verdict> {
        let netns = NETNS.get(Net::init()).ok_or(ENOENT)?;
        Ok(at(place, family, Net::init(), |state| {
            straight::track(netns, self.skb_mut(), state)
        }))
    }

    /// Sends the packet past the hook where connections are confirmed.
    pub(crate) fn leave(&mut self, family: Family) -> Result<Verdict> {
        let netns = NETNS.get(Net::init()).ok_or(ENOENT)?;
        Ok(at(Place::PostRouting, family, Net::init(), |state| {
            confirm::leave(netns, self.skb_mut(), state)
        }))
    }

    /// Confirms the packet's connection, whatever its status.
    pub(crate) fn confirm(&mut self) -> Result<Verdict> {
        let netns = NETNS.get(Net::init()).ok_or(ENOENT)?;
        Ok(confirm::confirm(netns, self.skb_mut()))
    }

    /// The packet's connection, if it has one.
    pub(crate) fn conn(&self) -> Option<&Conn> {
        match conn::attached(self.skb()) {
            Attached::Conn(conn, _) => Some(conn),
            _ => None,
        }
    }

    /// What the packet is to its connection, if it has one.
    pub(crate) fn info(&self) -> Option<CtInfo> {
        match conn::attached(self.skb()) {
            Attached::Conn(_, info) => Some(info),
            _ => None,
        }
    }

    /// The packet, to be changed.
    pub(crate) fn skb_mut(&mut self) -> &mut Skb {
        // SAFETY: The buffer is ours, and borrowed for as long as the result is.
        unsafe { Skb::from_raw(self.0.as_ptr()) }
    }

    /// As C knows it.
    pub(crate) fn raw(&self) -> *mut bindings::sk_buff {
        self.0.as_ptr()
    }

    /// The packet, to be read.
    pub(crate) fn skb(&self) -> &Skb {
        // SAFETY: The buffer is ours; a shared borrow only reads.
        unsafe { Skb::from_raw(self.0.as_ptr()) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        drop(conn::detach(self.skb_mut()));
        // SAFETY: The buffer is ours.
        unsafe { bindings::rct_kunit_free_skb(self.0.as_ptr()) };
    }
}

/// A packet in a socket buffer whose checksum is not looked at.
pub(crate) struct InBuffer<'a>(pub(crate) &'a Skb);

impl Packet for InBuffer<'_> {
    fn len(&self) -> u32 {
        self.0.len()
    }

    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.0.read(offset)
    }

    fn checksum_ok(&self, _checksum: Checksum, _l4: &L4, _family: Family) -> bool {
        true
    }
}

/// Calls `f` in the circumstances of a hook that packets of `net` pass.
pub(crate) fn at<R>(place: Place, family: Family, net: &Net, f: impl FnOnce(&State) -> R) -> R {
    let state = bindings::nf_hook_state {
        hook: place as u8,
        pf: family.nfproto() as u8,
        in_: core::ptr::null_mut(),
        out: core::ptr::null_mut(),
        sk: core::ptr::null_mut(),
        net: net.as_ptr(),
        okfn: None,
    };
    let guard = rcu::read_lock();
    // SAFETY: The state is valid throughout the call, and RCU is held.
    let result = f(unsafe { State::from_raw(&state) });
    drop(guard);
    result
}
