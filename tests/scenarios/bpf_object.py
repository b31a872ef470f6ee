# SPDX-License-Identifier: GPL-2.0
"""BPF programs in C: compiled by clang, loaded and run by libbpf, which finds what they call in the modules' BTF."""

import ctypes
import errno
import os
import tempfile

from lib import inside, run

VMLINUX = "/sys/kernel/btf/vmlinux"
LOG = 1 << 20

# Where Debian has the headers of the machine's architecture.
INCLUDE = f"/usr/include/{os.uname().machine}-linux-gnu"


def compiled(text):
    """The file of the object that a program's text makes."""
    place = tempfile.mkdtemp(prefix="rct-bpf-")
    source, target = f"{place}/prog.c", f"{place}/prog.o"
    with open(source, "w", encoding="ascii") as file:
        file.write(text)
    flags = ("-O2", "-g", "-Wall", "-Werror", "-target", "bpf", "-mcpu=v3", f"-I{INCLUDE}")
    run("clang", *flags, "-c", source, "-o", target)
    return target


class RunOpts(ctypes.Structure):
    """struct bpf_test_run_opts"""

    _fields_ = [
        ("sz", ctypes.c_size_t),
        ("data_in", ctypes.c_void_p),
        ("data_out", ctypes.c_void_p),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_void_p),
        ("ctx_out", ctypes.c_void_p),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("repeat", ctypes.c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    ]


def libbpf():
    library = ctypes.CDLL("libbpf.so.1", use_errno=True)
    for name in ("bpf_object__open_file", "bpf_object__next_program"):
        getattr(library, name).restype = ctypes.c_void_p
    library.bpf_program__name.restype = ctypes.c_char_p
    return library


class Object:
    """Some programs of an object, loaded; `log` is what the verifier said, `error` why they are not loaded."""

    LIBRARY = None

    def __init__(self, file, *names):
        Object.LIBRARY = self.library = Object.LIBRARY or libbpf()
        self.handle = ctypes.c_void_p(self.library.bpf_object__open_file(file.encode(), None))
        if not self.handle:
            raise OSError(ctypes.get_errno(), f"libbpf does not open {file}")
        self.text = ctypes.create_string_buffer(LOG)
        self.programs, program = {}, None
        while program := self.library.bpf_object__next_program(self.handle, ctypes.c_void_p(program)):
            program_at = ctypes.c_void_p(program)
            name = self.library.bpf_program__name(program_at).decode()
            self.library.bpf_program__set_autoload(program_at, name in names)
            if name in names:
                self.programs[name] = program_at
                self.library.bpf_program__set_log_buf(program_at, self.text, ctypes.c_size_t(LOG))
        status = self.library.bpf_object__load(self.handle)
        self.error = errno.errorcode.get(-status, str(status)) if status else None
        self.log = self.text.value.decode(errors="replace")

    def run(self, name, data, ns=None):
        """Runs a program on a packet, in a namespace; returns the packet as it has left it."""
        before, after = ctypes.create_string_buffer(data, len(data)), ctypes.create_string_buffer(len(data))
        opts = RunOpts(
            sz=ctypes.sizeof(RunOpts),
            data_in=ctypes.addressof(before),
            data_out=ctypes.addressof(after),
            data_size_in=len(data),
            data_size_out=len(data),
            repeat=1,
        )
        program = self.library.bpf_program__fd(self.programs[name])
        with inside(ns):
            status = self.library.bpf_prog_test_run_opts(program, ctypes.byref(opts))
        if status:
            raise OSError(-status, f"{name} does not run: {os.strerror(-status)}")
        return after.raw

    def close(self):
        self.library.bpf_object__close(self.handle)
