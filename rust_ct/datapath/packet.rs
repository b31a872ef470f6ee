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
        headers::{
            with_call,
            Headers, //
        },
        lookup,
        refuse::{
            refuse,
            remark,
            Refusal, //
        },
        renew::renew,
        surroundings::Surroundings, //
    },
    object::{
        conn::{
            self,
            event::Event,
            Attached,
            Conn,
            Flag,
            Key,
            NewConn, //
        },
        l4proto::Storage,
        netns::Netns,
        setting, //
    },
    pure::{
        fate::Ended,
        l4proto::{
            dispatch,
            icmp_error::{
                self,
                Message, //
            },
            Action,
            Input,
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
            Family, //
        },
        zone::Zone, //
    },
    sys::{
        hook::{
            Place,
            State,
            Verdict, //
        },
        skb::Skb,
        time, //
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

/// A packet whose headers were found.
struct Arrival<'a> {
    skb: &'a Skb,
    state: &'a State,
    headers: Headers,
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
        if status.contains(Status::HELPER) && outcome.is_overheard() {
            netns.note_overheard();
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
            Action::PassBy => return Ok(Judged::Passes),
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
