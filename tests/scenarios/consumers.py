# SPDX-License-Identifier: GPL-2.0
"""Every module of this kernel that stands on nf_conntrack loads on the tracker, all of them at once, and goes again."""

# limit: 300
# left out of CI on: debug

import os
import re

from lib import (
    CT,
    check,
    diag,
    equal,
    load,
    loaded,
    main,
    read,
    run,
    unload,
)

# The tracker itself.
REFERENCE = "nf_conntrack"
# A kernel with fewer has not what this scenario is about; Debian's 7.3.4 has 76, and a modules.dep cut short has not.
FEWEST = 70 if "+deb" in os.uname().release else 10


def consumers():
    """The modules that modules.dep has nf_conntrack under, which depmod made from their undefined symbols."""
    rows = read(f"/lib/modules/{os.uname().release}/modules.dep").splitlines()
    name = lambda path: re.sub(r".*/|\.ko(\.\w+)?$", "", path).replace("-", "_")  # noqa: E731
    found = []
    for row in rows:
        module, below = row.split(":", 1)
        if REFERENCE in map(name, below.split()):
            found.append(name(module))
    return sorted(found)


def scenario():
    names = consumers()
    check(len(names) >= FEWEST, f"this kernel has {len(names)} modules above nf_conntrack", names)
    load()
    refused = []
    for name in names:
        status, text = run("modprobe", name, must=False)
        if status:
            refused.append(name)
            diag(text)
    equal(refused, [], f"all {len(names)} of them load on {CT}")
    equal([name for name in names if not loaded(name)], refused, "and are there, all at once")
    if CT != REFERENCE:
        check(not loaded(REFERENCE), "none of them brought nf_conntrack along")
    status, text = unload(must=False)
    check(not status, "all of them go, and the tracker with them", text)


main(scenario)
