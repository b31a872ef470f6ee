# SPDX-License-Identifier: GPL-2.0
"""Puts the module, built as nf_conntrack.ko, where modprobe takes it for the kernel's own, and takes it away again."""

import contextlib
import glob
import os
import shutil
import tempfile

from lib import (
    run,
    write,
)

NAME = "nf_conntrack"
PLACE = f"/lib/modules/{os.uname().release}/updates"
INDICES = f"{os.path.dirname(PLACE)}/modules.*"
KEPT = tempfile.mkdtemp(prefix="modules-")
OPTIONS = "/etc/modprobe.d/in_place.conf"


def install(file, options="", indices=None):
    """Where depmod prefers it to the kernel's own, as a package would; what depmod knew is kept.

    In the directory `indices` is what depmod has made already, as it takes minutes here.
    """
    for index in glob.glob(INDICES):
        shutil.copy(index, KEPT)
    os.makedirs(PLACE, exist_ok=True)
    shutil.copy(file, f"{PLACE}/{NAME}.ko")
    write(OPTIONS, f"{options}\n")
    if not indices:
        run("depmod", "-a")
        return
    for index in glob.glob(f"{indices}/modules.*"):
        shutil.copy(index, os.path.dirname(PLACE))


def uninstall():
    for file in (f"{PLACE}/{NAME}.ko", OPTIONS):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(file)
    # As depmod would make them again, which takes it a minute here.
    for index in os.listdir(KEPT):
        shutil.copy(f"{KEPT}/{index}", os.path.dirname(PLACE))
