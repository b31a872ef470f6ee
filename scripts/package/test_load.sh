#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# test_load.sh: runs packaging/files/load, and what keeps the kernel's own module and depmod's index,
# in the build root with a modprobe, an insmod, a modinfo and a depmod that only write down what they
# are asked, and so tries what a machine would have to be booted for each time. A line for each check;
# ends with 1 if one failed.

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

# In the root, whose changes are forgotten.
# shellcheck disable=SC2016 # the inner shell's
in_root bash -c '
failed=0
modules=/lib/modules/1.0-test
ours=$modules/updates/rust-ct/nf_conntrack.ko
own=$modules/kernel/net/netfilter/nf_conntrack.ko.xz
mkdir -p "${ours%/*}" "${own%/*}"
touch "$own"
# Its log is ours.
sed "s,>/dev/kmsg,>>/tmp/calls," /src/packaging/files/load >/tmp/load

# stub NAME LINE: a command that notes how it was called, and does LINE.
stub() {
	rm -f "/usr/sbin/$1" "/usr/bin/$1"
	printf "#!/bin/sh\necho $1 \$* >>/tmp/calls\n%s\n" "$2" >"/usr/sbin/$1"
	chmod +x "/usr/sbin/$1"
}

# check NAME COMMAND...
check() {
	local name=$1
	shift
	if "$@"; then
		echo "ok - $name"
	else
		echo "not ok - $name"
		failed=1
	fi
}

# try NAME LINE OPTION...: runs load, and LINE has to be among what was called, or logged.
try() {
	local name=$1 line=$2 status=0
	shift 2
	rm -f /tmp/calls
	sh /tmp/load "$@" 2>/dev/null || status=$?
	if [ "$status" -eq 0 ] && grep -qF -- "$line" /tmp/calls; then
		echo "ok - load: $name"
	else
		echo "not ok - load: $name (status $status)"
		sed "s/^/    /" /tmp/calls
		failed=1
	fi
}

version="echo \"#1 SMP PREEMPT_DYNAMIC Debian 1.0-1 (2026-01-01)\""
stub uname "case \$1 in -r) echo 1.0-test ;; -v) $version ;; esac"
stub insmod ""
stub modprobe ""
stub modinfo "case \$2 in filename) echo $own ;; esac"
try "without rust_ct, the one that is there is loaded" "modprobe --ignore-install nf_conntrack hashsize=1024" hashsize=1024
try "and the log says so" "there is none for 1.0-test"
stub modinfo "case \$2 in filename) echo $ours ;; esac"
try "with it, it is, with its options" "modprobe --ignore-install nf_conntrack hashsize=1024" hashsize=1024
stub modinfo "case \$2 in filename) echo $ours ;; built_for) echo 1.0-1 ;; esac"
try "if it was built for this version of the kernel" "modprobe --ignore-install nf_conntrack"
stub modinfo "case \$2 in filename) echo $ours ;; built_for) echo 1.0-2 ;; esac"
try "if it was built for another one, the own is loaded" "insmod $own hashsize=1024" hashsize=1024
try "and the log says so" "is not used: it was built for Debian'"'"'s kernel 1.0-2"
version="echo \"#2 SMP PREEMPT_DYNAMIC Thu Nov 26 10:00:00 UTC 2026\""
stub modinfo "case \$2 in filename) echo $ours ;; built_for) echo 1.0-1 ;; esac"
stub uname "case \$1 in -r) echo 1.0-test ;; -v) $version ;; esac"
try "on a kernel that somebody built, the own is loaded" "insmod $own"
stub modinfo "case \$2 in filename) echo $ours ;; esac"
stub modprobe "case \$1 in --ignore-install) echo refused: Exec format error >&2; exit 1 ;; esac"
try "refused, the own is loaded, with the options" "insmod $own hashsize=1024" hashsize=1024
try "and the log says why" "is not used: refused: Exec format error"
try "what both need is there before" "modprobe -a nf_defrag_ipv4 nf_defrag_ipv6"
stub modprobe "case \$1 in --ignore-install) exit 1 ;; esac"
other=${own%.xz}.zst
touch "$other"
stub insmod "case \$1 in *.xz) exit 1 ;; esac"
try "an own one that is cut off is not the last that is tried" "insmod $other"
stub insmod ""
rm "$other"
touch /run/rust-ct.off
try "switched off, it is not tried" "is not used: rust-ct-switch has chosen"
rm /run/rust-ct.off
archive=/var/lib/dkms/rust-ct/original_module/1.0-test/x86_64
mkdir -p "$archive"
mv "$own" "$archive/"
echo "$own" >"$archive/${own##*/}.origin"
stub modinfo "exit 1"
try "DKMS has put the own away and nothing in its place: it is found" "insmod $archive/${own##*/} hashsize=1024" hashsize=1024
stub modinfo "case \$2 in filename) echo $own ;; esac"
try "also if depmod has not run since" "insmod $archive/${own##*/} hashsize=1024" hashsize=1024
sh /src/packaging/keep_own.sh 1.0-test >/dev/null
check "keep_own: what DKMS has put away is back" \
	[ -e "$own" -a ! -e /var/lib/dkms/rust-ct/original_module ]
