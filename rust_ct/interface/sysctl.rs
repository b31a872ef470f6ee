// SPDX-License-Identifier: GPL-2.0

//! The settings below /proc/sys/net/netfilter: nf_conntrack's names, defaults and ranges.
//!
//! Source: net/netfilter/nf_conntrack_standalone.c, nf_ct_sysctl_table.

use crate::{
    object::{
        netns::{
            EXPECT_MAX,
            NETNS, //
        },
        table::{
            self,
            TABLE, //
        },
    },
    pure::timeout::{
        self,
        slot, //
    },
    sys::{
        log,
        net::Net,
        pernet::Here,
        sysctl::{
            Draft,
            Files,
            Format,
            Setting, //
        },
    },
};
use kernel::{
    prelude::*,
    sync::atomic::Relaxed, //
};

/// Everybody reads, root writes.
const WRITABLE: u16 = 0o644;
/// Everybody reads.
const READABLE: u16 = 0o444;

/// What one of the files is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    /// How many connections there may be: on the machine, or in a namespace that has a limit of its
    /// own.
    Max,
    /// How many connections the namespace has.
    Count,
    /// How many buckets the table has.
    Buckets,
    /// How many connections may be expected.
    ExpectMax,
    /// See [`Net::checksum`].
    Checksum,
    /// See [`Net::log_invalid`].
    LogInvalid,
    /// See [`Net::acct`].
    Acct,
    /// See [`Net::events`].
    Events,
    /// See [`Net::timestamp`].
    Timestamp,
    /// See [`Net::tcp_loose`].
    TcpLoose,
    /// See [`Net::tcp_be_liberal`].
    TcpBeLiberal,
    /// See [`Net::tcp_ignore_invalid_rst`].
    TcpIgnoreInvalidRst,
    /// See [`Net::tcp_max_retrans`].
    TcpMaxRetrans,
    /// A timeout of [`timeout::TCP`].
    Tcp(usize),
    /// A timeout of [`timeout::UDP`].
    Udp(usize),
    /// A timeout of [`timeout::GRE`].
    Gre(usize),
    /// A timeout of [`timeout::SCTP`].
    Sctp(usize),
    /// The timeout of ICMP.
    Icmp,
    /// The timeout of ICMPv6.
    Icmpv6,
    /// The timeout of every other protocol.
    Generic,
    /// How long a flow table keeps a TCP connection.
    #[cfg(CONFIG_NF_FLOW_TABLE)]
    TcpOffload,
    /// How long a flow table keeps a UDP stream.
    #[cfg(CONFIG_NF_FLOW_TABLE)]
    UdpOffload,
}

impl Setting for Value {
    fn format(self) -> Format {
        match self {
            Self::Max | Self::ExpectMax => Format::Number(1, i32::MAX),
            Self::Count | Self::Buckets => Format::Any,
            Self::LogInvalid | Self::TcpMaxRetrans => Format::Byte(0, 255),
            Self::Events => Format::Byte(0, 2),
            Self::Checksum
            | Self::Acct
            | Self::Timestamp
            | Self::TcpLoose
            | Self::TcpBeLiberal
            | Self::TcpIgnoreInvalidRst => Format::Byte(0, 1),
            Self::Tcp(_)
            | Self::Udp(_)
            | Self::Gre(_)
            | Self::Sctp(_)
            | Self::Icmp
            | Self::Icmpv6
            | Self::Generic => Format::Seconds,
            #[cfg(CONFIG_NF_FLOW_TABLE)]
            Self::TcpOffload | Self::UdpOffload => Format::Seconds,
        }
    }

    fn get(self, net: &Net) -> u32 {
        let byte = match self {
            Self::Max => return NETNS.get(net).map_or(0, |netns| netns.limit()),
            Self::Count => return NETNS.get(net).map_or(0, |netns| netns.connections()),
            Self::Buckets => return TABLE.size(),
            Self::ExpectMax => return EXPECT_MAX.load(Relaxed),
            Self::Tcp(i) => return slot(&net.tcp_timeouts(), i),
            Self::Udp(i) => return slot(&net.udp_timeouts(), i),
            Self::Gre(i) => return slot(&net.gre_timeouts(), i),
            Self::Sctp(i) => return slot(&net.sctp_timeouts(), i),
            Self::Icmp => return slot(&net.icmp_timeouts(), 0),
            Self::Icmpv6 => return slot(&net.icmpv6_timeouts(), 0),
            Self::Generic => return slot(&net.generic_timeouts(), 0),
            #[cfg(CONFIG_NF_FLOW_TABLE)]
            Self::TcpOffload => return slot(&net.tcp_offload_timeouts(), 0),
            #[cfg(CONFIG_NF_FLOW_TABLE)]
            Self::UdpOffload => return slot(&net.udp_offload_timeouts(), 0),
            Self::Checksum => net.checksum(),
            Self::LogInvalid => net.log_invalid(),
            Self::Acct => net.acct(),
            Self::Events => net.events(),
            Self::Timestamp => net.timestamp(),
            Self::TcpLoose => net.tcp_loose(),
            Self::TcpBeLiberal => net.tcp_be_liberal(),
            Self::TcpIgnoreInvalidRst => net.tcp_ignore_invalid_rst(),
            Self::TcpMaxRetrans => net.tcp_max_retrans(),
        };
        byte.into()
    }

