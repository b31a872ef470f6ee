#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# test_install.sh [STEP]...: installs the packages of this clone on a Debian machine in QEMU, which
# has its own disk, kernel, initramfs and systemd, and boots it after each step. A line
# 'ok - ...' or 'not ok - ...' for each check, what each step took, and as the last line
# 'N passed, N failed'. What a machine printed is in work-*/test-install/STEP.console. A machine
# that does not turn itself off is ended after BOOT_LIMIT seconds (default 3000). STEPs in the place
# of all are for a disk that an earlier run has left.

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

work=$WORK/test-install
disk=$work/disk.img
# The same in the build root.
out=/out/test-install
mount=$work/mount
limit=${BOOT_LIMIT:-3000}
passed=0
failed=0
times=

ok() {
	echo "ok - $*"
	passed=$((passed + 1))
}

not_ok() {
	echo "not ok - $*"
	failed=$((failed + 1))
}

# check NAME COMMAND...
check() {
	local name=$1
	shift
	if "$@"; then ok "$name"; else not_ok "$name"; fi
}

# The image of the machine is made once, of its list of packages and the recipe.
image_dir() {
	local key
	key=$({
		base_root_dir
		cat "$TOP/scripts/package/make_image.sh" "$TOP/scripts/package/image.txt"
	} | hash_of)
	printf '%s/image-%s\n' "$CACHE" "$key"
}

make_image() {
	local image
	image=$(image_dir)
	exec {lock}>"$CACHE/image.lock"
	flock "$lock"
	if [ ! -d "$image" ]; then
		# What an interrupted run has left, or was not used for a week.
		rm -rf "$image.new"
		find "$CACHE" -maxdepth 1 -name 'image-*' ! -name '*.lock' -mtime +7 -exec rm -rf {} +
		"$TOP/scripts/package/make_image.sh" "$image.new"
		sync -f "$image.new"
		mv "$image.new" "$image"
	fi
	touch "$image"
	cp --sparse=always "$image/disk.img" "$disk"
	exec {lock}>&-
}

# on_disk COMMAND...: runs COMMAND with the machine's disk as the root, without booting it. The mount
# and the loop device go with the namespace.
on_disk() {
	mkdir -p "$mount"
	# shellcheck disable=SC2016 # the inner shell's
	unshare --mount --propagation private -- bash -c 'set -e
		disk=$1 mount=$2 enter=$3 work=$4 debs=$5
		shift 5
		mount -o loop "$disk" "$mount"
		unshare --pid --fork --kill-child -- bash "$enter" "$mount" \
			--bind "$work:/mnt/work" --bind "$debs:/mnt/debs:ro" -- "$@"' \
		on_disk "$disk" "$mount" "$TOP/scripts/setup/enter_root.sh" "$work" "$WORK/deb" "$@"
}

# calm STEP: the console has no complaint of the kernel's.
calm() {
	python3 -B - "$TOP/scripts/guest" "$work/$1.console" <<-'END'
		import sys
		sys.path.insert(0, sys.argv[1])
		from scan_console import complaints
		with open(sys.argv[2], encoding="utf-8", errors="replace") as log:
		    found = complaints(log)
		sys.stdout.writelines(f"    {line.rstrip()}\n" for line in found)
		sys.exit(bool(found))
	END
}

# from_qemu LINE KERNEL: how QEMU itself starts a kernel of the disk with its initramfs, as the packages have
# made it, and this command line.
from_qemu() {
	on_disk sh -ec "cp /boot/vmlinuz-$2 /mnt/work/vmlinuz
		cp /boot/initrd.img-$2 /mnt/work/initrd
		cp /mnt/work/machine.py /root/test/"
	start_by=(-machine "q35,accel=tcg" -kernel "$out/vmlinuz" -initrd "$out/initrd" -append "$1")
}

