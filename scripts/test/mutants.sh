#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# mutants.sh [PART ...]: puts each small mistake into the pure layer and runs its host tests, and the comparison with
# the kernel's own C; the last line is 'N passed, N failed', where a mistake that no test notices, and that
# tests/mutants/equivalent.txt does not explain, is a failure. With arguments, only mistakes in files or functions
# whose names contain PART. What noticed each is in work-*/mutants/mutants.log.
#
# SEED  of the properties' cases (default: drawn, and printed)

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

"$TOP/scripts/setup/setup.sh" root
in_root env CARGO_TARGET_DIR=/out/mutants bash /src/tests/host/reference.sh --build /build/source
in_root env CARGO_TARGET_DIR=/out/mutants RCT_REFERENCE=/out/mutants/reference \
	RCT_SELFTESTS=/build/source/tools/testing/selftests JOBS="$JOBS" SEED="${SEED:-}" \
	CARGO_BUILD_JOBS="$JOBS" python3 -B /src/tests/mutants/run.py "$@"
