#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# keep_own.sh KVER: what DKMS runs before and after it installs the module for the kernel KVER. DKMS takes
# away the kernel's own module of the same name; this puts it back, as it is what there is when the
# kernel refuses ours. Always ends with 0, as DKMS installs nothing after a failure.

modules=/lib/modules/$1
dkms=/var/lib/dkms/rust-ct
kept=$dkms/original_module/$1

# A file that DKMS does not know of is what an install has left that was interrupted: DKMS would keep
# it in the place of the kernel's own.
[ -e "$dkms/kernel-$1-x86_64" ] || rm -f "$modules/updates/dkms"/nf_conntrack.ko*
[ -d "$kept" ] || exit 0
find "$kept" -name 'nf_conntrack.ko*' | sed 's/\.origin$//' | sort -u | while read -r file; do
	[ -e "$file" ] || { rm -f "$file.origin"; continue; }
	from=$(head -n 1 "$file.origin" 2>/dev/null)
	case $from in
	# An older module of ours that DKMS did not know.
	*/updates/dkms/* | */updates/rust-ct/*)
		rm -f "$file" "$file.origin"
		continue
		;;
	"$modules"/*nf_conntrack.ko* | "/usr$modules"/*nf_conntrack.ko*) ;;
	# DKMS was interrupted between moving the file and writing where it was.
	*)
		from=$modules/kernel/net/netfilter/${file##*/}
		if [ -e "$from" ]; then
			echo "rust-ct: $file is left there, as nothing says where it was" >&2
			continue
		fi
		;;
	esac
	if mkdir -p "${from%/*}" && mv -f "$file" "$from"; then
		rm -f "$file.origin"
		echo "rust-ct: $from stays where it is"
	else
		echo "rust-ct: $file could not be put back as $from" >&2
	fi
done
find "${kept%/*}" -type d -empty -delete
exit 0
