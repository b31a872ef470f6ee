#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# kunit_job.sh KERNEL: the guest's half of kunit.sh: loads the KUnit module between two marks on the
# console.

set -e

modprobe -a nf_defrag_ipv4 nf_defrag_ipv6
echo "rust_ct kunit: begin" >/dev/kmsg
status=0
insmod "/out/$1/kunit/rust_ct_kunit.ko" || status=$?
[ "$status" -ne 0 ] || rmmod rust_ct_kunit || status=$?
echo "rust_ct kunit: end" >/dev/kmsg
exit "$status"
