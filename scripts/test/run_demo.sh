#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# run_demo.sh [KIND]: make demo. Sets up, builds, and shows rust_ct at work in the stock Debian
# kernel, or in another kernel; what happens inside the guest is scripts/test/demo.py.

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

kind=${1:-stock}
say "demo 1/3: set-up (nothing to do the second time)"
"$TOP/scripts/setup/setup.sh" "$kind"
say "demo 2/3: building rust_ct.ko for the $kind kernel"
"$TOP/scripts/setup/build.sh" "$kind"
say "demo 3/3: booting the $kind kernel and showing rust_ct at work"
"$TOP/scripts/guest/guest.sh" --name demo --timeout 600 --cached "$kind" \
	env RUST_CT_KO="/out/$kind/rust_ct/rust_ct.ko" python3 -B scripts/test/demo.py || {
	status=$?
	die "the demo failed in the guest (status $status); its output:" \
		"$LOGS/demo-$kind.log, the kernel's: $LOGS/demo-$kind.console"
}
say "demo: done"
