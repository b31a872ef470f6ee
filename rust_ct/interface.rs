// SPDX-License-Identifier: GPL-2.0

//! What other modules and user space call or read: exported functions, files in /proc, sysctls,
//! parameters.

pub(crate) mod export;
pub(crate) mod param;
pub(crate) mod proc;
pub(crate) mod sysctl;
pub(crate) mod top;
