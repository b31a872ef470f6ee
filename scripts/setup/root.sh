#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# root.sh [COMMAND...]: runs COMMAND, or a shell, in the build root, with this clone
# in /src (read-only), its objects in /out and the kernel trees in /build.

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/lib.sh"

"$TOP/scripts/setup/setup.sh" root
in_root "${@:-bash}"
