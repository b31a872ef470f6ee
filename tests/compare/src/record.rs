// SPDX-License-Identifier: GPL-2.0

//! What a record says, field by field, and where two of them differ.

use crate::{
    checksum::proto,
    format::{
        Record,
        COUNTERS,
        INFO_GONE,
        INFO_NONE,
        VERDICT_ACCEPT,
        VERDICT_DROP,
        VERDICT_NONE,
        VERDICT_STOLEN, //
    },
    packet::{
        self,
        Addr, //
    },
    recording::Outcome,
};
use zerocopy::IntoBytes;

/// The names of `struct ip_conntrack_stat`.
const COUNTER_NAMES: [&str; COUNTERS] = [
    "count.found",
    "count.invalid",
    "count.insert",
    "count.insert_failed",
    "count.clash_resolve",
    "count.drop",
    "count.early_drop",
    "count.error",
    "count.expect_new",
    "count.expect_create",
    "count.expect_delete",
    "count.search_restart",
    "count.chaintoolong",
];

/// The names of `enum ip_conntrack_status`.
const STATUS_NAMES: [&str; 16] = [
    "EXPECTED",
    "SEEN_REPLY",
    "ASSURED",
    "CONFIRMED",
    "SRC_NAT",
    "DST_NAT",
    "SEQ_ADJUST",
    "SRC_NAT_DONE",
    "DST_NAT_DONE",
    "DYING",
    "FIXED_TIMEOUT",
    "TEMPLATE",
    "NAT_CLASH",
    "HELPER",
    "OFFLOAD",
    "HW_OFFLOAD",
];

/// The names of `enum nf_ct_ext_id`.
const EXTENSION_NAMES: [&str; 10] = [
    "HELPER", "NAT", "SEQADJ", "ACCT", "ECACHE", "TSTAMP", "TIMEOUT", "LABELS", "SYNPROXY",
    "ACT_CT",
];

/// The names of `IP_CT_TCP_FLAG_*`.
const TCP_FLAG_NAMES: [&str; 8] = [
    "WINDOW_SCALE",
    "SACK_PERM",
    "CLOSE_INIT",
    "BE_LIBERAL",
    "DATA_UNACKNOWLEDGED",
    "MAXACK_SET",
    "EXP_CHALLENGE_ACK",
    "SIMULTANEOUS_OPEN",
];

/// The names of `enum tcp_conntrack`.
const TCP_STATE_NAMES: [&str; 10] = [
    "NONE",
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT",
    "CLOSE_WAIT",
    "LAST_ACK",
    "TIME_WAIT",
    "CLOSE",
    "SYN_SENT2",
];

/// The names of `enum sctp_conntrack`.
const SCTP_STATE_NAMES: [&str; 9] = [
    "NONE",
    "CLOSED",
    "COOKIE_WAIT",
    "COOKIE_ECHOED",
    "ESTABLISHED",
    "SHUTDOWN_SENT",
    "SHUTDOWN_RECD",
    "SHUTDOWN_ACK_SENT",
    "HEARTBEAT_SENT",
];

/// The place of the protocol in a tuple.
const TUPLE_PROTO: usize = 38;

/// How a value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    Hex,
    Verdict,
    Info,
    /// A number of jiffies that ticks may have changed.
    Time,
    /// Names of bits.
    Bits(&'static [&'static str]),
    /// Names of values.
    Names(&'static [&'static str]),
    /// The first or second tuple.
    Tuple(usize),
}

/// A field of a record.
#[derive(Clone, Copy, Debug)]
struct Field {
    name: &'static str,
    kind: Kind,
    value: u64,
}

/// A field that is not the same in two records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What the field is called.
    pub name: &'static str,
    /// What it is in the record of nf_conntrack.
    pub a: String,
    /// What it is in the record of rust_ct.
    pub b: String,
}

/// A record with that of the packet before it in the same case.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// The record.
    pub record: &'a Record,
    /// The record before; `None` if a case begins.
    pub before: Option<&'a Record>,
}

