#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Real programs through a forwarding namespace: an HTTP server and curl, a DNS-like exchange over UDP,
# ping, traceroute-like probes and path MTU, over both families, watched in the router and at the ends.
#
# limit: 360

# The parameters of ct_load are the module's, and optional.
# shellcheck disable=SC2119
# shellcheck source=tests/scenarios/lib.sh
. "$(dirname "$0")/lib.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Answers each datagram with its text in capitals, as a name server answers a question.
ANSWER='
import socket, sys
server = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 53))
while True:
    question, sender = server.recvfrom(512)
    server.sendto(question.upper(), sender)
'
ASK='
import socket, sys
client = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(20)
client.connect((sys.argv[1], 53))
for number in range(3):
    client.send(b"www.example.org %d" % number)
    assert client.recv(512) == b"WWW.EXAMPLE.ORG %d" % number
'

# in_full ADDRESS: as the listing writes it.
in_full() {
	case $1 in
	fd0?::2) echo "${1%::2}:0000:0000:0000:0000:0000:0000:0002" ;;
	*) echo "$1" ;;
	esac
}

# line PROTO STATE SRC DST PORT FLAGS: a whole line of the listing, as an extended regular expression.
line() {
	local l3='ipv4     2' src dst
	src=$(in_full "$3")
	dst=$(in_full "$4")
	[[ $3 != *:* ]] || l3='ipv6     10'
	printf '%s\n' "^$l3 $1 [0-9]+ ${2:+$2 }src=$src dst=$dst sport=([0-9]+) dport=$5 src=$dst dst=$src sport=$5 dport=\\1 $6mark=0 zone=0 use=[0-9]+\$"
}

# listed NAMESPACE REGEX: exactly one line matches.
listed() {
	[ "$(entries "$1" "$2" | wc -l)" = 1 ]
}

listening() {
	in_ns rct-s ss -Hlnt | grep -qF "$1:8000 " && in_ns rct-s ss -Hlnu | grep -qF "$1:53 "
}

three_ns
mkfifo "$work/pipe"
head -c 100000 /dev/urandom >"$work/file"
mapfile -t families < <(some 10.1.0.2,10.2.0.2,10.2.0.2 'fd01::2,fd02::2,[fd02::2]')
for family in "${families[@]}"; do
	IFS=, read -r _ server _ <<<"$family"
	in_ns rct-s python3 -m http.server --protocol HTTP/1.1 --bind "$server" --directory "$work" 8000 >"$work/log" 2>&1 &
	in_ns rct-s python3 -c "$ANSWER" "$server" &
done
for family in "${families[@]}"; do
	poll 30 listening "${family##*,}"
done
ct_load

for family in "${families[@]}"; do
	IFS=, read -r client server host <<<"$family"

	# Nobody reads the pipe yet, so the connection stays open.
	in_ns rct-c curl -gsS -o "$work/pipe" "http://$host:8000/file" &
	curl=$!
	alive=$(line 'tcp      6' ESTABLISHED "$client" "$server" 8000 '\[ASSURED\] ')
	for ns in rct-c rct-r rct-s; do
		check "$server: HTTP is ESTABLISHED in $ns" poll 10 listed $ns "$alive"
	done
	timeout $((20 * SLOW)) cat "$work/pipe" >"$work/got"
	status=0
	wait $curl || status=$?
	equal $status 0 "$server: curl is content"
	check "$server: it got the file" cmp "$work/file" "$work/got"
	over=$(line 'tcp      6' TIME_WAIT "$client" "$server" 8000 '\[ASSURED\] ')
	for ns in rct-c rct-r rct-s; do
		check "$server: and then in TIME_WAIT in $ns" poll 10 listed $ns "$over"
	done
	check "$server: a second fetch over the same path" in_ns rct-c curl -gsS --max-time $((40 * SLOW)) -o /dev/null "http://$host:8000/file"

	check "$server: three questions over UDP are answered" in_ns rct-c python3 -c "$ASK" "$server"
	udp=$(line 'udp      17' '' "$client" "$server" 53 '')
	for ns in rct-c rct-r rct-s; do
		check "$server: they are one entry in $ns" listed $ns "$udp"
	done

	check "$server: ping" in_ns rct-c ping -c3 -i0.2 -W5 "$server"
	check "$server: ping is one entry in the router" listed rct-r "icmp.* src=$(in_full "$client") dst=$(in_full "$server") type=(8|128) code=0 id=([0-9]+) src=.* type=(0|129) code=0 id=\\2 "
done

# Errors that real stacks send: they reach who asked, and the router's rules see them as RELATED.
for command in iptables ip6tables; do
	in_ns rct-c $command -A INPUT -m conntrack --ctstate RELATED --ctdir REPLY -m comment --comment related
	in_ns rct-c $command -A INPUT -m conntrack --ctstate INVALID -m comment --comment invalid
done

# counter COMMAND NAME: what a rule of the client has counted.
counter() {
	in_ns rct-c "$1-save" -c | sed -n "s/^\\[\\([0-9]*\\):.*--comment \"*$2\"*.*/\\1/p"
}

# related NUMBER WHAT COMMAND TARGET...: a probe that must come back as NUMBER RELATED packets.
related() {
	local number=$1 what=$2 command=$3 before after
	shift 3
	before=$(counter "$command" related)
	"$@" >/dev/null 2>&1 || true
	after=$(counter "$command" related)
	equal $((after - before)) "$number" "$what is RELATED"
}

in_ns rct-r ip link set dev rct-s mtu 1300
related 1 "TTL exceeded (IPv4)" iptables in_ns rct-c ping -c1 -W2 -t1 10.2.0.2
related 1 "TTL exceeded (IPv6)" ip6tables in_ns rct-c ping -c1 -W2 -t1 fd02::2
related 1 "fragmentation needed (IPv4)" iptables in_ns rct-c ping -c1 -W2 -M 'do' -s 1400 10.2.0.2
related 1 "packet too big (IPv6)" ip6tables in_ns rct-c ping -c1 -W2 -M 'do' -s 1400 fd02::2
related 1 "port unreachable (IPv4)" iptables in_ns rct-c bash -c 'exec 3<>/dev/udp/10.2.0.2/9; echo x >&3; read -rt2 -u3'
related 1 "port unreachable (IPv6)" ip6tables in_ns rct-c bash -c 'exec 3<>/dev/udp/fd02::2/9; echo x >&3; read -rt2 -u3'
for command in iptables ip6tables; do
	equal "$(counter $command invalid)" 0 "nothing of all that was INVALID ($command)"
done
finish
