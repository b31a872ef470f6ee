#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# keep_own.sh KVER: what DKMS runs after it has installed the module for the kernel KVER. DKMS has taken
# away the kernel's own module of the same name; this puts it back, as it is what there is when the
# kernel refuses ours.

set -eu

kept=/var/lib/dkms/rust-ct/original_module/$1
[ -d "$kept" ] || exit 0
find "$kept" -name '*.origin' | while read -r origin; do
	own=$(head -n 1 "$origin")
	case $own in
	"/lib/modules/$1/kernel/"* | "/usr/lib/modules/$1/kernel/"*)
		mv -f "${origin%.origin}" "$own"
		echo "rust-ct: $own stays where it is"
		;;
	# One of ours, of before, that DKMS did not know.
	*) rm -f "${origin%.origin}" ;;
	esac
	rm "$origin"
done
find "${kept%/*}" -type d -empty -delete
