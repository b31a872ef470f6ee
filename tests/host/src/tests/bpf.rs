// SPDX-License-Identifier: GPL-2.0

//! What a BPF program asks for is read as net/netfilter/nf_conntrack_bpf.c does, row by row.

use crate::pure::{
    bpf::{
        may_write,
        Denied,
        Refusal,
        Request,
        Want, //
    },
    tuple::{
        Addr,
        Tuple, //
    },
    wire::{
        ipproto,
        Family, //
    },
    zone::Zone,
};

const BOTH: [Want; 2] = [Want::Known, Want::New];

/// Options: number of the namespace, protocol, zone, its direction, what is reserved.
fn opts(netns: i32, proto: u8, zone: u16, dir: u8, reserved: [u8; 3]) -> Vec<u8> {
    // What the program finds there is not looked at: the error, and the direction.
    let mut opts = netns.to_ne_bytes().to_vec();
    opts.extend([0xff; 4]);
    opts.extend([proto, 0xff]);
    opts.extend(zone.to_ne_bytes());
    opts.push(dir);
    opts.extend(reserved);
    opts
}

fn plain() -> Vec<u8> {
    opts(-1, ipproto::UDP, 0, 0, [0; 3])
}

fn tuple4() -> Vec<u8> {
    let mut tuple = vec![10, 0, 0, 1, 10, 0, 0, 2];
    tuple.extend([3, 232, 0, 53]);
    tuple
}

fn tuple6() -> Vec<u8> {
    let mut tuple = vec![1; 16];
    tuple.extend([2; 16]);
    tuple.extend([3, 232, 0, 53]);
    tuple
}

#[test]
fn requests() {
    let v4 = Tuple::new(
        Family::Ipv4,
        ipproto::UDP,
        Addr::v4([10, 0, 0, 1]),
        Addr::v4([10, 0, 0, 2]),
    )
    .with_ports(1000, 53);
    let v6 = Tuple::new(
        Family::Ipv6,
        ipproto::TCP,
        Addr::v6([1; 16]),
        Addr::v6([2; 16]),
    )
    .with_ports(1000, 53);
    let wanted = |net, tuple, id, dir, tell_zone_dir| {
        Ok(Request {
            net,
            tuple,
            zone: Zone { id, flags: 0, dir },
            tell_zone_dir,
        })
    };
    let tcp = |netns, zone, dir| opts(netns, ipproto::TCP, zone, dir, [0; 3]);
    for want in BOTH {
        let parse = |tuple: &[u8], opts: &[u8]| Request::parse(want, Some(tuple), opts);
        assert_eq!(parse(&tuple4(), &plain()), wanted(None, v4, 0, 3, true));
        assert_eq!(
            parse(&tuple4(), &plain()[..12]),
            wanted(None, v4, 0, 3, false)
        );
        assert_eq!(
            parse(&tuple6(), &tcp(0, 7, 1)),
            wanted(Some(0), v6, 7, 1, false)
        );
        assert_eq!(
            parse(&tuple6(), &tcp(i32::MAX, 0xffff, 2)),
            wanted(Some(i32::MAX), v6, 0xffff, 2, false)
        );
    }
}

#[test]
fn refusals() {
    let proto = |netns, proto| opts(netns, proto, 0, 0, [0; 3]);
    let zone = |reserved| opts(-1, ipproto::TCP, 7, 0, reserved);
    let longer = [plain(), vec![0; 4]].concat();
    let rows = [
        ("no options", tuple4(), vec![], Refusal::Invalid),
        ("8 bytes", tuple4(), plain()[..8].to_vec(), Refusal::Invalid),
        ("13", tuple4(), plain()[..13].to_vec(), Refusal::Invalid),
        ("20", tuple4(), longer, Refusal::Invalid),
        ("reserved", tuple4(), zone([1, 0, 0]), Refusal::Invalid),
        ("reserved", tuple4(), zone([0, 1, 0]), Refusal::Invalid),
        ("reserved", tuple4(), zone([0, 0, 1]), Refusal::Invalid),
        (
            "a zone, but no room for its direction",
            tuple4(),
            zone([0; 3])[..12].to_vec(),
            Refusal::Invalid,
        ),
        ("namespace", tuple4(), proto(-2, 6), Refusal::Invalid),
        ("ICMP", tuple4(), proto(-1, 1), Refusal::Proto),
        ("no protocol", tuple4(), proto(-1, 0), Refusal::Proto),
        ("no family", vec![0; 13], plain(), Refusal::Family),
        ("empty", vec![], plain(), Refusal::Family),
        (
            "half of a tuple",
            tuple6()[..35].to_vec(),
            plain(),
            Refusal::Family,
        ),
        (
            "no family either",
            vec![0; 13],
            proto(-1, 1),
            Refusal::Proto,
        ),
    ];
    for want in BOTH {
        for (what, tuple, opts, refusal) in &rows {
            assert_eq!(
                Request::parse(want, Some(tuple), opts),
                Err(*refusal),
                "{what}"
            );
        }
    }
    // Where two things are wrong, which of them is said depends on what is wanted.
    let (none, both) = (None, opts(-2, 1, 0, 0, [0; 3]));
    for (want, tuple, opts, refusal) in [
        (Want::Known, Some(tuple4()), both.clone(), Refusal::Proto),
        (Want::New, Some(tuple4()), both, Refusal::Invalid),
        (Want::Known, none.clone(), plain(), Refusal::Invalid),
        (Want::Known, none.clone(), proto(-1, 1), Refusal::Invalid),
        (Want::New, none.clone(), plain(), Refusal::Family),
        (Want::New, none, proto(-1, 1), Refusal::Proto),
    ] {
        assert_eq!(
            Request::parse(want, tuple.as_deref(), &opts),
            Err(refusal),
            "{want:?}"
        );
    }
}

#[test]
fn writes() {
    let write = |offset, size| may_write(168..172, offset, size);
    for size in [1, 2, 4] {
        assert_eq!(write(168, size), Ok(()));
    }
    for offset in [0, 167, 169, 170, 172, -1, i32::MIN, i32::MAX] {
        assert_eq!(write(offset, 1), Err(Denied::Offset), "{offset}");
    }
    assert_eq!(write(168, 8), Err(Denied::Size));
    assert_eq!(write(168, i32::MAX), Err(Denied::Size));
    assert_eq!(write(168, -1), Err(Denied::Size));
}