# from_firmware LINE KERNEL: how a firmware with Secure Boot does: it knows Microsoft's keys, which shim is
# signed by, and shim knows Debian's, by which grub and kernel are, and the key of this machine's
# DKMS, as mokutil would have enrolled it.
from_firmware() {
	from_qemu "$@"
	on_disk openssl x509 -inform DER -in /var/lib/dkms/mok.pub -out /mnt/work/mok.pem
	printf 'linux /vmlinuz %s\ninitrd /initrd\nboot\n' "$1" >"$work/grub.cfg"
	LAYER=secureboot in_root sh -ec 'cd /out/test-install
		cp /usr/share/OVMF/OVMF_CODE_4M.ms.fd code.fd
		virt-fw-vars --input /usr/share/OVMF/OVMF_VARS_4M.ms.fd --output vars.fd \
			--add-mok 605dab50-e046-4300-abb6-3dd810dd8b23 mok.pem
		rm -f esp.img
		truncate -s 256M esp.img
		mkfs.vfat esp.img
		mmd -i esp.img ::EFI ::EFI/BOOT ::EFI/debian
		mcopy -i esp.img /usr/lib/shim/shimx64.efi.signed ::EFI/BOOT/BOOTX64.EFI
		mcopy -i esp.img /usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed ::EFI/BOOT/grubx64.efi
		mcopy -i esp.img grub.cfg ::EFI/debian/
		mcopy -i esp.img vmlinuz initrd ::' >"$work/firmware.log" 2>&1 ||
		not_ok "the firmware's disk could not be made; log: $work/firmware.log"
	start_by=(-machine "q35,accel=tcg,smm=on" -global "driver=cfi.pflash01,property=secure,value=on"
		-drive "if=pflash,format=raw,unit=0,readonly=on,file=$out/code.fd"
		-drive "if=pflash,format=raw,unit=1,file=$out/vars.fd"
		-drive "file=$out/esp.img,if=none,id=esp,format=raw"
		-device "virtio-blk-pci,drive=esp,addr=0x10,bootindex=0")
}

# boot STEP [ARGUMENT [KERNEL]]: boots the machine with that on the kernel's command line; it does the STEP of
# machine.py, whose checks are counted.
boot() {
	local step=$1 kernel=${3:-$release} start=$SECONDS status=0 results=$work/$1.results start_by line
	say "boot: $step"
	: >"$results"
	line="root=/dev/vda rw console=ttyS0 panic=-1 mitigations=off rust_ct_step=$step${2:+ $2}"
	if [ "$step" = secure_boot ]; then from_firmware "$line" "$kernel"; else from_qemu "$line" "$kernel"; fi
	in_root timeout --kill-after=10 "$limit" qemu-system-x86_64 "${start_by[@]}" -cpu max \
		-smp 2 -m 1536M -display none -no-reboot -nodefaults \
		-drive "file=$out/disk.img,if=virtio,format=raw,cache=unsafe" \
		-serial "file:$out/$step.console" -serial "file:$out/$step.results" || status=$?
	[ "$status" -eq 0 ] || not_ok "$step: the machine ended by itself (status $status); console: $work/$step.console"
	tr -d '\r' <"$results" | grep -E '^(ok|not ok) - |^    ' || true
	passed=$((passed + $(grep -c '^ok - ' "$results" || true)))
	failed=$((failed + $(grep -c '^not ok - ' "$results" || true)))
	check "$step: all of it was done" grep -q '^done' "$results"
	check "$step: the kernel complained of nothing" calm "$step"
	times+=$(printf '%-14s boot    %8s' "$step" "$(duration $((SECONDS - start)))")$'\n'
}

# native NAME COMMAND...: something is done to the disk without booting it, with a log.
native() {
	local name=$1 start=$SECONDS
	shift
	say "disk: $name"
	on_disk "$@" >"$work/$name.log" 2>&1 || not_ok "$name: ended with an error; log: $work/$name.log"
	times+=$(printf '%-14s no boot %8s' "$name" "$(duration $((SECONDS - start)))")$'\n'
}

# says FILE PATTERN: a log has such a line, which is shown.
says() {
	grep -m 1 -E "$2" "$work/$1.log" | sed 's/^/    /'
	grep -qE "$2" "$work/$1.log"
}

says_not() {
	! grep -qE "$2" "$work/$1.log"
}

# module FIELD [KERNEL]: of the nf_conntrack that modprobe would find.
module() {
	on_disk modinfo -k "${2:-$release}" -F "$1" nf_conntrack
}

# is_own [KERNEL]
is_own() {
	[[ $(module filename "$@") == */kernel/net/netfilter/nf_conntrack.ko* ]]
}

# is_built [KERNEL]
is_built() {
	[[ $(module filename "$@") == */updates/dkms/nf_conntrack.ko* ]]
}

