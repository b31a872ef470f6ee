#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Holds the lines between the layers of rust_ct/, as Documentation/architecture.md states them.

layers.py [DIRECTORY]    reports what crosses a line in DIRECTORY (default: this clone's rust_ct),
                         and every circle of files; fails if there is anything
layers.py --graph FILE   prints the files that FILE uses, and those that use it
layers.py --self-test    proves that each rule catches a violation

A file uses the file that defines the item that it names, wherever the name is re-exported. What a
module is imported for is seen where a path goes through it. A re-export is no use.
"""

import fnmatch
import pathlib
import re
import sys
from collections import namedtuple

Layer = namedtuple("Layer", "name files unsafe uses")

# The layers: the first pattern that a file has decides; `uses` are the layers of ours that it may
# use besides itself.
LAYERS = (
    Layer("entry", "rust_ct_main.rs pernet.rs", False, "sys pure object datapath interface export"),
    Layer("bindings", "bindings*.rs", True, ""),
    Layer("sys", "sys.rs sys/*", True, "bindings"),
    Layer("pure", "pure.rs pure/*", False, ""),
    Layer("object", "object.rs object/*", True, "bindings sys pure"),
    Layer("datapath", "datapath.rs datapath/*", False, "sys pure object"),
    Layer("export", "interface/export.rs interface/export/*", True, "bindings sys pure object datapath interface"),
    Layer("interface", "interface.rs interface/*", False, "sys pure object datapath export"),
)
ROOT = "rust_ct_main.rs"
FORBID_UNSAFE = ("pure.rs", "datapath.rs")
PURE_CRATES = {"core", "zerocopy", "zerocopy_derive"}
IMPURE_CRATES = {"alloc", "bindings", "ffi", "kernel", "macros", "pin_init", "std"}
IMPURE = re.compile(r"pr_[a-z]+|SpinLock|Mutex|(K|V|KV)(Box|Vec)")
CONNECTION = {"Conn", "Connection", "Tuple", "Zone", "Expectation", "L4Proto", "nf_conn"}

Token = namedtuple("Token", "text line")
# A path as it stands in a file: `kind` is "use", "reexport" or "code"; `glob` is that it ends in `*`.
Path = namedtuple("Path", "module names line kind glob")
Extern = namedtuple("Extern", "names")

TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
    | (?P<comment>/\*)
    | (?P<raw>\b(?:br|cr|r)(?P<hashes>\#*)"(?s:.*?)"(?P=hashes))
    | (?P<string>[bc]?"(?:[^"\\]|\\(?s:.))*")
    | (?P<char>b?'(?:[^'\\]|\\[^u]|\\x..|\\u\{[^}]*\})')
    | (?P<lifetime>'\w+)
    | (?P<word>(?:r\#)?\w+)
    | (?P<sign>::|->|=>|\.{2,3}=?|.)""",
    re.VERBOSE,
)
COMMENT_EDGE = re.compile(r"/\*|\*/")


def tokenize(text):
    """The words and signs of Rust code, without comments; a string is `""`."""
    tokens, at, line = [], 0, 1
    while at < len(text):
        found = TOKEN.match(text, at)
        kind, end = found.lastgroup, found.end()
        if kind == "comment":
            depth = 1
            while depth and (edge := COMMENT_EDGE.search(text, end)):
                depth += 1 if edge.group() == "/*" else -1
                end = edge.end()
            end = len(text) if depth else end
        elif kind in ("word", "sign"):
            tokens.append(Token(found.group().removeprefix("r#"), line))
        elif kind != "space":
            tokens.append(Token('""', line))
        line += text.count("\n", at, end)
        at = end
    return tokens


def layer_of(file):
    for layer in LAYERS:
        if any(fnmatch.fnmatchcase(file, pattern) for pattern in layer.files.split()):
            return layer
    return None


