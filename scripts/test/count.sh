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
rm -rf "$WORK/count"
mkdir -p "$WORK/count"
[ -z "${KO:-}" ] || cp "$KO" "$WORK/count/other.ko"

log=$LOGS/count-stock.log
"$TOP/scripts/guest/guest.sh" --name count --timeout 1200 --cpus 1 --qemu "-icount shift=0,sleep=off" \
	--cached stock bash tests/count/all.sh >/dev/null || die "the guest did not count to its end; log: $log"

# One line for each kind of packet, one column for each tracker.
awk -F'|' 'NF == 3 {
		if (!($1 in seen)) { seen[$1]; names[++n] = $1 }
		if (!($2 in known)) { known[$2]; kinds[++k] = $2 }
		count[$2, $1] = $3
	}
	END {
		printf "%-48s", "instructions of a packet"
		for (i = 1; i <= n; i++) printf " %13s", names[i]
		printf "\n"
		for (j = 1; j <= k; j++) {
			printf "%-48s", kinds[j]
			for (i = 1; i <= n; i++) printf " %13d", count[kinds[j], names[i]]
			printf "\n"
		}
	}' "$log"
