#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# uml.sh [--bare] [COMMAND]: the development loop. Builds the modules for user-mode Linux,
# boots it with the build root as its disk, loads rust_ct.ko, runs the shell
# line COMMAND, and unloads. Ends with COMMAND's status, or 99 when the kernel
# complained. With --bare nothing is built or loaded, and COMMAND does all by itself.
#
# KERNEL        uml (default), or umldebug: with KASAN, on UML_CPUS (default 2) processors
# UML_TIMEOUT   seconds (default 120)
# UML_MEMORY    how much of it the kernel gets (default 512M; 2G)
# UML_CPU       the processor on which `uml` runs (default: by chance)
# UML_MOST      how much of the host's memory umldebug may take besides, in kB (4 GB)
# UML_CONSOLE   the file that the console is kept in

# shellcheck source=scripts/setup/lib.sh
. "$(dirname "$0")/../setup/lib.sh"

bare=
if [ "${1:-}" = --bare ]; then
	bare=1
	shift
fi
kernel=${KERNEL:-uml}
command=${1:-ping -c 1 -W 1 127.0.0.1; cat /proc/rust_ct}
console=${UML_CONSOLE:-$LOGS/$kernel.console}
# Several may run at once.
job=$kernel-$$
trap 'end_step_group; [ -z "${memory_pid:-}" ] || kill "$memory_pid" 2>/dev/null || true; rm -f "$WORK/$job-job" "$WORK/$job-status"' EXIT

if [ -n "$bare" ]; then
	"$TOP/scripts/setup/setup.sh" "$kernel"
	printf 'exec bash -c %q\n' "$command" >"$WORK/$job-job"
else
	"$TOP/scripts/setup/build.sh" "$kernel"
	cat >"$WORK/$job-job" <<-END
		set -e
		modprobe -a nf_defrag_ipv4 nf_defrag_ipv6
		insmod /out/$kernel/rust_ct/rust_ct.ko
		status=0
		bash -c $(printf %q "$command") || status=\$?
		rmmod rust_ct
		exit "\$status"
	END
fi
if [ "$kernel" = uml ]; then
	# The kernel and its programs are processes that take turns: on one processor that goes several
	# times as fast as where each has to wake another.
	cpu=${UML_CPU:-$(python3 -c "import os, random; print(random.choice([*os.sched_getaffinity(0)]))")}
	pinned=(taskset --cpu-list "$cpu") cpus=1 memory=512M
else
	pinned=() cpus=${UML_CPUS:-2} memory=2G
fi

# watch_memory: ends a kernel that takes more of the host's memory than it has use for. Where KASAN gives up addresses
# from both ends of the address space at once, 7.3.4 clears the shadow of all between them (Documentation/development.md).
watch_memory() {
	local status taken
	while sleep 5 >/dev/null 2>&1; do
		grep -lsE "^Name:[[:space:]]*vmlinuz" /proc/[0-9]*/status | while read -r status; do
			tr '\0' ' ' <"${status%status}cmdline" 2>/dev/null | grep -qF -- "-- $job " || continue
			taken=$(awk '/^RssAnon/ { print $2 }' "$status" 2>/dev/null)
			[ "${taken:-0}" -lt "$most" ] || {
				warn "the user-mode kernel has taken $taken kB of the host's memory and is ended: KASAN clears its shadow"
				kill -KILL "$(basename "${status%/status}")"
			}
		done
	done
}

# Its shadow and its own tables take some 250 MB; its memory itself is a file.
most=${UML_MOST:-$((4 * 1024 * 1024))}
start=$SECONDS
ended=0
memory_pid=
[ "$kernel" = uml ] || {
	watch_memory &
	memory_pid=$!
}
in_root "${pinned[@]}" timeout --foreground --kill-after=5 "${UML_TIMEOUT:-120}" \
	"/usr/lib/modules/$(cat "$(tree_dir "$kernel")/release")/vmlinuz" mem="${UML_MEMORY:-$memory}" \
	root=/dev/root rootfstype=hostfs rootflags=/ rw ncpus="$cpus" seccomp=auto \
	con=null con0=null,fd:1 init=/src/scripts/guest/uml_init.sh -- "$job" \
	</dev/null 2>&1 | tr -d '\r' | tee "$console" | sed -un '/rust_ct guest: begin/,/rust_ct guest: end/p' ||
	ended=$?
if ! status=$(cat "$WORK/$job-status" 2>/dev/null) || [ "$ended" -ne 0 ]; then
	die "the user-mode kernel did not come to its end (status $ended; 124: not within ${UML_TIMEOUT:-120} s);" \
		"console: $console"
fi
say "$kernel: boot, load, run and unload took $((SECONDS - start)) s, status $status"
if ! "$TOP/scripts/guest/scan_console.py" "$console"; then
	warn "the kernel complained; console: $console"
	[ "$status" -ne 0 ] || status=99
fi
exit "$status"
