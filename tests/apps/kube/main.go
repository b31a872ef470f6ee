// SPDX-License-Identifier: GPL-2.0

// The calls of vishvananda/netlink that kube-proxy makes of the tracker, from a command line:
//
//	kube list 4|6                        one line for each connection
//	kube stale 4|6 ADDRESS PORT ENDPOINT deletes UDP to the service that goes to the endpoint
//	kube port 4|6 PORT                   deletes UDP to a port, by the library's own filter
//	kube create 4|6                      makes, changes, and finds one
//	kube flush                           deletes all
package main

import (
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// stale is kube-proxy's filter of its own: what still goes to an endpoint that is gone.
type stale struct {
	service, endpoint net.IP
	port              uint16
}

func (s stale) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	return flow.Forward.Protocol == unix.IPPROTO_UDP && flow.Forward.DstPort == s.port &&
		flow.Forward.DstIP.Equal(s.service) && flow.Reverse.SrcIP.Equal(s.endpoint)
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func number(text string) uint16 {
	value, err := strconv.ParseUint(text, 10, 16)
	must(err)
	return uint16(value)
}

func family(text string) netlink.InetFamily {
	if text == "6" {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

func remove(text string, filter netlink.CustomConntrackFilter) {
	deleted, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, family(text), filter)
	must(err)
	fmt.Println(deleted)
}

func create(text string) {
	near, far := net.ParseIP("192.0.2.1").To4(), net.ParseIP("198.51.100.1").To4()
	if text == "6" {
		near, far = net.ParseIP("2001:db8::1"), net.ParseIP("2001:db8::2")
	}
	flow := &netlink.ConntrackFlow{
		FamilyType: uint8(family(text)),
		Forward:    netlink.IPTuple{SrcIP: near, DstIP: far, SrcPort: 1000, DstPort: 80, Protocol: unix.IPPROTO_UDP},
		Reverse:    netlink.IPTuple{SrcIP: far, DstIP: near, SrcPort: 80, DstPort: 1000, Protocol: unix.IPPROTO_UDP},
		TimeOut:    300,
		Mark:       5,
	}
	must(netlink.ConntrackCreate(netlink.ConntrackTable, family(text), flow))
	flow.Mark, flow.TimeOut = 9, 1000
	must(netlink.ConntrackUpdate(netlink.ConntrackTable, family(text), flow))
}

func list(text string) {
	flows, err := netlink.ConntrackTableList(netlink.ConntrackTable, family(text))
	must(err)
	for _, flow := range flows {
		fmt.Println(flow)
	}
}

func main() {
	words := os.Args[1:]
	switch words[0] {
	case "list":
		list(words[1])
	case "stale":
		remove(words[1], stale{net.ParseIP(words[2]), net.ParseIP(words[4]), number(words[3])})
	case "port":
		filter := &netlink.ConntrackFilter{}
		must(filter.AddProtocol(unix.IPPROTO_UDP))
		must(filter.AddPort(netlink.ConntrackOrigDstPort, number(words[2])))
		remove(words[1], filter)
	case "create":
		create(words[1])
	case "flush":
		must(netlink.ConntrackTableFlush(netlink.ConntrackTable))
	}
}
