#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Prints which lines of the module were never run, of what llvm-cov has counted.

    uncovered.py TREE LCOV...

TREE  the sources
LCOV  what `llvm-cov export --format=lcov` printed of one program or module, whose files lie below /src
"""

import sys
from collections import defaultdict
from os.path import normpath
from pathlib import Path


def read_counts(files):
    """path -> line -> how often it was run, by whichever of the files says most"""
    counts = defaultdict(dict)
    path = None
    for row in (row for file in files for row in Path(file).read_text(encoding="ascii").splitlines()):
        key, _, value = row.partition(":")
        if key == "SF":
            path = normpath(value).removeprefix("/src/")
        elif key == "DA" and path.startswith("rust_ct/"):
            line, count = map(int, value.split(",")[:2])
            counts[path][line] = max(counts[path].get(line, 0), count)
    return counts


def main(tree, *files):
    counts = read_counts(files)
    never = {path: [line for line, count in sorted(lines.items()) if not count] for path, lines in counts.items()}
    for path, lines in sorted(never.items()):
        text = Path(tree, path).read_text(encoding="utf-8").splitlines()
        for line in lines:
            print(f"{path}:{line}: {text[line - 1].strip()}")
    print()
    for path, lines in sorted(counts.items()):
        print(f"{path:50} {len(lines):6} lines {len(never[path]):5} never run")
    number, missing = sum(map(len, counts.values())), sum(map(len, never.values()))
    if not number:
        sys.exit("uncovered.py: nothing was counted")
    print(f"{'':50} {number:6} lines {missing:5} never run, {100 * (number - missing) / number:.1f} % run")


main(*sys.argv[1:])
