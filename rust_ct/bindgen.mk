# SPDX-License-Identifier: GPL-2.0
#
# Bindings to the kernel headers that the kernel crate does not bind, for each
# kbuild directory that includes this file. The result lies in that directory's
# object folder, which the crate finds through RUST_CT_OBJ.

# The Makefile that includes this says which objects the module is made of, in crate-objs.

# Where rust_ct's own sources are; the Makefile that includes this may say so.
rust_ct-src ?= $(src)

ccflags-y += -I$(rust_ct-src)/../include
export RUST_CT_OBJ := $(abspath $(obj))

# Flags of gcc that libclang does not know; the kernel's rust/Makefile has the
# same list for the same reason (bindgen_skip_c_flags).
bindgen-skip-flags := -mno-fp-ret-in-387 -mpreferred-stack-boundary=% \
	-mskip-rax-setup -mgeneral-regs-only -msign-return-address=% \
	-mindirect-branch=thunk-extern -mindirect-branch-register \
	-mfunction-return=thunk-extern -mrecord-mcount -mabi=lp64 \
	-mindirect-branch-cs-prefix -mstack-protector-guard% -mtraceback=no \
	-mno-pointers-to-nested-functions -mno-string \
	-mno-strict-align -mstrict-align -mdirect-extern-access \
	-mexplicit-relocs -mno-check-zero-division \
	-fconserve-stack -falign-jumps=% -falign-loops=% \
	-femit-struct-debug-baseonly -fno-ipa-cp-clone -fno-ipa-sra \
	-fno-partial-inlining -fplugin-arg-arm_ssp_per_task_plugin-% \
	-fno-reorder-blocks -fno-allow-store-data-races -fasan-shadow-offset=% \
	-fzero-call-used-regs=% -fno-stack-clash-protection \
	-fno-inline-functions-called-once -fsanitize=bounds-strict \
	-fstrict-flex-arrays=% -fmin-function-alignment=% \
	-fzero-init-padding-bits=% -mno-fdpic \
	-fdiagnostics-show-context -fdiagnostics-show-context=% \
	--param=% --param asan-% -fno-isolate-erroneous-paths-dereference

ifdef CONFIG_CC_IS_CLANG
bindgen-c-flags = $(c_flags)
else
bindgen-c-flags = $(filter-out $(bindgen-skip-flags),$(c_flags)) -w \
	$(if $(CONFIG_X86_64),--target=x86_64-linux-gnu) \
	$(if $(CONFIG_ARM64),--target=aarch64-linux-gnu)
endif

quiet_cmd_rust_ct_bindgen = BINDGEN $@
      cmd_rust_ct_bindgen = \
	$(BINDGEN) $< $(shell grep -Ev '^\#|^$$' $(rust_ct-src)/bindgen_parameters) \
	--rust-target 1.85 --use-core --with-derive-default --ctypes-prefix ffi \
	--no-layout-tests --no-debug '.*' --no-doc-comments \
	--enable-function-attribute-detection --no-recursive-allowlist \
	-o $@ -- $(bindgen-c-flags) -fno-builtin -D__BINDGEN__ -DMODULE

$(obj)/bindings_generated.rs: $(rust_ct-src)/bindings_helper.h \
		$(rust_ct-src)/bindgen_parameters \
		$(rust_ct-src)/../include/rust_ct.h FORCE
	$(call if_changed_dep,rust_ct_bindgen)

# Out of the kernel's tree, kbuild looks for include/config/* in the wrong directory, and does not
# notice that the configuration has changed; so everything here depends on all of it.
$(addprefix $(obj)/, bindings_generated.rs $(crate-objs)): $(objtree)/include/config/auto.conf

targets += bindings_generated.rs
clean-files += bindings_generated.rs
