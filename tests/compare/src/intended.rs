// SPDX-License-Identifier: GPL-2.0

//! The differences that are meant to be; each has a section in Documentation/differences.md.

use crate::{
    checksum::proto,
    format::{
        Record,
        INFO_NONE,
        VERDICT_ACCEPT, //
    },
    record::{
        has_connection,
        proto_of,
        Difference, //
    },
    sequence::{
        leaves_to_receiver,
        Setting, //
    },
};

/// The place of `retrans` in `struct ip_ct_tcp`.
const RETRANS: usize = 42;

/// `IPS_NAT_MASK`.
const NAT: u32 = 0x30;

/// How far a difference is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Explained {
    /// Not at all.
    No,
    /// It is, and both go on from the same state.
    Same,
    /// It is, and the states part here, so that what follows cannot be compared.
    Parted,
    /// It is, and the states may part here: if they do, what follows differs, from there on.
    MayPart,
}

/// What became of a packet.
pub struct Scene<'a> {
    /// What was set.
    pub settings: &'a [Setting],
    /// The record of nf_conntrack.
    pub a: &'a Record,
    /// The record of rust_ct.
    pub b: &'a Record,
    /// The record of rust_ct of the packet before; `None` for the first packet.
    pub before: Option<&'a Record>,
    /// Where they differ.
    pub differences: &'a [Difference],
}

impl Scene<'_> {
    /// Returns whether nothing differs but fields whose names begin like this.
    fn only(&self, prefixes: &[&str]) -> bool {
        let named = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix));
        self.differences.iter().all(|differs| named(differs.name))
    }

    fn differs(&self, name: &str) -> bool {
        self.differences.iter().any(|differs| differs.name == name)
    }
}

/// A difference that is meant to be.
pub struct Intended {
    /// The heading of its section.
    pub name: &'static str,
    /// Returns whether it explains a difference.
    pub explains: fn(&Scene<'_>) -> Explained,
}

/// All of them.
pub const INTENDED: [Intended; 2] = [
    Intended {
        name: "retrans-saturates",
        explains: retrans_saturates,
    },
    Intended {
        name: "rfc5961",
        explains: rfc5961,
    },
];

/// Finds the intended difference that explains a scene.
pub fn explain(scene: &Scene<'_>) -> Option<(&'static str, Explained)> {
    INTENDED.iter().find_map(|intended| {
        let explained = (intended.explains)(scene);
        (explained != Explained::No).then_some((intended.name, explained))
    })
}

/// rust_ct stops counting at 255 where nf_conntrack begins again at zero.
fn retrans_saturates(scene: &Scene<'_>) -> Explained {
    let tcp = proto_of(scene.a) == proto::TCP && proto_of(scene.b) == proto::TCP;
    if !tcp || scene.b.proto[RETRANS] != u8::MAX || !scene.differs("tcp.retrans") {
        return Explained::No;
    }
    if !scene.only(&["tcp.retrans", "timeout"]) {
        return Explained::No;
    }
    match scene.differs("timeout") {
        true => Explained::Parted,
        false => Explained::Same,
    }
}

/// With the setting, a segment that is INVALID with nf_conntrack goes with its connection, in which
/// it changes nothing, or is a SYN that begins another connection.
fn rfc5961(scene: &Scene<'_>) -> Explained {
    let (a, b) = (scene.a, scene.b);
    let passes = [a, b].map(|record| record.verdict_first) == [VERDICT_ACCEPT; 2];
    let refused = a.info_first == INFO_NONE && !has_connection(a);
    let attached = has_connection(b) && proto_of(b) == proto::TCP;
    if !leaves_to_receiver(scene.settings) || !passes || !refused || !attached {
        return Explained::No;
    }
    let mut fields = vec!["info", "original", "reply", "count.invalid"];
    if b.status & NAT != 0 {
        // It is translated, as all of its connection.
        fields.push("packet");
    }
    if !scene.only(&fields) || !scene.differs("count.invalid") {
        return Explained::No;
    }
    // In another zone the same tuples are another connection's.
    let of = |record: &Record| (record.tuples, record.zone, record.zone_dir);
    let unchanged = |before: &Record| of(before) != of(b) || is_unchanged(before, b);
    match scene.before.is_none_or(unchanged) {
        true => Explained::MayPart,
        false => Explained::No,
    }
}

/// Returns whether a packet has changed nothing in its connection but how long it has left.
fn is_unchanged(before: &Record, after: &Record) -> bool {
    before.proto == after.proto
        && before.status == after.status
        && before.timeout >= after.timeout
        && before.accounting == after.accounting
        && before.mark == after.mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_intended_difference_is_documented() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../Documentation/differences.md"
        );
        let text = std::fs::read_to_string(path).expect(path);
        let headings = text.lines().filter_map(|line| line.strip_prefix("### "));
        let headings: Vec<_> = headings.collect();
        let names: Vec<_> = INTENDED.iter().map(|intended| intended.name).collect();
        assert_eq!(headings, names);
    }
}