class Module:
    """A module: a file's, or an inline module."""

    def __init__(self, path, file, parent):
        self.path, self.file, self.parent = path, file, parent
        self.children = {}  # Modules by name.
        self.items = set()
        self.uses = {}  # Paths by the name that they get.
        self.globs = []
        self.macros = False  # Whether macros may define items.

    def child(self, name, file):
        if name not in self.children:
            self.children[name] = Module((*self.path, name), file, self)
        return self.children[name]


class Parser:
    """Fills in the module of a file, and lists the paths that stand in it."""

    ITEMS = {"fn", "struct", "enum", "union", "trait", "type", "const", "static"}
    QUALIFIERS = {"mut", "unsafe", "async", "extern", "fn"}

    def __init__(self, tokens, module):
        self.tokens, self.paths, self.declared = tokens, [], []
        # What is open: a module, or None for a bracket of another kind.
        self.open = [module]
        self.run()

    def text(self, at):
        return self.tokens[at].text if 0 <= at < len(self.tokens) else ""

    def module(self):
        return next(module for module in reversed(self.open) if module)

    def run(self):
        at = 0
        while at < len(self.tokens):
            text, following = self.text(at), self.text(at + 1)
            if text == "use" and following != "<":
                at = self.use(at)
            elif text == "mod" and self.text(at + 2) == "{":
                self.open.append(self.module().child(following, self.module().file))
                at += 3
            elif text == "mod" and self.text(at + 2) == ";":
                self.declared.append((self.module(), following, self.tokens[at].line))
                at += 3
            elif text in ("{", "(", "["):
                foreign = self.text(at - 1) == '""' and self.text(at - 2) == "extern"
                self.open.append(self.open[-1] if foreign else None)
                at += 1
            elif text in ("}", ")", "]"):
                if len(self.open) > 1:
                    self.open.pop()
                at += 1
            else:
                self.item(at)
                at = self.path(at)

    def item(self, at):
        """Notes the item that begins here."""
        text, module = self.text(at), self.open[-1]
        if not module:
            return
        if text == "macro_rules":
            module.items.add(self.text(at + 2))
        elif text == "!" and self.text(at + 1) in ("{", "(", "["):
            while self.text(at - 1).isidentifier() or self.text(at - 1) == "::":
                at -= 1
            module.macros |= self.text(at) != "macro_rules" and self.text(at - 1) in ("", ";", "{", "}", "]")
        elif text in self.ITEMS and self.text(at - 1) not in ("*", "<", ","):
            at += 1
            while self.text(at) in self.QUALIFIERS:
                at += 1
            if self.text(at).isidentifier():
                module.items.add(self.text(at))

    def path(self, at):
        """Notes the path that begins here; returns where it ends."""
        first, before = self.text(at), self.text(at - 1)
        inner = before == "::" and (self.text(at - 2).isidentifier() or self.text(at - 2) == ">")
        if not first.isidentifier() or inner or before in (".", "$") and first != "crate":
            return at + 1
        end = at + 1
        while self.text(end) == "::" and self.text(end + 1).isidentifier() and self.text(end + 1) != "$":
            end += 2
        names = tuple(token.text for token in self.tokens[at:end:2])
        # Alone, a name is a type, a constant, a function that is called or a macro; not a variable.
        named = first[0].isupper() or self.text(end) in ("(", "!") and before != "fn"
        visibility = before == "in" and self.text(at - 3) == "pub"
        if (len(names) > 1 or named) and not visibility:
            self.paths.append(Path(self.module(), names, self.tokens[at].line, "code", False))
        return end

    def use(self, at):
        """Notes the names of a `use`; returns where it ends."""
        opening = at - 1
        while self.text(at - 1) == ")" and self.text(opening) not in ("(", ""):
            opening -= 1
        public = "pub" in (self.text(at - 1), self.text(opening - 1) if opening < at - 1 else "")
        return self.tree(at + 1, (), "reexport" if public else "use")

    def tree(self, at, prefix, kind):
        """Notes the names of one branch of a `use`."""
        names, line, renamed, module = list(prefix), self.tokens[at].line, None, self.module()
        while (text := self.text(at)) not in (",", ";", "}", ""):
            if text == "{":
                at += 1
                while self.text(at) not in ("}", ";", ""):
                    at = self.tree(at, tuple(names), kind)
                    at += self.text(at) == ","
                return at + 1
            if text == "as":
                renamed = self.text(at + 1)
                at += 1
            elif text == "*":
                module.globs.append(Path(module, tuple(names), line, kind, True))
                self.paths.append(module.globs[-1])
                return at + 1
            elif text != "::" and not (text == "self" and names):
                names.append(text)
                line = self.tokens[at].line
            at += 1
        path = Path(module, tuple(names), line, kind, False)
        self.paths.append(path)
        module.uses.setdefault(renamed or names[-1], []).append(path)
        return at


