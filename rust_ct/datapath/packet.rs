// SPDX-License-Identifier: GPL-2.0

//! A packet's way in: from its headers to its connection.
//!
//! hook -> headers -> tuple -> lookup -> protocol -> attach. The way out is in
//! [`crate::datapath::confirm`]; most packets are through before they get here, by
//! [`crate::datapath::straight`].

use crate::{
    datapath::{
        begin,
        bytes::Bytes,
        end,
        expire,
        lookup, //
    },
    object::{
        conn::{
            self,
            event::Event,
            Attached,
            Conn,
            Flag,
            Key,
            Locked,
            NewConn, //
        },
        l4proto::Storage,
        netns::{
            limit,
            Netns,
            NETNS, //
        },
        setting,
        stat::Stat,
        trace, //
    },
    pure::{
        fate::{
            Ended,
            Refused, //
        },
        l4proto::{
            dispatch,
            icmp_error::{
                self,
                Message, //
            },
            seqadj::SeqAdj,
            tcp::{
                self,
                Tcp, //
            },
            Action,
            Context,
            Input,
            L4Proto,
            Outcome, //
        },
        reason::Reason,
        state::{
            CtInfo,
            Status, //
        },
        tuple::{
            Direction,
            Tuple, //
        },
        wire::{
            self,
            gre,
            ipproto,
            ipv4::Ipv4,
            tcp::Segment,
            Family,
            Packet,
            L4, //
        },
        zone::Zone, //
    },
    sys::{
        hook::{
            Place,
            State,
            Verdict, //
        },
        log,
        net::Net,
        skb::Skb,
        time,
        trace::{
            Dropped,
            Invalid, //
        },
    },
};
use kernel::sync::aref::ARef;

/// How often a packet may find its connection over and begin another, before it is dropped.
///
/// The kernel goes back without a bound (`goto repeat`). The second round finds no connection and
/// makes one, unless another CPU has meanwhile entered a connection with the same tuple that is
/// over, too. That cannot go on for long; the bound makes it certain what one packet costs at the
/// most.
const REUSE_LIMIT: usize = 4;

/// A packet's headers.
#[derive(Clone, Copy)]
pub(crate) struct Headers {
    pub(super) family: Family,
    /// Offset of the network header.
    pub(super) nhoff: u32,
    pub(super) l4: L4,
}

/// A packet whose headers were found.
struct Arrival<'a> {
    skb: &'a Skb,
    state: &'a State,
    headers: Headers,
}

/// Why a packet goes on without a connection, or not at all.
pub(super) enum Refusal {
    /// It is INVALID: rules decide.
    Invalid(Reason),
    /// It is an ICMP error that is INVALID.
    Error(Reason),
    /// It is dropped, because a tracker says so.
    Drop(Reason),
    /// It is dropped, because its connection is refused.
    Refused(Refused),
}

/// Finds out which connection a packet belongs to, and attaches it. Softirq or process context.
///
/// Source: net/netfilter/nf_conntrack_core.c, nf_conntrack_in().
#[inline(never)]
pub(crate) fn track(netns: &Netns, skb: &mut Skb, state: &State) -> Verdict {
    let (zone, template) = match conn::attached(skb) {
        // The packet comes by a second time, as on the loopback device, or is not to be tracked.
        Attached::Conn(..) | Attached::Untracked => return Verdict::ACCEPT,
        Attached::Nothing => (Zone::DEFAULT, None),
        Attached::Template(template) => {
            let zone = template.zone().of_packet(skb.mark());
            (zone, conn::detach(skb))
        }
    };

    let sought = Sought {
        netns,
        zone,
        template: template.as_deref(),
    };
    let found = find(skb, state, &sought, None);
    let verdict = finish(netns, skb, state, found);
    // A template has done its duty once the packet is tracked.
    drop(template);
    verdict
}

