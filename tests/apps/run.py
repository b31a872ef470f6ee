#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Runs programs of Debian's archive on a tracker, as root in the guest, and prints TAP as scenarios/run.py does.

    run.py [--list] [program ...]

PLACE_KO  the module, built as nf_conntrack.ko, to be installed in nf_conntrack's place; nothing: the kernel's own
INDICES   a directory with what depmod makes with that module installed (default: depmod is run)
          The other variables are scenarios/run.py's; CT is nf_conntrack in both cases, as no program knows more.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scenarios"))
os.environ["CT"] = "nf_conntrack"
import place  # noqa: E402
import run  # noqa: E402

if os.environ.get("PLACE_KO") and sys.argv[1:] != ["--list"]:
    place.install(os.environ["PLACE_KO"], indices=os.environ.get("INDICES"))
sys.exit(run.main(sys.argv[1:], HERE))
