#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# all.sh: run.sh for each tracker, one after the other; see scripts/test/count.sh.

set -euo pipefail

here=$(dirname "$0")
"$here/run.sh" none none
"$here/run.sh" nf_conntrack nf_conntrack
"$here/run.sh" rust_ct rust_ct /out/stock/rust_ct/rust_ct.ko
[ ! -e /out/count/other.ko ] || "$here/run.sh" rust_ct other /out/count/other.ko
