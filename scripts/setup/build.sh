#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# build.sh KIND [VARIABLE=VALUE]...: builds rust_ct.ko of this clone for that
# kernel, and for the debug kernels and kcsan the KUnit module too. They end in /out/KIND of
# the build root, which is the directory work-*/KIND of the cache. With
# NAME=nf_conntrack in the environment, the module has that name, and ends in
# /out/KIND-nf_conntrack. With BENCH=1 it is built without Rust's own checks, as for Debian's
# kernel, and ends, with rust_ct_meter.ko, in /out/KIND-bench. With COVERAGE=1 it counts how often
# each part is run, and ends, with rust_ct_coverage.ko, in /out/KIND-coverage.

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/lib.sh"

kind=$1
shift
[[ $kind != *debug && $kind != kcsan ]] || set -- CONFIG_RUST_CT_KUNIT_TEST=m "$@"
"$TOP/scripts/setup/setup.sh" "$kind"
[ -z "${BENCH:-}" ] || set -- BENCH=1 CONFIG_RUST_CT_METER=m "$@"
[ -z "${COVERAGE:-}" ] || set -- CONFIG_RUST_CT_COVERAGE=m "$@"
out=$kind${NAME:+-$NAME}${BENCH:+-bench}${COVERAGE:+-coverage}
mkdir -p "$WORK/$out"
exec {lock}>"$WORK/$out.lock"
flock "$lock"
run_step "modules for the $kind kernel${NAME:+, named $NAME}" "$LOGS/build-$out.log" \
	in_root make -C /src -j"$JOBS" KDIR="/build/$kind" MO="/out/$out" ${NAME:+NAME="$NAME"} modules "$@"
grep -E '^(WARNING|warning)|: warning:' "$LOGS/build-$out.log" || true
