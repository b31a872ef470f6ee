/* SPDX-License-Identifier: GPL-2.0 */
/*
 * C for the tests of rust_ct: packets, threads and namespaces, which Rust has
 * no interface to.
 */
#ifndef _RUST_CT_KUNIT_H
#define _RUST_CT_KUNIT_H

#include <linux/types.h>

struct net;
struct sk_buff;
struct task_struct;

/* Packets of which parts are in the head, in pages, and in further buffers. */
struct sk_buff *rct_kunit_alloc_skb(unsigned int size);
void rct_kunit_skb_put(struct sk_buff *skb, const void *data, unsigned int len);
bool rct_kunit_skb_add_page(struct sk_buff *skb, const void *data, unsigned int len);
void rct_kunit_skb_add_skb(struct sk_buff *skb, struct sk_buff *last, struct sk_buff *next);
struct sk_buff *rct_kunit_clone_skb(struct sk_buff *skb);
void rct_kunit_free_skb(struct sk_buff *skb);

/* A thread on a processor. */
struct task_struct *rct_kunit_start_thread(int (*run)(void *data), void *data, unsigned int cpu);
int rct_kunit_stop_thread(struct task_struct *thread);
bool rct_kunit_should_stop(void);

/* Starts a program. */
int rct_kunit_exec(char **argv, char **envp);

/* The kernel's hash of words. */
u32 rct_kunit_hsiphash(const u64 *words, size_t len, const u64 *key);

/* A namespace that is not the initial one. */
struct net *rct_kunit_get_net(void);
void rct_kunit_put_net(struct net *net);

/* State of namespaces that is all ones, under the first number that nobody has. */
int rct_kunit_register_state(void);
void rct_kunit_unregister_state(void);

/* Complains where no test case is left to fail. */
void rct_kunit_warn(const char *what);

#endif /* _RUST_CT_KUNIT_H */
