// SPDX-License-Identifier: GPL-2.0

//! What the kernel's trackers declare of each protocol; for the host tests and for KUnit.

use core::ops::Range;

/// The protocol, its name, whether clashes are resolved, and the states of connections that may be
/// dropped early.
pub(crate) const PROTOCOLS: [(u8, &str, bool, Range<u8>); 8] = [
    (1, "icmp", true, 0..0),
    (6, "tcp", false, 4..9),
    (17, "udp", true, 0..0),
    (47, "gre", true, 0..0),
    (58, "icmpv6", true, 0..0),
    (132, "sctp", false, 5..8),
    (50, "unknown", true, 0..0),
    (136, "unknown", true, 0..0),
];
