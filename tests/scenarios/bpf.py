# SPDX-License-Identifier: GPL-2.0
"""BPF programs at XDP and traffic control look connections up, make them and change them."""

# limit: 240
# left out of CI on: debug

import contextlib
import errno
import os
import socket
import struct

from bpf_object import (
    VMLINUX,
    Object,
    compiled,
)
from policy import (
    Nft,
    missing,
    one_cpu,
)

from lib import (
    CT,
    PARAMETERS,
    RUST,
    SYSCTL,
    Router,
    check,
    equal,
    find,
    listing,
    load,
    main,
    poll,
    read,
    run,
    skip,
    some,
    udp,
    write,
)

PORT = 53
# Bits of the status.
EXPECTED, SEEN_REPLY, ASSURED, CONFIRMED = (1 << bit for bit in range(4))
DYING, FIXED_TIMEOUT, HELPER = 1 << 9, 1 << 10, 1 << 13
TCP, UDP, ICMP = 6, 17, 1
# What the program at the router's port gives to a connection that it makes, and then counts up.
MARK = 0xB9F0
# Jiffies of a second.
HZ = 250
# The identifier of a namespace in the initial one, and an identifier that this does not know.
NETNS, NO_NETNS = 7, 99

# `on_skb` and `on_xdp` do what the message in their packet says. Messages of REFUSED are refused.
PROGRAM = r"""
#include <linux/bpf.h>

#define SEC(name) __attribute__((section(name), used))
#define KSYM __attribute__((section(".ksyms")))
#define CORE __attribute__((preserve_access_index))
#define INLINE static inline __attribute__((always_inline))
#define NULL ((void *)0)

struct nf_conn {
	unsigned long status;
	__u32 timeout;
	__u32 mark;
} CORE;

struct nf_conn___init {
	struct nf_conn ct;
} CORE;

struct bpf_ct_opts {
	__s32 netns_id;
	__s32 error;
	__u8 l4proto;
	__u8 dir;
	__u16 ct_zone_id;
	__u8 ct_zone_dir;
	__u8 reserved[3];
};

#define FUNCTIONS(kind, type) \
	extern struct nf_conn___init *bpf_##kind##_ct_alloc(struct type *, struct bpf_sock_tuple *, __u32, \
							    struct bpf_ct_opts *, __u32) KSYM; \
	extern struct nf_conn *bpf_##kind##_ct_lookup(struct type *, struct bpf_sock_tuple *, __u32, \
						      struct bpf_ct_opts *, __u32) KSYM;
FUNCTIONS(skb, __sk_buff)
FUNCTIONS(xdp, xdp_md)
extern struct nf_conn *bpf_ct_insert_entry(struct nf_conn___init *) KSYM;
extern void bpf_ct_release(struct nf_conn *) KSYM;
extern void bpf_ct_set_timeout(struct nf_conn___init *, __u32) KSYM;
extern int bpf_ct_change_timeout(struct nf_conn *, __u32) KSYM;
extern int bpf_ct_set_status(const struct nf_conn___init *, __u32) KSYM;
extern int bpf_ct_change_status(struct nf_conn *, __u32) KSYM;

enum { LOOKUP, CHANGE, ALLOC };


struct message {
	__u32 what, sizes, set;
	/* What is set where `set` has the bit 1, 2 or 4, and what came of the first two. */
	__u32 timeout, status, mark;
	__s32 timeout_rc, status_rc;
	/* 1: it was made, 2: there is a connection, which has this. */
	__u32 found, has_status, has_mark;
	__u8 tuple[36];
	__u8 opts[20];
};

/* The lengths of tuple and options, each a constant. */
#define CALL(function) \
	switch (m->sizes) { \
	case 0: return function(ctx, (void *)m->tuple, 12, (void *)m->opts, 16); \
	case 1: return function(ctx, (void *)m->tuple, 36, (void *)m->opts, 16); \
	case 2: return function(ctx, (void *)m->tuple, 12, (void *)m->opts, 12); \
	case 3: return function(ctx, (void *)m->tuple, 36, (void *)m->opts, 12); \
	case 4: return function(ctx, (void *)m->tuple, 12, (void *)m->opts, 8); \
	case 5: return function(ctx, (void *)m->tuple, 12, (void *)m->opts, 20); \
	case 6: return function(ctx, (void *)m->tuple, 13, (void *)m->opts, 16); \
	case 7: return function(ctx, (void *)m->tuple, 11, (void *)m->opts, 16); \
	case 8: return function(ctx, (void *)m->tuple, 35, (void *)m->opts, 16); \
	case 9: return function(ctx, (void *)m->tuple, 12, (void *)m->opts, 4); \
	case 10: return function(ctx, (void *)m->tuple, 12, (void *)m->opts, 15); \
	} \
	return NULL;

#define SERVE(kind, type) \
INLINE struct nf_conn *kind##_find(struct type *ctx, struct message *m) \
{ \
	CALL(bpf_##kind##_ct_lookup) \
} \
INLINE struct nf_conn___init *kind##_alloc(struct type *ctx, struct message *m) \
{ \
	CALL(bpf_##kind##_ct_alloc) \
} \
INLINE struct nf_conn *kind##_make(struct type *ctx, struct message *m) \
{ \
	struct nf_conn___init *fresh = kind##_alloc(ctx, m); \
\
	if (!fresh) \
		return NULL; \
	m->found = 1; \
	if (m->set & 1) \
		bpf_ct_set_timeout(fresh, m->timeout); \
	if (m->set & 2) \
		m->status_rc = bpf_ct_set_status(fresh, m->status); \
	if (WRITES && m->set & 4) \
		((struct nf_conn *)fresh)->mark = m->mark; \
	return bpf_ct_insert_entry(fresh); \
} \
INLINE int kind##_serve(struct type *ctx, int done) \
{ \
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end; \
	struct message *packet = data + 16, m; \
	struct nf_conn *ct; \
\
	if ((void *)(packet + 1) > end) \
		return done; \
	m = *packet; \
	ct = m.what == ALLOC ? kind##_make(ctx, &m) : kind##_find(ctx, &m); \
	if (ct) { \
		m.found |= 2; \
		if (m.what == CHANGE) { \
			if (m.set & 1) \
				m.timeout_rc = bpf_ct_change_timeout(ct, m.timeout); \
			if (m.set & 2) \
				m.status_rc = bpf_ct_change_status(ct, m.status); \
			if (WRITES && m.set & 4) \
				ct->mark = m.mark; \
		} \
		m.has_status = ct->status; \
		m.has_mark = ct->mark; \
		bpf_ct_release(ct); \
	} \
	*packet = m; \
	return done; \
}
SERVE(skb, __sk_buff)
SERVE(xdp, xdp_md)

SEC("tc") int on_skb(struct __sk_buff *ctx)
{
	return skb_serve(ctx, 0);
}

SEC("xdp") int on_xdp(struct xdp_md *ctx)
{
	return xdp_serve(ctx, XDP_PASS);
}

#define OPTS struct bpf_ct_opts opts = { .netns_id = -1, .l4proto = 17 }
#define TUPLE struct bpf_sock_tuple tuple = {}
#define FIND(kind) bpf_##kind##_ct_lookup(ctx, &tuple, sizeof(tuple.ipv4), &opts, sizeof(opts))
#define MAKE(kind) bpf_##kind##_ct_alloc(ctx, &tuple, sizeof(tuple.ipv4), &opts, sizeof(opts))

#define REFUSED(program, section, type, body) \
SEC(section) int program(struct type *ctx) \
{ \
	struct nf_conn___init *fresh; \
	struct nf_conn *ct; \
	TUPLE; \
	OPTS; \
\
	(void)fresh, (void)ct, (void)tuple, (void)opts; \
	body; \
	return 0; \
}
#define FOUND(kind, use) ct = FIND(kind); if (ct) { use; }
#define FRESH(kind, use) fresh = MAKE(kind); if (fresh) { use; }
#define INSERTED(kind, use) FRESH(kind, ct = bpf_ct_insert_entry(fresh); if (ct) { use; })
#define BOTH(program, body) \
	REFUSED(program##_skb, "tc", __sk_buff, body(skb)) \
	REFUSED(program##_xdp, "xdp", xdp_md, body(xdp))

#define LEAKS(kind) FOUND(kind, )
BOTH(leaks, LEAKS)
#define LEAKS_FRESH(kind) FRESH(kind, )
BOTH(leaks_fresh, LEAKS_FRESH)
#define LEAKS_INSERTED(kind) INSERTED(kind, )
BOTH(leaks_inserted, LEAKS_INSERTED)
#define RELEASES_FRESH(kind) FRESH(kind, bpf_ct_release((void *)fresh))
BOTH(releases_fresh, RELEASES_FRESH)
#define RELEASES_TWICE(kind) FOUND(kind, bpf_ct_release(ct); bpf_ct_release(ct))
BOTH(releases_twice, RELEASES_TWICE)
#define INSERTS_FOUND(kind) FOUND(kind, ct = bpf_ct_insert_entry((void *)ct); if (ct) bpf_ct_release(ct))
BOTH(inserts_found, INSERTS_FOUND)
#define INSERTS_TWICE(kind) INSERTED(kind, ct = bpf_ct_insert_entry(fresh); if (ct) bpf_ct_release(ct))
BOTH(inserts_twice, INSERTS_TWICE)
#define INSERTS_UNCHECKED(kind) fresh = MAKE(kind); ct = bpf_ct_insert_entry(fresh); if (ct) bpf_ct_release(ct)
BOTH(inserts_unchecked, INSERTS_UNCHECKED)
#define RELEASES_UNCHECKED(kind) ct = FIND(kind); bpf_ct_release(ct)
BOTH(releases_unchecked, RELEASES_UNCHECKED)
#define SETS_TIMEOUT(kind) INSERTED(kind, bpf_ct_set_timeout((void *)ct, 1); bpf_ct_release(ct))
BOTH(sets_timeout, SETS_TIMEOUT)
#define SETS_STATUS(kind) INSERTED(kind, bpf_ct_set_status((void *)ct, 0); bpf_ct_release(ct))
BOTH(sets_status, SETS_STATUS)
#define CHANGES_TIMEOUT(kind) FRESH(kind, bpf_ct_change_timeout((void *)fresh, 1); \
	ct = bpf_ct_insert_entry(fresh); if (ct) bpf_ct_release(ct))
BOTH(changes_timeout, CHANGES_TIMEOUT)
#define CHANGES_STATUS(kind) FRESH(kind, bpf_ct_change_status((void *)fresh, 0); \
	ct = bpf_ct_insert_entry(fresh); if (ct) bpf_ct_release(ct))
BOTH(changes_status, CHANGES_STATUS)
#define FINDS_NO_TUPLE(kind) ct = bpf_##kind##_ct_lookup(ctx, NULL, 0, &opts, sizeof(opts)); if (ct) bpf_ct_release(ct)
BOTH(finds_no_tuple, FINDS_NO_TUPLE)
#define FINDS_NO_OPTS(kind) ct = bpf_##kind##_ct_lookup(ctx, &tuple, 12, NULL, 16); if (ct) bpf_ct_release(ct)
BOTH(finds_no_opts, FINDS_NO_OPTS)
#define MAKES_NO_TUPLE(kind) fresh = bpf_##kind##_ct_alloc(ctx, NULL, 0, &opts, sizeof(opts)); \
	if (fresh && (ct = bpf_ct_insert_entry(fresh))) bpf_ct_release(ct)
BOTH(makes_no_tuple, MAKES_NO_TUPLE)
#define MAKES_NO_OPTS(kind) fresh = bpf_##kind##_ct_alloc(ctx, &tuple, 12, NULL, 16); \
	if (fresh && (ct = bpf_ct_insert_entry(fresh))) bpf_ct_release(ct)
BOTH(makes_no_opts, MAKES_NO_OPTS)
#define WRITES_STATUS(kind) FOUND(kind, ct->status = 1; bpf_ct_release(ct))
BOTH(writes_status, WRITES_STATUS)
#define WRITES_WIDE(kind) FOUND(kind, \
	asm volatile("*(u64 *)(%0 + 0) = %1" : : "r"(&ct->mark), "r"(1ul) : "memory"); bpf_ct_release(ct))
BOTH(writes_wide, WRITES_WIDE)
#define WRITES_FRESH(kind) FRESH(kind, ((struct nf_conn *)fresh)->timeout = 1; \
	ct = bpf_ct_insert_entry(fresh); if (ct) bpf_ct_release(ct))
BOTH(writes_fresh, WRITES_FRESH)
/*
 * nf_nat's function has the connection of the kernel's BTF, and a tracker's that of its own, which the verifier takes
 * for another one: with nf_conntrack as well, in Debian's kernel.
 */
union nf_inet_addr {
	__u32 all[4];
};
enum nf_nat_manip_type { NF_NAT_MANIP_SRC, NF_NAT_MANIP_DST };
extern int bpf_ct_set_nat_info(struct nf_conn___init *, union nf_inet_addr *, int, enum nf_nat_manip_type) KSYM;
#define SETS_NAT(kind) FRESH(kind, union nf_inet_addr to = {}; bpf_ct_set_nat_info(fresh, &to, 1, NF_NAT_MANIP_SRC); \
	ct = bpf_ct_insert_entry(fresh); if (ct) bpf_ct_release(ct))
BOTH(sets_nat, SETS_NAT)
/* Another type of programs, which has none of these functions. */
REFUSED(of_sockets, "socket", __sk_buff, FOUND(skb, bpf_ct_release(ct)))

/* Makes connections of those to port 53 that there are none of, and counts the packets of the others. */
SEC("classifier") int at_port(struct __sk_buff *ctx)
{
	unsigned char *packet = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct bpf_ct_opts opts = { .netns_id = -1, .l4proto = 17 };
	struct bpf_sock_tuple tuple = {};
	struct nf_conn___init *fresh;
	struct nf_conn *ct;

	if (packet + 42 > end || packet[12] != 8 || packet[13] != 0 || packet[14] != 0x45 || packet[23] != 17)
		return 0;
	tuple.ipv4.saddr = *(__u32 *)(packet + 26);
	tuple.ipv4.daddr = *(__u32 *)(packet + 30);
	tuple.ipv4.sport = *(__u16 *)(packet + 34);
	tuple.ipv4.dport = *(__u16 *)(packet + 36);
	ct = bpf_skb_ct_lookup(ctx, &tuple, sizeof(tuple.ipv4), &opts, sizeof(opts));
	if (ct) {
		if (WRITES)
			ct->mark = ct->mark + 1;
		bpf_ct_release(ct);
		return 0;
	}
	if (packet[36] != 0 || packet[37] != 53)
		return 0;
	fresh = bpf_skb_ct_alloc(ctx, &tuple, sizeof(tuple.ipv4), &opts, sizeof(opts));
	if (!fresh)
		return 0;
	bpf_ct_set_timeout(fresh, 60000);
	bpf_ct_set_status(fresh, 1 << 1 | 1 << 2);
	if (WRITES)
		((struct nf_conn *)fresh)->mark = 0xb9f0;
	ct = bpf_ct_insert_entry(fresh);
	if (ct)
		bpf_ct_release(ct);
	return 0;
}

char _license[] SEC("license") = "GPL";
"""

