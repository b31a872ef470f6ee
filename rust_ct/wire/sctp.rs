// SPDX-License-Identifier: GPL-2.0

//! The SCTP header and chunks (RFC 9260).
