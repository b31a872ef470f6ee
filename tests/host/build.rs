// SPDX-License-Identifier: GPL-2.0

//! Links the kernel's own trackers, where tests/host/reference.sh has compiled them.

fn main() {
    println!("cargo:rerun-if-env-changed=RCT_REFERENCE");
    if let Ok(dir) = std::env::var("RCT_REFERENCE") {
        println!("cargo:rerun-if-changed={dir}");
        println!("cargo:rustc-cfg=rct_reference");
        println!("cargo:rustc-link-search=native={dir}");
        println!("cargo:rustc-link-lib=static=rct_reference");
    }
}