# Debian's nf_conntrack.ko has a struct nf_conn of its own in its BTF, beside that of the kernel by which it knows what
# may be written: so no program may write to its connections.
WRITES = RUST

REFUSED = (
    # the program (for both kinds), what the verifier says, what the program does
    ("leaks", "Unreleased reference", "keeps what it has looked up"),
    ("leaks_fresh", "Unreleased reference", "keeps a new one"),
    ("leaks_inserted", "Unreleased reference", "keeps what it has inserted"),
    ("releases_fresh", "expected pointer to STRUCT nf_conn but", "releases a new one"),
    ("releases_twice", "release kfunc bpf_ct_release expects referenced", "releases one twice"),
    ("releases_unchecked", "Possibly NULL pointer passed", "releases what it may not have found"),
    ("inserts_found", "expected pointer to STRUCT nf_conn___init but", "inserts what it has looked up"),
    ("inserts_twice", "release kfunc bpf_ct_insert_entry expects referenced", "inserts one twice"),
    ("inserts_unchecked", "Possibly NULL pointer passed", "inserts what may not have been made"),
    ("sets_timeout", "expected pointer to STRUCT nf_conn___init but", "sets the timeout of one of the table"),
    ("sets_status", "expected pointer to STRUCT nf_conn___init but", "sets the status of one of the table"),
    ("changes_timeout", "expected pointer to STRUCT nf_conn but", "changes the timeout of a new one"),
    ("changes_status", "expected pointer to STRUCT nf_conn but", "changes the status of a new one"),
    ("finds_no_tuple", "Possibly NULL pointer passed", "looks up without a tuple"),
    ("finds_no_opts", "Possibly NULL pointer passed", "looks up without options"),
    ("makes_no_tuple", "Possibly NULL pointer passed", "makes one without a tuple"),
    ("makes_no_opts", "Possibly NULL pointer passed", "makes one without options"),
    ("sets_nat", "expected pointer to STRUCT nf_conn___init but R1 has a pointer to STRUCT nf_conn___init", "sets NAT"),
    ("writes_status", "no write support to nf_conn at off", "writes the status"),
    ("writes_wide", "beyond the member of nf_conn ended at", "writes beyond the mark"),
    ("writes_fresh", "no write support to nf_conn at off", "writes the timeout of a new one"),
)

