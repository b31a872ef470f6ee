#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# indices.sh: makes in /out/indices what depmod makes of the stock kernel's modules with this clone's
# nf_conntrack.ko in updates/, for tests that install it in a guest, where depmod takes a minute.
# The module is built already.

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

# indices: in the build root, which forgets the rest.
indices() {
	local modules
	modules=/lib/modules/$(sed -n 's/^release=//p' /build/versions)
	mkdir -p "$modules/updates"
	cp /out/stock-nf_conntrack/rust_ct/nf_conntrack.ko "$modules/updates/"
	depmod -a "$(basename "$modules")"
	rm -rf /out/indices
	mkdir /out/indices
	cp "$modules"/modules.* /out/indices/
}

run_step "depmod" "$LOGS/indices.log" in_root bash -euc "$(declare -f indices); indices"
