#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# build_bpf.sh BPF NET: builds libbpf of the kernel's source in the directory BPF, and to NET/bpf test_progs of
# tools/testing/selftests/bpf with only those of its tests that have to do with connections; and what scripts of
# NET load. Run in the build root with the packages of scripts/setup/layers/selftests.txt.

set -euo pipefail

bpf=$1
to=$2/bpf
tests=(bpf_nf xdp_flowtable xdp_synproxy)
tools=/build/source/tools
source=$tools/testing/selftests/bpf
mkdir -p "$bpf"/{lib,key,include/prog_tests} "$to"
make -C "$tools/lib/bpf" -j"$(nproc)" OUTPUT="$bpf/lib/" DESTDIR="$bpf" prefix= "$bpf/lib/libbpf.a" install_headers

# bpf_object SOURCE OBJECT
bpf_object() {
	clang -g -O2 --target=bpf -mcpu=v3 -D__TARGET_ARCH_x86 -std=gnu11 -fms-extensions -Wno-microsoft-anon-tag \
		-I"$bpf/include" -I"$source" -I"$tools/include/uapi" -idirafter "/usr/include/$(gcc -print-multiarch)" \
		-c "$1" -o "$2"
}

# program OUTPUT SOURCE...
program() {
	gcc -g -O1 -w -rdynamic -std=gnu11 -D_GNU_SOURCE -I"$bpf/include" -I"$source" -I"$tools/lib" \
		-I"$tools/include" -I"$tools/include/uapi" -I/build/source/include/generated "${@:2}" \
		"$bpf/lib/libbpf.a" -lelf -lz -lpthread -o "$1"
}

# The types of the kernel that the programs are for; those of our own kernels are beside it.
release=$(sed -n 's/^release=//p' /build/versions)
/build/source/scripts/extract-vmlinux "/usr/lib/modules/$release/vmlinuz" >"$bpf/vmlinux"
bpftool btf dump file "$bpf/vmlinux" format c >"$bpf/include/vmlinux.h"

# The key that test_progs wants before any test.
"$source/verify_sig_setup.sh" genkey "$bpf/key"
{
	echo 'unsigned char test_progs_verification_cert[] = {'
	od -v -An -t x1 "$bpf/key/signing_key.der" | sed 's/ \(..\)/0x\1,/g'
	echo '};'
	echo "unsigned int test_progs_verification_cert_len = sizeof(test_progs_verification_cert);"
} >"$bpf/include/verification_cert.h"

for name in test_bpf_nf test_bpf_nf_fail xdp_flowtable; do
	bpf_object "$source/progs/$name.c" "$bpf/$name.bpf.o"
	bpftool gen skeleton "$bpf/$name.bpf.o" name "$name" >"$bpf/include/$name.skel.h"
done
for name in "${tests[@]}"; do echo "DEFINE_TEST($name)"; done >"$bpf/include/prog_tests/tests.h"
sources=("${tests[@]/#/$source/prog_tests/}")
program "$to/test_progs" "$source"/{test_progs,json_writer}.c \
	"$source"/{btf,cap,cgroup,network,sysctl,testing,trace,unpriv}_helpers.c "${sources[@]/%/.c}"

# What xdp_synproxy runs and loads, and udpgro_fwd.
program "$to/xdp_synproxy" "$source/xdp_synproxy.c"
bpf_object "$source/progs/xdp_synproxy_kern.c" "$to/xdp_synproxy_kern.bpf.o"
bpf_object /build/source/tools/testing/selftests/net/lib/xdp_dummy.bpf.c "$to/xdp_dummy.bpf.o"
cp "$to/xdp_dummy.bpf.o" "$2/lib/"