MESSAGE = struct.Struct("<IIIIIIiiIII36s20s")
LOOKUP, CHANGE, ALLOC = range(3)
# The lengths of a tuple and of options, in the order of `CALL`.
SIZES = ((12, 16), (36, 16), (12, 12), (36, 12), (12, 8), (12, 20), (13, 16), (11, 16), (35, 16), (12, 4), (12, 15))
# What the options have for the error before a call, and afterwards if the call set none.
UNTOLD = 0x12345678


def tuple_of(src, dst, sport, dport):
    family = socket.AF_INET6 if ":" in src else socket.AF_INET
    return b"".join(socket.inet_pton(family, one) for one in (src, dst)) + struct.pack("!HH", sport, dport)


class Answer:
    """What a program has left of a message."""

    def __init__(self, fields):
        self.timeout_rc, self.status_rc, self.found, self.status, self.mark, _, opts = fields[6:]
        _, error, _, self.dir, _, self.zone_dir = struct.unpack_from("<iiBBHB", opts)
        self.error = error


class Asker:
    """Asks one of the two programs in a namespace."""

    def __init__(self, programs, name, ns):
        self.programs, self.name, self.ns = programs, name, ns

    def __call__(self, what, flow, *, sizes=None, ns=None, **asked):
        """`flow` is what tuple_of() is given; what else is asked is of opts(), or is to be set."""
        flow = tuple_of(*flow)
        given = {key: asked.pop(key) for key in ("timeout", "status", "mark") if key in asked}
        bits = sum(1 << bit for bit, key in enumerate(("timeout", "status", "mark")) if key in given)
        sizes = SIZES.index(sizes or (len(flow), 16))
        values = [given.get(key, 0) for key in ("timeout", "status", "mark")]
        data = MESSAGE.pack(what, sizes, bits, *values, 0, 0, 0, 0, 0, flow, self.opts(**asked))
        # Behind an Ethernet header of an unused type, at a whole word.
        frame = bytes(12) + b"\x88\xb5" + bytes(2) + data
        left = self.programs.run(self.name, frame, self.ns if ns is None else ns or None)
        return Answer(MESSAGE.unpack(left[16:]))

    @staticmethod
    def opts(netns=-1, proto=UDP, zone=0, zone_dir=0, reserved=b"\0\0\0"):
        return struct.pack("<iiBBHB3s4x", netns, UNTOLD, proto, 0xFF, zone, zone_dir, reserved)


