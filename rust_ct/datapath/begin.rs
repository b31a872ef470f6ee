// SPDX-License-Identifier: GPL-2.0

//! The beginning of a connection, and where it finds room.

#[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
use crate::object::conn::ext::wants_events;
use crate::{
    datapath::{
        end,
        expire,
        helper::builtin, //
    },
    object::{
        conn::{
            ext::{
                EventMasks,
                Kind,
                Plan, //
            },
            Candidate,
            Conn,
            NewConn,
            UniqueConn,
            MASTERS, //
        },
        expect::{
            self,
            Found, //
        },
        netns::{
            limit::{
                self,
                Room, //
            },
            Netns, //
        },
        setting,
        stat::Stat,
        table::{
            Visit,
            Which,
            TABLE, //
        },
        trace, //
    },
    pure::{
        evict::{
            Choice,
            Outlook,
            Rank, //
        },
        fate::{
            Ended,
            Refused, //
        },
        l4proto,
        state::Status,
        tuple::Tuple, //
    },
    sys::{
        net::Net,
        rcu::ReadSide,
        time::{
            self,
            Throttle, //
        },
        trace as point, //
    },
};
use core::ops::ControlFlow;
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
    },
};

/// How many buckets are searched at least for a connection that may be removed.
///
/// Source: net/netfilter/nf_conntrack_core.c, NF_CT_EVICTION_RANGE.
const EVICTION_RANGE: u32 = 8;

/// The search goes on until so many connections were met: each may cost a cache miss, so this
/// bounds what a refused packet costs.
const EVICTION_ENTRIES: u32 = 64;

/// The search goes on through empty buckets, up to so many, which are a few pages. In a table of
/// 65,536 buckets that meets one of 300 connections 99 times in a hundred; where it meets none, the
/// namespace knows where its last ones are. The kernel, which looks at no more than eight, refuses
/// most new connections of a flood there.
const EVICTION_BUCKETS: u32 = 1024;

/// How often at most a connection is chosen for one packet: it may end before it can be removed, or
/// one removed connection may not be enough.
const EVICTION_TRIES: u32 = 3;

/// What the last thorough search for a connection of any namespace above its share has shown; see
/// [`Outlook`].
pub(crate) static OTHERS_OUTLOOK: Atomic<u32> = Atomic::new(0);

/// Makes a connection without extensions, which counts from now on, and has no reference yet. Any
/// context.
///
/// Where the namespace is full, one of its connections makes room: one that is not assured, or is
/// closing, or one that waits for its DESTROY event. Where all namespaces together are full, one of
/// a namespace above its share does; a namespace within its share gets the connection even if there
/// is none.
/// Source: net/netfilter/nf_conntrack_core.c, __nf_conntrack_alloc().
///
/// # Errors
///
/// Why there is none.
#[inline]
pub(crate) fn allocate(
    netns: &Netns,
    net: &Net,
    new_conn: &NewConn<'_>,
    rcu: ReadSide<'_>,
) -> Result<UniqueConn, Refused> {
    if let Some(room) = netns.count() {
        make_room(netns, net, room, new_conn, rcu)?;
    }
    UniqueConn::new(net, new_conn).ok_or_else(|| {
        netns.uncount();
        refuse(net, new_conn, Refused::Memory)
    })
}

/// Tells of a connection that is refused.
#[cold]
fn refuse(net: &Net, new_conn: &NewConn<'_>, why: Refused) -> Refused {
    trace::new_conn::<point::Refused>(net, new_conn, why.word());
    why
}

/// Makes a connection for a packet that belongs to none, with what its template asks for, if a rule
/// gave it one. Any context.
///
/// Source: net/netfilter/nf_conntrack_core.c, init_conntrack().
///
/// # Errors
///
/// As [`allocate`].
#[inline(never)]
pub(crate) fn begin(
    netns: &Netns,
    net: &Net,
    new_conn: &NewConn<'_>,
    template: Option<&Conn>,
    rcu: ReadSide<'_>,
) -> Result<ARef<Conn>, Refused> {
    let mut unique = allocate(netns, net, new_conn, rcu)?;
    let masks = template.and_then(Conn::event_masks);
    let plan = extensions(net, template, masks);
    if !plan.is_empty() {
        // What was allocated is dropped, and uncounted, if this fails.
        unique
            .extend(&plan)
            .map_err(|_| refuse(net, new_conn, Refused::Memory))?;
        unique.begin_events(masks);
        if let Some(template) = template {
            unique.take_policy(template, rcu);
        }
    }
    let expected = find_expected(netns, net, new_conn, template, &mut unique, rcu);
    if expected.is_none() {
        find_helper(&mut unique, new_conn.original, template, rcu);
    }
    let conn = unique.publish();
    if let Some(exp) = expected {
        exp.introduce(&conn);
    }
    Ok(conn)
}