impl<'a> Look<'a> {
    /// Looks at one of the records of a case.
    pub fn at(outcomes: &'a [Outcome], index: usize) -> Self {
        Self {
            record: &outcomes[index].record,
            before: index.checked_sub(1).map(|before| &outcomes[before].record),
        }
    }

    /// How often something was counted for this packet.
    fn counted(&self, index: usize) -> u32 {
        let before = self.before.map_or(0, |record| record.counters[index]);
        self.record.counters[index].wrapping_sub(before)
    }

    fn fields(&self) -> Vec<Field> {
        let record = self.record;
        let field = |name, kind, value| Field { name, kind, value };
        let number = |name, value| field(name, Kind::Number, value);
        let [packets, bytes, reply_packets, reply_bytes] = record.accounting;
        let mut fields = vec![
            field("verdict.first", Kind::Verdict, record.verdict_first.into()),
            field(
                "verdict.second",
                Kind::Verdict,
                record.verdict_second.into(),
            ),
            field("info.first", Kind::Info, record.info_first.into()),
            field("info", Kind::Info, record.info.into()),
            field("original", Kind::Tuple(0), 0),
            field("reply", Kind::Tuple(1), 0),
            field("status", Kind::Bits(&STATUS_NAMES), record.status.into()),
            field("timeout", Kind::Time, i64::from(record.timeout) as u64),
            number("uses", record.uses.into()),
            field("mark", Kind::Hex, record.mark.into()),
            number("zone.id", record.zone.into()),
            number("zone.flags", record.zone_flags.into()),
            number("zone.dir", record.zone_dir.into()),
            field(
                "extensions",
                Kind::Bits(&EXTENSION_NAMES),
                record.extensions.into(),
            ),
            number("acct.original.packets", packets),
            number("acct.original.bytes", bytes),
            number("acct.reply.packets", reply_packets),
            number("acct.reply.bytes", reply_bytes),
        ];
        match proto_of(record) {
            proto::TCP => fields.extend(tcp(&record.proto)),
            proto::UDP => {
                let bytes = record.proto.first_chunk().copied().unwrap_or_default();
                fields.push(field(
                    "udp.stream_ts",
                    Kind::Time,
                    u64::from_le_bytes(bytes),
                ));
            }
            proto::SCTP => fields.extend(sctp(&record.proto)),
            proto::GRE => fields.extend([
                number("gre.stream_timeout", le32(&record.proto, 0).into()),
                number("gre.timeout", le32(&record.proto, 4).into()),
            ]),
            _ => {}
        }
        let counters = COUNTER_NAMES.iter().enumerate();
        fields.extend(counters.map(|(i, &name)| number(name, self.counted(i).into())));
        fields
    }
}

/// The protocol of the connection that a record is about; zero without one.
pub fn proto_of(record: &Record) -> u8 {
    record.tuples[0][TUPLE_PROTO]
}

/// Returns whether a connection is attached to the packet.
pub fn has_connection(record: &Record) -> bool {
    record.tuples[0] != [0; 40]
}