/// As [`track`], for a packet without a template, whose tuple no connection has; `hash` is that of
/// the tuple's key.
#[inline(never)]
pub(super) fn track_new(
    netns: &Netns,
    skb: &mut Skb,
    state: &State,
    headers: Headers,
    tuple: &Tuple,
    hash: u32,
) -> Verdict {
    let arrival = Arrival {
        skb,
        state,
        headers,
    };
    let sought = Sought::plain(netns);
    lookup::end_overdue(hash, state.rcu());
    let found = arrival
        .begin(&sought, tuple, hash)
        .and_then(|new| arrival.settle(&sought, Some(new)));
    finish(netns, skb, state, found)
}

/// As [`track`], for a packet without a template, whose connection was found.
#[inline(never)]
pub(super) fn track_found(
    netns: &Netns,
    skb: &mut Skb,
    state: &State,
    conn: ARef<Conn>,
    dir: Direction,
) -> Verdict {
    let found = find(skb, state, &Sought::plain(netns), Some((conn, dir)));
    finish(netns, skb, state, found)
}

/// Attaches what was found, or refuses the packet.
#[inline(always)]
fn finish(netns: &Netns, skb: &mut Skb, state: &State, found: Result<Found, Refusal>) -> Verdict {
    match found {
        Ok(Found::Conn(conn, info)) => {
            conn::attach(skb, conn, info);
            Verdict::ACCEPT
        }
        Ok(Found::Untracked) => {
            conn::attach_untracked(skb);
            Verdict::ACCEPT
        }
        Err(refusal) => refuse(netns, skb, state, &refusal),
    }
}

/// Returns whether a packet is an IPv4 fragment.
pub(crate) fn is_ipv4_fragment(skb: &Skb, state: &State) -> bool {
    u32::try_from(skb.network_offset())
        .ok()
        .and_then(|nhoff| Ipv4::read(&Bytes::of(skb, state), nhoff))
        .is_some_and(|ip| ip.is_fragment())
}

/// The tuple of a packet; `None` if it cannot be tracked. Any context.
pub(crate) fn tuple(skb: &Skb, family: Family) -> Option<Tuple> {
    let (tuple, _) = tuple_at(skb, u32::try_from(skb.network_offset()).ok()?, family)?;
    Some(tuple)
}

/// The tuple of the packet whose network header is at an offset, with all that its namespace knows
/// of it; `None` if it cannot be tracked. Any context.
///
/// Source: net/netfilter/nf_conntrack_core.c, nf_ct_get_tuplepr().
pub(crate) fn whole_tuple(netns: &Netns, skb: &Skb, nhoff: u32, family: Family) -> Option<Tuple> {
    let (tuple, l4) = tuple_at(skb, nhoff, family)?;
    let bytes = Bytes::at(skb, Place::PostRouting);
    Some(with_call(netns, tuple, || gre::is_call(&bytes, l4.offset)))
}

/// The tuple of the packet whose network header is at an offset, and its transport header.
fn tuple_at(skb: &Skb, nhoff: u32, family: Family) -> Option<(Tuple, L4)> {
    let bytes = Bytes::at(skb, Place::PostRouting);
    let l4 = wire::l4(&bytes, nhoff, family).ok()?;
    let tuple = Tuple::from_packet(&bytes, nhoff, family, &l4).ok()?;
    Some((tuple, l4))
}

/// The sequence number of the segment in a packet; `None` if there is none. Any context.
pub(crate) fn sequence_number(skb: &Skb, family: Family) -> Option<u32> {
    const SEQ: u32 = 4;
    let bytes = Bytes::at(skb, Place::PostRouting);
    let at = bytes.l4(family)?.offset.checked_add(SEQ)?;
    Some(u32::from_be_bytes(bytes.read(at)?))
}

