#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# distclean.sh: drops the cache: build root, kernels, crates, objects and logs.

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/lib.sh"

[ -d "$CACHE" ] || exit 0
# Nothing but a cache that set-up made is removed.
[ -d "$CACHE/cargo" ] || die "$CACHE does not look like rust_ct's cache, not removed"
size=$(du -sh "$CACHE" | cut -f1)
rm -rf --one-file-system "$CACHE"
say "removed $CACHE ($size)"