/// The fields of `struct ip_ct_tcp`; the bytes between them mean nothing.
fn tcp(bytes: &[u8; 64]) -> impl Iterator<Item = Field> + '_ {
    const FLAGS: Kind = Kind::Bits(&TCP_FLAG_NAMES);
    const STATE: Kind = Kind::Names(&TCP_STATE_NAMES);
    const FIELDS: [(&str, Kind, usize, usize); 22] = [
        ("tcp.seen[0].td_end", Kind::Number, 0, 4),
        ("tcp.seen[0].td_maxend", Kind::Number, 4, 4),
        ("tcp.seen[0].td_maxwin", Kind::Number, 8, 4),
        ("tcp.seen[0].td_maxack", Kind::Number, 12, 4),
        ("tcp.seen[0].td_scale", Kind::Number, 16, 1),
        ("tcp.seen[0].flags", FLAGS, 17, 1),
        ("tcp.seen[1].td_end", Kind::Number, 20, 4),
        ("tcp.seen[1].td_maxend", Kind::Number, 24, 4),
        ("tcp.seen[1].td_maxwin", Kind::Number, 28, 4),
        ("tcp.seen[1].td_maxack", Kind::Number, 32, 4),
        ("tcp.seen[1].td_scale", Kind::Number, 36, 1),
        ("tcp.seen[1].flags", FLAGS, 37, 1),
        ("tcp.state", STATE, 40, 1),
        ("tcp.last_dir", Kind::Number, 41, 1),
        ("tcp.retrans", Kind::Number, 42, 1),
        ("tcp.last_index", Kind::Number, 43, 1),
        ("tcp.last_seq", Kind::Number, 44, 4),
        ("tcp.last_ack", Kind::Number, 48, 4),
        ("tcp.last_end", Kind::Number, 52, 4),
        ("tcp.last_win", Kind::Number, 56, 2),
        ("tcp.last_wscale", Kind::Number, 58, 1),
        ("tcp.last_flags", FLAGS, 59, 1),
    ];
    named(bytes, &FIELDS)
}

/// The fields of `struct ip_ct_sctp`.
fn sctp(bytes: &[u8; 64]) -> impl Iterator<Item = Field> + '_ {
    const FIELDS: [(&str, Kind, usize, usize); 7] = [
        ("sctp.state", Kind::Names(&SCTP_STATE_NAMES), 0, 4),
        ("sctp.vtag[0]", Kind::Hex, 4, 4),
        ("sctp.vtag[1]", Kind::Hex, 8, 4),
        ("sctp.init[0]", Kind::Number, 12, 1),
        ("sctp.init[1]", Kind::Number, 13, 1),
        ("sctp.last_dir", Kind::Number, 14, 1),
        ("sctp.flags", Kind::Hex, 15, 1),
    ];
    named(bytes, &FIELDS)
}

/// The fields with these names, kinds, offsets and lengths.
fn named<'a>(
    bytes: &'a [u8; 64],
    fields: &'static [(&'static str, Kind, usize, usize)],
) -> impl Iterator<Item = Field> + 'a {
    fields.iter().map(|&(name, kind, at, len)| {
        let backwards = bytes[at..at + len].iter().rev();
        let value = backwards.fold(0, |value, &byte| (value << 8) | u64::from(byte));
        Field { name, kind, value }
    })
}