# The signature at the file's end is by the machine's key, which DKMS has made.
is_signed() {
	local file
	file=$(module filename)
	echo "    $(module sig_id) by '$(module signer)', key $(module sig_key)"
	# shellcheck disable=SC2016 # the inner shell's
	on_disk sh -ec 'cd /tmp
		case $1 in *.xz) xz -dc "$1" ;; *) cat "$1" ;; esac >module
		length=$((0x$(tail -c 32 module | head -c 4 | od -An -tx1 | tr -d " ")))
		tail -c $((length + 40)) module | head -c "$length" >signature
		head -c -$((length + 40)) module >content
		openssl x509 -inform DER -in /var/lib/dkms/mok.pub -out key
		openssl cms -verify -binary -inform DER -in signature -content content -certfile key \
			-nointern -noverify -out /dev/null' sh "$file"
}

is_of() {
	is_built "$release" && [ "$(module version)" = "$1" ]
}

# is_for_kernel [KERNEL]
is_for_kernel() {
	[ "$(module built_for "$@")" = "$(root_version kernel_version)" ]
}

# in_initramfs KERNEL PATTERN: a file of its initramfs.
in_initramfs() {
	on_disk lsinitramfs "/boot/initrd.img-$1" | grep -E "$2" | sed 's/^/    /' | grep .
}

# not_in_initramfs KERNEL PATTERN: no such file is in it, and it can be read.
not_in_initramfs() {
	in_initramfs "$1" '/modules.dep$' && ! in_initramfs "$@"
}

is_installed() {
	# shellcheck disable=SC2016 # dpkg's variable
	[ "$(on_disk dpkg-query -W -f '${db:Status-Status}' "$1")" = installed ]
}

build_debs() {
	# The second is to be upgraded to.
	RUST_CT_VERSION=$version.1 "$TOP/scripts/package/deb.sh" >"$work/deb.log" 2>&1 ||
		die "make deb failed; log: $work/deb.log"
	"$TOP/scripts/package/deb.sh" >"$work/deb.log" 2>&1 || die "make deb failed; log: $work/deb.log"
}

# without_drivers KERNEL: commands that take away drivers for what the machine does not have: depmod reads them
# all, in minutes where the processor is emulated, and each package that has a module runs it.
without_drivers() {
	echo "cd /lib/modules/$1/kernel
		find drivers \$(ls -d sound 2>/dev/null) -name '*.ko*' ! -path '*/virtio*' ! -name 'veth.*' \\
			! -name 'dummy.*' -delete
		depmod $1"
}

step_prepare() {
	make_image
	native prepare sh -ec "$(without_drivers "$release")
		mkdir -p /root/test
		cp /mnt/debs/rust-ct-*_${version}_*.deb /mnt/debs/rust-ct-*_$version.1_*.deb /root/test/
		cp /mnt/work/machine.py /root/test/
		cp /mnt/work/rust-ct-test.service /etc/systemd/system/
		cp /mnt/work/nftables.conf /etc/nftables.conf
		mkdir -p /etc/sysctl.d
		echo '-net.netfilter.nf_conntrack_tcp_rfc5961 = 0' >/etc/sysctl.d/machine.conf
		systemctl enable rust-ct-test.service"
}

is_complete() {
	[ -n "$(module vermagic)" ]
}

# A disk that is full before dpkg has unpacked everything, and a disk that is nearly full:
# fallocate takes what there is before it fails.
step_disk_full() {
	native disk-full sh -ec "for room in 128 768 2048; do
			fallocate -l 1T /full || truncate -s -\${room}K /full
			dpkg -i /root/test/rust-ct-common_${version}_*.deb /root/test/rust-ct-modules-*_${version}_*.deb ||
				echo \"dpkg failed with \$room KB\"
			rm /full
			modinfo -k $release -F vermagic nf_conntrack
		done"
	check "with a disk that is full, dpkg fails" says disk-full 'dpkg failed with 128 KB'
	check "and modprobe finds a tracker that can be read" is_complete
	native repaired sh -ec "dpkg -i /root/test/rust-ct-common_${version}_*.deb /root/test/rust-ct-modules-*_${version}_*.deb
		modinfo -k $release -F filename nf_conntrack"
	check "with room again, dpkg does what it did not" says repaired '/updates/rust-ct/'
	native full-purge sh -ec "fallocate -l 1T /full || truncate -s -128K /full
		dpkg --purge rust-ct-common rust-ct-modules-$release || echo 'dpkg failed'
		rm /full
		test -x /usr/libexec/rust-ct/load
		modinfo -k $release -F filename nf_conntrack"
	check "on a full disk, depmod fails before anything is removed" says full-purge '^rust-ct: depmod .* failed'
	check "and dpkg removes nothing" says full-purge '/updates/rust-ct/'
	check "so that modprobe finds a tracker that can be read" is_complete
	native purge dpkg --purge rust-ct-common "rust-ct-modules-$release"
	check "with room again, dpkg takes it back" is_own
}

