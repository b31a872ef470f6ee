// SPDX-License-Identifier: GPL-2.0

/// Which mutant this is, see tests/mutants/src/main.rs.
pub(crate) mod mutant {
    static mut RUNS: u32 = 0;
    const BUILT: u32 = match option_env!("RCT_MUTANT_BUILT") {
        Some(text) => match u32::from_str_radix(text, 10) {
            Ok(number) => number,
            Err(_) => 0,
        },
        None => 0,
    };

    /// Whether this is a run of a mutant. What the compiler computes has no mistake in it, unless
    /// this is a build of that mutant.
    #[inline(always)]
    pub(crate) const fn m(number: u32) -> bool {
        number == BUILT || core::intrinsics::const_eval_select((number,), never, runs)
    }

    const fn never(_: u32) -> bool {
        false
    }

    #[inline(always)]
    fn runs(number: u32) -> bool {
        // SAFETY: It is written before there are threads.
        number == unsafe { RUNS }
    }

    #[used]
    #[link_section = ".init_array"]
    static INIT: extern "C" fn() = init;

    extern "C" fn init() {
        let number = std::env::var("RCT_MUTANT").ok();
        let number = number.and_then(|text| text.parse().ok());
        // SAFETY: There are no threads yet.
        unsafe { RUNS = number.unwrap_or(0) };
        // The first failed test is the verdict.
        std::panic::set_hook(Box::new(|panic| {
            println!("caught: {panic}");
            std::process::exit(101);
        }));
    }
}