/// Makes a new connection what an expectation says, if one is found: RELATED, with the marks of its
/// master, and with the helper that is to help it.
///
/// Source: net/netfilter/nf_conntrack_core.c, init_conntrack().
fn find_expected<'a>(
    netns: &Netns,
    net: &Net,
    new_conn: &NewConn<'_>,
    template: Option<&Conn>,
    unique: &mut UniqueConn,
    rcu: ReadSide<'a>,
) -> Option<Found<'a>> {
    if netns.expects.load(Relaxed) == 0 {
        return None;
    }
    // Without CONFIRMED, the template is that of an action that does not commit (Open vSwitch,
    // act_ct): the expectation is kept for the action that does.
    let keep = template.is_some_and(|template| !template.status().contains(Status::CONFIRMED));
    let (exp, master) =
        expect::find_expectation(net, &new_conn.zone, new_conn.original, keep, rcu)?;
    if master.masters() >= MASTERS {
        return None;
    }
    unique.follow(master);
    if let Some(helper) = exp.assign_helper() {
        // What there is no memory for goes without, as in the kernel; also below.
        let _ = unique.alone().assign_helper(helper);
    }
    netns.stats.count(Stat::ExpectNew);
    Some(exp)
}

/// Gives a new connection the helper that a template wants, or else the helper that the parameter
/// `helpers` has for the port that its first packet goes to.
fn find_helper(
    unique: &mut UniqueConn,
    original: &Tuple,
    template: Option<&Conn>,
    rcu: ReadSide<'_>,
) {
    let wanted = template.and_then(|template| template.helper(rcu));
    if let Some(helper) = wanted.or_else(|| builtin::of_port(original, rcu)) {
        let _ = unique.alone().assign_helper(helper);
    }
}

/// The extensions that the settings of a namespace, or a template, give to a new connection.
///
/// Source: net/netfilter/nf_conntrack_core.c, init_conntrack().
#[inline]
fn extensions(net: &Net, template: Option<&Conn>, masks: Option<EventMasks>) -> Plan {
    let mut plan = Plan::NONE;
    #[cfg(CONFIG_NF_CONNTRACK_TIMEOUT)]
    if template.is_some_and(Conn::has_policy) {
        plan.add(Kind::Timeout);
    }
    #[cfg(CONFIG_NETFILTER_SYNPROXY)]
    if template.is_some_and(Conn::is_proxied) {
        plan.add(Kind::SeqAdj);
        plan.add(Kind::SynProxy);
    }
    let _ = template;
    if setting::ACCT.get(net) != 0 {
        plan.add(Kind::Accounting);
    }
    #[cfg(CONFIG_NF_CONNTRACK_TIMESTAMP)]
    if setting::TIMESTAMP.get(net) != 0 {
        plan.add(Kind::Times);
    }
    #[cfg(CONFIG_NF_CONNTRACK_LABELS)]
    if net.labels_used() {
        plan.add(Kind::Labels);
    }
    #[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
    if wants_events(net, masks) {
        plan.add(Kind::Events);
    }
    #[cfg(not(CONFIG_NF_CONNTRACK_EVENTS))]
    let _ = masks;
    plan
}

/// Makes room for a connection of a namespace, which is counted already.
///
/// # Errors
///
/// [`Refused::Full`] if there is none; then it does not count any more.
#[cold]
#[inline(never)]
fn make_room(
    netns: &Netns,
    net: &Net,
    room: Room,
    new_conn: &NewConn<'_>,
    rcu: ReadSide<'_>,
) -> Result<(), Refused> {
    let hash = new_conn.hash;
    let mut tries = EVICTION_TRIES;
    let has_room = match room {
        Room::Own => make_own_room(netns, net, hash, &mut tries, rcu),
        Room::Others => {
            early_drop(netns, None, hash, &mut tries, rcu);
            true
        }
    };
    // The search for a connection to remove has ended those that it met expired.
    if has_room || netns.has_room() {
        return Ok(());
    }
    // With the connection that is refused, the namespace is above its share.
    expire::request_early_drop(netns);
    netns.uncount();
    netns.stats.count(Stat::Full);
    warn_full(netns, net);
    Err(refuse(net, new_conn, Refused::Full))
}