# keep_own of another origin: a module of ours that an interrupted install has left.
mkdir -p "$archive"
echo cut >"$archive/nf_conntrack.ko.xz"
echo "$modules/updates/dkms/nf_conntrack.ko.xz" >"$archive/nf_conntrack.ko.xz.origin"
sh /src/packaging/keep_own.sh 1.0-test >/dev/null
check "keep_own: what DKMS has put away of ours goes" \
	[ ! -e "$modules/updates/dkms/nf_conntrack.ko.xz" -a ! -e "$archive" ]

# put_away FILE ORIGIN: DKMS has moved FILE, which was there before, and noted ORIGIN, or nothing if that is -.
put_away() {
	mkdir -p "$archive"
	mv "$1" "$archive/"
	[ "$2" = - ] || printf "$2" >"$archive/${1##*/}.origin"
	sh /src/packaging/keep_own.sh 1.0-test >/dev/null
}

put_away "$own" -
check "keep_own: interrupted before DKMS noted where the own was, it is back" [ -e "$own" -a ! -e "$archive" ]
put_away "$own" ""
check "keep_own: without room for the note, too" [ -e "$own" -a ! -e "$archive" ]
mkdir -p "$modules/extra"
touch "$modules/extra/nf_conntrack.ko"
put_away "$modules/extra/nf_conntrack.ko" "$modules/extra/nf_conntrack.ko\n"
check "keep_own: one of the administrator is back" [ -e "$modules/extra/nf_conntrack.ko" -a ! -e "$archive" ]
dkms=$modules/updates/dkms/nf_conntrack.ko
mkdir -p "${dkms%/*}" /var/lib/dkms/rust-ct/kernel-1.0-test-x86_64
touch "$dkms"
sh /src/packaging/keep_own.sh 1.0-test
check "keep_own: what DKMS has installed stays" [ -e "$dkms" ]
rmdir /var/lib/dkms/rust-ct/kernel-1.0-test-x86_64
sh /src/packaging/keep_own.sh 1.0-test
check "keep_own: what it does not know of goes" [ ! -e "$dkms" ]

# index NAME WORD STATUS DEPMOD: keep-index with a depmod that does that ends with STATUS; modules.dep has WORD then.
index() {
	echo before >"$modules/modules.dep"
	stub depmod "$4"
	local status=0
	/src/packaging/files/keep-index 1.0-test true 2>/dev/null || status=$?
	check "keep-index: $1" [ "$(cat "$modules/modules.dep")" = "$2" -a ! -e "$modules/.rust-ct-index" ]
	check "keep-index: and its status is $3" [ "$status" -eq "$3" ]
}

index "a new index takes the place of the old one" after 0 "echo after >$modules/new; mv $modules/new $modules/modules.dep"
index "one that is cut off does not" before 1 "echo cut >$modules/new; mv $modules/new $modules/modules.dep; exit 1"
# Entries that conntrack would refuse: one that was expected, and one without a timeout.
stub conntrack "case \$* in *save) cat /tmp/entries ;; esac"
printf "%s\n" "-A -t 9 -u EXPECTED,SEEN_REPLY -s 1.1.1.1 -d 2.2.2.2 -r 2.2.2.2 -q 1.1.1.1 -p 253" \
	"-A -u ASSURED -s 1.1.1.2 -d 2.2.2.2 -r 2.2.2.2 -q 1.1.1.2 -p 253" >/tmp/entries
sh /src/packaging/files/carry save /tmp/saved
check "carry: an entry that was expected is carried over as any other, one without a timeout is left out" \
	[ "$(cat /tmp/saved)" = "-A -t 9 -u SEEN_REPLY -s 1.1.1.1 -d 2.2.2.2 -r 2.2.2.2 -q 1.1.1.1 -p 253" ]
check "carry: where nothing can be written, it fails" sh -c "! sh /src/packaging/files/carry save /dev/full 2>/dev/null"
# Kernels with a tracker in their initramfs, without one, and one whose modules are gone.
stub lsinitramfs "case \$1 in *1.0-test | *gone) echo usr/lib/modules/kernel/net/netfilter/nf_conntrack.ko.xz ;; esac"
stub update-initramfs "exit 1"
mkdir -p /lib/modules/1.0-without
touch /boot/initrd.img-1.0-test /boot/initrd.img-1.0-without /boot/initrd.img-1.0-gone
rm -f /tmp/calls
said=$(sh /src/packaging/files/refresh-initramfs 2>&1)
check "refresh-initramfs: it makes the one anew that has a tracker, and no other" \
	[ "$(grep update-initramfs /tmp/calls)" = "update-initramfs -u -k 1.0-test" ]
check "refresh-initramfs: where that fails, it says so" [ "$said" = "rust-ct: /boot/initrd.img-1.0-test keeps the tracker that it has" ]
stub modinfo "case \$2 in filename) echo $ours ;; esac"
# What modprobe runs, in an initramfs: load is not there.
line=$(sed -n "s/^install nf_conntrack //p" /src/packaging/files/rust-ct.modprobe)
rm -f /tmp/calls
sh -c "$line"
check "modprobe.d: without load, what modprobe finds is loaded" \
	[ "$(cat /tmp/calls)" = "modprobe --ignore-install nf_conntrack" ]
echo "quiet rust_ct=off" >/tmp/cmdline
mount --bind /tmp/cmdline /proc/cmdline
try "with rust_ct=off on the command line, neither" "is not used: rust_ct=off is on"
rm -f /tmp/calls
check "modprobe.d: without load and with rust_ct=off, none is" [ "$(sh -c "$line"; echo $?)" = 0 -a ! -e /tmp/calls ]
exit $failed'