    fn set(self, net: &Net, value: u32) -> Result {
        // CAST: The format lets nothing else than a byte through to those that are one.
        let byte = value as u8;
        match self {
            Self::Max => NETNS.get(net).ok_or(ENOENT)?.set_limit(value),
            Self::Count => return Err(EPERM),
            // A table beyond all bounds is one that there is no memory for, as elsewhere.
            Self::Buckets if value > table::MAX_SIZE => return Err(ENOMEM),
            Self::Buckets => return TABLE.resize(value),
            Self::ExpectMax => EXPECT_MAX.store(value, Relaxed),
            Self::Tcp(i) => net.set_tcp_timeout(i, value),
            Self::Udp(i) => net.set_udp_timeout(i, value),
            Self::Gre(i) => net.set_gre_timeout(i, value),
            Self::Sctp(i) => net.set_sctp_timeout(i, value),
            Self::Icmp => net.set_icmp_timeout(0, value),
            Self::Icmpv6 => net.set_icmpv6_timeout(0, value),
            Self::Generic => net.set_generic_timeout(0, value),
            #[cfg(CONFIG_NF_FLOW_TABLE)]
            Self::TcpOffload => net.set_tcp_offload_timeout(0, value),
            #[cfg(CONFIG_NF_FLOW_TABLE)]
            Self::UdpOffload => net.set_udp_offload_timeout(0, value),
            Self::Checksum => net.set_checksum(byte),
            Self::LogInvalid => {
                net.set_log_invalid(byte);
                if byte != 0 {
                    log::load_logger();
                }
            }
            Self::Acct => net.set_acct(byte),
            Self::Events => net.set_events(byte),
            Self::Timestamp => net.set_timestamp(byte),
            Self::TcpLoose => net.set_tcp_loose(byte),
            Self::TcpBeLiberal => net.set_tcp_be_liberal(byte),
            Self::TcpIgnoreInvalidRst => net.set_tcp_ignore_invalid_rst(byte),
            Self::TcpMaxRetrans => net.set_tcp_max_retrans(byte),
        }
        Ok(())
    }
}

/// The files that have one thing to say in every namespace.
const SETTINGS: [(&CStr, Value); 8] = [
    (c"nf_conntrack_checksum", Value::Checksum),
    (c"nf_conntrack_log_invalid", Value::LogInvalid),
    (c"nf_conntrack_acct", Value::Acct),
    (c"nf_conntrack_tcp_loose", Value::TcpLoose),
    (c"nf_conntrack_tcp_be_liberal", Value::TcpBeLiberal),
    (
        c"nf_conntrack_tcp_ignore_invalid_rst",
        Value::TcpIgnoreInvalidRst,
    ),
    (c"nf_conntrack_tcp_max_retrans", Value::TcpMaxRetrans),
    // A namespace may bind itself, which no other tracker lets it.
    (c"nf_conntrack_max", Value::Max),
];

/// The files that a namespace has.
pub(crate) struct Settings {
    _netfilter: Files<Value>,
    _alias: Option<Files<Value>>,
}

/// Creates the files of a namespace. Process context.
pub(crate) fn create(here: Here<'_>) -> Result<Settings> {
    let mut files = Draft::new(here);
    for (name, value) in SETTINGS {
        files.add(name, WRITABLE, value)?;
    }
    files.add(c"nf_conntrack_count", READABLE, Value::Count)?;
    // What is the machine's is written in the initial namespace only.
    let global = if here.net().is_init() {
        WRITABLE
    } else {
        READABLE
    };
    files.add(c"nf_conntrack_buckets", global, Value::Buckets)?;
    files.add(c"nf_conntrack_expect_max", global, Value::ExpectMax)?;
    #[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
    files.add(c"nf_conntrack_events", WRITABLE, Value::Events)?;
    #[cfg(CONFIG_NF_CONNTRACK_TIMESTAMP)]
    files.add(c"nf_conntrack_timestamp", WRITABLE, Value::Timestamp)?;
    add_timeouts(&mut files)?;

    let alias = if here.net().is_init() {
        let mut files = Draft::new(here);
        files.add(c"nf_conntrack_max", WRITABLE, Value::Max)?;
        Some(files.register(c"net")?)
    } else {
        None
    };
    Ok(Settings {
        _netfilter: files.register(c"net/netfilter")?,
        _alias: alias,
    })
}

fn add_timeouts(files: &mut Draft<'_, Value>) -> Result {
    let mut add = |settings: &[timeout::Setting], value: fn(usize) -> Value| -> Result {
        for (i, setting) in settings.iter().enumerate() {
            if let Some(name) = setting.sysctl {
                files.add(name, WRITABLE, value(i))?;
            }
        }
        Ok(())
    };
    add(&timeout::TCP, Value::Tcp)?;
    add(&timeout::UDP, Value::Udp)?;
    add(&timeout::ICMP, |_| Value::Icmp)?;
    add(&timeout::ICMPV6, |_| Value::Icmpv6)?;
    add(&timeout::GENERIC, |_| Value::Generic)?;
    #[cfg(CONFIG_NF_FLOW_TABLE)]
    {
        add(&timeout::TCP_OFFLOAD, |_| Value::TcpOffload)?;
        add(&timeout::UDP_OFFLOAD, |_| Value::UdpOffload)?;
    }
    #[cfg(CONFIG_NF_CT_PROTO_SCTP)]
    add(&timeout::SCTP, Value::Sctp)?;
    #[cfg(CONFIG_NF_CT_PROTO_GRE)]
    add(&timeout::GRE, Value::Gre)?;
    Ok(())
}
