#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Parameters that make no sense are refused with a line that says what would be right, at load and later.
#
# limit: 270

# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"

# log_after MARK
log_after() {
	dmesg | sed "1,/$1/d"
}

# refused PARAMETER VALUE RIGHT: loading with it fails, and the log names it and what is right.
refused() {
	local mark="params $RANDOM$RANDOM"
	echo "$mark" >/dev/kmsg
	if ct_insert "$1=$2" 2>/dev/null; then
		echo "not ok - $1=$2 is refused at load"
		ct_unload
	else
		echo "ok - $1=$2 is refused at load"
	fi
	if [ "$CT" = rust_ct ]; then
		check "$1=$2: the log names it and says what is right" grep -E "rust_ct: .*$1.*$3" <(log_after "$mark")
		diag "$(log_after "$mark" | grep "$CT")"
	else
		skip "$1=$2: the log names it and says what is right" "the reference says nothing"
	fi
}

# refused_later PARAMETER VALUE RIGHT: writing it fails and changes nothing.
refused_later() {
	local mark="params $RANDOM$RANDOM" file=/sys/module/$CT/parameters/$1 before
	before=$(cat "$file")
	echo "$mark" >/dev/kmsg
	if echo "$2" 2>/dev/null >"$file"; then
		echo "not ok - writing '$2' to $1 is refused"
	else
		echo "ok - writing '$2' to $1 is refused"
	fi
	equal "$(cat "$file")" "$before" "writing '$2' to $1 changes nothing"
	if [ "$CT" = rust_ct ]; then
		check "writing '$2' to $1: the log says what is right" grep -E "rust_ct: .*$1.*$3" <(log_after "$mark")
	fi
}

# taken PARAMETER VALUE READS: loading with it works, and it reads back so.
taken() {
	check "$1=$2 is taken" ct_insert "$1=$2"
	equal "$(cat "/sys/module/$CT/parameters/$1")" "$3" "$1=$2 reads as $3"
	ct_unload
}

if ct_loaded; then
	ct_unload
fi
while read -r value; do
	refused hashsize "$value" 'from [01] to [0-9]+'
done < <(some -1 x 1x 99999999999999999999 '')
if [ "$CT" = rust_ct ]; then
	refused hashsize 4294967295 'from [01] to [0-9]+'
	while read -r value; do
		refused max "$value" 'from 1 to [0-9]+'
	done < <(some 0 -1 x 1x 4294967295 99999999999999999999 '')
fi
if [ "$CT" = rust_ct ]; then
	while read -r value; do
		refused helpers "$value" 'list of ftp and tftp'
	done < <(some http:80 ftp:0 ftp:65536 ftp:21, ftp:1:2:3:4:5:6:7:8:9)
fi
for value in maybe 2 -1; do
	mark="params $RANDOM$RANDOM"
	echo "$mark" >/dev/kmsg
	if ct_insert enable_hooks=$value 2>/dev/null; then
		echo "not ok - enable_hooks=$value is refused at load"
		ct_unload
	else
		echo "ok - enable_hooks=$value is refused at load"
	fi
	check "enable_hooks=$value: the log names it" grep "enable_hooks" <(log_after "$mark")
done
taken hashsize 1 512
taken hashsize 1000 1024
taken hashsize 0x1000 4096
taken expect_hashsize 1024 1024
check "the limit that goes with hashsize=1000 is eight times what it is rounded up to" ct_insert hashsize=1000
equal "$(cat /proc/sys/net/nf_conntrack_max)" 8192 "nf_conntrack_max is 8192"
ct_unload

# What new namespaces begin with.
ct_load acct=1 tstamp=1
ip netns add rct-a
for name in acct timestamp; do
	equal "$(in_ns rct-a cat /proc/sys/net/netfilter/nf_conntrack_$name)" 1 "$name is on from the beginning"
done
ip netns delete rct-a
ct_unload

ct_load hashsize=2048
for value in 0 -1 x 4294967295 '1 2' ''; do
	refused_later hashsize "$value" 'from 1 to [0-9]+'
done
check "a good size is taken later" eval "echo 3000 >/sys/module/$CT/parameters/hashsize"
equal "$(cat "/sys/module/$CT/parameters/hashsize")" 3072 "and rounded up to a page of pointers"
if [ "$CT" = rust_ct ]; then
	for value in 0 -1 x 4294967295 ''; do
		refused_later max "$value" 'from 1 to [0-9]+'
	done
	check "a good limit is taken later" eval "echo 77 >/sys/module/$CT/parameters/max"
	equal "$(cat "/sys/module/$CT/parameters/max")" 77 "and reads back"
fi

# Another namespace's root does not decide for all.
ip netns add rct-n
if in_ns rct-n bash -c "echo 4096 >/sys/module/$CT/parameters/hashsize" 2>/dev/null; then
	echo "not ok - another namespace can not resize the table"
else
	echo "ok - another namespace can not resize the table"
fi
finish
