// SPDX-License-Identifier: GPL-2.0

//! The states of SCTP and how chunks move them, in the kernel's words; for the host tests and for
//! KUnit.

use crate::pure::{
    tuple::Direction::{
        self,
        Original,
        Reply, //
    },
    wire::sctp::Kind,
};

/// The names of the states that user space knows, by number.
pub(crate) const NAMES: &str = "NONE CLOSED COOKIE_WAIT COOKIE_ECHOED ESTABLISHED SHUTDOWN_SENT \
                                SHUTDOWN_RECD SHUTDOWN_ACK_SENT HEARTBEAT_SENT";

/// The states in the order of the columns.
pub(crate) const COLUMNS: &str = "NO CL CW CE ES SS SR SA HS";

/// `sctp_conntracks` in net/netfilter/nf_conntrack_proto_sctp.c; IV is invalid. The last two kinds
/// of each direction are in no table, and move nothing.
#[rustfmt::skip]
pub(crate) const TABLE: [(Direction, Kind, &str); 26] = [
    (Original, Kind::Init,             "CL CL CW CE ES CL CL SA CW"),
    (Original, Kind::InitAck,          "CL CL CW CE ES SS SR SA CL"),
    (Original, Kind::Abort,            "CL CL CL CL CL CL CL CL CL"),
    (Original, Kind::Shutdown,         "CL CL CW CE SS SS SR SA CL"),
    (Original, Kind::ShutdownAck,      "SA CL CW CE ES SA SA SA SA"),
    (Original, Kind::Error,            "CL CL CW CE ES SS SR SA CL"),
    (Original, Kind::CookieEcho,       "CL CL CE CE ES SS SR SA CL"),
    (Original, Kind::CookieAck,        "CL CL CW ES ES SS SR SA CL"),
    (Original, Kind::ShutdownComplete, "CL CL CW CE ES SS SR CL CL"),
    (Original, Kind::Heartbeat,        "HS CL CW CE ES SS SR SA HS"),
    (Original, Kind::HeartbeatAck,     "CL CL CW CE ES SS SR SA HS"),
    (Original, Kind::Data,             "NO CL CW CE ES SS SR SA HS"),
    (Original, Kind::Other,            "NO CL CW CE ES SS SR SA HS"),
    (Reply,    Kind::Init,             "IV CL CW CE ES SS SR SA IV"),
    (Reply,    Kind::InitAck,          "IV CW CW CE ES SS SR SA IV"),
    (Reply,    Kind::Abort,            "IV CL CL CL CL CL CL CL IV"),
    (Reply,    Kind::Shutdown,         "IV CL CW CE SR SS SR SA IV"),
    (Reply,    Kind::ShutdownAck,      "IV CL CW CE ES SA SA SA IV"),
    (Reply,    Kind::Error,            "IV CL CW CL ES SS SR SA IV"),
    (Reply,    Kind::CookieEcho,       "IV CL CE CE ES SS SR SA IV"),
    (Reply,    Kind::CookieAck,        "IV CL CW ES ES SS SR SA IV"),
    (Reply,    Kind::ShutdownComplete, "IV CL CW CE ES SS SR CL IV"),
    (Reply,    Kind::Heartbeat,        "IV CL CW CE ES SS SR SA HS"),
    (Reply,    Kind::HeartbeatAck,     "IV CL CW CE ES SS SR SA ES"),
    (Reply,    Kind::Data,             "NO CL CW CE ES SS SR SA HS"),
    (Reply,    Kind::Other,            "NO CL CW CE ES SS SR SA HS"),
];