/// What becomes of a packet whose connection was not found, or refuses it.
#[cold]
#[inline(never)]
pub(super) fn refuse(netns: &Netns, skb: &Skb, state: &State, refusal: &Refusal) -> Verdict {
    let (stats, net) = (&netns.stats, state.net());
    let tuple = || readable_tuple(netns, skb, state);
    match *refusal {
        Refusal::Invalid(reason) => {
            stats.count(Stat::Invalid);
            remark(netns, skb, state, reason);
            trace::packet::<Invalid>(skb, Some(state), net, tuple, reason.name());
            Verdict::ACCEPT
        }
        Refusal::Error(reason) => {
            stats.count(Stat::Error);
            remark(netns, skb, state, reason);
            trace::packet::<Invalid>(skb, Some(state), net, tuple, reason.name());
            Verdict::ACCEPT
        }
        Refusal::Drop(reason) => {
            stats.count(Stat::Invalid);
            stats.count(Stat::Drop);
            remark(netns, skb, state, reason);
            trace::packet::<Dropped>(skb, Some(state), net, tuple, reason.name());
            Verdict::DROP
        }
        Refusal::Refused(why) => {
            stats.count(Stat::Drop);
            trace::packet::<Dropped>(skb, Some(state), net, tuple, why.word());
            Verdict::DROP
        }
    }
}

/// The tuple of a packet, as far as it can be read: without ports, where there are none.
fn readable_tuple(netns: &Netns, skb: &Skb, state: &State) -> Option<Tuple> {
    let family = Family::from_nfproto(state.nfproto().into())?;
    let nhoff = u32::try_from(skb.network_offset()).ok()?;
    whole_tuple(netns, skb, nhoff, family).or_else(|| {
        let tuple = Tuple::of_addresses(&Bytes::of(skb, state), nhoff, family)?;
        Some(tuple.with_proto(transport(skb, state).unwrap_or(tuple.proto())))
    })
}

/// Counts a reason for which a packet is INVALID, dropped or without effect, and logs it if that is
/// asked for. No lock is held.
fn remark(netns: &Netns, skb: &Skb, state: &State, reason: Reason) {
    netns.stats.count_reason(reason);
    let wanted = setting::LOG_INVALID.get(state.net());
    if wanted == 0 {
        return;
    }
    let proto = transport(skb, state).unwrap_or(0);
    if wanted == ipproto::RAW || wanted == proto {
        log::packet(skb, state, proto, reason.name(), reason.describe());
    }
}

/// The number of a packet's transport protocol, as far as it can be told.
fn transport(skb: &Skb, state: &State) -> Option<u8> {
    let family = Family::from_nfproto(state.nfproto().into())?;
    Some(Bytes::of(skb, state).l4(family)?.proto)
}

/// What a packet is to be given.
enum Found {
    /// A connection, and what the packet is to it.
    Conn(ARef<Conn>, CtInfo),
    /// Nothing, on purpose.
    Untracked,
}

/// Reads the packet and finds its connection, unless it is found already, or makes one.
fn find(
    skb: &Skb,
    state: &State,
    sought: &Sought<'_>,
    found: Option<(ARef<Conn>, Direction)>,
) -> Result<Found, Refusal> {
    let family = Family::from_nfproto(state.nfproto().into());
    let nhoff = u32::try_from(skb.network_offset());
    let (Some(family), Ok(nhoff)) = (family, nhoff) else {
        return Err(Refusal::Invalid(Reason::IpFamily));
    };
    let arrival = Arrival {
        skb,
        state,
        headers: Headers {
            family,
            nhoff,
            l4: wire::l4(&Bytes::of(skb, state), nhoff, family).map_err(Refusal::Invalid)?,
        },
    };
    match arrival.error(sought)? {
        Some(found) => Ok(found),
        None => arrival.settle(sought, found),
    }
}

/// Where a packet's connection is looked for, or made.
struct Sought<'a> {
    netns: &'a Netns,
    zone: Zone,
    template: Option<&'a Conn>,
}

impl<'a> Sought<'a> {
    /// For a packet without a template.
    fn plain(netns: &'a Netns) -> Self {
        Self {
            netns,
            zone: Zone::DEFAULT,
            template: None,
        }
    }
}

