// SPDX-License-Identifier: GPL-2.0
/*
 * How often each part of a module was run, however often the module is loaded: adds its counters
 * up when it goes. It is compiled with -Cinstrument-coverage and linked with sections.lds.
 *
 * /proc/rust_ct_coverage/NAME reads as struct header and then the counters, the functions and their
 * names, as LLVM has laid them out (raw.py makes a raw profile of it); as nothing while that module
 * was never loaded; and not at all (ESTALE) if there were two of that name.
 */

#include <linux/kallsyms.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

/* A part of a module: where it is while the module is loaded, and a copy. */
struct part {
	void *start;
	size_t size;
	void *copy;
};

struct watched {
	const char *name;
	bool loaded;
	struct part counters;
	struct part functions;
	struct part names;
	/* From the functions to the counters, as struct header has it. */
	u64 distance;
	/* Another module of that name was loaded: what is kept is of no use. */
	bool mixed;
};

struct header {
	u64 counters_size;
	u64 functions_size;
	u64 names_size;
	/* From the functions to the counters: each function says how far its counters are. */
	u64 distance;
};

static struct watched modules[] = {
	{ .name = "rust_ct" },
	{ .name = "nf_conntrack" },
	{ .name = "rust_ct_kunit" },
};

/* Held while a module comes or goes, and while it is read. */
static DEFINE_MUTEX(lock);
static struct proc_dir_entry *directory;

/* The caller has seen the module COMING: its table of symbols is whole and stays. */
static void *symbol(struct module *module, const char *name)
{
	const struct mod_kallsyms *symbols = rcu_dereference_protected(module->kallsyms, true);
	unsigned int i;

	for (i = 0; i < symbols->num_symtab; i++) {
		const typeof(*symbols->symtab) *entry = &symbols->symtab[i];

		if (entry->st_shndx != SHN_UNDEF && !strcmp(symbols->strtab + entry->st_name, name))
			return (void *)entry->st_value;
	}
	return NULL;
}

static bool find(struct part *part, struct module *module, const char *start, const char *end)
{
	void *first = symbol(module, start), *last = symbol(module, end);
	size_t size = last - first;

	if (!first || !last || !size)
		return false;
	if (part->copy && part->size != size)
		return false;
	part->start = first;
	part->size = size;
	return true;
}

static bool keep(struct part *part)
{
	if (!part->copy)
		part->copy = kvmemdup(part->start, part->size, GFP_KERNEL);
	return part->copy;
}

static void coming(struct watched *watched, struct module *module)
{
	struct part *counters = &watched->counters, *functions = &watched->functions;
	struct part *names = &watched->names;
	bool again = counters->copy;

	if (!find(counters, module, "rust_ct_counters", "rust_ct_counters_end") ||
	    !find(functions, module, "rust_ct_functions", "rust_ct_functions_end") ||
	    !find(names, module, "rust_ct_names", "rust_ct_names_end")) {
		pr_err("%s has no counters, or others than before\n", module->name);
		watched->mixed = true;
		return;
	}
	/* Nothing of it has run yet: the copy of its counters is zero. */
	if (!keep(counters) || !keep(functions) || !keep(names)) {
		watched->mixed = true;
		return;
	}
	if (again && memcmp(names->copy, names->start, names->size)) {
		pr_err("%s is another module than before\n", module->name);
		watched->mixed = true;
		return;
	}
	watched->distance = counters->start - functions->start;
	watched->loaded = true;
}

static u64 counted(const struct watched *watched, size_t i)
{
	const u64 *sum = watched->counters.copy, *counter = watched->counters.start;

	return sum[i] + (watched->loaded ? READ_ONCE(counter[i]) : 0);
}

static int show(struct seq_file *file, void *unused)
{
	struct watched *watched = file->private;
	struct header header = {};
	size_t i;

	guard(mutex)(&lock);
	if (watched->mixed)
		return -ESTALE;
	if (!watched->counters.copy)
		return 0;
	header.counters_size = watched->counters.size;
	header.functions_size = watched->functions.size;
	header.names_size = watched->names.size;
	header.distance = watched->distance;
	seq_write(file, &header, sizeof(header));
	for (i = 0; i < watched->counters.size / sizeof(u64); i++) {
		u64 count = counted(watched, i);

		seq_write(file, &count, sizeof(count));
	}
	seq_write(file, watched->functions.copy, watched->functions.size);
	seq_write(file, watched->names.copy, watched->names.size);
	return 0;
}

static int notified(struct notifier_block *block, unsigned long state, void *data)
{
	struct module *module = data;
	struct watched *watched;

	for (watched = modules; watched < modules + ARRAY_SIZE(modules); watched++)
		if (!strcmp(watched->name, module->name))
			break;
	if (watched == modules + ARRAY_SIZE(modules))
		return NOTIFY_DONE;
	guard(mutex)(&lock);
	if (state == MODULE_STATE_COMING) {
		coming(watched, module);
	} else if (state == MODULE_STATE_GOING && watched->loaded) {
		u64 *sum = watched->counters.copy;
		size_t i;

		for (i = 0; i < watched->counters.size / sizeof(*sum); i++)
			sum[i] = counted(watched, i);
		watched->loaded = false;
	}
	return NOTIFY_OK;
}

static struct notifier_block notifier = {
	.notifier_call = notified,
};

static int __init rust_ct_coverage_init(void)
{
	struct watched *watched;
	int error;

	directory = proc_mkdir("rust_ct_coverage", NULL);
	if (!directory)
		return -ENOMEM;
	for (watched = modules; watched < modules + ARRAY_SIZE(modules); watched++)
		if (!proc_create_single_data(watched->name, 0400, directory, show, watched)) {
			proc_remove(directory);
			return -ENOMEM;
		}
	error = register_module_notifier(&notifier);
	if (error)
		proc_remove(directory);
	return error;
}

static void __exit rust_ct_coverage_exit(void)
{
	struct watched *watched;

	unregister_module_notifier(&notifier);
	proc_remove(directory);
	for (watched = modules; watched < modules + ARRAY_SIZE(modules); watched++) {
		kvfree(watched->counters.copy);
		kvfree(watched->functions.copy);
		kvfree(watched->names.copy);
	}
}

module_init(rust_ct_coverage_init);
module_exit(rust_ct_coverage_exit);

MODULE_DESCRIPTION("Keeps how often each part of a module was run");
MODULE_LICENSE("GPL");
