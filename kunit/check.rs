// SPDX-License-Identifier: GPL-2.0

//! Checks that end a test case by returning from it.
//!
//! KUnit's own assertions end the thread where they are: nothing on the stack is dropped, so that a
//! lock stays held, a connection referenced and the module cannot be unloaded. These log what is
//! wrong and return an error, which KUnit counts as a failure, and they work in helpers as well as
//! in test cases.

/// Returns an error unless a condition holds. What follows the condition says in which case it does
/// not.
macro_rules! check {
    ($condition:expr $(,)?) => {
        check!($condition, "")
    };
    ($condition:expr, $($context:tt)+) => {
        if !$condition {
            $crate::check::report(
                file!(),
                line!(),
                stringify!($condition),
                ::kernel::prelude::fmt!($($context)+),
            );
            return Err(::kernel::error::code::EINVAL);
        }
    };
}

/// Returns an error unless two values are equal. What follows them says in which case they are not.
macro_rules! check_eq {
    ($found:expr, $expected:expr $(,)?) => {
        check_eq!($found, $expected, "")
    };
    ($found:expr, $expected:expr, $($context:tt)+) => {
        match (&$found, &$expected) {
            (found, expected) => {
                if *found != *expected {
                    $crate::check::report(
                        file!(),
                        line!(),
                        stringify!($found == $expected),
                        ::kernel::prelude::fmt!($($context)+),
                    );
                    ::kernel::prelude::pr_err!("#   found {:?}, expected {:?}\n", found, expected);
                    return Err(::kernel::error::code::EINVAL);
                }
            }
        }
    };
}

/// Logs which check has failed, and where.
pub(crate) fn report(file: &str, line: u32, what: &str, context: kernel::fmt::Arguments<'_>) {
    kernel::prelude::pr_err!("# {file}:{line}: not so: {what}\n");
    if context.as_str() != Some("") {
        kernel::prelude::pr_err!("#   {context}\n");
    }
}
