#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The plot of what bench.py has measured.

    plot.py CSV SVG

A row of panels for packets each way, new connections and deleted ones; a panel for each number of connections. A bar
is the median of the rounds, its line goes from the least to the most.
"""

import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402
from table import TRACKERS, cells, read_results  # noqa: E402

ROWS = ("original", "reply", "new", "delete")
COLOURS = {"nf_conntrack": "#999999", "rust_ct": "#c2491d"}
WIDTH = 0.4


def panel(axes, found, what, flows):
    """The bars of a measurement at one number of connections."""
    keys = sorted(key for key in found if key[0] == what and key[2] == flows)
    for i, tracker in enumerate(TRACKERS):
        bars = [found[key][tracker] for key in keys]
        medians = [bar.median for bar in bars]
        lines = [
            [bar.median - min(bar.values) for bar in bars],
            [max(bar.values) - bar.median for bar in bars],
        ]
        places = [place + (i - 0.5) * WIDTH for place in range(len(keys))]
        axes.bar(places, medians, WIDTH, yerr=lines, label=tracker, color=COLOURS[tracker], error_kw={"lw": 1})
    axes.set_xticks(range(len(keys)), [f"{protocol}{' acct' * accounting}" for _, protocol, _, accounting in keys])
    axes.tick_params(axis="x", labelsize=7, rotation=30)
    axes.set_ylabel("ns", fontsize=8)
    axes.set_title(f"{what}, {flows:,} connections", fontsize=9)


def main(source, target):
    found = cells(read_results(source))
    sizes = sorted({flows for what, _, flows, _ in found if what in ROWS})
    # The same file from the same numbers.
    plt.rcParams["svg.hashsalt"] = "rust_ct"
    plt.rcParams["svg.fonttype"] = "none"
    figure, panels = plt.subplots(len(ROWS), len(sizes), figsize=(4 * len(sizes), 2.4 * len(ROWS)), squeeze=False)
    for what, row in zip(ROWS, panels):
        for flows, axes in zip(sizes, row):
            panel(axes, found, what, flows)
    panels[0][0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})


main(*sys.argv[1:])
