// SPDX-License-Identifier: GPL-2.0

//! Lines of /proc/net/nf_conntrack, byte by byte.
//!
//! Source: net/netfilter/nf_conntrack_standalone.c, ct_seq_show().

use crate::{
    expected::expect_line::ROWS,
    interface::proc,
    maker::{
        case,
        entered,
        tuple, //
    },
    object::conn::Flag,
    pure::{
        expect_line::ExpectLine,
        l4proto::{
            gre,
            sctp,
            tcp,
            L4Proto,
            Shown, //
        },
        line::Line,
        state::Status,
        tuple::{
            Addr,
            Tuple, //
        },
        wire::{
            ipproto,
            Family, //
        },
        zone::Zone, //
    },
    sys::time::HZ,
    text::Text, //
};
use kernel::{
    macros::kunit_tests,
    prelude::*, //
};

const REPLIED: Status = Status::CONFIRMED.with(Status::SEEN_REPLY);
const ASSURED: Status = REPLIED.with(Status::ASSURED);

fn v4(proto: u8) -> Tuple {
    Tuple::new(
        Family::Ipv4,
        proto,
        Addr::v4([10, 0, 0, 2]),
        Addr::v4([1, 1, 1, 1]),
    )
}

fn v6(proto: u8) -> Tuple {
    let mut dst = [0; 16];
    dst[15] = 1;
    let src = [
        0xfe, 0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0x5e, 0xff, 0xfe, 0, 0x53, 0xaf,
    ];
    Tuple::new(Family::Ipv6, proto, Addr::v6(src), Addr::v6(dst))
}

/// What is shown of a TCP connection in a state.
fn tcp(state: tcp::State, status: Status) -> Shown {
    let proto = tcp::Proto {
        state: state as u8,
        ..Default::default()
    };
    tcp::Tcp::show(&proto, status, HZ)
}

/// A line about a connection that lives for another 100 seconds and has two references.
fn line(original: Tuple, status: Status, private: Shown) -> Result<Line<'static>> {
    Ok(Line {
        original,
        reply: original.invert().ok_or(EINVAL)?,
        zone: Zone::DEFAULT,
        counters: None,
        status,
        seconds: 100,
        private,
        mark: 0,
        secctx: None,
        age: None,
        use_count: 2,
    })
}

