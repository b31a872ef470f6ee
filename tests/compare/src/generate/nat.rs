// SPDX-License-Identifier: GPL-2.0

//! Rules of NAT.

use crate::{
    rng::Rng,
    sequence::Rule, //
};

/// What is written in another way for IPv4 and IPv6.
struct Words {
    family: &'static str,
    nat: &'static str,
    /// Where sources are changed to: an address, and some.
    source: &'static str,
    sources: &'static str,
    /// Where destinations are changed to: an address, an address before a port, and some.
    target: &'static str,
    target_port: &'static str,
    targets: &'static str,
    /// All of the addresses that sources are changed to.
    outside: &'static str,
}

const WORDS: [Words; 2] = [
    Words {
        family: "ipv4",
        nat: "ip",
        source: "192.0.2.7",
        sources: "192.0.2.16-192.0.2.31",
        target: "198.51.100.5",
        target_port: "198.51.100.5",
        targets: "198.51.100.16-198.51.100.23",
        outside: "192.0.2.0/24",
    },
    Words {
        family: "ipv6",
        nat: "ip6",
        source: "2001:db8:ffff::7",
        sources: "2001:db8:ffff::10-2001:db8:ffff::1f",
        target: "2001:db8:fffe::5",
        target_port: "[2001:db8:fffe::5]",
        targets: "2001:db8:fffe::10-2001:db8:fffe::17",
        outside: "2001:db8:ffff::/64",
    },
];

/// The rules of a batch: some for each family.
pub fn rules(rng: &mut Rng) -> Vec<Rule> {
    let mut rules = Vec::new();
    for words in &WORDS {
        if rng.chance(25) {
            // Those addresses get no unsolicited packets, as with a firewall.
            let (family, nat, outside) = (words.family, words.nat, words.outside);
            let text = format!("meta nfproto {family} {nat} daddr {outside} ct state new drop");
            push(&mut rules, "early", text);
        }
        for _ in 0..rng.range(0, 2) {
            let chain = rng.pick(&["prerouting", "output"]);
            let text = destination(rng, words);
            push(&mut rules, chain, text.clone());
            // Mostly local and forwarded packets are treated alike.
            if rng.chance(60) {
                let other = if chain == "output" {
                    "prerouting"
                } else {
                    "output"
                };
                push(&mut rules, other, text);
            }
        }
        for _ in 0..rng.range(1, 2) {
            let chain = rng.weighted(&[(85, "postrouting"), (15, "input")]);
            let text = source(rng, words, chain);
            push(&mut rules, chain, text);
        }
    }
    rules
}

fn push(rules: &mut Vec<Rule>, chain: &str, text: String) {
    rules.push(Rule {
        chain: chain.to_owned(),
        text,
    });
}

/// Which packets a rule is for, and whether they have ports.
fn matches(rng: &mut Rng, words: &Words) -> (String, bool) {
    let (text, ports) = rng.weighted(&[
        (25, ("", false)),
        (20, ("meta l4proto { tcp, udp } ", true)),
        (10, ("meta l4proto { tcp, udp, sctp } ", true)),
        (10, ("meta l4proto tcp ", true)),
        (10, ("udp dport 53 ", true)),
        (10, ("tcp dport 80 ", true)),
        (5, ("meta mark 1 ", false)),
        (5, ("meta l4proto { icmp, icmpv6 } ", false)),
        (5, ("th sport 1024-65535 ", true)),
    ]);
    let text = match text.starts_with("th ") {
        true => format!("meta l4proto {{ tcp, udp }} {text}"),
        false => text.to_owned(),
    };
    (format!("meta nfproto {} {text}", words.family), ports)
}

fn destination(rng: &mut Rng, words: &Words) -> String {
    let (matches, ports) = matches(rng, words);
    let Words {
        nat,
        target,
        target_port,
        targets,
        ..
    } = words;
    let any = [
        format!("dnat {nat} to {target}"),
        format!("dnat {nat} to {targets}"),
        format!("dnat {nat} to {targets} persistent"),
        "redirect".to_owned(),
    ];
    let of_ports = [
        format!("dnat {nat} to {target_port}:8080"),
        format!("dnat {nat} to {target_port}:8000-8010"),
        format!("dnat {nat} to {target_port}:8000-8999 random"),
        "redirect to :8080".to_owned(),
        "redirect to :8000-8003".to_owned(),
    ];
    let action = action(rng, ports, &any, &of_ports);
    format!("{matches}{action}")
}

fn source(rng: &mut Rng, words: &Words, chain: &str) -> String {
    let (matches, ports) = matches(rng, words);
    let Words {
        nat,
        source,
        sources,
        ..
    } = words;
    let to = match words.nat {
        "ip" => source.to_string(),
        _ => format!("[{source}]"),
    };
    let mut any = vec![
        format!("snat {nat} to {source}"),
        format!("snat {nat} to {sources}"),
        format!("snat {nat} to {sources} persistent"),
        format!("snat {nat} to {source} fully-random"),
    ];
    let mut of_ports = vec![
        format!("snat {nat} to {to}:1024-65535"),
        format!("snat {nat} to {to}:2000-2999"),
        format!("snat {nat} to {to}:5000"),
        format!("snat {nat} to {to}:5000-5003"),
    ];
    if chain == "postrouting" {
        any.extend(["masquerade", "masquerade", "masquerade persistent"].map(str::to_owned));
        of_ports.extend(["masquerade to :2000-2999", "masquerade random"].map(str::to_owned));
    }
    let action = action(rng, ports, &any, &of_ports);
    format!("{matches}{action}")
}

/// One of some actions; actions that name ports only where there are ports.
fn action(rng: &mut Rng, ports: bool, any: &[String], of_ports: &[String]) -> String {
    let actions = match ports && rng.chance(60) {
        true => of_ports,
        false => any,
    };
    actions[rng.index(actions.len())].clone()
}