# A machine in which DKMS cannot build: there is no compiler, or no room. Beside its kernel there is
# a kernel that is too old.
step_dkms_failures() {
	local debs="/mnt/debs/rust-ct-common_${version}_all.deb /mnt/debs/rust-ct-dkms_${version}_all.deb"
	local kept=/var/lib/dkms/rust-ct/original_module/$release/x86_64
	local own=/lib/modules/$release/kernel/net/netfilter/nf_conntrack.ko.xz
	native no-compiler sh -ec "mkdir -p /lib/modules/6.1.0-1-amd64
		cp -a /lib/modules/$release/build /lib/modules/6.1.0-1-amd64/
		touch /boot/vmlinuz-6.1.0-1-amd64
		mv /usr/bin/rustc /usr/bin/rustc.away
		dpkg -i $debs
		rm -r /lib/modules/6.1.0-1-amd64 /boot/vmlinuz-6.1.0-1-amd64
		/etc/kernel/postinst.d/dkms $release /boot/vmlinuz-$release
		echo 'a kernel is installed'
		mv /usr/bin/rustc.away /usr/bin/rustc"
	check "an older kernel: the log says why it keeps its own" says no-compiler '6.1.0-1-amd64 keeps its own nf_conntrack: only kernels'
	check "without a compiler: the log says in one line why" says no-compiler 'keeps its own nf_conntrack: rustc is missing'
	check "without a compiler: the kernel keeps its own" is_own
	check "without a compiler: the package is installed all the same" is_installed rust-ct-dkms
	check "without a compiler: and so is a kernel, which DKMS leaves out" says no-compiler 'a kernel is installed'
	# As if the machine had lost its power while DKMS installed.
	native interrupted sh -ec "mkdir -p $kept /lib/modules/$release/updates/dkms
		mv $own $kept/
		echo $own >$kept/nf_conntrack.ko.xz.origin
		echo cut >/lib/modules/$release/updates/dkms/nf_conntrack.ko.xz
		depmod $release
		dpkg --remove rust-ct-dkms
		find /var/lib/dkms/rust-ct -mindepth 1 | sed 's/^/left: /'
		mv /usr/bin/rustc /usr/bin/rustc.away
		dpkg -i $debs
		mv /usr/bin/rustc.away /usr/bin/rustc"
	check "an install that was interrupted: removed, the kernel has its own again" is_own
	check "and nothing is left of it" says_not interrupted '^left: '
	native no-origin sh -ec "mkdir -p $kept /lib/modules/$release/updates/dkms
		mv $own $kept/
		: >$kept/nf_conntrack.ko.xz.origin
		echo cut >/lib/modules/$release/updates/dkms/nf_conntrack.ko.xz
		depmod $release
		mv /usr/bin/rustc /usr/bin/rustc.away
		dpkg-trigger --by-package=linux-source-$(root_version series) /usr/src
		dpkg --triggers-only --pending
		mv /usr/bin/rustc.away /usr/bin/rustc"
	check "interrupted before DKMS wrote where it was: a trigger gives the kernel its own again" is_own
	check "also where the module cannot be built" says no-origin 'keeps its own nf_conntrack: rustc is missing'
	native no-room sh -c 'mkdir -p /var/cache/rust-ct
		mount -t tmpfs -o size=64M tmpfs /var/cache/rust-ct
		dpkg-reconfigure rust-ct-dkms'
	check "without room: the log says in one line why" says no-room 'keeps its own nf_conntrack: there is no room'
	check "without room: the kernel keeps its own" is_own
	# Room that is gone while DKMS builds, unforeseen.
	native disk-fills sh -c 'mount -t tmpfs -o size=100M tmpfs /var/cache/rust-ct
		RUST_CT_ROOM=1 dpkg-reconfigure rust-ct-dkms'
	check "room that is used up while it builds: the log says why" says disk-fills 'keeps its own nf_conntrack: .*[Nn]o space'
	check "room that is used up while it builds: the kernel keeps its own" is_own
}

