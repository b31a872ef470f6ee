#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# build_module.sh KVER: what DKMS runs, in a copy of the sources: builds rust_ct/nf_conntrack.ko for
# the kernel KVER. Where it cannot, it ends with 77, by which DKMS leaves a kernel out: were it a
# failure, the package of a kernel that is being installed would fail, and stay half configured.

set -uo pipefail

unset KERNELRELEASE MAKEFLAGS
cd "$(dirname "$0")/.." || exit 77
packaging/prepare_tree.sh "$1" || exit 77
# shellcheck disable=SC2016 # dpkg's variable
make -j"$(nproc)" KDIR="/var/cache/rust-ct/$1" NAME=nf_conntrack \
	RUST_CT_BUILT_FOR="$(dpkg-query -W -f '${Version}' "linux-headers-$1")" modules || {
	echo "rust-ct: $1 keeps its own nf_conntrack: the module could not be built for it" >&2
	exit 77
}
