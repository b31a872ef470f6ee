#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# uml_guest.sh [--timeout SECONDS] [--memory SIZE] COMMAND...: boots user-mode Linux with
# the build root as its (copy-on-write) disk, and runs COMMAND in it as root, in /src, this clone.
# /out is writable. Ends with COMMAND's exit status, or with 99 when COMMAND succeeded but
# the kernel complained on the console. One at a time for each clone.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=scripts/cache.sh
. "$TOP/scripts/cache.sh"

timeout=120
memory=512M
while [ $# -gt 0 ]; do
	case $1 in
	--timeout) timeout=$2 ;;
	--memory) memory=$2 ;;
	*) break ;;
	esac
	shift 2
done
[ $# -ge 1 ] || die "usage: uml_guest.sh [--timeout SECONDS] [--memory SIZE] COMMAND..."
console=$LOGS/uml.console

"$TOP/scripts/setup.sh" uml
{
	printf 'exec'
	printf ' %q' "$@"
	printf '\n'
} >"$WORK/uml-job"
rm -f "$WORK/uml-status"
in_root timeout --foreground --kill-after=5 "$timeout" \
	"/usr/lib/modules/$(cat "$(tree_dir uml)/release")/vmlinuz" mem="$memory" \
	root=/dev/root rootfstype=hostfs rootflags=/ rw ncpus=1 seccomp=off \
	con=null con0=null,fd:1 init=/src/scripts/uml_init.sh \
	</dev/null 2>&1 | tr -d '\r' | tee "$console" |
	sed -n '/rust_ct guest: begin/,/rust_ct guest: end/p'
status=$(cat "$WORK/uml-status" 2>/dev/null) ||
	die "the user-mode kernel ended without a word; console: $console"
if ! "$TOP/scripts/scan_console.sh" "$console"; then
	warn "the kernel complained; console: $console"
	[ "$status" -ne 0 ] || status=99
fi
exit "$status"
