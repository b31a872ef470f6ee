#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# unfit.sh [OPTION...]: builds the module for the stock kernel as it would be without each of these
# options of its configuration, one after the other, and sees in the stock guest that each module is refused.
# By default two that move fields of struct net, before and behind those of netfilter.

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

# build OPTION: configures a copy of the tree without it, makes that anew, and the module for
# it in /out/unfit. Run in the root.
build() {
	local tree=/build/stock
	keep_tree "$tree"
	cd /build/source
	scripts/config --file "$tree/.config" --disable "$1"
	make O="$tree" olddefconfig
	if grep "^CONFIG_$1=" "$tree/.config"; then
		echo "error: CONFIG_$1 is selected by another option, it cannot be switched off"
		return 1
	fi
	make O="$tree" -j"$2" prepare modules_prepare
	make -C /src KDIR="$tree" MO="/out/unfit/$1" modules
}

[ $# -gt 0 ] || set -- IP_SCTP NF_FLOW_TABLE
"$TOP/scripts/setup/setup.sh" stock
rm -rf "$WORK/unfit"
mkdir -p "$WORK/unfit"
files=
for option; do
	run_step "module for a kernel without $option" "$LOGS/unfit-$option.log" \
		in_root bash -euc "$(declare -f keep_tree build); build $option $JOBS"
	files+=${files:+ }/out/unfit/$option/rust_ct/rust_ct.ko
done
"$TOP/scripts/guest/guest.sh" --name unfit --timeout 400 --cached stock \
	env CT=rust_ct RUST_CT_KO="${files%% *}" UNFIT_KOS="$files" SLOW=3 python3 -B tests/scenarios/run.py unfit
