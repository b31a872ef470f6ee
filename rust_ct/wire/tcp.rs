// SPDX-License-Identifier: GPL-2.0

//! The TCP header (RFC 9293).
