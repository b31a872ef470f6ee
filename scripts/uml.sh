#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# uml.sh [COMMAND]: the development loop. Builds the modules for user-mode Linux,
# boots it with the build root as its disk, loads rust_ct.ko, runs the shell
# line COMMAND, and unloads. Ends with COMMAND's status, or 99 when the kernel
# complained.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

command=${1:-ping -c 1 -W 1 127.0.0.1; cat /proc/rust_ct}

"$TOP/scripts/build.sh" uml
cat >"$WORK/uml-command" <<END
set -e
modprobe -a nf_defrag_ipv4 nf_defrag_ipv6
insmod /out/uml/rust_ct/rust_ct.ko
status=0
bash -c $(printf %q "$command") || status=\$?
rmmod rust_ct
exit "\$status"
END
start=$SECONDS
status=0
"$TOP/scripts/uml_guest.sh" --timeout "${UML_TIMEOUT:-120}" bash /out/uml-command || status=$?
say "uml: boot, load, run and unload took $((SECONDS - start)) s, status $status"
exit "$status"