/// Removes connections of a namespace to make room for a new one, while there are `tries`. At the
/// namespace's own limit, removing one is enough. At the sum it is not where connections of other
/// namespaces were let in above it, or have just begun. Returns whether there is room.
fn make_own_room(netns: &Netns, net: &Net, hash: u32, tries: &mut u32, rcu: ReadSide<'_>) -> bool {
    while *tries > 0 {
        if !early_drop(netns, Some(net), hash, tries, rcu) && !evict_dying(netns) {
            return false;
        }
        if !netns.exceeds_sum() {
            return true;
        }
    }
    false
}

/// Forgets a connection that is over but for its DESTROY event. Returns whether there was one.
fn evict_dying(netns: &Netns) -> bool {
    let evicted = netns.dying.evict();
    if evicted {
        netns.stats.count(Stat::EventLost);
    }
    evicted
}

/// Removes a connection that is not assured, or is closing, of a namespace, or of any namespace
/// above its share. Takes what it needs of `tries`. Returns whether there is room for one more
/// connection.
///
/// A connection that becomes assured just now may be removed: there is no room otherwise.
/// Source: net/netfilter/nf_conntrack_core.c, early_drop().
fn early_drop(
    netns: &Netns,
    whose: Option<&Net>,
    hash: u32,
    tries: &mut u32,
    rcu: ReadSide<'_>,
) -> bool {
    // Another CPU may have chosen the same connection.
    while let Some(left) = tries.checked_sub(1) {
        *tries = left;
        let Some(candidate) = choose(netns, whose, hash, rcu) else {
            return false;
        };
        if let Some((conn, told)) = make_go(candidate, whose) {
            netns.stats.add(Stat::EarlyDrop as usize, told.into());
            // If its DESTROY event waits, so does the connection: the last that came to wait is
            // forgotten.
            return told || conn.netns().is_some_and(evict_dying);
        }
    }
    false
}

/// The connection to remove of those that are met in the buckets from that of a hash on, or if
/// there is none, of the last ones of the namespace; see [`Choice`]. What it costs is bound by the
/// outlook of a moment ago: two packets may search thoroughly at once, and the outlook of the last
/// one counts.
fn choose<'a>(
    netns: &Netns,
    whose: Option<&Net>,
    hash: u32,
    rcu: ReadSide<'a>,
) -> Option<Candidate<'a>> {
    let now = time::now();
    let kept = match whose {
        Some(_) => &netns.outlook,
        None => &OTHERS_OUTLOOK,
    };
    let outlook = Outlook::unpack(kept.load(Relaxed), now);
    let mut search = Search::new(whose, outlook);
    search.buckets_from(hash, rcu);
    if whose.is_some() && outlook != Outlook::Nobody && search.choice.is_empty() {
        search.newcomers_of(netns, hash, rcu);
    }
    if outlook == Outlook::Unknown {
        kept.store(search.choice.outlook().pack(now), Relaxed);
    }
    search.choice.chosen()
}

/// A search for the connection to remove.
struct Search<'a, 'n> {
    /// The namespace whose connections may go; `None` for any above its share.
    whose: Option<&'n Net>,
    /// What was known before.
    outlook: Outlook,
    /// The connection so far.
    choice: Choice<Candidate<'a>>,
    /// How many connections were met, of any namespace.
    met: u32,
}

impl<'a, 'n> Search<'a, 'n> {
    fn new(whose: Option<&'n Net>, outlook: Outlook) -> Self {
        Self {
            whose,
            outlook,
            choice: Choice::new(outlook),
            met: 0,
        }
    }