def came(port, want=1):
    """The IPv4 packets that come to a port."""
    return port.received(3, want, lambda packet: packet[:1] == b"\x45")


def verified(file):
    """What is right is loaded, what is wrong is not."""
    kinds = some(("skb", "xdp"))
    rows = [(f"{row[0]}_{kind}", row[1], f"{kind}: a program that {row[2]}") for kind in kinds for row in REFUSED]
    rows.append(("of_sockets", "is not allowed", "a program of a socket that looks up"))
    for name, said, what in rows:
        refused = Object(file, name)
        why = (refused.error, refused.log[-600:])
        known = said in refused.log or not WRITES and "writes" in name and "only read is supported" in refused.log
        check(refused.error and known, f"{what} is refused", why)
        refused.close()
    if not WRITES:
        skip("a program writes a mark", "this module's BTF does not let it")
    programs = Object(file, "on_skb", "on_xdp")
    check(programs.error is None, "programs of both kinds are loaded", (programs.error, programs.log[-2000:]))
    return programs


INVALID = (errno.EINVAL, errno.EINVAL)
NO_PROTO = (errno.EPROTO, errno.EPROTO)
NO_FAMILY = (errno.EAFNOSUPPORT, errno.EAFNOSUPPORT)
NO_NET = (errno.ENONET, errno.ENONET)
# What is wrong, and why nothing is found, or made: of two things, that which is looked at first.
WRONG = (
    ("4 bytes of options, where the error has no room", {"sizes": (12, 4)}, (None, None)),
    ("8 bytes of options", {"sizes": (12, 8)}, INVALID),
    ("15 bytes", {"sizes": (12, 15)}, INVALID),
    ("20 bytes", {"sizes": (12, 20)}, INVALID),
    ("a zone, but 12 bytes", {"sizes": (12, 12), "zone": 5}, INVALID),
    ("the first reserved byte", {"reserved": b"\1\0\0"}, INVALID),
    ("the second", {"reserved": b"\0\1\0"}, INVALID),
    ("the third", {"reserved": b"\0\0\1"}, INVALID),
    ("a namespace below -1", {"netns": -2}, INVALID),
    ("the lowest number", {"netns": -(1 << 31)}, INVALID),
    ("no protocol", {"proto": 0}, NO_PROTO),
    ("ICMP", {"proto": ICMP}, NO_PROTO),
    ("SCTP", {"proto": 132}, NO_PROTO),
    ("UDP-Lite", {"proto": 136}, NO_PROTO),
    ("protocol 255", {"proto": 255}, NO_PROTO),
    ("11 bytes of a tuple", {"sizes": (11, 16)}, NO_FAMILY),
    ("13 bytes of a tuple", {"sizes": (13, 16)}, NO_FAMILY),
    ("35 bytes of a tuple", {"sizes": (35, 16)}, NO_FAMILY),
    ("a namespace that is not", {"netns": NO_NETNS}, NO_NET),
    ("the highest number", {"netns": (1 << 31) - 1}, NO_NET),
    ("8 bytes of options, and ICMP", {"sizes": (12, 8), "proto": ICMP}, INVALID),
    ("reserved, and ICMP", {"reserved": b"\0\0\1", "proto": ICMP}, INVALID),
    ("ICMP, below -1", {"proto": ICMP, "netns": -2}, (errno.EPROTO, errno.EINVAL)),
    ("ICMP, and 13 bytes of a tuple", {"proto": ICMP, "sizes": (13, 16)}, NO_PROTO),
    ("13 bytes of a tuple, below -1", {"sizes": (13, 16), "netns": -2}, INVALID),
    ("13 bytes of a tuple, and no such namespace", {"sizes": (13, 16), "netns": NO_NETNS}, NO_FAMILY),
)


