// SPDX-License-Identifier: GPL-2.0
/*
 * What BPF programs call, with the prototypes that they declare: the verifier
 * and libbpf read them from the module's BTF. Each is a trampoline into Rust,
 * as those of exports.c.
 */

#include <linux/bpf.h>
#include <linux/bpf_verifier.h>
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/filter.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <net/netfilter/nf_conntrack_bpf.h>
#include <net/sock.h>
#include <net/xdp.h>

#include "rust_ct.h"

/* Programs have it of the same name and layout; pure/bpf.rs reads it. */
struct bpf_ct_opts {
	s32 netns_id;
	s32 error;
	u8 l4proto;
	u8 dir;
	u16 ct_zone_id;
	u8 ct_zone_dir;
	u8 reserved[3];
};

/* A program has its packet as a pointer at what the kernel has behind it. */

static struct net *xdp_net(struct xdp_md *xdp_ctx)
{
	return dev_net(((struct xdp_buff *)xdp_ctx)->rxq->dev);
}

static struct net *skb_net(struct __sk_buff *skb_ctx)
{
	struct sk_buff *skb = (struct sk_buff *)skb_ctx;

	return skb->dev ? dev_net(skb->dev) : sock_net(skb->sk);
}

__bpf_kfunc_start_defs();

__bpf_kfunc struct nf_conn___init *
bpf_xdp_ct_alloc(struct xdp_md *xdp_ctx, struct bpf_sock_tuple *bpf_tuple, u32 tuple__sz,
		 struct bpf_ct_opts *opts, u32 opts__sz)
{
	return rust_ct_bpf_alloc(xdp_net(xdp_ctx), (struct rct_array){ bpf_tuple, tuple__sz },
				 (struct rct_array){ opts, opts__sz });
}

__bpf_kfunc struct nf_conn *
bpf_xdp_ct_lookup(struct xdp_md *xdp_ctx, struct bpf_sock_tuple *bpf_tuple, u32 tuple__sz,
		  struct bpf_ct_opts *opts, u32 opts__sz)
{
	return rust_ct_bpf_lookup(xdp_net(xdp_ctx), (struct rct_array){ bpf_tuple, tuple__sz },
				  (struct rct_array){ opts, opts__sz });
}

__bpf_kfunc struct nf_conn___init *
bpf_skb_ct_alloc(struct __sk_buff *skb_ctx, struct bpf_sock_tuple *bpf_tuple, u32 tuple__sz,
		 struct bpf_ct_opts *opts, u32 opts__sz)
{
	return rust_ct_bpf_alloc(skb_net(skb_ctx), (struct rct_array){ bpf_tuple, tuple__sz },
				 (struct rct_array){ opts, opts__sz });
}

__bpf_kfunc struct nf_conn *
bpf_skb_ct_lookup(struct __sk_buff *skb_ctx, struct bpf_sock_tuple *bpf_tuple, u32 tuple__sz,
		  struct bpf_ct_opts *opts, u32 opts__sz)
{
	return rust_ct_bpf_lookup(skb_net(skb_ctx), (struct rct_array){ bpf_tuple, tuple__sz },
				  (struct rct_array){ opts, opts__sz });
}

__bpf_kfunc struct nf_conn *bpf_ct_insert_entry(struct nf_conn___init *nfct_i)
{
	return rust_ct_bpf_insert(nfct_i);
}

__bpf_kfunc void bpf_ct_release(struct nf_conn *nfct)
{
	rust_ct_bpf_release(nfct);
}

__bpf_kfunc void bpf_ct_set_timeout(struct nf_conn___init *nfct, u32 timeout)
{
	rust_ct_bpf_set_timeout(&nfct->ct, msecs_to_jiffies(timeout));
}

__bpf_kfunc int bpf_ct_change_timeout(struct nf_conn *nfct, u32 timeout)
{
	return rust_ct_change_timeout(nfct, msecs_to_jiffies(timeout));
}

