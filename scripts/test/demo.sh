#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# demo.sh [rust_ct.ko]: the demonstration, as root in the guest. It loads rust_ct into
# the running kernel, lets real programs talk between network namespaces, and shows what
# rust_ct says about them. Every line marked [x] was checked; the first
# one that does not hold ends the demonstration with exit status 1.

set -euo pipefail

module=$(readlink -f "${1:-${RUST_CT_KO:-/out/stock/rust_ct/rust_ct.ko}}")
cd "$(dirname "$(readlink -f "$0")")"
work=$(mktemp -d)
override=/etc/modprobe.d/rust_ct_demo.conf
step=0
title=start
failed=

# ---- words

# step TITLE
step() {
	step=$((step + 1))
	title=$1
	printf '\n=== %d. %s\n' $step "$title"
}

say() {
	printf '%s\n' "$@" | fold -s -w 96 | sed 's/^/    /'
}

# run COMMAND...: shows the command, then runs it.
run() {
	printf '    # %s\n' "$*"
	"$@" | sed 's/^/      /'
}

# run_on NAMESPACE COMMAND...: the same on one of the machines, which the prompt names.
run_on() {
	printf '    %s# %s\n' "$1" "${*:2}"
	on "$@" | sed 's/^/      /'
}

# fail WHAT [OUTPUT]
fail() {
	failed="step $step ($title): $1"
	[ -z "${2:-}" ] || printf '%s\n' "$2" | sed 's/^/      /'
	exit 1
}

# must SENTENCE COMMAND...: the sentence holds if the command succeeds.
must() {
	local sentence=$1 output
	shift
	output=$("$@" 2>&1) || fail "not true: $sentence" "$output"
	printf '    [x] %s\n' "$sentence"
}

# not COMMAND...
not() {
	! "$@"
}

# soon COMMAND...: succeeds within a minute.
soon() {
	local deadline=$((SECONDS + 60))
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $deadline ] || return 1
		sleep 0.2
	done
}

at_end() {
	local status=$?
	trap - EXIT
	take_down
	rm -rf "$work" "$override"
	if [ $status != 0 ]; then
		printf '\n*** The demonstration failed in %s\n' "${failed:-step $step ($title)}"
		dmesg | tail -n 5 | sed 's/^/      /'
	fi
	exit $status
}

# ---- the little network

on() {
	ip netns exec "$@"
}

# serve NAMESPACE COMMAND...: a server that runs until its machine is switched off.
serve() {
	ip netns exec "$@" >/dev/null 2>&1 &
	disown
}

# wire A ADDRESS4 ADDRESS6 B ADDRESS4 ADDRESS6: a cable between two namespaces.
wire() {
	ip -n "$1" link add "to-$4" type veth peer name "to-$1" netns "$4"
	ip -n "$1" addr add "$2" dev "to-$4"
	ip -n "$1" addr add "$3" dev "to-$4" nodad
	ip -n "$4" addr add "$5" dev "to-$1"
	ip -n "$4" addr add "$6" dev "to-$1" nodad
	ip -n "$1" link set "to-$4" up
	ip -n "$4" link set "to-$1" up
}

build_up() {
	local ns
	for ns in client router server; do
		ip netns add $ns
		ip -n $ns link set lo up
	done
	wire router 10.0.1.1/24 fd00:1::1/64 client 10.0.1.2/24 fd00:1::2/64
	wire router 10.0.2.1/24 fd00:2::1/64 server 10.0.2.2/24 fd00:2::2/64
	ip -n client route add default via 10.0.1.1
	ip -n client -6 route add default via fd00:1::1
	ip -n server route add default via 10.0.2.1
	ip -n server -6 route add default via fd00:2::1
	on router sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
}

take_down() {
	local ns pids
	for ns in client router server; do
		[ -e /run/netns/$ns ] || continue
		pids=$(ip netns pids $ns)
		# shellcheck disable=SC2086 # a list of numbers
		[ -z "$pids" ] || kill -9 $pids 2>/dev/null || true
		ip netns delete $ns
	done
}

# listens NAMESPACE ADDRESS:PORT
listens() {
	on "$1" ss -Hlntu | grep -qF " $2 "
}

# ---- what rust_ct says

# lines NAMESPACE PATTERN
lines() {
	on "$1" cat /proc/rust_ct | grep -E -- "$2"
}

# lines_of NAMESPACE PATTERN: how many there are.
lines_of() {
	lines "$1" "$2" | wc -l
}