class Tree:
    """All files of a directory."""

    def __init__(self, files):
        self.reports, self.code = [], {file: tokenize(text) for file, text in files.items()}
        self.root = Module((), ROOT, None)
        self.paths, self.edges, parsers = {}, {file: {} for file in self.code}, {}
        for file in sorted(self.code):
            module = self.root
            for name in file.removesuffix(".rs").split("/") if file != ROOT else ():
                module = module.child(name, "/".join((*module.path, name)) + ".rs")
            parsers[file] = Parser(self.code[file], module)
            self.paths[file] = parsers[file].paths
        for file, parser in parsers.items():
            for module, name, line in parser.declared:
                if name not in module.children or module.children[name].file not in self.code:
                    self.report(file, line, f"no file of module {name}")

    def report(self, file, line, why):
        self.reports.append(f"{file}:{line}: {why}")

    def find(self, module, name, last, seen):
        """What a name is in a module: a Module, a file, an Extern, or None."""
        key = (module.path, name, last)
        if key in seen:
            return None
        if last and name in module.items:
            return module.file
        if not last and name in module.children:
            return module.children[name]
        for path in module.uses.get(name, ()):
            if found := self.resolve(path, seen | {key}):
                return found
        if name in module.items:
            return module.file
        if name in module.children:
            return module.children[name]
        for path in module.globs:
            base = self.resolve(path, seen | {key})
            if isinstance(base, Module) and (found := self.find(base, name, last, seen | {key})):
                return found
        return None

    def resolve(self, path, seen=frozenset()):
        """What a path names: a Module, the file that defines the item, an Extern, or None if unknown."""
        here = self.root if path.names[0] == "crate" else path.module
        for at, name in enumerate(path.names):
            if isinstance(here, Extern):
                return Extern(here.names + path.names[at:])
            if not isinstance(here, Module):
                return here
            if name in ("crate", "self"):
                continue
            if name == "super":
                here = here.parent
                continue
            module, last = here, at == len(path.names) - 1 and not path.glob
            here = self.find(module, name, last, seen)
            if not here and at == 0:
                return Extern(path.names)
            if not here and module.macros and (last or name[0].isupper()):
                return module.file
            if not here and not path.glob and self.sees_extern(module, path):
                return Extern(path.names)
        return here

    def sees_extern(self, module, path):
        """Whether the path sees, through a glob of the module, names of another crate."""
        inside = path.module.path[: len(module.path)] == module.path
        globs = [glob for glob in module.globs if inside or glob.kind == "reexport"]
        return any(isinstance(self.resolve(glob), Extern) for glob in globs)

    def link(self, file, path, target):
        """Adds the edges of a path to the graph."""
        targets = {target}
        if isinstance(target, Module):
            targets = set()
            if path.glob:
                public = [use for uses in target.uses.values() for use in uses if use.kind == "reexport"]
                targets = {target.file, *(self.resolve(use) for use in public)}
        for other in targets:
            if isinstance(other, str) and other != file and path.kind != "reexport":
                self.edges[file].setdefault(other, path.line)

    @staticmethod
    def written(path):
        """The file that the path as it is written leads to, which may be another than that of the item."""
        names, base = list(path.names), path.module.path
        if names[0] not in ("crate", "self", "super"):
            return ""
        while names and names[0] in ("crate", "self", "super"):
            name = names.pop(0)
            base = () if name == "crate" else base[:-1] if name == "super" else base
        return "/".join((*base, *names)) + ".rs"

    def check_path(self, file, layer, path):
        target = self.resolve(path)
        shown = "::".join(path.names)
        if not target:
            self.report(file, path.line, f"{shown} is unknown")
            return
        self.link(file, path, target)
        if not layer or path.kind == "code" and len(path.names) == 1:
            return  # A path of one name is that of a `use`, which is checked itself.
        used = {layer_of(self.written(path))}
        if isinstance(target, Extern):
            if "bindings" in target.names[:2] and layer.name != "bindings":
                used.add(layer_of("bindings.rs"))
            crate = target.names[0]
            if layer.name == "pure" and (crate not in PURE_CRATES if path.kind != "code" else crate in IMPURE_CRATES):
                self.report(file, path.line, f"pure uses more than core and zerocopy: {shown}")
        else:
            used.add(layer_of(target.file if isinstance(target, Module) else target))
        for other in used - {None, layer}:
            if other.name not in layer.uses.split():
                self.report(file, path.line, f"{layer.name} uses {other.name}: {shown}")

    def check_words(self, file, layer):
        tokens = self.code[file]
        for at, (text, line) in enumerate(tokens):
            if text == "unsafe" and not layer.unsafe:
                self.report(file, line, f"unsafe in {layer.name}")
            if layer.name == "pure" and IMPURE.fullmatch(text):
                self.report(file, line, f"pure logs, locks or allocates: {text}")
            if layer.name == "sys" and text in CONNECTION:
                self.report(file, line, f"sys names a connection concept: {text}")

    def check_forbids(self, file):
        start = "".join(token.text + " " for token in self.code.get(file, ()))
        attributes = re.match(r"(# ! \[ [^\]]*\] )*", start).group()
        if not re.search(r"\[ (forbid|deny) \([^)]*\bunsafe_code\b", attributes):
            self.report(file, 1, "does not forbid unsafe_code")

    def check(self):
        """All that is wrong, and the number of files that lie on a circle."""
        for file in sorted(self.code):
            if layer := layer_of(file):
                self.check_words(file, layer)
            else:
                self.report(file, 1, "belongs to no layer, see the table in scripts/lint/layers.py")
            for path in self.paths[file]:
                self.check_path(file, layer, path)
        for file in FORBID_UNSAFE:
            self.check_forbids(file)
        circles = self.check_circles()
        return list(dict.fromkeys(self.reports)), circles

    def way(self, start, end):
        """The files of a shortest way of at least one step, or no files."""
        before, queue = {}, [start]
        for file in queue:
            for other in sorted(self.edges.get(file, ())):
                if other not in before:
                    before[other] = file
                    queue.append(other)
        way = [end]
        while end in before and (len(way) == 1 or way[-1] != start):
            way.append(before[way[-1]])
        return way[::-1] if len(way) > 1 else []

    def check_circles(self):
        """Reports each circle, by a shortest circle of its component."""
        circles = {file: way for file in self.edges if (way := self.way(file, file))}
        left = sorted(circles, key=lambda file: (len(circles[file]), file))
        while left:
            mates = [file for file in left if file == left[0] or self.way(left[0], file) and self.way(file, left[0])]
            circle = circles[left[0]]
            self.reports.append(f"circle of {len(mates)} files: {' '.join(sorted(mates))}; a shortest one:")
            for file, other in zip(circle, circle[1:]):
                self.report(file, self.edges[file][other], f"circle: uses {other}")
            left = [file for file in left if file not in mates]
        return len(circles)


