# SPDX-License-Identifier: GPL-2.0
#
# Read in two ways: by kbuild (KERNELRELEASE is set), as the list of what to build,
# out of the kernel tree or in it; and by a person's make, as the list of
# commands.

ifneq ($(KERNELRELEASE),)

obj-$(CONFIG_RUST_CT) += rust_ct/
obj-$(CONFIG_RUST_CT_KUNIT_TEST) += kunit/
obj-$(CONFIG_RUST_CT_FEED) += tests/compare/feeder/
obj-$(CONFIG_RUST_CT_METER) += tests/meter/
obj-$(CONFIG_RUST_CT_COVERAGE) += tests/coverage/

else

# The kernel tree to build for; it must have been prepared, with CONFIG_RUST=y.
KDIR ?= /lib/modules/$(shell uname -r)/build
# Where the objects go; beside the sources if not said.
MO ?=

# The module's name: rust_ct, or nf_conntrack to stand in its place.
NAME ?= rust_ct
export RUST_CT_NAME = $(NAME)

# Kbuild knows the kernel's Kconfig only, so our options come from here.
export CONFIG_RUST_CT ?= m
export CONFIG_RUST_CT_KUNIT_TEST ?=
export CONFIG_RUST_CT_FEED ?=
export CONFIG_RUST_CT_METER ?=
export CONFIG_RUST_CT_COVERAGE ?=
# Without the checks of the kernels that we build, which Debian's has not.
BENCH ?=

# A tree that clang built wants clang, and a user-mode kernel wants its code where
# its loader can reach it. Kbuild has no flags of KCSAN's for Rust, as the kernel's target does not allow
# them; that of the tree which setup.sh makes does. They are those of C (scripts/Makefile.kcsan).
kconf = $(shell grep -s '^$(1)=y' $(KDIR)/include/config/auto.conf)
kcsan_target := $(shell grep -s '"thread"' $(KDIR)/scripts/target.json)
kcsan_flags := -Zsanitizer=thread $(addprefix -Cllvm-args=-tsan-,distinguish-volatile=1 compound-read-before-write=1)
rust_flags := $(if $(call kconf,CONFIG_UML),-Crelocation-model=static -Ccode-model=large) \
	$(if $(call kconf,CONFIG_KCSAN),$(if $(kcsan_target),$(kcsan_flags))) \
	$(if $(BENCH),-Cdebug-assertions=n -Coverflow-checks=n) \
	$(if $(CONFIG_RUST_CT_COVERAGE),-Cinstrument-coverage -Zno-profiler-runtime)
kbuild_flags := $(if $(call kconf,CONFIG_CC_IS_CLANG),LLVM=1) \
	$(if $(call kconf,CONFIG_UML),ARCH=um) $(if $(strip $(rust_flags)),KRUSTFLAGS='$(strip $(rust_flags))') \
	$(if $(CONFIG_RUST_CT_COVERAGE),LDFLAGS_MODULE='-T $(CURDIR)/tests/coverage/sections.lds')
# Types are to have the same numbers in the module's BTF as in the kernel, see rust_ct/add_btf.sh.
kbuild := $(MAKE) -C $(KDIR) M=$(CURDIR) $(if $(MO),MO=$(MO)) $(kbuild_flags) RESOLVE_BTFIDS_FLAGS=

.PHONY: modules clean help setup demo test test-host test-kunit test-debug \
	test-stock test-stalls test-umldebug test-cloud test-rt test-rtdebug test-kcsan \
	test-unfit test-in-tree compare count count-check \
	count-accept bench selftests apps fuzz mutants coverage soak uml lint deb test-install distclean

modules: ## build the module for the kernel tree KDIR= (default: the running kernel's; NAME=nf_conntrack: by that name)
	@test "$(NAME)" = rust_ct -o "$(NAME)" = nf_conntrack || { \
		echo "error: NAME=$(NAME): the module can be rust_ct or nf_conntrack" >&2; exit 1; }
	@test -f $(KDIR)/include/config/auto.conf || { \
		echo "error: KDIR=$(KDIR) is no prepared kernel tree (no include/config/auto.conf);" >&2; \
		echo "give one by KDIR=..., or let 'make demo' make its own" >&2; exit 1; }
	@grep -q '^CONFIG_RUST=y' $(KDIR)/include/config/auto.conf || { \
		echo "error: the kernel in KDIR=$(KDIR) was configured without CONFIG_RUST=y" >&2; exit 1; }
	$(kbuild) modules
	@rust_ct/add_btf.sh $(KDIR) $(or $(MO),.)/rust_ct/$(NAME).ko

