#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# check_layers.sh [DIRECTORY]: holds the lines between the layers of rust_ct/, as
# Documentation/development.md states them, in DIRECTORY (default: this clone's
# rust_ct). Prints each line that crosses one, and fails then.
# check_layers.sh --self-test: proves that each rule catches a violation.

set -euo pipefail

top=$(cd "$(dirname "$0")/.." && pwd -P)

# What counts as which layer, as patterns of paths below rust_ct/.
pure='^(wire|tuple|mask|line|expect_line|zone|state|reason|timeout|l4proto|payload)(/.*)?\.rs$'
system='^sys(/.*)?\.rs$|^sys\.rs$'
bindings='^bindings[a-z0-9_]*\.rs$'
entry='^rust_ct_main\.rs$'
objects='^(conn|table|expect|netns|stat|keymap|param|sysctl)(/.*)?\.rs$|^helper(/own)?\.rs$'
flows='^(begin|confirm|expire|export|hooks|packet|pernet|seqadj|show)(/.*)?\.rs$|^helper/(ftp|tftp)\.rs$'
unsafe_rooms="$system|$bindings|^(conn|table|expect|export)(/.*)?\.rs\$|^helper(/own)?\.rs\$"

# The modules of objects and flows, as paths.
object_paths='crate::(conn|table|expect|netns|stat|keymap|param|sysctl|helper)\b'
flow_paths='crate::(begin|confirm|expire|export|hooks|packet|pernet|seqadj|show)\b'

# Writes each name of a `use` with its whole path, on the line that it is on.
# shellcheck disable=SC2016 # awk's
in_full='
	!inside && !/^[ \t]*(pub(\([a-z ]*\))? )?use / { print; next }
	{
		line = $0
		if (!inside) {
			sub(/^.*use /, "", line)
			inside = 1
			depth = 0
			prefix[0] = ""
		}
		out = ""
		while (line != "") {
			if (match(line, /^[A-Za-z0-9_:*]+/)) {
				word = prefix[depth] substr(line, 1, RLENGTH)
				line = substr(line, RLENGTH + 1)
				if (substr(line, 1, 1) == "{")
					prefix[depth + 1] = word
				else
					out = out " " word
				continue
			}
			sign = substr(line, 1, 1)
			line = substr(line, 2)
			if (sign == "{")
				depth++
			else if (sign == "}")
				depth--
			else if (sign == ";")
				inside = 0
		}
		print out
	}'

# Prints FILE with comments, attributes and the text of strings taken out, line by
# line, so that a rule looks at code only.
code() {
	sed -E -e 's/"([^"\\]|\\.)*"/""/g' -e 's,//.*$,,' \
		-e 's/#!?\[(forbid|deny|allow|expect|warn)\([^]]*\]//g' "$1" | awk "$in_full"
}

# search PATTERN FILE WHY: reports the lines of FILE whose code has PATTERN.
search() {
	local found
	found=$(code "$dir/$2" | grep -nE "$1") || return 0
	while IFS= read -r line; do
		printf '%s:%s: %s\n' "$2" "${line%%:*}" "$3"
	done <<<"$found"
	status=1
}

check_file() {
	local file=$1
	if [[ ! $file =~ $unsafe_rooms ]]; then
		search '\bunsafe\b' "$file" "unsafe outside sys/, bindings, conn, table, expect, helper and export"
	fi
	if [[ $file =~ $pure ]]; then
		search '\b(kernel|bindings|pin_init|alloc|std)::|crate::(sys|bindings)\b' "$file" \
			"a pure file uses something other than core, zerocopy and pure files"
		search "$object_paths|$flow_paths" "$file" "a pure file uses an object or a flow"
		search '\b(pr_(info|warn|err|debug)|SpinLock|Mutex|KBox|KVec|KVVec)\b' "$file" \
			"a pure file logs, locks or allocates"
	elif [[ $file =~ $system ]]; then
		search "$object_paths|$flow_paths|crate::(tuple|zone|state|reason|timeout|l4proto)\\b" \
			"$file" "a system wrapper uses a file that knows connections"
		search '\b(Conn|Connection|Tuple|Zone|Expectation|L4Proto)\b|\bnf_conn\b' \
			"$file" "a system wrapper names a connection concept"
	elif [[ ! $file =~ $bindings && ! $file =~ $entry && ! $file =~ $unsafe_rooms ]]; then
		search '\b(crate|kernel|super)::bindings\b|\bbindings::' "$file" \
			"an object or flow uses the raw bindings"
	fi
	if [[ $file =~ $objects ]]; then
		search "$flow_paths" "$file" "an object uses a flow"
	elif [[ ! $file =~ $pure|$system|$bindings|$entry|$flows ]]; then
		echo "$file: belongs to no layer, see scripts/check_layers.sh"
		status=1
	fi
}

