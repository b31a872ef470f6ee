#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# check_exports.sh: holds Documentation/exports.md against rust_ct/exports.c and bpf.c: the names
# that the page says rust_ct has are what it exports, and lists for BPF programs. Prints what
# differs, and fails then.

set -euo pipefail
cd "$(dirname "$0")/../.."

page=Documentation/exports.md
exported=$(sed -nE 's/^EXPORT_SYMBOL(_GPL)?\(([A-Za-z0-9_]+)\);$/\2/p' rust_ct/exports.c | sort)
# shellcheck disable=SC2016 # backticks of the page
named=$(sed -nE 's/^\| `([A-Za-z0-9_]+)` \| yes \|.*/\1/p' "$page" | sort)
[ -n "$exported" ] || { echo "check_exports.sh: rust_ct/exports.c exports nothing" >&2; exit 1; }
if ! diff <(echo "$named") <(echo "$exported"); then
	echo "check_exports.sh: < is in $page only, > in rust_ct/exports.c only" >&2
	exit 1
fi
total=$(wc -l <<<"$exported")
grep -q "rust_ct has $total of them" "$page" || {
	echo "check_exports.sh: $page does not say that rust_ct has $total names" >&2
	exit 1
}
# What BPF programs call.
listed=$(sed -nE 's/^BTF_ID_FLAGS\(func, ([a-z_]+).*/\1/p' rust_ct/bpf.c | sort)
# shellcheck disable=SC2016 # backticks of the page
named=$(sed -nE 's/^\| `(bpf_[a-z_]+)` \|.*/\1/p' "$page" | sort)
[ -n "$listed" ] || { echo "check_exports.sh: rust_ct/bpf.c lists nothing" >&2; exit 1; }
if ! diff <(echo "$named") <(echo "$listed"); then
	echo "check_exports.sh: < is in $page only, > in rust_ct/bpf.c only" >&2
	exit 1
fi