/// The tuple of a packet with all that is known of it: the call at the sender, if it `is_call` of
/// PPTP, as plain GRE is not.
#[inline]
fn with_call(netns: &Netns, tuple: Tuple, is_call: impl FnOnce() -> bool) -> Tuple {
    match tuple.proto() {
        ipproto::GRE if is_call() => netns.keymap.complete(&tuple),
        _ => tuple,
    }
}

/// Returns whether the checksums of packets are verified at a hook: what this machine sends it has
/// summed itself, or leaves to its device.
#[inline(always)]
pub(super) fn verifies_checksums(state: &State) -> bool {
    state.is_at(Place::PreRouting) && setting::CHECKSUM.get(state.net()) != 0
}

/// What a tracker is told of a packet that has come now, to a connection that has just had a
/// status.
#[inline(always)]
pub(super) fn input(conn: &Conn, status: Status, ctinfo: CtInfo) -> Input {
    let now = time::jiffies();
    Input {
        status,
        ctinfo,
        now,
        // CAST: Connections keep the lower half.
        remaining: conn.remaining_at(now as u32),
        hz: time::HZ,
    }
}

/// What a packet is to the connection with a status that it was found by, in the direction in which
/// it was found.
#[inline(always)]
pub(super) fn info(status: Status, dir: Direction) -> CtInfo {
    match dir {
        Direction::Reply => CtInfo::EstablishedReply,
        Direction::Original if status.contains(Status::SEEN_REPLY) => CtInfo::Established,
        Direction::Original if status.contains(Status::EXPECTED) => CtInfo::Related,
        Direction::Original => CtInfo::New,
    }
}

/// What a tracker makes of a packet that it does not refuse.
enum Judged {
    /// It goes on with its connection.
    Passes,
    /// The connection was over, and is gone: the packet begins another.
    Begins,
}

