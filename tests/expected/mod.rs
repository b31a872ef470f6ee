// SPDX-License-Identifier: GPL-2.0

//! What the kernel's own tables say, once for the host tests and for KUnit.

pub(crate) mod expect_line;
pub(crate) mod protocols;
pub(crate) mod sctp;
pub(crate) mod tcp;