check() {
	local file
	dir=$1
	status=0
	while IFS= read -r file; do
		check_file "$file"
	done < <(cd "$dir" && find . -name '*.rs' ! -name '*generated*' | sed 's,^\./,,' | sort)
	return "$status"
}

# expect VERDICT FILE TEXT: a tree with this text alone in FILE is caught (1) or not (0).
expect() {
	local dir result=0
	dir=$(mktemp -d)
	mkdir -p "$dir/$(dirname "$2")"
	printf '%s\n' "$3" >"$dir/$2"
	(check "$dir" >/dev/null) || result=1
	rm -rf "$dir"
	number=$((number + 1))
	if [ "$result" -eq "$1" ]; then
		echo "ok $number - $2: ${3//$'\n'/ }"
	else
		echo "not ok $number - $2: ${3//$'\n'/ }"
		bad=1
	fi
}

self_test() {
	number=0
	bad=0
	expect 1 begin.rs 'let x = unsafe { y() };'
	expect 0 begin.rs '// nothing unsafe here'
	expect 0 begin.rs '#![forbid(unsafe_code)]'
	expect 0 begin.rs 'pr_err!("an unsafe packet\n");'
	expect 0 sys/skb.rs 'let x = unsafe { y() };'
	expect 0 table.rs 'let x = unsafe { y() };'
	expect 0 conn/slab.rs 'let x = unsafe { y() };'
	expect 0 expect.rs 'let x = unsafe { y() };'
	expect 0 helper/own.rs 'let x = unsafe { y() };'
	expect 1 helper/ftp.rs 'let x = unsafe { y() };'
	expect 1 wire/tcp.rs 'let x = unsafe { y() };'
	expect 1 wire/tcp.rs 'use kernel::prelude::*;'
	expect 1 wire.rs 'use crate::sys::skb::Skb;'
	expect 0 wire/tcp.rs 'use crate::reason::Reason;'
	expect 0 tuple.rs 'use core::cmp::min;'
	expect 1 l4proto/udp.rs 'use crate::table::Table;'
	expect 1 payload/ftp.rs 'use crate::expect::Expectation;'
	expect 1 state.rs 'pr_info!("hello");'
	expect 1 sys/skb.rs 'use crate::conn::Conn;'
	expect 1 sys/skb.rs 'fn get(ct: *mut nf_conn) {}'
	expect 1 begin.rs 'use crate::bindings::sk_buff;'
	expect 1 begin.rs 'let x = kernel::bindings::NF_ACCEPT;'
	expect 0 begin.rs 'use crate::sys::hook::Verdict;'
	expect 1 table.rs 'use crate::begin::enter;'
	expect 1 table.rs $'use crate::{\n    conn::Conn,\n    begin::{\n        self, //\n    },\n};'
	expect 0 begin.rs $'use crate::{\n    conn::{\n        begin,\n        Conn, //\n    },\n    table::TABLE, //\n};'
	expect 1 l4proto/udp.rs $'use crate::{\n    tuple::Tuple,\n    sys::time, //\n};'
	expect 1 sys/skb.rs $'use crate::{\n    bindings,\n    conn::Conn, //\n};'
	expect 1 stranger.rs 'use core::ptr;'
	echo "1..$number"
	return "$bad"
}

if [ "${1:-}" = --self-test ]; then
	self_test
else
	check "${1:-$top/rust_ct}"
fi