def errors(ask):
    """Each thing that can be wrong is said, and nothing else."""
    flow = ("10.1.0.2", "10.2.0.2", 7, 7)
    for word, what in (("found", LOOKUP), ("made", ALLOC)):
        for row, asked, errors_of in WRONG:
            error = errors_of[what == ALLOC]
            answer = ask(what, flow, **asked)
            got = (answer.error, answer.found, answer.dir, answer.zone_dir)
            equal(got, (-error if error else UNTOLD, 0, 0xFF, 0), f"{ask.name}: none is {word}: {row}")
    known = (("TCP", {"proto": TCP}), ("UDP", {}), ("in a zone", {"zone": 5}), ("by number", {"netns": NETNS}))
    for row, asked in known:
        answer = ask(LOOKUP, flow, **asked, ns="" if "netns" in asked else None)
        got = (answer.error, answer.found, answer.dir, answer.zone_dir)
        equal(got, (-errno.ENOENT, 0, 0xFF, 3), f"{ask.name}: nobody is found: {row}")
    equal(listing(ask.ns), [], f"{ask.name}: and there is none")


def full(ask, net):
    """None is made where the table is full."""
    path = f"{PARAMETERS}/max" if RUST else f"{SYSCTL}/nf_conntrack_max"
    before = read(path)
    for port in (8000, 8001):
        ask(ALLOC, (net.A4, net.B4, port, PORT), timeout=100000, status=ASSURED | SEEN_REPLY)
    write(path, 2)
    answer = ask(ALLOC, (net.A4, net.B4, 8002, PORT))
    equal((answer.error, answer.found), (-errno.ENOMEM, 0), f"{ask.name}: none is made: the table is full")
    write(path, before.strip())
    equal(ask(ALLOC, (net.A4, net.B4, 8002, PORT)).found, 3, f"{ask.name}: and one is, when it is not any more")
    run("conntrack", "-F", ns=net.ns)


