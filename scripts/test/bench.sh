#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# bench.sh: times nf_conntrack and rust_ct; see Documentation/performance.md. Prints a table, and leaves it, a plot and
# the raw numbers in work-*/bench: bench.txt, bench.svg, bench.csv.
#
# PARTS   what is measured (default: all)
#         packets     what a packet takes, and a connection      in one user-mode kernel, at native speed
#         table       what is done to all connections at once    there
#         processors  packets of two processors at once          in the stock guest, with two processors
#         routed      throughput and connections a second        there, through a namespace that forwards
# ROUNDS  how often everything is done (default 3)
# FLOWS   packets: with how many connections (default "1024 131072 1048576")
# TABLE   table: with how many connections (default 524288)
# SPAN    routed: for how many seconds each thing (default 10)
# PLOT=0  no plot, which is of the part `packets`
#
# For the plot, and for what `routed` runs, a copy of the build root is made (scripts/setup/layers/bench.txt).

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

out=$WORK/bench
parts=${PARTS:-packets table processors routed}
uml=()
for part in $parts; do
	case $part in
	packets | table) uml+=("$part") ;;
	processors | routed) ;;
	*) die "PARTS: '$part' is none of packets, table, processors and routed" ;;
	esac
done

# guest LAYER PART: a part that the stock guest runs.
guest() {
	LAYER=$1 "$TOP/scripts/guest/guest.sh" --name "bench-$2" --timeout "${BENCH_TIMEOUT:-7200}" --cached stock \
		env ROUNDS="${ROUNDS:-}" SPAN="${SPAN:-}" SLOW=3 RUST_CT_KO=/out/stock-bench/rust_ct/rust_ct.ko \
		METER_KO=/out/stock-bench/tests/meter/rust_ct_meter.ko python3 -B "tests/bench/$2.py" /out/bench/bench.csv
}

mkdir -p "$out"
rm -f "$out"/bench.*
if [ ${#uml[@]} -gt 0 ]; then
	BENCH=1 "$TOP/scripts/setup/build.sh" uml
	UML_TIMEOUT=${BENCH_TIMEOUT:-7200} UML_MEMORY=${UML_MEMORY:-2G} "$TOP/scripts/guest/uml.sh" --bare \
		"env ROUNDS='${ROUNDS:-}' FLOWS='${FLOWS:-}' TABLE='${TABLE:-}' \
		RUST_CT_KO=/out/uml-bench/rust_ct/rust_ct.ko METER_KO=/out/uml-bench/tests/meter/rust_ct_meter.ko \
		python3 -B tests/bench/bench.py /out/bench/bench.csv ${uml[*]}"
fi
[[ " $parts " != *" processors "* && " $parts " != *" routed "* ]] || BENCH=1 "$TOP/scripts/setup/build.sh" stock
[[ " $parts " != *" processors "* ]] || guest "" processors
[[ " $parts " != *" routed "* ]] || guest bench routed
in_root python3 -B /src/tests/bench/table.py /out/bench/bench.csv | tee "$out/bench.txt"
if [ "${PLOT:-1}" = 1 ] && [[ " $parts " = *" packets "* ]]; then
	LAYER=bench "$TOP/scripts/setup/setup.sh" root
	LAYER=bench in_root python3 -B /src/tests/bench/plot.py /out/bench/bench.csv /out/bench/bench.svg
fi
say "bench: table, plot and raw numbers are in $out"