fn check_lines(rows: &[(Line<'_>, &str)]) -> Result {
    for (row, (line, expected)) in rows.iter().enumerate() {
        let text = Text::of(line);
        check_eq!(text.as_str(), *expected, "row {}", row);
    }
    Ok(())
}

#[kunit_tests(rust_ct_line)]
mod tests {
    use super::*;

    /// Expectations have lines of their own.
    ///
    /// Source: net/netfilter/nf_conntrack_expect.c, exp_seq_show().
    #[test]
    fn expectations() -> Result {
        let line = |tuple: Tuple, flags, helper| ExpectLine {
            seconds: 300,
            tuple,
            flags,
            helper,
        };
        let tcp = v4(ipproto::TCP).with_ports(0, 2000);
        let ends = "src=10.0.0.2 dst=1.1.1.1 sport=0 dport=2000 ";
        for (flags, helper, rest) in ROWS {
            let text = Text::of(line(tcp, flags, helper));
            let text = text.as_str().strip_prefix("300 l3proto = 2 proto=6 ");
            let text = text.and_then(|text| text.strip_prefix(ends));
            let text = text.and_then(|text| text.strip_suffix("\n"));
            check_eq!(text, Some(rest), "flags {}", flags);
        }
        let other = Text::of(line(v6(ipproto::UDP).with_ports(0, 69), 0, None));
        check_eq!(
            other.as_str(),
            "300 l3proto = 10 proto=17 src=fe80:0000:0000:0000:0200:5eff:fe00:53af \
             dst=0000:0000:0000:0000:0000:0000:0000:0001 sport=0 dport=69 \n"
        );
        Ok(())
    }

    /// Each protocol has its own way to name the two ends, and some have more to say.
    #[test]
    fn protocols() -> Result {
        let ports = |tuple: Tuple| tuple.with_ports(40_000, 443);
        let proto = gre::Proto {
            stream_timeout: 180 * HZ,
            timeout: 30 * HZ,
        };
        let gre = gre::Gre::show(&proto, REPLIED, HZ);
        check_lines(&[
            (
                line(
                    ports(v4(ipproto::TCP)),
                    ASSURED,
                    tcp(tcp::State::Established, ASSURED),
                )?,
                "ipv4     2 tcp      6 100 ESTABLISHED src=10.0.0.2 dst=1.1.1.1 \
                 sport=40000 dport=443 src=1.1.1.1 dst=10.0.0.2 sport=443 dport=40000 \
                 [ASSURED] mark=0 zone=0 use=2\n",
            ),
            (
                line(ports(v4(ipproto::UDP)), REPLIED, Shown::Nothing)?,
                "ipv4     2 udp      17 100 src=10.0.0.2 dst=1.1.1.1 sport=40000 dport=443 \
                 src=1.1.1.1 dst=10.0.0.2 sport=443 dport=40000 mark=0 zone=0 use=2\n",
            ),
            (
                line(
                    v4(ipproto::ICMP).with_icmp(8, 0, 77),
                    REPLIED,
                    Shown::Nothing,
                )?,
                "ipv4     2 icmp     1 100 src=10.0.0.2 dst=1.1.1.1 type=8 code=0 id=77 \
                 src=1.1.1.1 dst=10.0.0.2 type=0 code=0 id=77 mark=0 zone=0 use=2\n",
            ),
            (
                line(
                    v6(ipproto::ICMPV6).with_icmp(128, 0, 65_535),
                    REPLIED,
                    Shown::Nothing,
                )?,
                "ipv6     10 icmpv6   58 100 src=fe80:0000:0000:0000:0200:5eff:fe00:53af \
                 dst=0000:0000:0000:0000:0000:0000:0000:0001 type=128 code=0 id=65535 \
                 src=0000:0000:0000:0000:0000:0000:0000:0001 \
                 dst=fe80:0000:0000:0000:0200:5eff:fe00:53af type=129 code=0 id=65535 \
                 mark=0 zone=0 use=2\n",
            ),
            (
                line(v4(ipproto::GRE).with_ports(0, 0x1f), REPLIED, gre)?,
                "ipv4     2 gre      47 100 timeout=30, stream_timeout=180 \
                 src=10.0.0.2 dst=1.1.1.1 srckey=0x0 dstkey=0x1f \
                 src=1.1.1.1 dst=10.0.0.2 srckey=0x1f dstkey=0x0 mark=0 zone=0 use=2\n",
            ),
            (
                line(
                    ports(v4(ipproto::SCTP)),
                    ASSURED,
                    Shown::State(sctp::State::CookieEchoed.name()),
                )?,
                "ipv4     2 sctp     132 100 COOKIE_ECHOED src=10.0.0.2 dst=1.1.1.1 \
                 sport=40000 dport=443 src=1.1.1.1 dst=10.0.0.2 sport=443 dport=40000 \
                 [ASSURED] mark=0 zone=0 use=2\n",
            ),
            (
                line(v4(50), REPLIED, Shown::Nothing)?,
                "ipv4     2 unknown  50 100 src=10.0.0.2 dst=1.1.1.1 src=1.1.1.1 dst=10.0.0.2 \
                 mark=0 zone=0 use=2\n",
            ),
            (
                line(
                    ports(v6(ipproto::TCP)),
                    REPLIED,
                    tcp(tcp::State::SynSent2, REPLIED),
                )?,
                "ipv6     10 tcp      6 100 SYN_SENT2 src=fe80:0000:0000:0000:0200:5eff:fe00:53af \
                 dst=0000:0000:0000:0000:0000:0000:0000:0001 sport=40000 dport=443 \
                 src=0000:0000:0000:0000:0000:0000:0000:0001 \
                 dst=fe80:0000:0000:0000:0200:5eff:fe00:53af sport=443 dport=40000 \
                 mark=0 zone=0 use=2\n",
            ),
        ])
    }

    /// What the status bits add and take away.
    #[test]
    fn flags() -> Result {
        let with = |status: Status| {
            let state = tcp(tcp::State::Established, status);
            line(v4(ipproto::TCP).with_ports(1, 2), status, state)
        };
        let unreplied = Line {
            private: tcp(tcp::State::SynSent, Status::CONFIRMED),
            seconds: 0,
            ..with(Status::CONFIRMED)?
        };
        check_lines(&[
            (
                unreplied,
                "ipv4     2 tcp      6 0 SYN_SENT src=10.0.0.2 dst=1.1.1.1 sport=1 dport=2 \
                 [UNREPLIED] src=1.1.1.1 dst=10.0.0.2 sport=2 dport=1 mark=0 zone=0 use=2\n",
            ),
            (
                with(ASSURED.with(Status::OFFLOAD))?,
                "ipv4     2 tcp      6 src=10.0.0.2 dst=1.1.1.1 sport=1 dport=2 \
                 src=1.1.1.1 dst=10.0.0.2 sport=2 dport=1 [OFFLOAD] mark=0 zone=0 use=2\n",
            ),
            (
                with(ASSURED.with(Status::OFFLOAD).with(Status::HW_OFFLOAD))?,
                "ipv4     2 tcp      6 src=10.0.0.2 dst=1.1.1.1 sport=1 dport=2 \
                 src=1.1.1.1 dst=10.0.0.2 sport=2 dport=1 [HW_OFFLOAD] mark=0 zone=0 use=2\n",
            ),
            (
                with(REPLIED.with(Status::SRC_NAT).with(Status::FIXED_TIMEOUT))?,
                "ipv4     2 tcp      6 100 ESTABLISHED src=10.0.0.2 dst=1.1.1.1 sport=1 dport=2 \
                 src=1.1.1.1 dst=10.0.0.2 sport=2 dport=1 mark=0 zone=0 use=2\n",
            ),
        ])
    }

    /// The security context stands between mark and zone, if there is one.
    #[test]
    fn security_contexts() -> Result {
        let line = Line {
            secctx: Some("system_u:object_r:unlabeled_t:s0"),
            mark: 1,
            ..line(v4(50), REPLIED, Shown::Nothing)?
        };
        check_lines(&[(
            line,
            "ipv4     2 unknown  50 100 src=10.0.0.2 dst=1.1.1.1 src=1.1.1.1 dst=10.0.0.2 \
             mark=1 secctx=system_u:object_r:unlabeled_t:s0 zone=0 use=2\n",
        )])
    }

    /// Packets and bytes stand behind the ends that they are of, and the age before the references.
    #[test]
    fn counters_and_ages() -> Result {
        let line = Line {
            counters: Some([(3, 180), (u64::MAX, 0)]),
            age: Some(86_400),
            ..line(v4(50), REPLIED, Shown::Nothing)?
        };
        check_lines(&[(
            line,
            "ipv4     2 unknown  50 100 src=10.0.0.2 dst=1.1.1.1 packets=3 bytes=180 \
             src=1.1.1.1 dst=10.0.0.2 packets=18446744073709551615 bytes=0 \
             mark=0 zone=0 delta-time=86400 use=2\n",
        )])
    }

    /// A zone stands where it applies.
    #[test]
    fn zones() -> Result {
        let with = |id: u16, dir: u8| {
            let mut line = line(v4(50), REPLIED, Shown::Nothing)?;
            line.zone = Zone { id, flags: 0, dir };
            line.mark = u32::MAX;
            line.use_count = 1;
            Ok::<_, Error>(line)
        };
        check_lines(&[
            (
                with(7, Zone::DIR_ORIGINAL)?,
                "ipv4     2 unknown  50 100 src=10.0.0.2 dst=1.1.1.1 zone-orig=7 \
                 src=1.1.1.1 dst=10.0.0.2 mark=4294967295 use=1\n",
            ),
            (
                with(7, Zone::DIR_REPLY)?,
                "ipv4     2 unknown  50 100 src=10.0.0.2 dst=1.1.1.1 \
                 src=1.1.1.1 dst=10.0.0.2 zone-reply=7 mark=4294967295 use=1\n",
            ),
            (
                with(65_535, Zone::DIR_ORIGINAL | Zone::DIR_REPLY)?,
                "ipv4     2 unknown  50 100 src=10.0.0.2 dst=1.1.1.1 \
                 src=1.1.1.1 dst=10.0.0.2 mark=4294967295 zone=65535 use=1\n",
            ),
        ])
    }

    /// A line says what the connection is at that moment.
    #[test]
    fn a_connection_in_the_table() -> Result {
        case(|_| {
            let conn = entered(&tuple(ipproto::TCP, 1))?;
            conn.lock()
                .change(|proto: &mut tcp::Proto| proto.state = tcp::State::CloseWait as u8);
            conn.set_status(Flag::SeenReply);
            conn.refresh(0);
            check_eq!(
                Text::of(proc::line(&conn, None)).as_str(),
                "ipv4     2 tcp      6 0 CLOSE_WAIT src=10.0.0.1 dst=192.0.2.1 sport=1 dport=80 \
                 src=192.0.2.1 dst=10.0.0.1 sport=80 dport=1 mark=0 zone=0 use=2\n"
            );
            Ok(())
        })
    }
}