def read(directory):
    return {
        str(path.relative_to(directory)): path.read_text()
        for path in directory.rglob("*.rs")
        if "generated" not in path.name
    }


def print_graph(files, file):
    tree = Tree(files)
    tree.check()
    if file not in tree.edges:
        sys.exit(f"{file}: no such file")
    print("uses:", *sorted(tree.edges[file]), sep="\n    ")
    print("used by:", *sorted(other for other in tree.edges if file in tree.edges[other]), sep="\n    ")
    return 0


# What the rows of the self-test find around them.
AROUND = r"""
rust_ct_main.rs: mod pernet; module! { type: RustCt } struct RustCt;
pernet.rs: pub(crate) struct Registered;
bindings.rs: include!("generated.rs");
sys/skb.rs: pub(crate) struct Skb;
sys/hook.rs: pub(crate) enum Verdict { Accept }
sys/time.rs: pub(crate) const HZ: u64 = 1;
pure.rs: #![forbid(unsafe_code)]
pure/reason.rs: causes! { enum Reason {} } macro_rules! causes { () => {} } pub(crate) use causes;
pure/tuple.rs: pub(crate) struct Tuple;
object/conn.rs: mod key; pub(crate) use key::{Key, self as keys}; pub(crate) struct Conn; pub(crate) fn begin() {}
object/conn/key.rs: pub(crate) struct Key; use super::Conn;
object/table.rs: pub(crate) struct Table; pub(crate) static TABLE: Table = Table;
object/expect.rs: pub(crate) struct Expectation;
datapath.rs: //! Packets.\n#![allow(dead_code)]\n#![deny(unsafe_code)]
datapath/begin.rs: pub(crate) fn enter() {}
datapath/helper/ftp.rs: pub(crate) fn help() {}
interface/param.rs: pub(crate) fn max() {}
interface/export/slots.rs: pub(crate) struct Slots;
"""