# A machine in which DKMS can build: first with a source of another version than the kernel's, until the right
# source is unpacked, of which dpkg tells by a trigger.
step_dkms_build() {
	local source
	source=linux-source-$(root_version series)
	native other-source sh -ec "sed -i '/^Package: $source\$/,/^\$/s/^Version: .*/&.1/' /var/lib/dpkg/status
		dpkg-reconfigure rust-ct-dkms
		sed -i '/^Package: $source\$/,/^\$/s/^\(Version: .*\)[.]1\$/\1/' /var/lib/dpkg/status"
	check "a source of another version: the log says why" says other-source "keeps its own nf_conntrack: its version is .*: install the same one"
	native build sh -ec "dpkg-trigger --by-package=$source /usr/src
		dpkg --triggers-only --pending"
	check "when the right one comes, DKMS builds the module and installs it" is_built
	check "the kernel's own is where it was" on_disk sh -c \
		"test -e /lib/modules/$release/kernel/net/netfilter/nf_conntrack.ko.xz"
	check "the headers were completed, with progress" says build "rust-ct: ${release//+/[+]}: [0-9]+ seconds, "
	# The tree is there, so that it is short.
	native no-copy sh -ec "rm -r /lib/modules/$release/updates
		touch /lib/modules/$release/updates
		dpkg-reconfigure rust-ct-dkms
		rm /lib/modules/$release/updates"
	check "where DKMS cannot copy what it has built, the kernel has its own" is_own
	check "and nothing else is said" says_not no-copy 'from the next boot'
	native upgrade dpkg -i "/mnt/debs/rust-ct-common_$version.1_all.deb" "/mnt/debs/rust-ct-dkms_$version.1_all.deb"
	check "an upgrade finds that done" says_not upgrade "rust-ct: ${release//+/[+]}:"
	check "and DKMS builds the new version" is_of "$version.1"
	check "for the kernel's package that is installed" is_for_kernel
	check "DKMS signed it with the machine's key" is_signed
	next_kernel
	native no-depmod sh -ec "mv /usr/sbin/depmod /usr/sbin/depmod.away
		ln -s /bin/false /usr/sbin/depmod
		dpkg --purge rust-ct-dkms || echo 'dpkg failed'
		mv /usr/sbin/depmod.away /usr/sbin/depmod"
	check "where depmod fails, dpkg removes nothing" says no-depmod 'dpkg failed'
	check "and modprobe finds what DKMS has built" is_of "$version.1"
}

# As when the package of another kernel is installed and removed: what dpkg runs then. It has this
# kernel's files by another name, so that its headers need not be completed, and cannot be booted. DKMS
# leaves depmod to the kernel's package then.
next_kernel() {
	local next=${release%-amd64}-next-amd64
	native next-kernel sh -ec "cd /lib/modules
		mkdir $next
		cp -a $release/build $release/kernel $release/modules.* $next/
		touch /boot/vmlinuz-$next
		sed -n '/^Package: linux-headers-$release\$/,/^\$/p' /var/lib/dpkg/status >/root/headers
		sed '1s/.*/Package: linux-headers-$next/' /root/headers >>/var/lib/dpkg/status
		touch /var/lib/dpkg/info/linux-headers-$next.list
		cp -al /var/cache/rust-ct/$release /var/cache/rust-ct/$next
		/etc/kernel/postinst.d/dkms $next
		echo installed: \$(modinfo -k $next -F filename nf_conntrack)
		/etc/kernel/prerm.d/dkms $next
		echo removed: \$(find /lib/modules/$next -name 'nf_conntrack.ko*')
		sed -i '/^Package: linux-headers-$next\$/,/^\$/d' /var/lib/dpkg/status
		rm -r $next /boot/vmlinuz-$next /var/lib/dpkg/info/linux-headers-$next.list /root/headers
		/usr/src/rust-ct-$version.1/packaging/prepare_tree.sh $release
		test ! -e /var/cache/rust-ct/$next"
	check "a kernel is installed: DKMS builds for it" says next-kernel '^installed: .*/updates/dkms/'
	check "before it is removed, it has its own again" says next-kernel '^removed: [^ ]*/kernel/net/netfilter/nf_conntrack.ko.xz$'
}