impl Arrival<'_> {
    fn bytes(&self) -> Bytes<'_> {
        Bytes::of(self.skb, self.state)
    }

    /// Handles what has no connection of its own: an ICMP error goes with the connection that it is
    /// about, and neighbours are not tracked. `None` for everything else.
    ///
    /// Source: net/netfilter/nf_conntrack_proto_icmp.c, nf_conntrack_inet_error().
    fn error(&self, sought: &Sought<'_>) -> Result<Option<Found>, Refusal> {
        match (self.headers.l4.proto, self.headers.family) {
            (ipproto::ICMP, Family::Ipv4) | (ipproto::ICMPV6, Family::Ipv6) => (),
            _ => return Ok(None),
        }
        let message = icmp_error::parse(
            &self.bytes(),
            self.headers.nhoff,
            self.headers.family,
            &self.headers.l4,
            verifies_checksums(self.state),
        )
        .map_err(Refusal::Error)?;

        let error = match message {
            Message::Query => return Ok(None),
            Message::Untracked => return Ok(Some(Found::Untracked)),
            Message::Error(error) => error,
        };
        // The tuple to look up is the inverse of that of the packet in the error, which has the
        // call.
        let lookup = match error.lookup.invert() {
            Some(inner) if inner.proto() == ipproto::GRE => {
                with_call(sought.netns, inner, || error.is_call).invert()
            }
            _ => None,
        };
        let lookup = lookup.unwrap_or(error.lookup);
        let key = Key::new(&lookup, sought.zone, self.state.net());
        let (conn, dir) = lookup::find_either(&key, self.state.rcu())
            .ok_or(Refusal::Error(Reason::IcmpErrorUnknown))?;
        if !error.is_addressed_to(&conn.tuple(dir)) {
            return Err(Refusal::Error(Reason::IcmpErrorAddress));
        }
        let info = match dir {
            Direction::Original => CtInfo::Related,
            Direction::Reply => CtInfo::RelatedReply,
        };
        Ok(Some(Found::Conn(conn, info)))
    }

    /// Finds the connection of the packet, unless it is found already, or makes it, and has the
    /// packet judged.
    #[inline(always)]
    fn settle(
        &self,
        sought: &Sought<'_>,
        mut found: Option<(ARef<Conn>, Direction)>,
    ) -> Result<Found, Refusal> {
        for _ in 0..REUSE_LIMIT {
            let (conn, dir) = match found.take() {
                Some(found) => found,
                None => self.resolve(sought)?,
            };
            let status = conn.status();
            let info = info(status, dir);
            match self.judge(sought.netns, &conn, status, info)? {
                Judged::Passes => return Ok(Found::Conn(conn, info)),
                Judged::Begins => (),
            }
        }
        Err(Refusal::Drop(Reason::TcpReuseRace))
    }

    /// Finds the connection of the packet, or makes it.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, resolve_normal_ct().
    #[inline(never)]
    fn resolve(&self, sought: &Sought<'_>) -> Result<(ARef<Conn>, Direction), Refusal> {
        let Headers { family, nhoff, l4 } = &self.headers;
        let (net, rcu) = (self.state.net(), self.state.rcu());
        let bytes = self.bytes();
        let tuple = Tuple::from_packet(&bytes, *nhoff, *family, l4).map_err(Refusal::Invalid)?;
        let tuple = with_call(sought.netns, tuple, || gre::is_call(&bytes, l4.offset));
        let key = Key::new(&tuple, sought.zone, net);
        let hash = key.hash(Direction::Original);
        if let Some(found) = lookup::find(&key, hash, rcu) {
            return Ok(found);
        }
        if let Some(found) = lookup::find_reply(&key, rcu) {
            return Ok(found);
        }
        self.begin(sought, &tuple, hash)
    }

    /// Makes the connection of the packet with a tuple; `hash` is that of the tuple's key.
    #[inline]
    fn begin(
        &self,
        sought: &Sought<'_>,
        tuple: &Tuple,
        hash: u32,
    ) -> Result<(ARef<Conn>, Direction), Refusal> {
        let reply = tuple
            .invert()
            .ok_or(Refusal::Invalid(Reason::IcmpNoCounterpart))?;
        let new_conn = NewConn {
            original: tuple,
            reply: &reply,
            zone: sought.zone,
            hash,
        };
        let (net, rcu) = (self.state.net(), self.state.rcu());
        let conn = begin::begin(sought.netns, net, &new_conn, sought.template, rcu)
            .map_err(Refusal::Refused)?;
        Ok((conn, Direction::Original))
    }

    /// Lets the protocol's tracker judge the packet of a connection that has just had a status, and
    /// carries out what it decides.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_conntrack_in() after resolve_normal_ct().
    #[inline(never)]
    fn judge(
        &self,
        netns: &Netns,
        conn: &Conn,
        status: Status,
        info: CtInfo,
    ) -> Result<Judged, Refusal> {
        let input = input(conn, status, info);
        let outcome = self.outcome(conn, &input).map_err(Refusal::Invalid)?;

        if let Some(jiffies) = outcome.lower_timeout {
            conn.refresh(jiffies);
            expire::lives_for(jiffies);
        }
        if let Some(reason) = outcome.log {
            remark(netns, self.skb, self.state, reason);
        }
        // One chunk of a packet may have done this, also if a later one makes it INVALID.
        if outcome.protoinfo_changed {
            conn.cache_event(Event::ProtoInfo);
        }
        if outcome.assured && !input.assured() && conn.set_status(Flag::Assured) {
            conn.cache_event(Event::Assured);
        }
        match outcome.action {
            Action::Invalid(reason) => return Err(Refusal::Invalid(reason)),
            Action::Drop(reason) => return Err(Refusal::Drop(reason)),
            Action::Reuse if end::kill_as(conn, Ended::Reused) => return Ok(Judged::Begins),
            Action::Reuse => return Err(Refusal::Drop(Reason::TcpReuseRace)),
            Action::Kill => {
                conn.account(input.dir(), self.skb.len());
                end::kill_as(conn, Ended::Reset);
            }
            Action::Accept => (),
            Action::PassBy => {
                if status.contains(Status::HELPER) {
                    netns.note_overheard();
                }
                return Ok(Judged::Passes);
            }
            Action::Refresh(jiffies) => {
                let is_settled = !outcome.protoinfo_changed;
                renew(netns, conn, &input, jiffies, is_settled, self.skb.len());
            }
        }
        let first_reply = info == CtInfo::EstablishedReply && !input.seen_reply();
        if first_reply && conn.set_status(Flag::SeenReply) {
            conn.cache_event(Event::Reply);
        }
        Ok(Judged::Passes)
    }

    /// What the protocol's tracker decides.
    fn outcome(&self, conn: &Conn, input: &Input) -> Result<Outcome, Reason> {
        dispatch!(self.headers.l4.proto, P => self.outcome_of::<P>(conn, input))
    }

    /// What a tracker decides, on a copy of the private state, under the lock if that can change.
    #[inline(always)]
    fn outcome_of<P: Storage>(&self, conn: &Conn, input: &Input) -> Result<Outcome, Reason> {
        let (pkt, headers) = (self.bytes(), &self.headers);
        let mut context = Surroundings {
            pkt: &pkt,
            l4: &headers.l4,
            family: headers.family,
            net: self.state.net(),
            conn,
            locked: None,
        };
        let verify = verifies_checksums(self.state);
        let header = P::read(&pkt, &headers.l4, headers.family, verify)?;
        let timeouts = P::in_force(conn, self.state.net(), self.state.rcu());

        context.locked = P::LOCKED.then(|| conn.lock());
        let old = conn.private();
        let mut private = old;
        let outcome = P::track(&mut private, &header, input, &timeouts, &mut context);
        if !input.confirmed() {
            conn.store_private(&private);
        } else if P::LOCKED {
            conn.replace_private(&old, &private);
        }
        Ok(outcome)
    }
}

