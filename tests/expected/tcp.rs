// SPDX-License-Identifier: GPL-2.0

//! The states of TCP and how segments move them, in the kernel's words; for the host tests and for
//! KUnit.

use crate::pure::{
    tuple::Direction::{
        self,
        Original,
        Reply, //
    },
    wire::tcp::Kind,
};

/// The names of the states that user space knows, by number.
pub(crate) const NAMES: &str =
    "NONE SYN_SENT SYN_RECV ESTABLISHED FIN_WAIT CLOSE_WAIT LAST_ACK TIME_WAIT CLOSE SYN_SENT2";

/// The states in the order of the columns.
pub(crate) const COLUMNS: &str = "NO SS SR ES FW CW LA TW CL S2";

/// `tcp_conntracks` in net/netfilter/nf_conntrack_proto_tcp.c; IV is invalid, IG is ignored.
#[rustfmt::skip]
pub(crate) const TABLE: [(Direction, Kind, &str); 12] = [
    (Original, Kind::Syn,    "SS SS IG IG IG IG IG SS SS S2"),
    (Original, Kind::SynAck, "IV IV SR IV IV IV IV IV IV SR"),
    (Original, Kind::Fin,    "IV IV FW FW LA LA LA TW CL IV"),
    (Original, Kind::Ack,    "ES IV ES ES CW CW TW TW CL IV"),
    (Original, Kind::Rst,    "IV CL CL CL CL CL CL CL CL CL"),
    (Original, Kind::None,   "IV IV IV IV IV IV IV IV IV IV"),
    (Reply,    Kind::Syn,    "IV S2 IV IV IV IV IV SS IV S2"),
    (Reply,    Kind::SynAck, "IV SR IG IG IG IG IG IG IG SR"),
    (Reply,    Kind::Fin,    "IV IV FW FW LA LA LA TW CL IV"),
    (Reply,    Kind::Ack,    "IV IG SR ES CW CW TW TW CL IG"),
    (Reply,    Kind::Rst,    "IV CL CL CL CL CL CL CL CL CL"),
    (Reply,    Kind::None,   "IV IV IV IV IV IV IV IV IV IV"),
];