# show NAMESPACE PATTERN: the lines of /proc/rust_ct that are meant, as a person would look for them.
show() {
	printf '    %s# cat /proc/rust_ct\n' "$1"
	lines "$1" "$2" | sed 's/^/      /' || true
}

# counted COMMAND STATES: packets that the client's rule for these states has counted.
counted() {
	on client "$1-save" -c | sed -n "s/^\\[\\([0-9]*\\):.*-A INPUT .*--ctstate $2 .*/\\1/p"
}

# counter REASON: INVALID packets that the client has counted for it.
counter() {
	on client sed -n "s/^invalid_$1 //p" /proc/rust_ct_stat
}

# is NUMBER COMMAND...: the command prints that number.
is() {
	local want=$1 got
	shift
	got=$("$@")
	echo "it is ${got:-nothing} and should be $want"
	[ "$got" = "$want" ]
}

# more NUMBER COMMAND...: the command prints a higher number.
more() {
	local than=$1 got
	shift
	got=$("$@")
	echo "it is ${got:-nothing} and should be above $than"
	[ "${got:-0}" -gt "$than" ]
}

# forged COMMAND FROM TO NUMBER: sends them; the rule for INVALID has counted as many in the end.
forged() {
	on server python3 demo_net.py forge "$2" "$3" "$4"
	is "$4" counted "$1" INVALID
}

gone() {
	rmmod xt_conntrack 2>/dev/null || true
	rmmod rust_ct
}

tracker_gone() {
	not grep -q '^rust_ct ' /proc/modules
}

trap at_end EXIT
[ "$(id -u)" = 0 ] || fail "it loads a module and makes namespaces, so it must run as root"
[ -r "$module" ] || fail "there is no module $module; give its path: demo.sh rust_ct.ko"

step "The kernel, and the module"
say "This is the kernel that Debian ships, not one of ours:"
run uname -rv
say "Connection tracking in C (nf_conntrack.ko) is not loaded. We load rust_ct, written in Rust, in its place. The line for modprobe keeps the C module out when something asks for it."
must "no connection tracker is loaded" not grep -qE '^(nf_conntrack|rust_ct) ' /proc/modules
echo "install nf_conntrack /bin/true" >"$override"
run cat "$override"
modprobe -a nf_defrag_ipv4 nf_defrag_ipv6
run insmod "$module"
run grep '^rust_ct' /proc/modules
dmesg | grep 'rust_ct: ' | tail -n 1 | sed 's/^/      /'
must "rust_ct is loaded, and /proc/rust_ct is there" test -r /proc/rust_ct

step "Three machines"
say "Three network namespaces stand for three machines, each with IPv4 and IPv6:"
cat <<'PICTURE'

      client                     router                     server
      10.0.1.2  ----------  10.0.1.1 10.0.2.1  ----------  10.0.2.2
      fd00:1::2            fd00:1::1 fd00:2::1            fd00:2::2

PICTURE
build_up
for address in 10.0.2.2 fd00:2::2; do
	serve server python3 demo_net.py page $address 80
	serve server python3 demo_net.py names $address
done
must "a web server and a name server listen on the server, IPv4" soon listens server 10.0.2.2:80
must "and IPv6" soon listens server '[fd00:2::2]:80'
must "and so does the name server" soon listens server 10.0.2.2:53
must "over both" soon listens server '[fd00:2::2]:53'

step "Ping"
say "The client pings the server. The router between them sees request and reply as one connection:"
run_on client ping -c 2 -i 0.3 -q 10.0.2.2
run_on client ping -c 2 -i 0.3 -q fd00:2::2
show router 'icmp'
must "the IPv4 ping is one connection, with its reply direction" is 1 \
	lines_of router '^ipv4 .* icmp .* src=10.0.1.2 dst=10.0.2.2 type=8 code=0 id=[0-9]+ src=10.0.2.2 dst=10.0.1.2 type=0 '
must "the IPv6 ping is one connection" is 1 lines_of router '^ipv6 .* icmpv6 .* type=128 code=0 id=[0-9]+ src=.* type=129 '
must "the client sees the same connection for itself" is 1 lines_of client '^ipv4 .* icmp .* src=10.0.1.2 dst=10.0.2.2 '

step "A question and an answer over UDP"
for address in 10.0.2.2 fd00:2::2; do
	run_on client python3 demo_net.py ask $address demo.example
done
show router ' udp '
must "IPv4: one connection, replied to" is 1 \
	lines_of router '^ipv4 .* udp .* src=10.0.1.2 dst=10.0.2.2 sport=[0-9]+ dport=53 src=10.0.2.2 '
