#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# count.sh [check|accept]: counts what each path of a packet costs with nf_conntrack and with rust_ct, in the stock
# kernel's machine code; see Documentation/performance.md. `check` compares with tests/count/figures, and the last
# line is 'N passed, N failed'; `accept` writes them, and the table of the page.
#
# KO         another rust_ct.ko, to count beside: that of the commit before, for example
# FUNCTIONS  for paths whose name has this in it: in which functions

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

figures=tests/count/figures
page=Documentation/performance.md
options=()
"$TOP/scripts/setup/build.sh" stock CONFIG_RUST_CT_METER=m
if [ -n "${KO:-}" ]; then
	cp "$KO" "$WORK/count-other.ko"
	options+=(--other /out/count-other.ko)
fi
[ -z "${FUNCTIONS:-}" ] || options+=(--functions "$FUNCTIONS")
[ "${1:-}" != accept ] || options+=(--document "/src/$page")
[ "${1:-}" != check ] || options+=(--check "/src/$figures")
in_root python3 -B /src/tests/count/count.py /out/count /out/stock "${options[@]}"
if [ "${1:-}" = accept ]; then
	cp "$WORK/count/figures" "$TOP/$figures"
	cp "$WORK/count/${page##*/}" "$TOP/$page"
	say "count: written to $figures, and to the table of $page"
fi