# A row: what each of its reports has to say, and the files. `\n` is the end of a line.
ROWS = r"""
# Unsafe.
unsafe in datapath | datapath/begin.rs: let x = unsafe { y() };
nothing | datapath/begin.rs: // nothing unsafe here
nothing | datapath/begin.rs: /* nothing /* unsafe */ unsafe */
unsafe in datapath | datapath/begin.rs: /* a /* b */ c */ unsafe fn f() {}
unsafe in datapath | datapath/begin.rs: fn f<'a>(c: &'a u8) { g('"', '\'', '\\'); unsafe { h() } }
nothing | datapath/begin.rs: #![forbid(unsafe_code)]
nothing | datapath/begin.rs: pr_err!("an \"unsafe packet\n");
nothing | datapath/begin.rs: let x = r#"an "unsafe" packet"#;
nothing | sys/skb.rs: let x = unsafe { y() };
nothing | object/table.rs: let x = unsafe { y() };
nothing | object/conn/slab.rs: let x = unsafe { y() };
nothing | object/expect.rs: let x = unsafe { y() };
nothing | object/helper.rs: let x = unsafe { y() };
nothing | interface/export.rs: let x = unsafe { y() };
nothing | interface/export/slots.rs: let x = unsafe { y() };
unsafe in interface | interface/proc.rs: let x = unsafe { y() };
unsafe in entry | pernet.rs: let x = unsafe { y() };
unsafe in datapath | datapath/helper/ftp.rs: let x = unsafe { y() };
unsafe in pure | pure/wire/tcp.rs: let x = unsafe { y() };
forbid | pure.rs:
forbid | pure.rs: // #![forbid(unsafe_code)]
forbid | datapath.rs: mod begin { #![forbid(unsafe_code)] }
# Pure files.
pure uses more than core | pure/wire/tcp.rs: use kernel::prelude::*;
pure uses more than core | pure/wire/tcp.rs: use some::Thing;
pure uses more than core | pure/wire/tcp.rs: fn f() { ::std::process::abort() }
pure uses bindings | pure/wire/tcp.rs: fn f(x: crate::bindings::sk_buff) {}
pure uses sys | pure/wire.rs: use crate::sys::skb::Skb;
pure uses sys | pure/wire.rs: fn f() -> u64 { 0..crate::sys::time::HZ }
nothing | pure/wire/tcp.rs: use crate::pure::reason::{causes, Reason};
nothing | pure/tuple.rs: use core::cmp::min;
pure uses object | pure/l4proto/udp.rs: use crate::object::table::Table;
pure uses object | pure/payload/ftp.rs: use crate::object::expect::Expectation;
pure logs | pure/state.rs: pr_info!("hello");
pure logs | pure/state.rs: struct S(SpinLock<u8>);
pure logs | pure/state.rs: fn f(x: KVVec<u8>) {}
pure uses sys | pure/l4proto/udp.rs: use crate::{\npure::tuple::Tuple,\nsys::time, //\n};
# System wrappers.
sys | sys/skb.rs: use crate::object::conn::Conn;
sys uses object | sys/skb.rs: use crate::object::table;
sys uses pure | sys/skb.rs: use crate::pure::reason;
sys names a connection | sys/skb.rs: fn get(ct: *mut nf_conn) {}
nothing | sys/skb.rs: /// Not the [`Conn`] of [`crate::object::conn`].\nfn get() { f(crate::sys::time::HZ) }
sys | sys/skb.rs: use crate::{\nbindings,\nobject::conn::Conn, //\n};
# Bindings.
datapath uses bindings | datapath/begin.rs: use crate::bindings::sk_buff;
datapath uses bindings | datapath/begin.rs: let x = kernel::bindings::NF_ACCEPT;
datapath uses bindings | datapath/begin.rs: use kernel::{self as k, prelude::*}; const X: u8 = k::bindings::X;
interface uses bindings | interface/proc.rs: use super::super::bindings;
nothing | interface/export/table.rs: use crate::bindings::{self, sk_buff};
nothing | object/table.rs: use crate::bindings; fn f(x: bindings::sk_buff) {}
# The order of layers.
nothing | datapath/begin.rs: use crate::sys::hook::Verdict;
object uses datapath | object/table.rs: use crate::datapath::begin::enter;
object uses datapath | object/table.rs: use crate::{\nobject::conn::Conn,\ndatapath::begin::{\nself, //\n},\n};
nothing | datapath/begin.rs: use crate::object::{\nconn::{\nbegin,\nConn, //\n},\ntable::TABLE, //\n};
object uses datapath | object/table.rs: use crate::datapath::helper::ftp::help;
object uses datapath | object/table.rs: fn f() { crate::datapath::helper::ftp::help() }
object uses datapath | object.rs: use super::datapath::begin;
object uses datapath | object/table.rs: use super::super::datapath::begin::enter;
object uses datapath | object/table.rs: mod m { fn f() { super::super::super::datapath::begin::enter() } }
object uses datapath | object/table.rs: pub(crate) use crate::datapath::begin::enter;
object uses | object/table.rs: use crate as top; fn f() { top::datapath::begin::enter() }
object uses datapath | datapath.rs: #![forbid(unsafe_code)] pub use crate::object::conn::Conn; | object/a.rs: use crate::datapath::Conn;
datapath uses interface | datapath/begin.rs: fn f() { crate::interface::param::max() }
datapath uses export | datapath/begin.rs: use crate::interface::export::slots::Slots;
interface uses entry | interface/proc.rs: use crate::pernet::Registered;
object uses entry | object/table.rs: use crate::RustCt;
nothing | pernet.rs: use crate::{datapath::begin::enter, interface::export::slots::Slots, pure::tuple};
# Names.
no layer | stranger.rs: use core::ptr;
no layer | helper/ftp.rs:
is unknown | object/a.rs: use crate::object::conn::Con;
is unknown | object/a.rs: use crate::stray::Conn;
is unknown | object/a.rs: fn f() { super::conn::end() }
is unknown | object/a.rs: use super::conn; fn f() { conn::end() }
no file | object/a.rs: mod b;
nothing | object/a.rs: use super::conn::{keys::Key as K, Conn}; fn f() { K::new(Conn::NEW, super::conn::Key::<u8>::X) }
nothing | object/a.rs: use crate::pure::reason::Made; fn f() -> impl Sized + use<'a> { x.crate_; <Made as T>::y() }
nothing | object/a.rs: mod b { pub(in super::super) fn f() { for x in super::super::conn::Key::all() {} } }
nothing | object/a.rs: use b::X; mod b { use kernel::prelude::*; pub(super) struct X; mod c { use super::KBox; } }
# Circles.
circle | object/a.rs: use super::b::B; struct A; | object/b.rs: use super::a::A; struct B;
circle | object/a.rs: use super::b; fn f() { 0..b::g() } | object/b.rs: fn g() { super::a::f() }
nothing | object/a.rs: use super::b; fn f() { b::g() } | object/b.rs: fn g() {} /// As [`super::a::f`].\nfn h() {}
circle | object/a.rs: struct A; use self::c::C; | object/a/c.rs: struct C; use super::A;
circle | object/a.rs: mod c; struct A; fn f() { c::g() } | object/a/c.rs: pub fn g(a: super::A) {}
nothing | object/a.rs: mod c; struct A; pub(crate) use c::{C, d::*}; | object/a/c.rs: struct C; use super::A; | object/a/c/d.rs: struct D; use super::super::A; | object/b.rs: use super::a::{A, C, D};
circle | object/a.rs: mod c; struct A(C); pub(crate) use c::C; | object/a/c.rs: struct C; use super::A;
circle | object/r.rs: pub(crate) use super::b::B; | object/a.rs: use super::r::B; struct A; | object/b.rs: use super::a::A; struct B;
circle | object/r.rs: pub(crate) use super::b::*; | object/a.rs: use super::r::B; struct A; | object/b.rs: use super::a::A; struct B;
circle | object/r.rs: pub use super::b as s; | object/a.rs: use super::r::s::B as X; struct A; | object/b.rs: use super::a::A; struct B;
circle | object/a.rs: use super::b as n; fn f() { n::g() } | object/b.rs: use super::a::f as h; fn g() {}
circle | object/a.rs: use crate::{\npure::tuple::Tuple,\nobject::{\nb::{\nB, //\n},\n},\n}; fn f() {} | object/b.rs: struct B; fn g() { crate::object::a::f() }
circle | object/a.rs: use super::b::*; struct A; | object/b.rs: struct B; mod t { use super::super::a::A; }
circle | object/a.rs: use super::b::m; macro_rules! n { () => {} } pub(crate) use n; | object/b.rs: macro_rules! m { () => { $crate::object::a::n!() } } pub(crate) use m;
circle | object/a.rs: use super::b::B; fn f() {} | object/b.rs: use super::c::C; struct B; | object/c.rs: struct C; fn g() { super::a::f() }
nothing | object/a.rs: mod t { use super::*; fn f(a: A) {} } struct A;
"""


