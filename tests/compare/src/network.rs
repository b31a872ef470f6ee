// SPDX-License-Identifier: GPL-2.0

//! The network of a batch with rules: a device with addresses and routes, and tables of nftables.

use crate::{
    packet::Addr,
    sequence::Rule, //
};
use anyhow::{
    bail,
    Context,
    Result, //
};
use std::{
    io::Write,
    process::{
        Command,
        Stdio, //
    },
};

/// The feeder takes the device of this name. Nothing leaves it, and the kernel itself says as
/// little there as can be.
const DEVICE: &str = "\
link set lo up
link add feed0 type dummy
link set feed0 addrgenmode none
link set feed0 up
addr add 192.0.2.1/24 dev feed0
addr add 2001:db8:ffff::1/64 dev feed0 nodad
route add 0.0.0.0/0 dev feed0
route add ::/0 dev feed0
";

/// The chains: name, type, hook and priority. All are there as soon as there is a rule.
pub const CHAINS: [(&str, &str); 6] = [
    ("prerouting", "type nat hook prerouting priority -100"),
    ("input", "type nat hook input priority 100"),
    ("output", "type nat hook output priority -100"),
    ("postrouting", "type nat hook postrouting priority 100"),
    // Behind the tracker, before NAT.
    ("early", "type filter hook prerouting priority -150"),
    ("local", "type filter hook output priority -150"),
];

/// The helpers that rules may name: protocol and family of each. For a family that a helper does
/// not have, the kernel would look for a module.
const HELPERS: [(&str, &str, &str); 10] = [
    ("ftp", "tcp", "inet"),
    ("tftp", "udp", "inet"),
    ("sip", "udp", "inet"),
    ("irc", "tcp", "ip"),
    ("amanda", "udp", "inet"),
    ("pptp", "tcp", "ip"),
    ("RAS", "udp", "inet"),
    ("Q.931", "tcp", "inet"),
    ("sane", "tcp", "inet"),
    ("snmp", "udp", "ip"),
];

/// Returns whether a rule gives connections a helper.
pub fn has_helpers(rules: &[Rule]) -> bool {
    rules.iter().any(|rule| rule.text.contains("ct helper set"))
}

/// Returns whether rules change other addresses to this one.
pub fn is_outside(addr: Addr) -> bool {
    match addr {
        Addr::V4([first, second, ..]) => [[192, 0], [198, 51]].contains(&[first, second]),
        Addr::V6(bytes) => bytes[4] == 0xff,
    }
}

/// Sets up the network of this namespace.
pub fn set_up(rules: &[Rule]) -> Result<()> {
    if rules.is_empty() {
        return Ok(());
    }
    feed("ip", &["-batch", "-"], DEVICE)?;
    feed("nft", &["-f", "-"], &ruleset(rules))
}

/// The rules as nft reads them.
fn ruleset(rules: &[Rule]) -> String {
    let mut text = "table inet compare {\n".to_owned();
    for (name, proto, family) in HELPERS {
        if rules
            .iter()
            .any(|rule| rule.text.contains(&format!("set \"{name}\"")))
        {
            text += &format!(
                "ct helper {name} {{ type \"{name}\" protocol {proto}; l3proto {family}; }}\n"
            );
        }
    }
    for (chain, place) in CHAINS {
        text += &format!("chain {chain} {{\n{place};\n");
        for rule in rules.iter().filter(|rule| rule.chain == chain) {
            text += &format!("{}\n", rule.text);
        }
        text += "}\n";
    }
    text + "}\n"
}

/// Runs a program with something to read.
fn feed(program: &str, args: &[&str], input: &str) -> Result<()> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(input.as_bytes())
            .with_context(|| format!("{program}: cannot write to it"))?;
    }
    let status = child.wait().with_context(|| format!("{program}: lost"))?;
    if !status.success() {
        bail!("{program}: {status}, of\n{input}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ruleset_has_the_helpers_that_it_names() {
        let rule = |chain: &str, text: &str| Rule {
            chain: chain.to_owned(),
            text: text.to_owned(),
        };
        let text = ruleset(&[
            rule("early", "tcp dport 21 ct helper set \"ftp\""),
            rule("postrouting", "masquerade"),
        ]);
        assert_eq!(text.matches("ct helper ").count(), 2);
        let (_, behind) = text.split_once("chain postrouting").unwrap();
        assert!(behind.contains("priority 100;\nmasquerade\n}"));
    }
}