def found(ask, net):
    """A connection of real packets, by the tuple of either direction, from its namespace and from another namespace."""
    flow, back = (net.A4, net.B4, 1000, PORT), (net.B4, net.A4, PORT, 1000)
    net.b.drain()
    net.a.send(udp(*flow))
    check(bool(came(net.b)), f"{ask.name}: a packet goes through")
    answers = [ask(LOOKUP, flow), ask(LOOKUP, back), ask(LOOKUP, flow, sizes=(12, 12))]
    got = [(one.found, one.dir, one.error) for one in answers]
    equal(got, [(2, way, UNTOLD) for way in (0, 1, 0)], f"{ask.name}: it is found, and its direction told")
    equal([one.zone_dir for one in answers], [3, 3, 0], f"{ask.name}: and that its zone is for both, if there is room")
    check(not ask(LOOKUP, flow, ns="").found, f"{ask.name}: the initial namespace has none such")
    there = ask(LOOKUP, flow, ns="", netns=NETNS)
    equal(there.found, 2, f"{ask.name}: but finds it in that which it has a number for")
    check(not ask(LOOKUP, flow, proto=TCP).found, f"{ask.name}: TCP has none such")
    run("conntrack", "-F", ns=net.ns)


def made(ask, net):
    """A connection that is made is there, with all that it was given, and once only."""
    flow = (net.A4, net.B4, 2000, PORT)
    mark = MARK if WRITES else 0
    answer = ask(ALLOC, flow, timeout=100000, status=ASSURED | SEEN_REPLY, mark=MARK)
    equal((answer.found, answer.status_rc, answer.error), (3, 0, UNTOLD), f"{ask.name}: a connection is made")
    equal((answer.status, answer.mark), (ASSURED | SEEN_REPLY | CONFIRMED, mark), f"{ask.name}: with status and mark")
    entries = find(net.ns, l4="udp", sport=2000)
    got = [(one.tail.get("mark"), sorted(one.flags), one.reply["src"], one.reply["sport"]) for one in entries]
    want = [(str(mark), ["ASSURED"], net.B4, str(PORT))]
    equal(got, want, f"{ask.name}: it is listed, with the answers' tuple")
    check(entries and 80 <= entries[0].seconds <= 100, f"{ask.name}: with its timeout", entries and entries[0].line)
    for what, other, asked, found in (
        ("with its tuple is not inserted", flow, {}, 1),
        ("of its zone, given by number, is not", flow, {"ns": "", "netns": NETNS}, 1),
        ("with the tuple of its answers is not", (net.B4, net.A4, PORT, 2000), {}, 1),
        ("without a zone, in 12 bytes, is not", flow, {"sizes": (12, 12)}, 1),
        ("of TCP is", flow, {"proto": TCP}, 3),
        ("of another zone is", flow, {"zone": 5}, 3),
        ("of another port is", (net.A4, net.B4, 2000, PORT + 1), {}, 3),
        ("of the initial namespace is", flow, {"ns": ""}, 3),
    ):
        equal(ask(ALLOC, other, **asked).found, found, f"{ask.name}: another one {what}")
    equal(len(listing(net.ns)), 4, f"{ask.name}: those that were not are gone")
    run("conntrack", "-F")
    for what, milliseconds, seconds in (("none", 0, None), ("all", 0xFFFFFFFF, ((1 << 31) - 1) // HZ)):
        long = (net.A4, net.B4, 2002, PORT)
        equal(ask(ALLOC, long, timeout=milliseconds).found, 3, f"{ask.name}: one is made that has {what} of the time")
        left = [one.seconds for one in find(net.ns, sport=2002)]
        want = [] if seconds is None else [True]
        equal([seconds - 60 <= one <= seconds for one in left], want, f"{ask.name}: it is listed so: {what}")
    six = (net.A6, net.B6, 2006, PORT)
    equal(ask(ALLOC, six, proto=TCP).found, 3, f"{ask.name}: one of IPv6 and TCP is made, with nothing given")
    entries = find(net.ns, l4="tcp", sport=2006)
    soon = len(entries) == 1 and entries[0].seconds <= 10
    check(soon, f"{ask.name}: it goes after ten seconds", [one.line for one in entries])
    equal(ask(LOOKUP, six, proto=TCP, sizes=(36, 12)).found, 2, f"{ask.name}: and is found")
    run("conntrack", "-F", ns=net.ns)


def zones(ask, net):
    """Zones tell connections apart, also by their direction."""
    flow, back = (net.A4, net.B4, 3000, PORT), (net.B4, net.A4, PORT, 3000)
    both = [ask(ALLOC, flow, zone=zone, timeout=100000).found for zone in (0, 5)]
    equal(both, [3, 3], f"{ask.name}: there is one in each of two zones")
    equal([ask(LOOKUP, flow, zone=zone).found for zone in (0, 5, 6)], [2, 2, 0], f"{ask.name}: and in no other one")
    run("conntrack", "-F", ns=net.ns)
    answer = ask(ALLOC, flow, zone=6, zone_dir=1, timeout=100000)
    equal((answer.found, answer.zone_dir), (3, 1), f"{ask.name}: a zone for one direction")
    one_way = [ask(LOOKUP, way, **asked) for way in (flow, back) for asked in ({"zone": 6, "zone_dir": 1}, {})]
    got = [(one.found, one.dir if one.found else None) for one in one_way]
    equal(got, [(2, 0), (0, None), (2, 1), (2, 1)], f"{ask.name}: answers are found without it")
    run("conntrack", "-F", ns=net.ns)


def bits_of_status(ask, net):
    """Each bit of the status alone: what may be set is set, what may not be changed is refused or passed over."""
    settable = SEEN_REPLY | ASSURED | FIXED_TIMEOUT | HELPER
    fresh, late, want_fresh, want_late = [], [], [], []
    for bit in range(32):
        one, flow = 1 << bit, (net.A4, net.B4, 9000 + bit, PORT)
        refused = -errno.EBUSY if one & (EXPECTED | CONFIRMED | DYING) else 0
        answer = ask(ALLOC, flow, timeout=100000, status=one)
        fresh.append((bit, answer.found, answer.status_rc, answer.status))
        want_fresh.append((bit, 3, refused, CONFIRMED | one & settable))
        flow = (net.A4, net.B4, 9100 + bit, PORT)
        ask(ALLOC, flow, timeout=100000)
        answer = ask(CHANGE, flow, status=CONFIRMED ^ one)
        late.append((bit, answer.found, answer.status_rc, answer.status))
        want_late.append((bit, 2, refused, CONFIRMED | one & settable))
    equal(fresh, want_fresh, f"{ask.name}: a new one is given each bit of the status that it may have")
    equal(late, want_late, f"{ask.name}: so is one of the table")
    run("conntrack", "-F", ns=net.ns)


def changed(ask, net):
    """A connection of the table changes as user space may change it, and no more."""
    flow = (net.A4, net.B4, 4000, PORT)
    ask(ALLOC, flow, timeout=20000)
    answer = ask(CHANGE, flow, timeout=500000, status=CONFIRMED | SEEN_REPLY | ASSURED, mark=7)
    got = (answer.timeout_rc, answer.status_rc, answer.mark)
    mark = 7 if WRITES else 0
    equal(got, (0, 0, mark), f"{ask.name}: timeout, status and mark are changed")
    entry = find(net.ns, sport=4000)[0]
    equal((entry.tail.get("mark"), sorted(entry.flags)), (str(mark), ["ASSURED"]), f"{ask.name}: as is listed")
    check(400 <= entry.seconds <= 500, f"{ask.name}: with the timeout", entry.line)
    lowered = [ask(CHANGE, flow, status=status).status_rc for status in (0, CONFIRMED, CONFIRMED | ASSURED)]
    equal(lowered, [-errno.EBUSY] * 3, f"{ask.name}: what cannot be taken back is not")
    fixes = ask(CHANGE, flow, status=CONFIRMED | SEEN_REPLY | ASSURED | FIXED_TIMEOUT)
    equal(fixes.status_rc, 0, f"{ask.name}: its timeout is fixed")
    equal(ask(CHANGE, flow, timeout=1000).timeout_rc, -errno.EPERM, f"{ask.name}: and changes no more")
    check(400 <= find(net.ns, sport=4000)[0].seconds <= 500, f"{ask.name}: it is what it was")
    longest = (net.A4, net.B4, 4003, PORT)
    ask(ALLOC, longest, timeout=20000)
    equal(ask(CHANGE, longest, timeout=0xFFFFFFFF).timeout_rc, 0, f"{ask.name}: the longest timeout is changed to")
    seconds, most = find(net.ns, sport=4003)[0].seconds, ((1 << 31) - 1) // HZ
    check(most - 60 <= seconds <= most, f"{ask.name}: and is no longer than conntrack has it", seconds)
    equal(ask(CHANGE, longest, timeout=0).timeout_rc, 0, f"{ask.name}: none is")
    check(not ask(LOOKUP, longest).found, f"{ask.name}: and the connection is found no more")
    fixed = (net.A4, net.B4, 4001, PORT)
    ask(ALLOC, fixed, timeout=200000, status=FIXED_TIMEOUT)
    check(150 <= find(net.ns, sport=4001)[0].seconds <= 200, f"{ask.name}: so is that of one that begins with it")
    short = (net.A4, net.B4, 4002, PORT)
    ask(ALLOC, short, timeout=100)
    check(poll(lambda: not ask(LOOKUP, short).found, 5), f"{ask.name}: one whose time is over is found no more")
    run("conntrack", "-F", ns=net.ns)


@contextlib.contextmanager
def attached(file, section, net):
    """A program at the router's port a, by tc's own loader."""
    run("tc", "-n", net.ns, "qdisc", "add", "dev", "ea", "clsact")
    program = ("bpf", "direct-action", "object-file", file, "section", section)
    run("tc", "-n", net.ns, "filter", "add", "dev", "ea", "ingress", "prio", "1", *program)
    yield
    run("tc", "-n", net.ns, "qdisc", "del", "dev", "ea", "clsact")
    run("conntrack", "-F", ns=net.ns)


def at_port(file, net):
    """A program makes connections that the firewall then knows."""
    rules = Nft(
        net.ns,
        f"""
        chain forward {{
            type filter hook forward priority filter; policy drop;
            ct state established counter accept comment "known"
            udp dport {PORT} counter comment "unknown"
            ip protocol 254 accept
        }}
        """,
    )
    with attached(file, "classifier", net):
        net.b.drain()
        for _ in range(3):
            net.a.send(udp(net.A4, net.B4, 5000, PORT))
        equal(len(came(net.b, 3)), 3, "tc: packets that a program at the port has made a connection for go through")
        net.a.drain()
        net.b.send(udp(net.B4, net.A4, PORT, 5000))
        equal(len(came(net.a)), 1, "tc: and their answer")
        equal(rules.packets(), {"known": 4, "unknown": 0}, "tc: the firewall knows them all")
        marks = [one.tail.get("mark") for one in find(net.ns, sport=5000)]
        equal(marks, [str(MARK + 2 if WRITES else 0)], "tc: the program has counted those that came later")
        net.a.send(udp(net.A4, net.B4, 5000, PORT + 1))
        net.settle()
        equal(find(net.ns, dport=PORT + 1), [], "tc: it has made none for another port")
    rules.delete()


def references():
    return int(read(f"/sys/module/{CT}/refcnt"))


def scenario():
    if not os.path.exists(VMLINUX):
        skip("BPF programs call the tracker", "this kernel has no BTF")
        return
    load()
    # The last module comes with `conntrack`, and keeps the tracker loaded, too.
    lacking = missing("cls_bpf", "sch_ingress", "nf_conntrack_netlink")
    if missing("nf_nat"):
        raise RuntimeError("this kernel has no nf_nat, whose function the programs name")
    one_cpu()
    if not check(os.path.exists(f"/sys/kernel/btf/{CT}"), "the module has BTF"):
        return
    before = references()
    net = Router("rct-r")
    run("ip", "netns", "set", net.ns, str(NETNS))
    file = compiled(f"#define WRITES {int(WRITES)}\n{PROGRAM}")
    programs = verified(file)
    if programs.error:
        return
    check(references() > before, "a program that calls the tracker keeps it loaded")
    for name in ("on_skb", "on_xdp"):
        ask = Asker(programs, name, net.ns)
        errors(ask)
        found(ask, net)
        made(ask, net)
        full(ask, net)
        zones(ask, net)
        bits_of_status(ask, net)
        changed(ask, net)
    programs.close()
    check(poll(lambda: references() == before, 10), "and no longer, when it is gone", references())
    if lacking:
        skip("a program at a port", f"this kernel does not have {' '.join(lacking)}")
    else:
        at_port(file, net)


main(scenario)
