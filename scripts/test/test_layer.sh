#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# test_layer.sh demo|lint|scripts|host|reference|fuzz|stock|stalls|compare|count|kunit|debug|soak|umldebug|
# cloud|rt|rtdebug|kcsan|apps|selftests|install: runs one layer of tests; the last line is 'N passed,
# N failed'. With SHORT=1 in the environment, what CI has no time for is left out.

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

cd "$TOP"

# count_tap LOG: prints 'N passed, N failed' of a log in TAP. A skipped check is
# neither; a plan that is missing or does not fit is a failure.
count_tap() {
	awk '{ sub(/\r$/, "") }
		/^ok / { run++; if (!/# SKIP/) passed++ }
		/^not ok / { run++; failed++ }
		/^1\.\.[0-9]+$/ { plan = substr($0, 4) + 0; planned = 1 }
		END {
			if (!planned || plan != run || !run) failed++
			printf "%d passed, %d failed\n", passed, failed
		}' "$1"
}

# count_guest STATUS COUNT: prints COUNT, 'N passed, N failed', of a guest that ended with STATUS; where
# no check has failed, the guest itself may have. Without a COUNT there is no log.
count_guest() {
	local count=${2:-0 passed, 1 failed}
	[ "$1" -eq 0 ] || count=${count/, 0 failed/, 1 failed}
	echo "$count"
}

# demo KIND: what the demonstration has checked; it ends at the first thing that does not hold.
demo() {
	local status=0
	scripts/test/run_demo.sh "$1" || status=$?
	echo "$(grep -c '^ *\[x\]' "$LOGS/demo-$1.log" || true) passed, $((status != 0)) failed"
}

layer_demo() {
	demo stock
}

layer_lint() {
	scripts/lint/lint.sh
}

layer_scripts() {
	local status=0 log=$LOGS/scripts.log
	python3 -B -m unittest discover --verbose scripts/guest 2>&1 | tee "$log" || status=$?
	python3 -B -m unittest discover --verbose scripts/setup 2>&1 | tee -a "$log" || status=$?
	in_root python3 -B -m unittest discover --verbose /src/tests/selftests 2>&1 |
		tee -a "$log" || status=$?
	in_root python3 -B -m unittest discover --verbose /src/tests/count 2>&1 |
		tee -a "$log" || status=$?
	scripts/test/rebuild.sh 2>&1 | tee -a "$log" || status=$?
	scripts/package/test_load.sh 2>&1 | tee -a "$log" || status=$?
	echo "$(grep -cE ' \.\.\. ok$|^ok - ' "$log" || true) passed, $((status != 0)) failed"
}

layer_host() {
	in_root env CARGO_BUILD_JOBS="$JOBS" bash /src/tests/host/run.sh
}

# The trackers of TCP and SCTP beside the kernel's own C, packet by packet.
layer_reference() {
	in_root env CARGO_BUILD_JOBS="$JOBS" bash /src/tests/host/reference.sh /build/source
}

# Each target that found nothing is one passed test, as is the proof that the
# sanitizer works.
layer_fuzz() {
	local status=0 log=$LOGS/fuzz.out
	in_root env CARGO_TARGET_DIR=/out/fuzz FUZZ_JOBS="$JOBS" \
		bash /src/tests/host/fuzz.sh "${SECONDS_OF_FUZZING:-20}" | tee "$log" || status=$?
	echo "$(grep -cE 'nothing found|AddressSanitizer is active' "$log" || true) passed," \
		"$((status != 0)) failed"
}

# The short form: a few packets of each family, and the sessions that the layer `stock` captured.
layer_compare() {
	in_root env CARGO_TARGET_DIR=/out/compare CARGO_BUILD_JOBS="$JOBS" \
		cargo test --quiet --locked --manifest-path /src/tests/compare/Cargo.toml || {
		echo "0 passed, 1 failed"
		return
	}
	compgen -G "$WORK/captures/*.pcap" >/dev/null || {
		warn "the layer stock has captured no session to compare"
		echo "0 passed, 1 failed"
		return
	}
	PACKETS=${PACKETS:-5000} scripts/test/compare.sh
}

layer_count() {
	scripts/test/count.sh check
}

layer_kunit() {
	scripts/test/kunit.sh
}

# kunit KIND: on that kernel, before other tests, which go on where a case fails.
kunit() {
	local status=0 log=$LOGS/kunit-$1.out
	KERNEL=$1 scripts/test/kunit.sh | tee "$log" || status=$?
	[ "$status" -eq 0 ] || tail -n 1 "$log" | grep -qE '^[0-9]+ passed, [1-9][0-9]* failed' ||
		echo "0 passed, 1 failed"
}

# scenarios KIND SLOWNESS FULL TIMEOUT [SCENARIO...]: FULL=1 asks for every repetition; SLOWNESS
# multiplies the time limits, as a kernel may be built beside.
scenarios() {
	local kind=$1 slow=$2 full=$3 timeout=$4 status=0 log=$LOGS/scenarios-$1.log in_place=
	rm -f "$log"
	scripts/setup/build.sh "$kind"
	if [ "$kind" = stock ]; then
		NAME=nf_conntrack scripts/setup/build.sh "$kind"
		scripts/test/indices.sh
		in_place=/out/$kind-nf_conntrack/rust_ct/nf_conntrack.ko
	fi
	scripts/guest/guest.sh --name scenarios --timeout "$timeout" --cached "$kind" \
		env CT="${CT:-rust_ct}" RUST_CT_KO="/out/$kind/rust_ct/rust_ct.ko" \
		IN_PLACE_KO="$in_place" INDICES=/out/indices SLOW="$slow" FULL="$full" SHORT="${SHORT:+$kind}" \
		python3 -B tests/scenarios/run.py "${@:5}" || status=$?
	count_guest "$status" "$(count_tap "$log")"
}

# What loads and unloads, hooks, locks, races and expires: another flavour of a kernel may change that. A
# module that does not load is noticed by the first; others leave out what needs it.
short=(consumers states nat ftp limit namespaces resize race helper_lifetime)

# sum: copies what it reads, and adds up its lines 'N passed, N failed'.
sum() {
	awk '/^[0-9]+ passed, [0-9]+ failed/ { passed += $1; failed += $3 }
		{ print; fflush() }
		END { printf "%d passed, %d failed\n", passed, failed }'
}

# The demonstration and some scenarios, on another flavour of Debian's kernel.
layer_cloud() {
	{ demo cloud; scenarios cloud 3 1 1200 "${short[@]}"; } | sum
}

layer_rt() {
	{ demo rt; scenarios rt 3 1 1200 "${short[@]}"; } | sum
}

# On a kernel with PREEMPT_RT that looks at its locks.
layer_rtdebug() {
	{ kunit rtdebug; scenarios rtdebug 8 0 2400 "${short[@]}"; } | sum
}

# On a kernel that looks for data races.
layer_kcsan() {
	{ kunit kcsan; meet; scenarios kcsan 6 0 7200 "${short[@]}" isolation; soak kcsan 10; } |
		sum
}

# Two processors send packets of the same connection, of two connections in a bucket, and of others: one check,
# whether the kernel complains.
meet() {
	local status=0
	scripts/setup/build.sh kcsan CONFIG_RUST_CT_METER=m
	scripts/guest/guest.sh --name meet --timeout 1200 kcsan env ROUNDS=1 SLOW=6 \
		RUST_CT_KO=/out/kcsan/rust_ct/rust_ct.ko METER_KO=/out/kcsan/tests/meter/rust_ct_meter.ko \
		python3 -B tests/bench/processors.py /dev/null || status=$?
	echo "$((status == 0)) passed, $((status != 0)) failed"
}

# In user-mode Linux with KASAN and two processors: all scenarios in full, at many times the speed of
# the debug kernel.
layer_umldebug() {
	{ kunit umldebug; scenarios umldebug 3 1 7200; } | sum
}

# soak KIND MINUTES: everything at once.
soak() {
	local status=0 log=$LOGS/soak-$1.log count
	rm -f "$log"
	# Its own count is not to be added up as well.
	MINUTES=${MINUTES:-$2} CPUS=${CPUS:-2} KERNEL=$1 scripts/test/soak.sh |
		sed -u '/^[0-9]* passed, /s/^/soak: /' || status=$?
	count=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1)
	count_guest "$status" "$count"
}

# On the debug kernel, for five minutes.
layer_soak() {
	soak debug 5
}

# In full, but for CI.
layer_stock() {
	scenarios stock 3 "$((!${SHORT:-0}))" 3000
}

# For how long packets stand still while the table is worked on, on a clock that the rest of the machine does not
# move. CT=nf_conntrack shows the other tracker's.
layer_stalls() {
	local status=0 log=$LOGS/stalls-stock.log
	rm -f "$log"
	scripts/setup/build.sh stock
	scripts/guest/guest.sh --name stalls --timeout 2400 --counted --cached stock \
		env CT="${CT:-rust_ct}" RUST_CT_KO=/out/stock/rust_ct/rust_ct.ko CLOCK=instructions \
		SHORT="${SHORT:+stalls}" SLOW=1 python3 -B tests/scenarios/run.py stalls || status=$?
	count_guest "$status" "$(count_tap "$log")"
}

layer_apps() {
	scripts/test/apps.sh
}

layer_selftests() {
	scripts/test/selftests.sh
}

# In short, the packages are built, and installed where nothing boots.
layer_install() {
	if [ -n "${SHORT:-}" ]; then scripts/package/test_deb.sh; else scripts/package/test_install.sh; fi
}

layer_debug() {
	scenarios debug 6 0 3600
}

"layer_$1"
