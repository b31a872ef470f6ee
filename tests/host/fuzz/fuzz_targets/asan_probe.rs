// SPDX-License-Identifier: GPL-2.0

//! Reads one byte past an allocation, to prove that AddressSanitizer is there to see it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let bytes = [data, b"at least one byte"].concat();
    // SAFETY: None: this is the error that AddressSanitizer has to find.
    let byte = unsafe { bytes.as_ptr().add(bytes.len()).read_volatile() };
    std::hint::black_box(byte);
});