must "IPv6: one connection, replied to" is 1 lines_of router '^ipv6 .* udp .* sport=[0-9]+ dport=53 src='

step "A web page over TCP"
mkfifo "$work/pipe"
for host in 10.0.2.2 '[fd00:2::2]'; do
	case $host in
	\[*) family=ipv6 ;;
	*) family=ipv4 ;;
	esac
	say "curl fetches http://$host/ and is made to wait before it reads the page. While the connection lives:"
	on client curl -gsS -o "$work/pipe" "http://$host/" &
	curl=$!
	must "$family: the connection is ESTABLISHED in the router" soon lines router "^$family .* tcp .* ESTABLISHED .* dport=80 .*\\[ASSURED\\]"
	show router "^$family .* tcp "
	say "Now curl reads the rest and closes. After that:"
	timeout 60 cat "$work/pipe" >"$work/page"
	wait $curl || fail "curl ended with status $?"
	must "$family: curl got the whole page, $(stat -c %s "$work/page") bytes" test "$(stat -c %s "$work/page")" = 110000
	must "$family: the connection has closed and waits for stragglers" soon lines router "^$family .* tcp .* TIME_WAIT .* dport=80 "
	show router "^$family .* tcp "
done

step "A firewall of three rules"
say "On the client, with the stock kernel's xt_conntrack.ko on top of rust_ct: replies come in, what makes no sense and what nobody asked for stays out."
for command in iptables ip6tables; do
	run_on client $command -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	run_on client $command -A INPUT -m conntrack --ctstate INVALID -j DROP
	run_on client $command -A INPUT -m conntrack --ctstate NEW -j DROP
done
must "xt_conntrack.ko is loaded" grep -q '^xt_conntrack ' /proc/modules
must "nf_conntrack.ko is not" not grep -q '^nf_conntrack ' /proc/modules
serve client python3 demo_net.py page 10.0.1.2 8080
serve client python3 demo_net.py page fd00:1::2 8080
must "the client now runs a web server too, on port 8080" soon listens client 10.0.1.2:8080
must "over IPv6 as well" soon listens client '[fd00:1::2]:8080'
for command in iptables ip6tables; do
	if [ $command = iptables ]; then
		inside=10.0.1.2 outside=10.0.2.2 url=http://10.0.2.2/ door=http://10.0.1.2:8080/
	else
		inside=fd00:1::2 outside=fd00:2::2 url='http://[fd00:2::2]/' door='http://[fd00:1::2]:8080/'
	fi
	must "the client fetches a page from $outside: replies come in" on client curl -gsS -m 60 -o /dev/null "$url"
	must "the client pings $outside: replies come in" on client ping -c 2 -i 0.3 -W 10 -q $outside
	must "the first rule has counted them" more 2 counted $command RELATED,ESTABLISHED
	must "the second rule has counted nothing" is 0 counted $command INVALID
	must "the third rule has counted nothing" is 0 counted $command NEW
	must "the server pings $inside, unasked: no answer" not on server ping -c 3 -i 0.3 -W 1 -q $inside
	must "the third rule has counted its three packets" is 3 counted $command NEW
	must "the server sends four forged ping replies: the second rule has counted four" \
		forged $command $outside $inside 4
	must "the server calls the web server on $inside, unasked: no connection" not on server curl -gsS -m 2 -o /dev/null "$door"
	must "the third rule has counted its attempts" more 3 counted $command NEW
	run_on client $command -L INPUT -v -n
done

step "What rust_ct has counted"
say "Every reason for which a packet was found INVALID has a counter of its own. Those of the client that are not zero:"
on client cat /proc/rust_ct_stat | grep -v ' 0$' | sed 's/^/      /' || true
must "the eight forged replies are there by name" is 8 counter icmp_new

step "Unloading"
say "The machines are switched off, and the module goes."
take_down
must "rmmod rust_ct" soon gone
must "the module is gone" tracker_gone
must "/proc/rust_ct is gone" test ! -e /proc/rust_ct
must "/proc/net/nf_conntrack is gone" test ! -e /proc/net/nf_conntrack
must "no sysctl is left" test ! -e /proc/sys/net/netfilter/nf_conntrack_max
must "no memory is left: its slab is gone" not grep -qE '^(rust_ct|nf_conntrack)' /proc/slabinfo
must "the kernel has not complained" not grep -E 'BUG:|WARNING:|Oops|rust_ct.*panic' <(dmesg)

printf '\nThat was rust_ct: every line marked [x] was checked.\n'
