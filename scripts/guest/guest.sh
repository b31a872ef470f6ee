#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# guest.sh [--name NAME] [--timeout SECONDS] [--cpus N] [--append ARGUMENT]... [--qemu OPTION]...
# [--counted] [--cached] KIND COMMAND...: boots that kernel in QEMU through virtme-ng, with two
# processors (or N), each ARGUMENT on its command line, each OPTION on QEMU's, and the build root as its (copy-on-write) disk, with
# --cached in its cache, with --counted on one processor whose clock counts its instructions, a nanosecond each, and
# jumps ahead where it is idle; and runs COMMAND in it as root, in /src, this clone. /out is writable.
# BOOT_SILENCE (default 300) is after how many seconds of silence a guest whose job has not begun
# will not come up any more. Ends with COMMAND's exit status; with 124 when the guest does not end in time, and with 99 when
# COMMAND succeeded but the kernel complained on the console (or leaked memory, on a debug
# kernel). KIND umldebug is a process (uml.sh).

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

name=guest
timeout=900
cpus=2
options=()
cached=
counted=
while [ $# -gt 0 ]; do
	case $1 in
	--name) name=$2 ;;
	--timeout) timeout=$2 ;;
	--cpus) cpus=$2 ;;
	--append) options+=(--append "$2") ;;
	--qemu) options+=("--qemu-opts=$2") ;;
	--cached | --counted)
		declare "${1#--}=1"
		shift
		continue
		;;
	*) break ;;
	esac
	shift 2
done
[ $# -ge 2 ] || die "usage: guest.sh [--name NAME] [--timeout SECONDS] [--cpus N] [--append ARGUMENT]... [--qemu OPTION]... [--counted] [--cached] KIND COMMAND..."
kind=$1
shift
if [ "$kind" = umldebug ]; then
	# No machine, but a process.
	KERNEL=$kind UML_TIMEOUT=$timeout UML_CPUS=$cpus UML_CONSOLE=$LOGS/$name-$kind.console \
		"$TOP/scripts/guest/uml.sh" --bare "${*@Q}" | tee "$LOGS/$name-$kind.log"
	exit
fi
memory=2G
job_command="/src/scripts/guest/guest_job.sh"
if [[ $kind = *debug || $kind = kcsan ]]; then
	# Without an initramfs the kernel mounts the root itself; it may cache it,
	# as nothing else writes there, and starts programs four times as fast.
	options+=(--append "rootflags=version=9p2000.L,trans=virtio,access=any,cache=loose")
	# The kernel's own suites of KUnit would run at boot. A suite of its Rust crate does not reckon with
	# PREEMPT_RT, and warns there (rust_spinlock_irq_condvar).
	options+=(--append "kunit.filter_glob=rust_ct_*")
	# KCSAN reports many races of others, among which a scenario looks for its own.
	[ "$kind" != kcsan ] || options+=(--append log_buf_len=16M)
elif [ -n "$cached" ]; then
	options+=("--qemu-opts=-fsdev local,id=cached,path=/,security_model=none,multidevs=remap -device virtio-9p-pci,fsdev=cached,mount_tag=cached")
	job_command="/src/scripts/guest/guest_cached.sh $job_command"
fi

"$TOP/scripts/setup/setup.sh" "$kind"
release=$(cat "$(tree_dir "$kind")/release")
console=$LOGS/$name-$kind.console
output=$LOGS/$name-$kind.log
rm -f "$console" "$output"

# The command crosses the kernel's command line, so it goes through a file.
job=guest-job-$name-$kind
{
	printf 'exec %s' "$job_command"
	printf ' %q' "$@"
	printf '\n'
} >"$WORK/$job"

how=
if [ -n "$counted" ]; then
	cpus=1
	options+=(--disable-kvm "--qemu-opts=-icount shift=0,sleep=off")
	how=" on a clock of instructions"
else
	"$TOP/scripts/guest/probe_kvm.sh" || { options+=(--disable-kvm); how=" without KVM"; }
fi

# begun: whether the guest has come as far as its job.
begun() {
	grep -qsF 'rust_ct guest: begin' "$console"
}

# run_guest: runs the job in a guest. QEMU truncates what it opens as its output, so it gets
# pipes, not files: the job writes to the standard output, the console to the standard error. Each
# line of it is written at once, for watch_boot.
run_guest() {
	{
		"$TOP/scripts/setup/root.sh" timeout --foreground --kill-after=10 "$timeout" \
			vng --verbose "${options[@]}" --run "$release" --user root --rw --force-9p \
			--cpus "$cpus" --memory "$memory" --exec "sh /out/$job" 2>&1 >&3 3>&- |
			sed -u 's/\r//g' >"$console"
	} 3>&1 | tee "$output"
}

# watch_boot: waits until the guest is up or gone, and ends it if it does not come up.
watch_boot() {
	local end=$((SECONDS + ${BOOT_SILENCE:-300})) said=0 before
	until begun || ! kill -0 "$STEP_GROUP" 2>/dev/null; do
		sleep 1
		before=$said
		said=$(stat -c %s "$console")
		[ "$said" -eq "$before" ] || end=$((SECONDS + ${BOOT_SILENCE:-300}))
		[ $SECONDS -lt $end ] || { end_step_group; return; }
	done
}

# boot: runs the job in a guest of a process group of its own, sets `status`.
boot() {
	local start=$SECONDS
	status=0
	: >"$console"
	set -m
	run_guest </dev/null &
	STEP_GROUP=$!
	set +m
	watch_boot
	wait "$STEP_GROUP" || status=$?
	while kill -0 -- "-$STEP_GROUP" 2>/dev/null; do sleep 0.2; done
	STEP_GROUP=
	say "guest: ended after $(duration $((SECONDS - start))) with status $status"
}

say "guest: booting $release$how, log $output"
# An emulated machine with more processors than its host has to spare may fail before anything
# of ours runs in it; that says nothing of us.
for attempt in 1 2 3; do
	boot
	if [ "$status" -eq 0 ] || begun; then
		break
	fi
	mv "$console" "$console.boot$attempt"
	warn "the guest did not come up, once more; console: $console.boot$attempt"
done
[ -e "$console" ] || cp "$console.boot$attempt" "$console"
rm -f "$WORK/$job"

case $status in
0) ;;
124 | 137)
	tail -n 30 "$console" >&2
	warn "the guest did not end within $timeout seconds; console: $console"
	status=124
	;;
255)
	tail -n 30 "$console" >&2
	warn "the guest ended without a word; console: $console"
	;;
esac
if ! "$TOP/scripts/guest/scan_console.py" "$console"; then
	warn "the kernel complained; console: $console"
	[ "$status" -ne 0 ] || status=99
fi
exit "$status"
