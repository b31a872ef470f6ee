// SPDX-License-Identifier: GPL-2.0

//! TFTP: what begins a transfer.

use crate::{
    packet::Bytes,
    pure::payload::tftp::{
        read,
        Kind, //
    },
};

/// The opcode decides, in network order, and wherever in the packet it is.
#[test]
fn opcodes() {
    let rows: [(&[u8], Option<Kind>); 13] = [
        (b"\0\x01file\0octet\0", Some(Kind::Request)),
        (b"\0\x02file\0netascii\0", Some(Kind::Request)),
        (b"\0\x01", Some(Kind::Request)),
        (b"\0\x00", Some(Kind::Other)),
        (b"\0\x03\0\x01data", Some(Kind::Other)),
        (b"\0\x04\0\x01", Some(Kind::Other)),
        (b"\0\x05\0\x01no\0", Some(Kind::Other)),
        (b"\0\x06blksize\0", Some(Kind::Other)),
        (b"\x01\0", Some(Kind::Other)),
        (b"\x02\0", Some(Kind::Other)),
        (b"\xff\x01", Some(Kind::Other)),
        (b"\0", None),
        (b"", None),
    ];
    for (payload, kind) in rows {
        for offset in [0, 8, 28] {
            let mut packet = vec![1; offset];
            packet.extend(payload);
            assert_eq!(read(&Bytes(&packet), offset as u32), kind, "{payload:?}");
        }
    }
    assert_eq!(read(&Bytes(&[0, 1]), u32::MAX), None);
}
