// SPDX-License-Identifier: GPL-2.0

//! Any bytes are a sequence of TCP segments.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rust_ct_host::fuzz::tcp_sequence(data));
