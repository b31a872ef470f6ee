# SPDX-License-Identifier: GPL-2.0
"""A module that was built for another configuration of the kernel is refused, and nothing of it stays.

UNFIT_KOS names the files, built by scripts/test/unfit.sh.
"""

# limit: 60

import os

from lib import check, diag, equal, insert, loaded, log_mark, log_since, main, skip

WHY = "was configured otherwise than the one that this module was built for"


def scenario():
    files = os.environ.get("UNFIT_KOS", "").split()
    if not files:
        skip("a module of another configuration is refused", "none was built: make test-unfit")
    for file in files:
        mark = log_mark()
        os.environ["RUST_CT_KO"] = file
        status, output = insert(tracker="rust_ct", must=False)
        check(status != 0, f"{file} is refused", output)
        why = [line for line in log_since(mark) if WHY in line]
        diag(*why)
        equal(len(why), 1, "one line says why")
        check(not loaded("rust_ct"), "it is not there")


main(scenario)
