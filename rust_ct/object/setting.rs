// SPDX-License-Identifier: GPL-2.0

//! The settings of a namespace that are one byte of `struct netns_ct` each, where other modules
//! look for them: one row per setting.
//!
//! What else has a file below net.netfilter has its row in `interface::sysctl`, or is a timeout.
//!
//! Source: net/netfilter/nf_conntrack_standalone.c, nf_ct_sysctl_table.

use crate::{
    bindings,
    sys::{
        field::Field,
        log,
        net::Net,
        param,
        sysctl::{
            Format,
            Mode,
            Setter,
            Setting, //
        },
    },
};
use core::mem::offset_of;

/// A setting of one byte. It is written by its file, at any time, so every access is a single
/// volatile access.
///
/// # Invariants
///
/// `at` is the offset in `struct net` of a byte that is read and written by single accesses.
pub(crate) struct Byte {
    at: usize,
    default: Option<fn() -> u8>,
    file: Setting,
}

impl Byte {
    /// Where it is in a namespace.
    #[inline]
    fn field<'a>(&self, net: &'a Net) -> &'a Field<u8> {
        // SAFETY: The namespace is valid, and by the type invariant it has a byte there.
        unsafe { &*net.as_ptr().byte_add(self.at).cast() }
    }

    /// The value in a namespace.
    #[inline]
    pub(crate) fn get(&self, net: &Net) -> u8 {
        self.field(net).load()
    }

    /// Sets the value in a namespace.
    pub(crate) fn set(&self, net: &Net, value: u8) {
        self.field(net).store(value);
    }

    /// The file that the setting is read and written by.
    pub(crate) fn file(&self) -> &Setting {
        &self.file
    }
}

/// Defines the settings, and [`ALL`], the list of them. A row is
///
/// `NAME: file at field of struct netns_ct, range[, default value][, then function];`
///
/// Root of the namespace may write the file. A new namespace begins with the default; without one,
/// it is left with what it has. The function is called with each value that is written to the file.
macro_rules! bytes {
    ($(
        $(#[doc = $doc:literal])*
        $(#[cfg($cfg:meta)])?
        $name:ident: $file:literal at $($field:ident).+, $min:literal..=$max:literal
            $(, default $default:expr)? $(, then $then:path)?;
    )*) => {
        $(
            $(#[doc = $doc])*
            $(#[cfg($cfg)])?
            pub(crate) static $name: Byte = {
                const _: fn(&bindings::net) -> &u8 = |net| &net.ct.$($field).+;
                // INVARIANT: The field is a byte, as the line above shows; it is a sysctl's.
                Byte {
                    at: offset_of!(bindings::net, ct.$($field).+),
                    default: bytes!(@default $($default)?),
                    file: Setting {
                        name: $file,
                        mode: Mode::Writable,
                        format: Format::Byte($min, $max),
                        get: |net| $name.get(net).into(),
                        set: Setter::Store(|net, value| {
                            // CAST: The format lets nothing else than a byte through.
                            let value = value as u8;
                            $name.set(net, value);
                            $($then(value);)?
                        }),
                    },
                }
            };
        )*

        /// All of them.
        pub(crate) static ALL: &[&Byte] = &[$($(#[cfg($cfg)])? &$name),*];
    };
    (@default) => { None };
    (@default $default:expr) => { Some(|| $default) };
}

bytes! {
    /// Whether checksums are verified at PRE_ROUTING.
    CHECKSUM: c"nf_conntrack_checksum" at sysctl_checksum, 0..=1, default 1;
    /// The protocol whose INVALID packets are logged; 255 stands for all, 0 for none.
    LOG_INVALID: c"nf_conntrack_log_invalid" at sysctl_log_invalid, 0..=255, then load_logger;
    /// Whether packets and bytes of new connections are counted.
    ACCT: c"nf_conntrack_acct" at sysctl_acct, 0..=1, default param::begin_with().acct.into();
    /// Whether a TCP connection may be picked up in the middle.
    TCP_LOOSE: c"nf_conntrack_tcp_loose" at nf_ct_proto.tcp.tcp_loose, 0..=1, default 1;
    /// Whether TCP packets outside the window pass.
    TCP_BE_LIBERAL: c"nf_conntrack_tcp_be_liberal" at nf_ct_proto.tcp.tcp_be_liberal, 0..=1,
        default 0;
    /// Whether resets below what was acknowledged are no reason for INVALID.
    TCP_IGNORE_INVALID_RST: c"nf_conntrack_tcp_ignore_invalid_rst"
        at nf_ct_proto.tcp.tcp_ignore_invalid_rst, 0..=1, default 0;
    /// After how many retransmissions without an answer the timeout is lowered.
    TCP_MAX_RETRANS: c"nf_conntrack_tcp_max_retrans" at nf_ct_proto.tcp.tcp_max_retrans, 0..=255,
        default 3;
    /// Whether events of new connections are kept for a listener: 0 never, 1 always, 2 if there is
    /// a listener when the connection begins.
    #[cfg(CONFIG_NF_CONNTRACK_EVENTS)]
    EVENTS: c"nf_conntrack_events" at sysctl_events, 0..=2, default 2;
    /// Whether beginning and end of new connections are kept.
    #[cfg(CONFIG_NF_CONNTRACK_TIMESTAMP)]
    TIMESTAMP: c"nf_conntrack_timestamp" at sysctl_tstamp, 0..=1,
        default param::begin_with().timestamp.into();
}

/// Gives a namespace the settings of nf_conntrack.
pub(crate) fn set_defaults(net: &Net) {
    for row in ALL {
        if let Some(default) = row.default {
            row.set(net, default());
        }
    }
}

/// Loads a logger for what is logged, if anything is.
fn load_logger(wanted: u8) {
    if wanted != 0 {
        log::load_logger();
    }
}
