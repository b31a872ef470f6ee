// SPDX-License-Identifier: GPL-2.0

//! The numbers of states and status bits are the kernel's, which the rest of the kernel reads.

use kernel::macros::kunit_tests;

#[kunit_tests(rust_ct_state)]
mod tests {
    use crate::{
        bindings,
        pure::{
            state::{
                CtInfo,
                Status, //
            },
            tuple::Direction, //
        },
    };
    use kernel::prelude::*;

    /// Each bit is that of `enum ip_conntrack_status`.
    #[test]
    fn status_bits_are_the_kernels() -> Result {
        let rows = [
            (Status::EXPECTED, bindings::ip_conntrack_status_IPS_EXPECTED),
            (
                Status::SEEN_REPLY,
                bindings::ip_conntrack_status_IPS_SEEN_REPLY,
            ),
            (Status::ASSURED, bindings::ip_conntrack_status_IPS_ASSURED),
            (
                Status::CONFIRMED,
                bindings::ip_conntrack_status_IPS_CONFIRMED,
            ),
            (Status::SRC_NAT, bindings::ip_conntrack_status_IPS_SRC_NAT),
            (Status::DST_NAT, bindings::ip_conntrack_status_IPS_DST_NAT),
            (
                Status::SEQ_ADJUST,
                bindings::ip_conntrack_status_IPS_SEQ_ADJUST,
            ),
            (
                Status::SRC_NAT_DONE,
                bindings::ip_conntrack_status_IPS_SRC_NAT_DONE,
            ),
            (
                Status::DST_NAT_DONE,
                bindings::ip_conntrack_status_IPS_DST_NAT_DONE,
            ),
            (Status::DYING, bindings::ip_conntrack_status_IPS_DYING),
            (
                Status::FIXED_TIMEOUT,
                bindings::ip_conntrack_status_IPS_FIXED_TIMEOUT,
            ),
            (Status::TEMPLATE, bindings::ip_conntrack_status_IPS_TEMPLATE),
            (
                Status::NAT_CLASH,
                bindings::ip_conntrack_status_IPS_NAT_CLASH,
            ),
            (Status::HELPER, bindings::ip_conntrack_status_IPS_HELPER),
            (Status::OFFLOAD, bindings::ip_conntrack_status_IPS_OFFLOAD),
            (
                Status::HW_OFFLOAD,
                bindings::ip_conntrack_status_IPS_HW_OFFLOAD,
            ),
        ];
        for (ours, kernels) in rows {
            check_eq!(ours.bits(), u64::from(kernels));
        }
        Ok(())
    }

    /// A set of bits contains what it was made of, and nothing else.
    #[test]
    fn status_sets() -> Result {
        let both = Status::CONFIRMED.with(Status::ASSURED);
        check!(both.contains(Status::CONFIRMED) && both.contains(Status::ASSURED));
        check!(both.contains(both) && both.contains(Status::default()));
        check!(!both.contains(Status::DYING));
        check!(!Status::CONFIRMED.contains(both));
        Ok(())
    }

    /// What a packet is to its connection is a number of `enum ip_conntrack_info`, and goes the way
    /// that CTINFO2DIR() says.
    #[test]
    fn packet_infos_are_the_kernels() -> Result {
        let reply = bindings::ip_conntrack_info_IP_CT_IS_REPLY;
        let rows = [
            (
                CtInfo::Established,
                bindings::ip_conntrack_info_IP_CT_ESTABLISHED,
            ),
            (CtInfo::Related, bindings::ip_conntrack_info_IP_CT_RELATED),
            (CtInfo::New, bindings::ip_conntrack_info_IP_CT_NEW),
            (
                CtInfo::EstablishedReply,
                bindings::ip_conntrack_info_IP_CT_ESTABLISHED_REPLY,
            ),
            (
                CtInfo::RelatedReply,
                bindings::ip_conntrack_info_IP_CT_RELATED_REPLY,
            ),
            (
                CtInfo::Untracked,
                bindings::ip_conntrack_info_IP_CT_UNTRACKED,
            ),
        ];
        for (ours, kernels) in rows {
            check_eq!(u32::from(ours.bits()), kernels);
            check_eq!(CtInfo::from_bits(ours.bits()), Some(ours));
            let dir = if kernels >= reply {
                Direction::Reply
            } else {
                Direction::Original
            };
            check_eq!(ours.direction(), dir, "{:?}", ours);
        }
        for none in [5, 6, 8, 255] {
            check_eq!(CtInfo::from_bits(none), None, "{}", none);
        }
        Ok(())
    }
}