# Two kernels are installed by apt, in one run, as an administrator does it: the cloud flavour of this kernel,
# which DKMS follows, and the newest of the suite's own series, which is older than what the module is for.
# While they are, /etc/initramfs-tools/modules names nf_conntrack: what makes the initramfs is to come after
# DKMS. For the boots it is without one again.
step_kernels() {
	local version packages
	version=$(root_version kernel_version)
	packages="linux-image-$next=$version linux-headers-$next=$version"
	native kernels sh -ec "apt-get update
		old=\$(apt-cache show linux-image-amd64 | sed -n 's/^Depends: //p' | grep -o 'linux-image-[0-9][^ ,]*' |
			grep -vFx linux-image-$release | sort -Vu | tail -n 1 | sed 's/^linux-image-//')
		echo \$old >/mnt/work/old-kernel
		echo nf_conntrack >>/etc/initramfs-tools/modules
		apt-get install -y --no-install-recommends $packages linux-image-\$old linux-headers-\$old
		apt-get clean"
	old=$(cat "$work/old-kernel")
	check "two kernels are installed by apt: DKMS builds for $next" is_built "$next"
	check "for that kernel's package" is_for_kernel "$next"
	check "and its initramfs, which is to have a tracker, has what DKMS has built" in_initramfs "$next" \
		'/updates/dkms/nf_conntrack.ko'
	check "DKMS builds nothing for $old" is_own "$old"
	check "and $release has what it had" is_of "$(module version "$next")"
	native kernels-ready sh -ec "sed -i /nf_conntrack/d /etc/initramfs-tools/modules
		$(without_drivers "$next")
		$(without_drivers "$old")
		update-initramfs -u -k $next
		update-initramfs -u -k $old"
	check "for the boots, the initramfs is without a tracker" not_in_initramfs "$next" '/nf_conntrack.ko'
}

# They go again, by apt as well.
step_kernels_gone() {
	old=$(cat "$work/old-kernel")
	native kernels-gone sh -ec "apt-get -y purge \$(dpkg-query -W -f '\${Package} ' 'linux-*-$next' 'linux-*-$old')
		find /lib/modules /var/lib/dkms -path '*$next*' | sed 's/^/left: /'"
	check "the new kernel is removed: nothing of ours is left for it" says_not kernels-gone '^left: '
	check "and $release has what it had" is_built
}

# A machine that has a tracker in its initramfs, as what the root is mounted from goes through a firewall; here
# /etc/initramfs-tools/modules names it.
step_initramfs() {
	local debs="/root/test/rust-ct-common_VERSION_*.deb /root/test/rust-ct-modules-*_VERSION_*.deb"
	native initramfs sh -ec "echo nf_conntrack >>/etc/initramfs-tools/modules
		update-initramfs -u -k $release
		lsinitramfs /boot/initrd.img-$release | sed -n '/nf_conntrack.ko/s/^/before: /p'
		dpkg -i ${debs//VERSION/$version}
		lsinitramfs /boot/initrd.img-$release | sed -n '/nf_conntrack.ko/s/^/installed: /p'
		dpkg -i ${debs//VERSION/$version.1}"
	check "an initramfs has the kernel's own" says initramfs '^before: .*/kernel/net/netfilter/nf_conntrack.ko'
	check "and no other" says_not initramfs '^before: .*/updates/'
	check "the packages are installed: it is made anew, and has ours" says initramfs '^installed: .*/updates/rust-ct/'
	check "and so it is when they are upgraded" in_initramfs "$release" '/updates/rust-ct/nf_conntrack.ko'
}

all=(prepare before ours enforced upgraded refused after disk_full dkms_failures dkms_build dkms_off
	dkms_enforced secure_boot kernels kernel_next kernel_old kernels_gone dkms removed purged
	initramfs initramfs_off initramfs_refused initramfs_boot initramfs_removed)
steps=("$@")
[ ${#steps[@]} -gt 0 ] || steps=("${all[@]}")
"$TOP/scripts/setup/setup.sh" stock
LAYER=secureboot "$TOP/scripts/setup/setup.sh" root
release=$(root_version release)
# The kernel that a machine is upgraded to: the archive has no second one of the tested range and this flavour.
next=${release%amd64}cloud-amd64
version=$(sed -n 's/^rust-ct-version := //p' "$TOP/rust_ct/Makefile")
mkdir -p "$work"
cp "$TOP"/scripts/package/machine/* "$work/"
[[ " ${steps[*]} " != *" prepare "* ]] || build_debs
for step in "${steps[@]}"; do
	case $step in
	prepare | disk_full | dkms_failures | dkms_build | kernels | kernels_gone | initramfs) "step_$step" ;;
	dkms_off | initramfs_off) boot "$step" rust_ct=off ;;
	kernel_next) boot "$step" "" "$next" ;;
	kernel_old) boot "$step" "" "$(cat "$work/old-kernel")" ;;
	enforced | dkms_enforced | initramfs_refused) boot "$step" module.sig_enforce=1 ;;
	*) boot "$step" ;;
	esac
done
printf '\n%s' "$times"
printf '%-14s         %8s\n\n' "(all)" "$(duration "$SECONDS")"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