clean: ## remove what 'make modules' made for KDIR=
	$(kbuild) clean

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1|\2/p' Makefile | \
		while IFS='|' read -r name text; do printf '%-14s %s\n' "$$name" "$$text"; done

setup: ## set up the build root, and the stock, debug and user-mode kernels, in the cache
	scripts/setup/setup.sh root stock debug uml

demo: ## watch rust_ct follow real connections in the stock Debian kernel
	scripts/test/run_demo.sh

test: ## set up, and run the usual layers of tests
	scripts/test/test.sh

test-host: ## the pure layer's tests, as an ordinary program
	scripts/test/test.sh host

test-kunit: ## KUnit suites in the debug kernel
	scripts/test/test.sh kunit

test-debug: ## scenarios in the debug kernel
	scripts/test/test.sh debug

test-stock: ## scenarios in the stock Debian kernel
	scripts/test/test.sh stock

test-stalls: ## for how long packets stand still while the table is worked on (CT=nf_conntrack)
	scripts/test/test.sh stalls

test-umldebug: ## KUnit and all scenarios in user-mode Linux with KASAN
	scripts/test/test.sh umldebug

test-cloud: ## a short test on Debian's cloud kernel
	scripts/test/test.sh cloud

test-rt: ## a short test on Debian's rt kernel
	scripts/test/test.sh rt

test-rtdebug: ## KUnit and a short test on a debug kernel with PREEMPT_RT
	scripts/test/test.sh rtdebug

test-kcsan: ## KUnit, a short test and a soak on a kernel that looks for data races
	scripts/test/test.sh kcsan

test-in-tree: ## build it as a part of the kernel's own tree, with W=1
	scripts/test/in_tree.sh

test-unfit: ## a module for another configuration of the kernel is refused
	scripts/test/unfit.sh

compare: ## compare with nf_conntrack packet by packet (PACKETS= FAMILY= SEED= PCAP= RFC5961= LONG_WAY= KERNEL=)
	scripts/test/compare.sh

selftests: ## run the kernel's own netfilter scripts on both trackers (SELFTESTS="name name")
	scripts/test/selftests.sh

apps: ## run programs of Debian's archive on both trackers (APPS="docker ufw" TRACKERS=rust_ct)
	scripts/test/apps.sh

count: ## count what each path of a packet costs, beside nf_conntrack (KO= another rust_ct.ko, FUNCTIONS=PATH)
	scripts/test/count.sh

count-check: ## the same, and compare with the figures of the tree
	scripts/test/count.sh check

count-accept: ## the same, and write the figures of the tree and the table of its page
	scripts/test/count.sh accept

bench: ## time both trackers, with a plot (PARTS="packets table processors routed" ROUNDS= FLOWS="1024 131072")
	scripts/test/bench.sh

fuzz: ## fuzz the parsers and trackers, each target for SECONDS= (default 60)
	SECONDS_OF_FUZZING=$(or $(SECONDS),60) scripts/test/test.sh fuzz

mutants: ## put each small mistake into the pure layer: would its tests notice? (PARTS="window.rs seqadj")
	scripts/test/mutants.sh $(PARTS)

coverage: ## which lines of Rust does no test run? (PARTS="host kunit scenarios soak stock")
	scripts/test/coverage.sh

soak: ## everything at once on the debug kernel, for HOURS= (default a sixth; SEED= CPUS= WITHOUT="memory modules")
	scripts/test/soak.sh

uml: ## build, load under user-mode Linux, and run CMD= there
	scripts/guest/uml.sh $(if $(CMD),"$$CMD")

lint: ## formatting, clippy, checkpatch, shellcheck, layers
	scripts/lint/lint.sh

deb: ## build the Debian packages, and have lintian look at them
	scripts/package/deb.sh

test-install: ## install, boot, upgrade and remove the packages on a Debian machine in QEMU
	scripts/package/test_install.sh

distclean: ## drop the cache
	scripts/setup/distclean.sh

endif
