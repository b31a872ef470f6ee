// SPDX-License-Identifier: GPL-2.0

//! Parameters: which texts are numbers, which numbers are right, and what they do.

use crate::{
    interface::param,
    maker::case,
    object::{
        netns::{
            limit,
            EXPECT_MAX, //
        },
        table::{
            self,
            TABLE, //
        },
    },
    sys::{
        memory,
        shared::machine_max, //
    },
    BUCKETS,
    SETTLED, //
};
use kernel::{
    macros::kunit_tests,
    prelude::*,
    sync::atomic::Relaxed, //
};

/// Texts that are no number, or a number too large or small for any parameter.
const WRONG: [&CStr; 16] = [
    c"",
    c"\n",
    c"0",
    c"-1",
    c"+1",
    c" 1",
    c"1 ",
    c"1\n\n",
    c"0x",
    c"0xg",
    c"08",
    c"1k",
    c"1.5",
    c"4294967296",
    c"99999999999999999999",
    c"\xff",
];

#[kunit_tests(rust_ct_param)]
mod tests {
    use super::*;

    /// Without a parameter, the size goes by the memory of the machine, and the limit is the size.
    ///
    /// Source: net/netfilter/nf_conntrack_core.c, nf_conntrack_init_start().
    #[test]
    fn defaults_go_by_memory() -> Result {
        const GIB: usize = 1 << 30;
        let expected = match memory::total() {
            bytes if bytes > 4 * GIB => 262_144,
            bytes if bytes > GIB => 65_536,
            bytes => (bytes / 16_384 / size_of::<usize>())
                .max(1024)
                .next_multiple_of(512),
        };
        let settled = SETTLED.load(Relaxed);
        check_eq!(settled as usize, expected);
        Ok(())
    }

    /// The limit is a positive number that fits an int.
    #[test]
    fn limits() -> Result {
        let usual = param::max();
        let _writable = param::Writable::new();
        for (text, max) in [
            (c"1", 1),
            (c"0001\n", 1),
            (c"010", 8),
            (c"0x7fffffff", 2_147_483_647),
            (c"2147483647", 2_147_483_647),
            (c"65536", 65_536),
        ] {
            check_eq!(param::set_max(text), Ok(()), "{:?}", text);
            check_eq!(param::max(), max, "{:?}", text);
        }
        let wrong = [&WRONG[..], &[c"2147483648", c"4294967295"]];
        for text in wrong.into_iter().flatten() {
            check_eq!(param::set_max(text), Err(EINVAL), "{:?}", text);
            check_eq!(param::max(), 65_536, "{:?}", text);
        }
        machine_max().store(usual, Relaxed);
        Ok(())
    }

    /// The size of the table changes when it is written, and is rounded up to whole pages of
    /// buckets.
    #[test]
    fn sizes() -> Result {
        case(|_| {
            let _writable = param::Writable::new();
            for (text, size) in [
                (c"1", 512),
                (c"513\n", 1024),
                (c"2048", 2048),
                (c"512", BUCKETS),
            ] {
                check_eq!(param::set_hashsize(text), Ok(()), "{:?}", text);
                check_eq!(
                    (param::hashsize(), TABLE.size()),
                    (size, size),
                    "{:?}",
                    text
                );
            }
            let wrong = [&WRONG[..], &[c"268434945", c"4294967295"]];
            for text in wrong.into_iter().flatten() {
                check_eq!(param::set_hashsize(text), Err(EINVAL), "{:?}", text);
                check_eq!(param::hashsize(), BUCKETS, "{:?}", text);
            }
            Ok(())
        })
    }

    /// Timeouts shrink from one percentage of the limit on to another one, which may be above 100.
    #[test]
    fn adaptive_timeouts() -> Result {
        let start =
            |text| param::set_adaptive_start(text).map(|()| limit::ADAPTIVE_START.load(Relaxed));
        let end = |text| param::set_adaptive_end(text).map(|()| limit::ADAPTIVE_END.load(Relaxed));
        let found = [
            start(c"101"),
            start(c"100"),
            start(c"0"),
            end(c"0"),
            end(c"1001"),
            end(c"1000"),
            end(c"120\n"),
        ];
        check_eq!(
            found,
            [
                Err(EINVAL),
                Ok(100),
                Ok(0),
                Err(EINVAL),
                Err(EINVAL),
                Ok(1000),
                Ok(120)
            ]
        );
        Ok(())
    }

    /// Values written before the module runs are kept for it: the largest size is right, and the
    /// limit is eight times the size if only the size was given.
    #[test]
    fn what_is_asked_for_at_load_is_settled() -> Result {
        let usual = param::max();
        let largest = table::MAX_SIZE;
        check!(largest <= i32::MAX as u32 / 8 && largest > i32::MAX as u32 / 8 - 512);
        let rows = [
            (c"1000", 1024, 8192),
            (c"0x400", 1024, 8192),
            (c"1", 512, 4096),
            (c"268434944", 268_434_944, 2_147_479_552),
        ];
        for (text, size, max) in rows {
            check_eq!(param::set_hashsize(text), Ok(()), "{:?}", text);
            check_eq!(
                (param::settle(), param::max()),
                ((size, size / 256), max),
                "{:?}",
                text
            );
            check_eq!(param::hashsize(), BUCKETS, "{:?}", text);
        }
        check_eq!(param::set_hashsize(c"268434945"), Err(EINVAL));
        check_eq!(param::settle().0, 268_434_944);

        check_eq!(param::set_max(c"77"), Ok(()));
        check_eq!(param::set_hashsize(c"0"), Ok(()), "as if it was not given");
        check_eq!(
            (param::settle().0, param::max()),
            (SETTLED.load(Relaxed), 77)
        );

        // Four expectations for each list.
        let expectations = EXPECT_MAX.load(Relaxed);
        check_eq!(param::set_expect_hashsize(c"1024"), Ok(()));
        check_eq!((param::settle().1, EXPECT_MAX.load(Relaxed)), (1024, 4096));
        check_eq!(param::set_expect_hashsize(c"268434945"), Err(EINVAL));
        check_eq!(param::set_expect_hashsize(c"0"), Ok(()));
        EXPECT_MAX.store(expectations, Relaxed);
        machine_max().store(usual, Relaxed);
        Ok(())
    }
}