/// Lets a connection live on for so many jiffies, and counts a packet of so many bytes.
/// `is_settled` says whether the packet changes no state.
#[inline(always)]
pub(super) fn renew(
    netns: &Netns,
    conn: &Conn,
    input: &Input,
    mut jiffies: u32,
    is_settled: bool,
    bytes: u32,
) {
    if expire::is_brief(jiffies) {
        jiffies = renew_briefly(netns, conn, jiffies, is_settled && input.assured());
    }
    // CAST: Connections keep the lower half.
    let now = input.now as u32;
    match input.confirmed() {
        true => conn.refresh_confirmed(now, jiffies),
        false => conn.refresh_at(now, jiffies),
    }
    conn.account(input.dir(), bytes);
}

/// For how long a packet renews its connection, if that is not for long, or timeouts shrink. They
/// do not for a packet of an assured connection that changes no state.
#[cold]
#[inline(never)]
fn renew_briefly(netns: &Netns, conn: &Conn, jiffies: u32, is_settled: bool) -> u32 {
    let jiffies = if limit::is_adaptive() && !is_settled {
        adapt(netns, conn, jiffies)
    } else {
        jiffies
    };
    expire::hasten(jiffies);
    jiffies
}

/// For how long a packet renews its connection where timeouts shrink: they do if the connection is
/// not assured, or is closing.
fn adapt(netns: &Netns, conn: &Conn, jiffies: u32) -> u32 {
    if conn.status().contains(Status::ASSURED) && !conn.is_closing() {
        return jiffies;
    }
    let shrunk = netns.shrink(jiffies);
    if shrunk < jiffies {
        netns.stats.count(Stat::TimeoutShrunk);
    }
    shrunk
}

/// What is around a packet that a tracker judges.
pub(super) struct Surroundings<'a, P> {
    pub(super) pkt: &'a P,
    pub(super) l4: &'a L4,
    pub(super) family: Family,
    pub(super) net: &'a Net,
    pub(super) conn: &'a Conn,
    pub(super) locked: Option<Locked<'a>>,
}

