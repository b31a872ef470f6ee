#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Compares the TCP and SCTP trackers with the kernel's own, packet by packet: compiles
# net/netfilter/nf_conntrack_proto_{tcp,sctp}.c of the source tree KSRC for user space, and gives random
# sequences of packets to both. And looks at what the kernel's packetdrill scripts send.
#
# usage: reference.sh [--build] KSRC, with --build only to compile them, into $CARGO_TARGET_DIR/reference
# CARGO_TARGET_DIR, PROPTEST_CASES, PROPTEST_RNG_SEED: as in run.sh
set -euo pipefail

readonly CLANG=19

die() {
	echo "tests/host/reference.sh: $*" >&2
	exit 1
}

only_build=
[ "${1:-}" != --build ] || {
	only_build=1
	shift
}
ksrc="${1:-}"
[ -f "$ksrc/net/netfilter/nf_conntrack_proto_tcp.c" ] ||
	die "usage: reference.sh [--build] KSRC, a kernel source tree; got '$ksrc'"
ksrc=$(readlink -f "$ksrc")
here=$(dirname "$(readlink -f "$0")")
cache="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/rust_ct/host}"
build="$cache/reference"
export CARGO_TARGET_DIR="$cache"

# The trackers' own includes are answered by empty files: kernel.h is all they get.
rm -rf "$build"
mkdir -p "$build/include"
for proto in tcp sctp; do
	source="$ksrc/net/netfilter/nf_conntrack_proto_$proto.c"
	while read -r header; do
		mkdir -p "$build/include/$(dirname "$header")"
		: >"$build/include/$header"
	done < <(sed -n 's/^#include <\(.*\)>.*/\1/p' "$source")
	"clang-$CLANG" -O1 -g -fwrapv -fno-strict-aliasing -w -I"$build/include" \
		-idirafter "$ksrc/include" -iquote "$ksrc" -iquote "$ksrc/net/netfilter" -iquote "$here/reference" \
		-c "$here/reference/$proto.c" -o "$build/$proto.o"
done
ar rcs "$build/librct_reference.a" "$build/tcp.o" "$build/sctp.o"

[ -z "$only_build" ] || exit 0
export RCT_REFERENCE="$build"
export RCT_SELFTESTS="$ksrc/tools/testing/selftests"
exec "$here/run.sh" tests::reference
