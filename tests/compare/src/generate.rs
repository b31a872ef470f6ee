// SPDX-License-Identifier: GPL-2.0

//! Sequences made by chance: random walks through the states of the protocols.
//!
//! What a case is depends on seed, family and number of the case, and on settings and rules of its
//! batch, which depend on seed, family and number of the batch; so the same arguments give the same
//! file.

mod clock;
mod ctnetlink;
mod error;
mod gre;
mod helper;
mod icmp;
mod nat;
mod other;
mod sctp;
mod settings;
mod tcp;
mod udp;
mod walk;

use crate::{
    rng::Rng,
    sequence::{
        Batch,
        Case,
        Writer, //
    },
};
use anyhow::Result;
use std::path::Path;
use walk::Walk;

/// How many milliseconds the cases of a batch may wait together before it ends: the clock of
/// timeouts goes round after some days.
const LONGEST_BATCH: u64 = 8 * 24 * 3600 * 1000;

/// A kind of cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// What it is called, and its cases after it.
    pub name: &'static str,
    /// The protocols that its cases choose from.
    protos: &'static [Proto],
    /// How many in a hundred of them are over IPv6.
    ipv6: u32,
    /// What is beside the tracker.
    beside: Beside,
}

/// What the packets of a family meet beside the tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Nothing,
    Nat,
    /// Helpers, and NAT.
    Helpers,
    /// Requests to ctnetlink, each case in a namespace of its own.
    Requests,
}

/// What a case is made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proto {
    Tcp,
    Udp,
    Icmp,
    Sctp,
    Gre,
    Other,
}

/// All families.
pub const FAMILIES: [Family; 13] = {
    use Proto::{
        Gre,
        Icmp,
        Other,
        Sctp,
        Tcp,
        Udp, //
    };
    [
        Family::new("tcp", &[Tcp], 0),
        Family::new("tcp6", &[Tcp], 100),
        Family::new("udp", &[Udp], 0),
        Family::new("udp6", &[Udp], 100),
        Family::new("icmp", &[Icmp], 0),
        Family::new("icmpv6", &[Icmp], 100),
        Family::new("sctp", &[Sctp], 30),
        Family::new("gre", &[Gre], 30),
        Family::new("other", &[Other], 50),
        Family::new("mixed", &[Tcp, Tcp, Tcp, Udp, Icmp, Sctp, Gre, Other], 40),
        Family::new("nat", &[Tcp, Tcp, Udp, Udp, Icmp, Sctp, Gre, Other], 40).with(Beside::Nat),
        Family::new("helpers", &[Tcp, Udp], 35).with(Beside::Helpers),
        Family::new("ctnetlink", &[Tcp], 30).with(Beside::Requests),
    ]
};

impl Family {
    const fn new(name: &'static str, protos: &'static [Proto], ipv6: u32) -> Self {
        Self {
            name,
            protos,
            ipv6,
            beside: Beside::Nothing,
        }
    }

    const fn with(self, beside: Beside) -> Self {
        Self { beside, ..self }
    }

    /// The families that a name stands for: `all` for every one.
    pub fn named(name: &str) -> Option<&'static [Self]> {
        static ALL: [Family; FAMILIES.len()] = FAMILIES;
        if name == "all" {
            return Some(&ALL);
        }
        let index = ALL.iter().position(|family| family.name == name)?;
        ALL.get(index..=index)
    }

    /// A number that stays the family's when other families are added.
    fn number(&self) -> u64 {
        self.name
            .bytes()
            .fold(0, |number, byte| (number << 8) | u64::from(byte))
    }
}

/// Writes a sequence of so many packets of each family.
pub fn generate(seed: u64, families: &[Family], packets: u64, path: &Path) -> Result<()> {
    let mut writer = Writer::create(path)?;
    for &family in families {
        let mut batches = Batches::new(seed, family);
        let begun = writer.packets();
        while writer.packets() - begun < packets {
            let left = packets - (writer.packets() - begun);
            writer.push(&batches.next(left).batch)?;
        }
    }
    println!("{} packets, seed {seed}", writer.packets());
    writer.finish()
}

/// A batch, and what is known of it only while it is made.
#[derive(Debug, Default)]
struct Made {
    batch: Batch,
    /// How many of its packets are not what an honest sender sends.
    #[cfg_attr(not(test), allow(dead_code, reason = "tests look at it"))]
    disturbed: usize,
}

/// The batches of a family, one after another.
struct Batches {
    seed: u64,
    family: Family,
    batches: u64,
    cases: u64,
}

impl Batches {
    fn new(seed: u64, family: Family) -> Self {
        Self {
            seed,
            family,
            batches: 0,
            cases: 0,
        }
    }

    /// The next batch, which has little more than `most` packets.
    fn next(&mut self, most: u64) -> Made {
        let mut rng = Rng::of(&[self.seed, self.family.number(), 0, self.batches]);
        self.batches += 1;

        let enough = u64::from(rng.range(1000, 2000)).min(most);
        let mut made = Made::default();
        made.batch.settings = match self.family.beside {
            Beside::Nothing | Beside::Nat => settings::settings(&mut rng, self.family.protos),
            // A worker ends what expires, with its expectations and events, at any time.
            Beside::Helpers | Beside::Requests => settings::lasting(&mut rng),
        };
        match self.family.beside {
            Beside::Nat => made.batch.rules = nat::rules(&mut rng),
            Beside::Helpers => made.batch.rules = helper::rules(&mut rng),
            Beside::Requests if rng.chance(2) => made.batch.rules = nat::rules(&mut rng),
            Beside::Requests | Beside::Nothing => {}
        }
        let (mut packets, mut waited) = (0, 0);
        while packets < enough && waited < LONGEST_BATCH {
            let (case, disturbed) = self.case(self.cases, &made.batch);
            self.cases += 1;
            packets += case.packets.len() as u64;
            waited += case
                .packets
                .iter()
                .map(|p| u64::from(p.step.delay))
                .sum::<u64>();
            made.disturbed += disturbed;
            made.batch.cases.push(case);
            if self.family.beside == Beside::Requests {
                break;
            }
        }
        made
    }

    /// The case with a number, and how many of its packets are disturbed.
    fn case(&self, number: u64, batch: &Batch) -> (Case, usize) {
        let mut rng = Rng::of(&[self.seed, self.family.number(), 1, number]);
        let proto = rng.pick(self.family.protos);
        let ipv6 = rng.chance(self.family.ipv6);

        let mut walk = Walk::new(rng, number, ipv6, &batch.settings);
        walk.translated = self.family.beside != Beside::Nothing;
        walk.outside = helper::outside_of(&batch.rules);
        while walk.packets().is_empty() {
            match proto {
                _ if self.family.beside == Beside::Requests => {
                    walk.make_long();
                    ctnetlink::walk(&mut walk);
                }
                _ if self.family.beside == Beside::Helpers => helper::walk(&mut walk),
                Proto::Tcp => tcp::walk(&mut walk),
                Proto::Udp => udp::walk(&mut walk),
                Proto::Icmp => icmp::walk(&mut walk),
                Proto::Sctp => sctp::walk(&mut walk),
                Proto::Gre => gre::walk(&mut walk),
                Proto::Other => other::walk(&mut walk),
            }
            walk.end();
        }
        let disturbed = walk.disturbed;
        let id = format!("{}/{}/{number}", self.seed, self.family.name);
        let mut case = Case {
            id,
            packets: walk.into_packets(),
        };
        case.seal();
        (case, disturbed)
    }
}

#[cfg(test)]
mod tests;