fn le32(bytes: &[u8; 64], at: usize) -> u32 {
    let bytes = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Where two records of the same packet differ by more than the ticks in them explain.
pub fn differences(a: Look<'_>, b: Look<'_>) -> Vec<Difference> {
    if a.before.map(Record::as_bytes) == b.before.map(Record::as_bytes)
        && a.record.as_bytes() == b.record.as_bytes()
    {
        return Vec::new();
    }
    let ticks = u64::from(a.record.ticks) + u64::from(b.record.ticks);
    let (of_a, of_b) = (a.fields(), b.fields());

    let one_has_none = has_connection(a.record) != has_connection(b.record);
    of_a.iter()
        .filter_map(|field| {
            // Where a protocol is only on one side, the tuples differ anyway.
            let other = of_b.iter().find(|other| other.name == field.name)?;
            let same = match field.kind {
                Kind::Tuple(index) => a.record.tuples[index] == b.record.tuples[index],
                Kind::Time => {
                    let (a, b) = (field.value as i64, other.value as i64);
                    a.abs_diff(b) <= ticks
                }
                _ => field.value == other.value,
            };
            let said = one_has_none && is_of_connection(field.name);
            (!same && !said).then(|| Difference {
                name: field.name,
                a: show(field, a.record),
                b: show(other, b.record),
            })
        })
        .collect()
}

/// Returns whether a field is of the connection, but for its tuples: not worth a word where one
/// side has no connection.
fn is_of_connection(name: &str) -> bool {
    let other = ["verdict.", "info", "original", "reply", "count."];
    !other.iter().any(|prefix| name.starts_with(prefix))
}

/// A value in words.
fn show(field: &Field, record: &Record) -> String {
    let value = field.value;
    match field.kind {
        Kind::Number => value.to_string(),
        Kind::Time => format!("{} (ticks {})", value as i64, record.ticks),
        Kind::Hex => format!("{value:#x}"),
        Kind::Verdict => verdict(record_byte(value)).to_owned(),
        Kind::Info => info(record_byte(value)).to_owned(),
        Kind::Names(names) => match names.get(value as usize) {
            Some(name) => (*name).to_owned(),
            None => value.to_string(),
        },
        Kind::Bits(names) => bits(value, names),
        Kind::Tuple(index) => tuple(&record.tuples[index]),
    }
}

fn record_byte(value: u64) -> u8 {
    value.try_into().unwrap_or(u8::MAX)
}

fn bits(value: u64, names: &[&str]) -> String {
    let set = (0..64).filter(|bit| value & (1 << bit) != 0);
    let set = set.map(|bit| match names.get(bit) {
        Some(name) => (*name).to_owned(),
        None => format!("bit{bit}"),
    });
    let set: Vec<_> = set.collect();
    match set.is_empty() {
        true => "-".to_owned(),
        false => set.join("+"),
    }
}

fn verdict(verdict: u8) -> &'static str {
    match verdict {
        VERDICT_NONE => "not called",
        VERDICT_DROP => "DROP",
        VERDICT_ACCEPT => "ACCEPT",
        VERDICT_STOLEN => "STOLEN",
        _ => "another verdict",
    }
}

/// The name of a state that a packet can have.
pub fn info(info: u8) -> &'static str {
    match info {
        0 => "ESTABLISHED",
        1 => "RELATED",
        2 => "NEW",
        3 => "ESTABLISHED_REPLY",
        4 => "RELATED_REPLY",
        7 => "UNTRACKED",
        INFO_NONE => "nothing",
        INFO_GONE => "gone",
        _ => "another state",
    }
}

/// A tuple in words.
fn tuple(bytes: &[u8; 40]) -> String {
    if *bytes == [0; 40] {
        return "no connection".to_owned();
    }
    let l3num = u16::from_le_bytes([bytes[18], bytes[19]]);
    let addr = |at: usize| match u8::try_from(l3num) {
        Ok(packet::IPV4) => bytes[at..].first_chunk().map(|b| Addr::V4(*b)),
        _ => bytes[at..].first_chunk().map(|b| Addr::V6(*b)),
    };
    let text = |at| addr(at).map_or_else(String::new, |addr| addr.to_string());
    let [src, dst] = [16, 36].map(|at| u16::from_be_bytes([bytes[at], bytes[at + 1]]));
    let (from, to) = (text(0), text(20));
    let (proto, dir) = (bytes[TUPLE_PROTO], bytes[39]);
    format!("{from}.{src} > {to}.{dst} proto {proto} dir {dir}")
}

/// The protocol of a connection and its state, if it has one.
pub fn state(record: &Record) -> Option<(&'static str, &'static str)> {
    match proto_of(record) {
        proto::TCP => Some(("tcp", TCP_STATE_NAMES.get(usize::from(record.proto[40]))?)),
        proto::SCTP => {
            let state = le32(&record.proto, 0) as usize;
            Some(("sctp", SCTP_STATE_NAMES.get(state)?))
        }
        _ => None,
    }
}

/// What a record says, as short as can be: state of the packet and of the connection.
pub fn summary(record: &Record) -> String {
    let info = info(record.info);
    if !has_connection(record) {
        return info.to_owned();
    }
    let state = state(record).map_or(String::new(), |(_, state)| format!(" {state}"));
    format!("{info}{state} timeout {}", record.timeout)
}