__bpf_kfunc int bpf_ct_set_status(const struct nf_conn___init *nfct, u32 status)
{
	return rust_ct_ask_status((struct nf_conn *)&nfct->ct, status);
}

__bpf_kfunc int bpf_ct_change_status(struct nf_conn *nfct, u32 status)
{
	return rust_ct_ask_status(nfct, status);
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(kfunc_ids)
BTF_ID_FLAGS(func, bpf_xdp_ct_alloc, KF_ACQUIRE | KF_RET_NULL)
BTF_ID_FLAGS(func, bpf_xdp_ct_lookup, KF_ACQUIRE | KF_RET_NULL)
BTF_ID_FLAGS(func, bpf_skb_ct_alloc, KF_ACQUIRE | KF_RET_NULL)
BTF_ID_FLAGS(func, bpf_skb_ct_lookup, KF_ACQUIRE | KF_RET_NULL)
BTF_ID_FLAGS(func, bpf_ct_insert_entry, KF_ACQUIRE | KF_RET_NULL | KF_RELEASE)
BTF_ID_FLAGS(func, bpf_ct_release, KF_RELEASE)
BTF_ID_FLAGS(func, bpf_ct_set_timeout)
BTF_ID_FLAGS(func, bpf_ct_change_timeout)
BTF_ID_FLAGS(func, bpf_ct_set_status)
BTF_ID_FLAGS(func, bpf_ct_change_status)
BTF_KFUNCS_END(kfunc_ids)

static const struct btf_kfunc_id_set kfuncs = {
	.owner = THIS_MODULE,
	.set = &kfunc_ids,
};

/*
 * Several structures of one name may be in the module's BTF, and one in the
 * kernel's, so the types of connections are known by the functions that return
 * them.
 */
BTF_ID_LIST(makers)
BTF_ID(func, bpf_skb_ct_lookup)
BTF_ID(func, bpf_skb_ct_alloc)

static const struct btf_type *inner(const struct btf *btf, const struct btf_type *type, u16 kind)
{
	return type && btf_kind(type) == kind ? btf_type_by_id(btf, type->type) : NULL;
}

static const struct btf_type *made_by(const struct btf *btf, u32 maker)
{
	const struct btf_type *type = btf_type_by_id(btf, maker);

	return inner(btf, inner(btf, inner(btf, type, BTF_KIND_FUNC), BTF_KIND_FUNC_PROTO),
		     BTF_KIND_PTR);
}

/* The ids are of this module; in another module's BTF they may be anything. */
static int struct_access(struct bpf_verifier_log *log, const struct bpf_reg_state *reg, int off,
			 int size)
{
	const struct btf_type *type = btf_type_by_id(reg->btf, reg->btf_id);
	bool is_conn = type && btf_kind(type) == BTF_KIND_STRUCT &&
		       type->size == sizeof(struct nf_conn) &&
		       (type == made_by(reg->btf, makers[0]) ||
			type == made_by(reg->btf, makers[1]));

	return rust_ct_bpf_may_write(log, is_conn, off, size);
}

/*
 * In BTF with a base of its own (.BTF.base), ids change when it is loaded, but
 * those of makers do not.
 */
bool rct_bpf_has_btf(void)
{
	return THIS_MODULE->btf_data_size && !THIS_MODULE->btf_base_data_size;
}

int rct_bpf_register(void)
{
	return register_btf_kfunc_id_set(BPF_PROG_TYPE_XDP, &kfuncs) ?:
	       register_btf_kfunc_id_set(BPF_PROG_TYPE_SCHED_CLS, &kfuncs);
}

void rct_bpf_allow_writes(bool allow)
{
	mutex_lock(&nf_conn_btf_access_lock);
	nfct_btf_struct_access = allow ? struct_access : NULL;
	mutex_unlock(&nf_conn_btf_access_lock);
}
