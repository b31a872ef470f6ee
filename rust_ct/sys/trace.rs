// SPDX-License-Identifier: GPL-2.0

//! Tracepoints: what perf, bpftrace or tracefs show.
//!
//! While it is off, a tracepoint is an instruction that does nothing: [`Point::is_on`] is a branch
//! that the kernel patches in when a tracer switches it on. What is to be told is found out behind
//! it, which `kernel::declare_trace` leaves no room for.
//!
//! C headers: [`include/linux/tracepoint.h`](srctree/include/linux/tracepoint.h), and
//! `include/rust_ct_trace.h`, which has the events.

use crate::{
    bindings,
    sys::{
        field::Memory,
        hook::State,
        skb::Skb, //
    },
};
#[cfg(CONFIG_TRACEPOINTS)]
use core::{
    marker::PhantomData,
    ptr, //
};

/// A device whose name is to be told.
#[derive(Clone, Copy)]
#[cfg_attr(not(CONFIG_TRACEPOINTS), allow(dead_code))]
pub(crate) struct Device<'a>(&'a Memory<bindings::net_device>);

impl<'a> Device<'a> {
    /// The device that a packet is at, or is to leave by; none, if it is not known.
    pub(crate) fn of(skb: &'a Skb, state: Option<&'a State>) -> Option<Self> {
        skb.dev().or_else(|| state?.out()).map(Self)
    }
}

/// What a tracepoint tells; what does not belong to it is empty.
#[derive(Clone, Copy, Default)]
#[cfg_attr(not(CONFIG_TRACEPOINTS), allow(dead_code))]
pub(crate) struct Facts<'a> {
    /// The address of what it is about, to be compared only.
    pub(crate) about: usize,
    /// Where that is.
    pub(crate) device: Option<Device<'a>>,
    /// Why.
    pub(crate) reason: &'a str,
    /// The packet's ends, or the connection's, as text.
    pub(crate) tuple: &'a str,
    /// The other ends that belong to it, as text.
    pub(crate) other: &'a str,
    /// The name of the helper.
    pub(crate) helper: &'a [u8],
    /// The source address.
    pub(crate) saddr: [u8; 16],
    /// The destination address.
    pub(crate) daddr: [u8; 16],
    /// The source port, or what the protocol has in its place, in host order.
    pub(crate) sport: u16,
    /// The destination port, or what the protocol has in its place, in host order.
    pub(crate) dport: u16,
    /// The family, `NFPROTO_*`.
    pub(crate) family: u16,
    /// The transport protocol.
    pub(crate) proto: u8,
    /// The number of the zone.
    pub(crate) zone: u16,
    /// The number of the namespace.
    pub(crate) netns: u32,
}

/// The facts as C reads them.
#[cfg(CONFIG_TRACEPOINTS)]
#[repr(transparent)]
struct Told<'a>(bindings::rct_told, PhantomData<Facts<'a>>);

#[cfg(CONFIG_TRACEPOINTS)]
impl<'a> From<&Facts<'a>> for Told<'a> {
    fn from(facts: &Facts<'a>) -> Self {
        let array = |bytes: &[u8]| bindings::rct_array {
            at: bytes.as_ptr().cast(),
            len: bytes.len(),
        };
        Self(
            bindings::rct_told {
                about: ptr::without_provenance(facts.about),
                dev: (facts.device).map_or(ptr::null(), |device| device.0.get().cast_const()),
                reason: array(facts.reason.as_bytes()),
                tuple: array(facts.tuple.as_bytes()),
                other: array(facts.other.as_bytes()),
                helper: array(facts.helper),
                saddr: facts.saddr,
                daddr: facts.daddr,
                sport: facts.sport,
                dport: facts.dport,
                family: facts.family,
                proto: facts.proto,
                zone: facts.zone,
                netns: facts.netns,
            },
            PhantomData,
        )
    }
}

/// A tracepoint.
pub(crate) trait Point {
    /// Returns whether the tracepoint is on. Any context.
    fn is_on() -> bool;

    /// Tells the tracers. Any context.
    fn tell(facts: &Facts<'_>);
}

/// Defines tracepoints: for each a type, the tracepoint and the function that C has for it.
macro_rules! points {
    ($($(#[doc = $doc:literal])* $point:ident = $tracepoint:ident, $tell:ident;)*) => {
        #[cfg(CONFIG_TRACEPOINTS)]
        #[allow(improper_ctypes, reason = "the bindings have pointers where these have references")]
        unsafe extern "C" {
            $(
                static $tracepoint: bindings::tracepoint;
                // Safe, because what it is told is valid for the call.
                safe fn $tell(told: &Told<'_>);
            )*
        }

        $(
            $(#[doc = $doc])*
            pub(crate) struct $point;

            #[cfg(CONFIG_TRACEPOINTS)]
            impl Point for $point {
                #[inline(always)]
                fn is_on() -> bool {
                    // SAFETY: The key is that of a tracepoint, which C has defined.
                    unsafe {
                        kernel::jump_label::static_branch_unlikely!(
                            $tracepoint,
                            bindings::tracepoint,
                            key
                        )
                    }
                }

                fn tell(facts: &Facts<'_>) {
                    $tell(&facts.into());
                }
            }

            /// This kernel has no tracepoints.
            #[cfg(not(CONFIG_TRACEPOINTS))]
            impl Point for $point {
                #[inline(always)]
                fn is_on() -> bool {
                    false
                }

                fn tell(_facts: &Facts<'_>) {}
            }
        )*
    };
}

points! {
    /// A packet is INVALID.
    Invalid = __tracepoint_ct_invalid, rust_do_trace_ct_invalid;
    /// A packet is dropped.
    Dropped = __tracepoint_ct_drop, rust_do_trace_ct_drop;
    /// A connection is in the table.
    Confirmed = __tracepoint_ct_confirm, rust_do_trace_ct_confirm;
    /// A connection is refused.
    Refused = __tracepoint_ct_refuse, rust_do_trace_ct_refuse;
    /// A connection has to make room.
    EarlyDrop = __tracepoint_ct_early_drop, rust_do_trace_ct_early_drop;
    /// A connection has left the table.
    Ended = __tracepoint_ct_end, rust_do_trace_ct_end;
    /// A connection is expected.
    Expected = __tracepoint_ct_expect, rust_do_trace_ct_expect;
    /// A connection is not expected, although a helper wants it to be.
    NotExpected = __tracepoint_ct_expect_refuse, rust_do_trace_ct_expect_refuse;
}