    /// Searches the buckets from that of a hash on.
    fn buckets_from(&mut self, hash: u32, rcu: ReadSide<'a>) {
        let entries = match self.outlook {
            Outlook::Nobody => 0,
            Outlook::Unknown | Outlook::Even => EVICTION_ENTRIES,
        };
        let mut index = TABLE.index(hash, rcu);
        for visited in 0..EVICTION_BUCKETS.min(TABLE.size()) {
            if visited >= EVICTION_RANGE && self.met >= entries {
                break;
            }
            match TABLE.visit(index, rcu, |candidate| self.meet(candidate)) {
                Visit::Broken => break,
                Visit::Whole => index = index.wrapping_add(1),
                // Behind the last bucket comes the first.
                Visit::End => index = 0,
            }
        }
    }

    /// Searches the buckets in which the last connections of a namespace are. They are not
    /// preferred to others: one that has just begun waits for its answer.
    fn newcomers_of(&mut self, netns: &Netns, hash: u32, rcu: ReadSide<'a>) {
        let most = self.met.saturating_add(EVICTION_ENTRIES);
        for home in netns.newcomers.hashes(hash) {
            let index = TABLE.index(home, rcu);
            let visit = TABLE.visit(index, rcu, |candidate| self.meet(candidate));
            if visit == Visit::Broken || self.met >= most {
                break;
            }
        }
    }

    /// A connection is met; one that has expired is ended. Breaks when there are enough to choose
    /// from.
    fn meet(&mut self, candidate: Candidate<'a>) -> ControlFlow<()> {
        self.met = self.met.saturating_add(1);
        if candidate.is_expired() {
            end::overdue(candidate);
            return ControlFlow::Continue(());
        }
        // A connection with two links is chosen by one of them only.
        if !Which::All.has(&candidate) {
            return ControlFlow::Continue(());
        }
        // That reads one more line of each connection: not if none could be removed a moment ago.
        let asks_closing = self.outlook != Outlook::Nobody;
        match rank(candidate, self.whose, asks_closing) {
            Some(rank) => self.choice.offer(candidate, rank, candidate.source()),
            None => ControlFlow::Continue(()),
        }
    }
}

/// What is lost with a connection; `None` if it may not go. Whether it is closing is asked if
/// `asks_closing` says so.
fn rank(candidate: Candidate<'_>, whose: Option<&Net>, asks_closing: bool) -> Option<Rank> {
    let closing = || {
        asks_closing && {
            let (proto, state) = candidate.state();
            l4proto::can_early_drop(proto, state)
        }
    };
    let is_theirs = match whose {
        Some(net) => candidate.is_of(net),
        // A namespace can be asked as long as it has the connection.
        None => candidate.get().is_some_and(|conn| is_above_share(&conn)),
    };
    is_theirs.then(|| Rank::of(candidate.status(), closing))?
}

fn is_above_share(conn: &Conn) -> bool {
    conn.netns().is_some_and(Netns::is_above_share)
}

/// Ends a connection that was met without a reference. Returns it, and whether its DESTROY event
/// was delivered; `None` if it may not be removed after all, or another caller ends it.
fn make_go(candidate: Candidate<'_>, whose: Option<&Net>) -> Option<(ARef<Conn>, bool)> {
    let conn = candidate.get()?;
    // What was read without a reference is read again with a reference.
    let goes =
        candidate.is_of_any(whose) && (whose.is_some() || is_above_share(&conn)) && conn.may_go();
    let told = goes.then(|| end::kill_first(&conn, Ended::EarlyDrop))??;
    Some((conn, told))
}

/// Limits the lines about full tables of all namespaces but the initial one together: any user may
/// create many namespaces.
static OTHERS_WARNING: Throttle = Throttle::new();

fn warn_full(netns: &Netns, net: &Net) {
    if !netns.warning.is_due() || !net.is_init() && !OTHERS_WARNING.is_due() {
        return;
    }
    let (max, total) = (netns.limit(), limit::TOTAL.load(Relaxed));
    // Without a sum, connections may just have gone.
    if total > 0 && netns.connections() < max {
        pr_warn!(
            "table full in netns {}: it has more than its share of {}, and all namespaces together \
             more than {}, dropping packet; see the parameters share and total\n",
            net.inum(),
            limit::share(),
            total
        );
    } else if net.is_init() {
        pr_warn!(
            "table full ({} connections), dropping packet; see net.netfilter.nf_conntrack_max\n",
            max
        );
    } else {
        pr_warn!(
            "table full in netns {} ({} connections), dropping packet; see \
             net.netfilter.nf_conntrack_max there and in the initial namespace\n",
            net.inum(),
            max
        );
    }
}
