// SPDX-License-Identifier: GPL-2.0

//! Any bytes are a packet.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rust_ct_host::fuzz::packet(data));
