// SPDX-License-Identifier: GPL-2.0

//! What a line about an expectation says behind its ends.
//!
//! Source: net/netfilter/nf_conntrack_expect.c, exp_seq_show().

/// A helper: its name, and that of its class of expectations, if that has a name.
type Names = Option<(&'static [u8], &'static [u8])>;

const FTP: Names = Some((b"ftp", b""));
const SIP: Names = Some((b"sip", b"signalling"));

/// Flags, helper, and what is said of them.
pub(crate) const ROWS: [(u32, Names, &str); 10] = [
    (0, None, ""),
    (0, FTP, "ftp"),
    (0, SIP, "sip/signalling"),
    (0x1, None, "PERMANENT"),
    (0x1, SIP, "PERMANENT sip/signalling"),
    (0x2, FTP, "INACTIVE ftp"),
    (0x3, FTP, "PERMANENT,INACTIVE ftp"),
    (0x4, FTP, "USERSPACE ftp"),
    (0x7, None, "PERMANENT,INACTIVE,USERSPACE"),
    // A flag without a name of its own, but there.
    (0x8, FTP, " ftp"),
];
