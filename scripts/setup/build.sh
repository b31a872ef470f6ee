#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# build.sh stock|debug|uml [VARIABLE=VALUE]...: builds rust_ct.ko of this clone for that
# kernel, and for the debug kernel the KUnit module too. They end in /out/KIND of
# the build root, which is the directory work-*/KIND of the cache.

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/lib.sh"

kind=$1
shift
[ "$kind" != debug ] || set -- CONFIG_RUST_CT_KUNIT_TEST=m "$@"
"$TOP/scripts/setup/setup.sh" "$kind"
mkdir -p "$WORK/$kind"
exec {lock}>"$WORK/$kind.lock"
flock "$lock"
run_step "modules for the $kind kernel" "$LOGS/build-$kind.log" \
	in_root make -C /src -j"$JOBS" KDIR="/build/$kind" MO="/out/$kind" modules "$@"
grep -E '^(WARNING|warning)|: warning:' "$LOGS/build-$kind.log" || true