def tree_of(rows):
    return {file: text.replace("\\n", "\n") for file, _, text in (row.partition(":") for row in rows)}


def self_test():
    rows = [row for row in ROWS.strip().splitlines() if not row.startswith("#")]
    around, failed = tree_of(AROUND.strip().splitlines()), False
    for number, row in enumerate(rows, 1):
        why, *files = row.split(" | ")
        reports, circles = Tree(around | tree_of(files)).check()
        told = all(why in report for report in reports) and bool(reports) == (why != "nothing")
        good = told and bool(circles) == (why == "circle")
        failed |= not good
        print(f"{'ok' if good else 'not ok'} {number} - {row}")
        for report in reports if not good else ():
            print(f"# {report}")
    print(f"1..{len(rows)}")
    return failed


def main(arguments):
    clone = pathlib.Path(__file__).resolve().parents[2] / "rust_ct"
    if arguments == ["--self-test"]:
        return self_test()
    if len(arguments) == 2 and arguments[0] == "--graph":
        return print_graph(read(clone), arguments[1].removeprefix("rust_ct/"))
    if len(arguments) > 1 or arguments and not pathlib.Path(arguments[0]).is_dir():
        sys.exit(__doc__)
    directory = pathlib.Path(arguments[0]).resolve() if arguments else clone
    reports, circles = Tree(read(directory)).check()
    for report in reports:
        print(report if report.startswith("circle") else f"{directory.name}/{report}")
    print(f"circles: {circles}")
    return 1 if reports else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