impl<P: Packet> Context for Surroundings<'_, P> {
    type Packet = P;

    #[inline(always)]
    fn packet(&self) -> &P {
        self.pkt
    }

    #[inline(always)]
    fn l4(&self) -> &L4 {
        self.l4
    }

    #[inline(always)]
    fn family(&self) -> Family {
        self.family
    }

    #[inline(always)]
    fn original(&self) -> Tuple {
        self.conn.tuple(Direction::Original)
    }

    #[inline(always)]
    fn tuning(&self) -> tcp::Tuning {
        tcp_tuning(self.net)
    }

    #[inline(always)]
    fn max_retrans(&self) -> u8 {
        setting::TCP_MAX_RETRANS.get(self.net)
    }

    #[inline(always)]
    fn leaves_to_receiver(&self) -> bool {
        leaves_to_receiver(self.net)
    }

    #[inline(always)]
    fn met(&self) -> tcp::Proto {
        self.conn.private()
    }

    #[inline(always)]
    fn synproxy(&self) -> bool {
        self.conn.is_proxied()
    }

    #[inline(always)]
    fn shift(&mut self, dir: Direction) -> SeqAdj {
        let locked = self.locked.as_ref();
        locked.map(|locked| locked.shift(dir)).unwrap_or_default()
    }

    #[inline(always)]
    fn offset(&mut self, dir: Direction, seq: u32) -> u32 {
        self.conn.seq_offset(dir, seq)
    }
}

/// Returns whether a namespace leaves TCP segments to their receivers.
#[cold]
#[inline(never)]
fn leaves_to_receiver(net: &Net) -> bool {
    NETNS.get(net).is_some_and(Netns::leaves_to_receiver)
}

/// Returns whether a packet goes with a connection without being of it, so that no helper is to
/// believe it. Any context; the caller holds no lock.
#[inline]
pub(crate) fn is_passing_by(
    netns: &Netns,
    conn: &Conn,
    info: CtInfo,
    pkt: &Bytes<'_>,
    l4: &L4,
    family: Family,
) -> bool {
    l4.proto == ipproto::TCP && netns.has_overheard() && passes(conn, info, pkt, l4, family)
}

/// Returns whether a segment of a connection is left to its receiver: the packet does not say so,
/// so it is judged once more. What counted when it came counts again, unless another packet has
/// moved the connection meanwhile.
#[cold]
#[inline(never)]
fn passes(conn: &Conn, info: CtInfo, pkt: &Bytes<'_>, l4: &L4, family: Family) -> bool {
    let Ok(segment) = Segment::read(pkt, l4, family, false) else {
        return false;
    };
    let input = Input {
        status: conn.status(),
        ctinfo: info,
        now: 0,
        remaining: 0,
        hz: time::HZ,
    };
    let locked = conn.lock();
    let met: tcp::Proto = locked.private();
    let env = tcp::Env {
        tuning: &tcp_tuning(conn.net()),
        // For how long it would live is not asked.
        timeouts: &Tcp::defaults(time::HZ),
        synproxy: conn.is_proxied(),
        seqadj: locked.shift(input.dir().other()),
    };
    let mut private = met;
    let outcome = tcp::track(&mut private, &segment, &input, &env);
    let outcome = tcp::reconsider(&mut private, &met, &segment, &input, &env, outcome);
    outcome.action == Action::PassBy
}

/// What the settings of a namespace say of TCP.
#[inline]
fn tcp_tuning(net: &Net) -> tcp::Tuning {
    tcp::Tuning {
        loose: setting::TCP_LOOSE.get(net) != 0,
        be_liberal: setting::TCP_BE_LIBERAL.get(net) != 0,
        ignore_invalid_rst: setting::TCP_IGNORE_INVALID_RST.get(net) != 0,
        max_retrans: setting::TCP_MAX_RETRANS.get(net),
    }
}
