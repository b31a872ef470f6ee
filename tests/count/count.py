#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Counts what each path of a packet costs in the stock kernel, with nf_conntrack and with rust_ct.

    count.py DIRECTORY MODULES [--other KO] [--functions PATTERN] [--check FIGURES] [--document PAGE]

Runs in the build root: boots the stock kernel in QEMU with nothing but busybox, the trackers and rust_ct_meter.ko,
which walks each path COUNTED times while QEMU's plugin (plugin.rs) counts; the median of each count stands. Prints a
table, and leaves DIRECTORY/figures.

MODULES      where rust_ct.ko and rust_ct_meter.ko were built
--other      another rust_ct.ko, in a column of its own
--functions  says of the paths whose name has PATTERN (a regular expression) in which functions it was spent
--check      compares with the figures of that file; the last line is 'N passed, N failed'
--document   leaves in DIRECTORY that page with the rows of its table brought up to date
"""

import argparse
import collections
import gzip
import itertools
import lzma
import os
import re
import shutil
import statistics
import subprocess
import sys
from bisect import bisect_right
from pathlib import Path

# As in tests/meter/count.c, and how many of them have to be seen as a whole.
COUNTED = 31
WHOLE = 16
KINDS = ("new", "original", "reply", "delete", "refused", "invalid")
# As in plugin.rs.
FIELDS = ("instructions", "locked", "calls", "loads", "stores", "code", "data", "written", "stack")
# What is compared, with how much more or less is let pass: a part, or so many. Three lines of data are by the luck of a
# boot, as the slab allocator shuffles its objects' places: a namespace's array of hooks is read in one line or in two,
# and so is the list of a processor's spare objects.
CHECKED = {"instructions": (0.02, 0), "locked": (0, 0), "code": (0.02, 1), "data": (0.02, 3)}
SHOWN = ("instructions", "locked", "code", "data")

ACCOUNTING = "/proc/sys/net/netfilter/nf_conntrack_acct"
# Nothing depends on chance.
COMMAND_LINE = (
    "console=ttyS0 quiet nokaslr mitigations=off randomize_kstack_offset=off panic=-1 tsc=reliable lsm= audit=0 "
    "rdinit=/init"
)
# An idle processor halts, rather than to watch memory, which is emulated by running on; and the kernel has its
# random numbers from the first on, as an installed machine has.
QEMU = (
    *("qemu-system-x86_64", "-accel", "tcg,thread=single", "-machine", "q35", "-smp", "1", "-m", "512"),
    *("-cpu", "Nehalem,-monitor,+rdrand", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
    *("-icount", "shift=0,sleep=off"),
)


def die(*lines):
    sys.exit("\n".join(f"error: {line}" for line in lines))


def sets():
    """(number, name, protocol, family, accounting) of each set of paths, in the order in which they run."""
    cases = itertools.product((0, 1), ("udp", "tcp"), (4, 6))
    for i, (accounting, protocol, family) in enumerate(cases):
        yield 10 * i, f"{protocol}-ipv{family}{'-acct' * accounting}", protocol, family, accounting


def numbers():
    """number -> name of a path"""
    named = {}
    for number, name, protocol, _, _ in sets():
        for i, kind in enumerate(KINDS):
            if kind != "invalid" or protocol == "tcp":
                named[number + i] = f"{name}-{kind}"
    return named


def versions():
    """What the counts depend on, but for the sources: 'release', 'rustc', 'gcc'."""
    text = Path("/build/versions").read_text(encoding="ascii")
    found = {name: re.search(rf"\b{name}=([^,\"]*)", text)[1] for name in ("rustc", "gcc")}
    return {"release": re.search(r"^release=(.*)", text, re.MULTILINE)[1], **found}


# ------------------------------------------------------------------------------------------------------- the guest


def stock_modules(release):
    """The files of nf_conntrack.ko and what it needs, in the order in which they are loaded."""
    said = subprocess.run(
        ["modprobe", "-S", release, "--show-depends", "nf_conntrack"], capture_output=True, text=True, check=True
    ).stdout
    return [Path(path) for path in re.findall(r"^insmod (\S+)", said, re.MULTILINE)]


def init_script(needed, trackers, functions):
    """The guest's only program. Each tracker's paths have numbers of their own."""
    lines = [
        "#!/bin/busybox sh",
        "busybox mount -t devtmpfs dev /dev",
        "exec </dev/console >/dev/console 2>&1",
        "busybox mount -t proc proc /proc",
        *(f"busybox insmod /{name}" for name in needed),
    ]
    if functions:
        lines.append("busybox stty -F /dev/ttyS1 raw")
    for i, tracker in enumerate(trackers):
        lines += [
            f"echo count: {tracker}",
            f"busybox insmod /{tracker}.ko enable_hooks=1",
            "busybox insmod /rust_ct_meter.ko",
        ]
        if functions:
            symbols = "busybox grep -i ' t ' /proc/kallsyms"
            lines.append(f"(echo @ {i}; {symbols}) | busybox gzip -c >/dev/ttyS1")
        for number, _, protocol, family, accounting in sets():
            lines += [
                f"echo {accounting} >{ACCOUNTING}",
                f"echo flows {protocol} {family} {COUNTED} >/proc/rust_ct_meter",
                f"echo count {1000 * i + number} >/proc/rust_ct_meter",
            ]
        # The module calls itself rust_ct, whatever its file is called.
        name = tracker.replace("other", "rust_ct")
        lines += ["busybox rmmod rust_ct_meter", f"busybox rmmod {name}"]
    return "\n".join([*lines, "echo count: done", "busybox poweroff -f", ""])


def make_initramfs(directory, trackers, release, functions):
    """The files of the guest, packed."""
    files = directory / "files"
    shutil.rmtree(files, ignore_errors=True)
    for name in ("bin", "dev", "proc"):
        (files / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", files / "bin/busybox")
    stock = stock_modules(release)
    for file in stock:
        data = file.read_bytes()
        (files / file.name.removesuffix(".xz")).write_bytes(lzma.decompress(data) if file.suffix == ".xz" else data)
    for name, file in trackers.items():
        if file:
            shutil.copy(file, files / f"{name}.ko")
    shutil.copy(directory / "rust_ct_meter.ko", files)
    needed = [file.name.removesuffix(".xz") for file in stock[:-1]]
    (files / "init").write_text(init_script(needed, trackers, functions), encoding="ascii")
    (files / "init").chmod(0o755)
    with open(directory / "initramfs", "wb") as packed:
        names = "\n".join(str(path.relative_to(files)) for path in files.rglob("*"))
        subprocess.run(
            ["cpio", "--quiet", "-o", "-H", "newc"], input=names.encode(), stdout=packed, cwd=files, check=True
        )


def boot(directory, release, functions):
    """Runs the guest; its console is DIRECTORY/console."""
    plugin = f"file={directory}/libplugin.so,out={directory}/counts"
    serial = ["-serial", f"file:{directory}/console"]
    if functions:
        plugin += f",at={directory}/addresses"
        serial += ["-serial", f"file:{directory}/symbols.gz"]
    kernel = ["-kernel", f"/usr/lib/modules/{release}/vmlinuz", "-initrd", f"{directory}/initramfs"]
    command = [*QEMU, *serial, *kernel, "-append", COMMAND_LINE, "-plugin", plugin]
    try:
        done = subprocess.run(command, timeout=600, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        done = None
    console = (directory / "console").read_text(encoding="ascii", errors="replace")
    if done is None or done.returncode or "count: done" not in console:
        die(*console.splitlines()[-20:], f"the guest did not come to its end; console: {directory}/console")


# ------------------------------------------------------------------------------------------------------ the counts


def read_counts(directory, trackers):
    """tracker -> path -> field -> the median"""
    runs = collections.defaultdict(list)
    for line in (directory / "counts").read_text(encoding="ascii").splitlines():
        number, *counts, gaps = map(int, line.split())
        if not gaps:
            runs[number].append(counts)
    found = {}
    for i, tracker in enumerate(trackers):
        found[tracker] = {}
        for number, name in numbers().items():
            stretches = runs[1000 * i + number]
            if len(stretches) < WHOLE or not all(counts[0] for counts in stretches):
                die(f"{tracker}: {name} was counted {len(stretches)} times; console: {directory}/console")
            columns = zip(*stretches)
            found[tracker][name] = dict(zip(FIELDS, map(statistics.median_low, columns)))
    return found


def table(found):
    """The lines of the table: a row a path, the shown fields of each tracker, and rust_ct's part of nf_conntrack's."""
    columns = "".join(f"{name:>7}" for name in ("instr", "locked", "code", "data"))
    yield f"{'':24}" + "".join(f" | {tracker:^28}" for tracker in found) + " | instr"
    yield f"{'path':24}" + f" | {columns}" * len(found) + " | ratio"
    for path, reference in found["nf_conntrack"].items():
        row = f"{path:24}"
        for counts in found.values():
            row += " | " + "".join(f"{counts[path][field]:7}" for field in SHOWN)
        yield row + f" | {found['rust_ct'][path]['instructions'] / reference['instructions']:5.2f}"


def write_figures(file, found):
    with open(file, "w", encoding="ascii") as out:
        print("# SPDX-License-Identifier: GPL-2.0", file=out)
        print("# What a path costs: `make count-accept` writes this, `make count-check` compares with it.", file=out)
        for name, version in versions().items():
            print(f"{name} {version}", file=out)
        print("tracker path", *FIELDS, file=out)
        for tracker in ("nf_conntrack", "rust_ct"):
            for path, counts in found[tracker].items():
                print(tracker, path, *counts.values(), file=out)


def write_document(file, found, document):
    """Writes the document with the rows of its table brought up to date, `| path | instructions | ratio | ... |`."""
    text = document.read_text(encoding="utf-8")
    for path, reference in found["nf_conntrack"].items():
        counts = found["rust_ct"][path]
        cells = [f"{reference[field]:,} / {counts[field]:,}" for field in SHOWN]
        cells.insert(1, f"{counts['instructions'] / reference['instructions']:.2f}")
        row = f"| `{path}` | {' | '.join(cells)} |"
        text, rows = re.subn(rf"^\| `{path}` \|.*$", row, text, flags=re.MULTILINE)
        if rows != 1:
            die(f"{document}: {path} has {rows} rows in the table, where it should have one")
    file.write_text(text, encoding="utf-8")


def read_figures(file):
    """The versions, and tracker -> path -> field -> count."""
    made_with = {}
    fields = ()
    figures = collections.defaultdict(dict)
    for line in Path(file).read_text(encoding="ascii").splitlines():
        match line.split():
            case ["tracker", "path", *names]:
                fields = names
            case [("nf_conntrack" | "rust_ct") as tracker, path, *counts]:
                figures[tracker][path] = dict(zip(fields, map(int, counts)))
            case [name, version] if name != "#":
                made_with[name] = version
    return made_with, figures


def differences(before, now):
    """The fields that are not what they were."""
    for field, (part, number) in CHECKED.items():
        if abs(now[field] - before[field]) > max(part * before[field], number):
            yield f"{field}: {before[field]} before, {now[field]} now ({now[field] / max(before[field], 1) - 1:+.1%})"


def check(found, file):
    """Compares, and prints what differs; returns how many paths did not."""
    made_with, figures = read_figures(file)
    if made_with != versions():
        print(f"count: not compared, as the figures are of {made_with}, and this is {versions()}: `make count-accept`")
        print("0 passed, 1 failed")
        return 1
    passed = failed = 0
    for tracker in ("nf_conntrack", "rust_ct"):
        for path in sorted(found[tracker].keys() | figures[tracker].keys()):
            before, now = figures[tracker].get(path), found[tracker].get(path)
            if before is None or now is None:
                why = ["there is no such figure" if before is None else "it is not counted any more"]
            else:
                why = list(differences(before, now))
            passed += not why
            failed += bool(why)
            for reason in why:
                print(f"count: {tracker}, {path}: {reason}")
    if failed:
        print(
            "count: if this is meant, say so in the commit, and `make count-accept` writes the new figures;",
            "`make count FUNCTIONS=PATH` shows in which functions a path spends its instructions",
            sep="\n",
        )
    print(f"{passed} passed, {failed} failed")
    return failed


# --------------------------------------------------------------------------------------------------- the functions


def read_symbols(directory):
    """number of the tracker -> sorted addresses, names"""
    symbols = collections.defaultdict(dict)
    at = None
    with gzip.open(directory / "symbols.gz", "rt", encoding="ascii") as lines:
        for line in lines:
            match line.split():
                case ["@", number]:
                    at = symbols[int(number)]
                case [address, _, name, *_]:
                    at.setdefault(int(address, 16), name)
    return {number: (sorted(names), names) for number, names in symbols.items()}


def show_functions(directory, trackers, pattern):
    symbols = read_symbols(directory)
    spent = collections.defaultdict(collections.Counter)
    for line in (directory / "addresses").read_text(encoding="ascii").splitlines():
        number, address, count = line.split()
        addresses, names = symbols[int(number) // 1000]
        i = bisect_right(addresses, int(address, 16)) - 1
        spent[int(number)][names[addresses[i]] if i >= 0 else "?"] += int(count)
    for i, tracker in enumerate(trackers):
        for number, path in numbers().items():
            if re.search(pattern, path):
                rows = [f"{count:7} {name}" for name, count in spent[1000 * i + number].most_common()]
                text = subprocess.run(["c++filt"], input="\n".join(rows), capture_output=True, text=True, check=True)
                print(f"{tracker}, {path}:", text.stdout, sep="\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("modules", type=Path)
    parser.add_argument("--other")
    parser.add_argument("--functions")
    parser.add_argument("--check")
    parser.add_argument("--document", type=Path)
    options = parser.parse_args()
    release = versions()["release"]
    directory = options.directory
    directory.mkdir(exist_ok=True)
    trackers = {"nf_conntrack": None, "rust_ct": options.modules / "rust_ct/rust_ct.ko"}
    if options.other:
        trackers["other"] = options.other
    shutil.copy(options.modules / "tests/meter/rust_ct_meter.ko", directory)
    plugin = Path(__file__).with_name("plugin.rs")
    subprocess.run(
        ["rustc", "--edition", "2021", "-O", "--crate-type", "cdylib", "-C", "panic=abort", "-o"]
        + [directory / "libplugin.so", plugin],
        check=True,
    )
    make_initramfs(directory, trackers, release, options.functions)
    boot(directory, release, options.functions)
    found = read_counts(directory, trackers)
    print(*table(found), sep="\n")
    write_figures(directory / "figures", found)
    if options.functions:
        show_functions(directory, trackers, options.functions)
    if options.document:
        write_document(directory / options.document.name, found, options.document)
    if options.check:
        sys.exit(bool(check(found, options.check)))


if __name__ == "__main__":
    os.environ["LC_ALL"] = "C"
    main()
