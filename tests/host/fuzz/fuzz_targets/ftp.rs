// SPDX-License-Identifier: GPL-2.0

//! Any bytes are what is said on a control connection of FTP.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rust_ct_host::fuzz::ftp(data));
