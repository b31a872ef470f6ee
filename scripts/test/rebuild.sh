#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# rebuild.sh: sees that make notices when the kernel tree was configured anew: in a copy of the stock
# tree, whose configuration has lost an option that moves fields of struct net, it builds
# again, and says that the tree itself was not made anew.

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

"$TOP/scripts/setup/build.sh" stock
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
