#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Makes a raw profile, as llvm-profdata reads it, of what rust_ct_coverage.ko has kept.

    raw.py FROM TO

The format is that of LLVM 19, version 10 (llvm/include/llvm/ProfileData/InstrProfData.inc, INSTR_PROF_RAW_HEADER).
"""

import struct
import sys
from pathlib import Path

HEADER = struct.Struct("<QQQq")
MAGIC = int.from_bytes(b"\xfflprofr\x81", "big")
VERSION = 10
FUNCTION = 64
COUNTER = 8


def raw(kept):
    """The profile of what was kept."""
    counters, functions, names, distance = HEADER.unpack_from(kept)
    if len(kept) != HEADER.size + counters + functions + names:
        sys.exit(f"raw.py: {len(kept)} bytes are not those of {counters} + {functions} + {names}")
    counted = kept[HEADER.size :][:counters]
    described = kept[HEADER.size + counters :][:functions]
    named = kept[HEADER.size + counters + functions :]
    header = (
        MAGIC, VERSION, 0, functions // FUNCTION, 0, counters // COUNTER, 0, 0, 0, names, distance & (1 << 64) - 1,
        0, 0, 0, 0, 2,
    )  # fmt: skip
    return struct.pack(f"<{len(header)}Q", *header) + described + counted + named + bytes(-names % 8)


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(raw(Path(sys.argv[1]).read_bytes()))
