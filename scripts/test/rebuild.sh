#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# rebuild.sh: sees that make notices when the kernel tree was configured anew: in a copy of the stock
# tree, whose configuration has lost an option that moves fields of struct net, it builds
# again, and says that the tree itself was not made anew; and that make refuses a tree that no module can be
# built for, and a name that the module cannot have, before it does anything.

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

log=$LOGS/rebuild.log

# rebuild: run in the root.
rebuild() {
	local tree=/build/stock
	keep_tree "$tree"
	sed -i '/CONFIG_KEYS\>/d' "$tree/include/generated/autoconf.h"
	sed -i '/^CONFIG_KEYS=/d' "$tree/include/config/auto.conf"
	cp -a /out/stock /tmp/objects
	make -C /src KDIR="$tree" MO=/tmp/objects modules
}

# refuse: run in the root.
refuse() {
	mkdir -p /tmp/tree/include/config /tmp/objects
	refused "a tree that is not prepared" "KDIR=/tmp/tree is no prepared kernel tree" KDIR=/tmp/tree
	grep -v CONFIG_RUST= /build/stock/include/config/auto.conf >/tmp/tree/include/config/auto.conf
	refused "a kernel without Rust" "the kernel in KDIR=/tmp/tree was configured without CONFIG_RUST=y" KDIR=/tmp/tree
	refused "a name that is not the module's" "NAME=nf_ct: the module can be" KDIR=/build/stock NAME=nf_ct
}

# refused WHAT LINE VARIABLE...
refused() {
	if make -C /src MO=/tmp/objects "${@:3}" modules >/tmp/log 2>&1 || ! grep -qF "error: $2" /tmp/log ||
		[ -n "$(ls /tmp/objects)" ]; then
		cat /tmp/log
		echo "$1 is refused, by a line that says so ... FAILED"
		exit 1
	fi
	echo "$1 is refused, by a line that says so ... ok"
}

"$TOP/scripts/setup/build.sh" stock
in_root bash -euc "$(declare -f refuse refused); refuse"
what="a tree that was configured anew is noticed"
if in_root bash -euc "$(declare -f keep_tree rebuild); rebuild" >"$log" 2>&1; then
	echo "$what ... it was not; the log: $log"
	exit 1
fi
grep -q "the kernel tree was configured anew" "$log" || {
	tail -n 20 "$log"
	echo "$what ... FAILED otherwise; the log: $log"
	exit 1
}
echo "$what ... ok"
