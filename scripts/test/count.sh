#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# count.sh: how many instructions a packet takes through a router without a tracker, with
# nf_conntrack and with rust_ct, on the stock kernel. The guest's clock is the count of its instructions,
# so the figures do not depend on what else the machine does, and are nearly the same each time.
#
# KO  another rust_ct.ko, to count beside: that of the commit before, for example

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

"$TOP/scripts/setup/build.sh" stock
[ -z "${KO:-}" ] || cp "$KO" "$WORK/count-other.ko"
"$TOP/scripts/guest/guest.sh" --name count --timeout 1200 --cpus 1 --qemu "-icount shift=0,sleep=off" \
	--cached stock env RUST_CT_KO=/out/stock/rust_ct/rust_ct.ko python3 -B tests/count/count.py ${KO:+/out/count-other.ko}
