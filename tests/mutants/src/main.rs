// SPDX-License-Identifier: GPL-2.0

//! `rust_ct_mutants PURE OUT EXTRA...`: writes the files of the folder PURE to the folder OUT with
//! all of their mutants in them, and prints a list of the mutants.
//!
//! A mutant is the program with one small mistake in it. All of them are compiled at once: where
//! a mutant would differ is a condition, `crate::mutant::m(number)` (mutant.rs), which is true in
//! a run of that mutant, and in a build of it.
//!
//! A line of the list has the mutant's number; `build` if it is in a function that constants may be
//! made with (by what is in PURE and the folders EXTRA), so that only a build of it shows all, else
//! `run`; and what tells it from others also after changes elsewhere: file, function, what is
//! done, with `#2` for the second of its like. They are separated by tabs.

mod mutate;
mod values;

use mutate::{
    Mutant,
    Mutator, //
};
use std::{
    collections::{
        HashMap,
        HashSet, //
    },
    error::Error,
    fs,
    path::{
        Path,
        PathBuf, //
    },
};
use syn::visit::Visit;
use values::Defaults;

/// All Rust files of a folder, in order.
fn files(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, found)?;
        } else if path.extension().is_some_and(|name| name == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// What is named where the compiler computes, and by each `const fn`.
#[derive(Default)]
struct Constants {
    named: HashSet<String>,
    functions: HashMap<String, HashSet<String>>,
}

/// The identifiers in a piece of source, which is read as tokens only.
fn identifiers(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
}

struct ConstantFinder<'a> {
    text: &'a str,
    found: &'a mut Constants,
}

impl ConstantFinder<'_> {
    fn name_all(&mut self, node: &impl syn::spanned::Spanned) {
        let words = identifiers(&self.text[node.span().byte_range()]);
        self.found.named.extend(words);
    }

    fn function(&mut self, sig: &syn::Signature, block: &syn::Block) {
        if sig.constness.is_some() {
            let range = syn::spanned::Spanned::span(block).byte_range();
            let words = identifiers(&self.text[range]);
            let name = sig.ident.to_string();
            self.found.functions.entry(name).or_default().extend(words);
        }
    }
}

impl<'ast> Visit<'ast> for ConstantFinder<'_> {
    fn visit_item_const(&mut self, node: &'ast syn::ItemConst) {
        self.name_all(node);
    }
    fn visit_item_static(&mut self, node: &'ast syn::ItemStatic) {
        self.name_all(node);
    }
    fn visit_impl_item_const(&mut self, node: &'ast syn::ImplItemConst) {
        self.name_all(node);
    }
    fn visit_trait_item_const(&mut self, node: &'ast syn::TraitItemConst) {
        self.name_all(node);
    }
    fn visit_item_macro(&mut self, node: &'ast syn::ItemMacro) {
        self.name_all(node);
    }
    fn visit_type_array(&mut self, node: &'ast syn::TypeArray) {
        self.name_all(&node.len);
    }
    fn visit_expr_repeat(&mut self, node: &'ast syn::ExprRepeat) {
        self.name_all(&node.len);
    }
    fn visit_item_fn(&mut self, node: &'ast syn::ItemFn) {
        self.function(&node.sig, &node.block);
        syn::visit::visit_item_fn(self, node);
    }
    fn visit_impl_item_fn(&mut self, node: &'ast syn::ImplItemFn) {
        self.function(&node.sig, &node.block);
        syn::visit::visit_impl_item_fn(self, node);
    }
}

impl Constants {
    /// The names of the functions that the compiler may call.
    fn called(mut self) -> HashSet<String> {
        let mut called = HashSet::new();
        loop {
            let next = self
                .functions
                .keys()
                .find(|name| self.named.contains(*name) && !called.contains(*name))
                .cloned();
            let Some(name) = next else {
                return called;
            };
            self.named.extend(self.functions[&name].iter().cloned());
            called.insert(name);
        }
    }
}

/// Numbers the mutants that are otherwise alike.
fn tell_apart(mutants: &mut [Mutant]) {
    let mut seen = HashMap::new();
    for mutant in mutants {
        let key = (mutant.function.clone(), mutant.what.clone());
        let times = seen.entry(key).or_insert(0);
        *times += 1;
        if *times > 1 {
            mutant.what += &format!(" #{times}");
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [pure, out, extra @ ..] = arguments.as_slice() else {
        return Err("usage: rust_ct_mutants PURE OUT EXTRA...".into());
    };

    let mut paths = Vec::new();
    files(pure, &mut paths)?;
    let own = paths.len();
    for folder in extra {
        files(folder, &mut paths)?;
    }

    let mut constants = Constants::default();
    let mut defaults = Defaults::default();
    let mut sources = Vec::new();
    for path in &paths {
        let text = fs::read_to_string(path)?;
        let file =
            syn::parse_file(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        let found = &mut constants;
        ConstantFinder { text: &text, found }.visit_file(&file);
        defaults.visit_file(&file);
        sources.push((text, file));
    }
    let called = constants.called();

    let mut number = 0;
    for (path, (text, file)) in paths.iter().zip(&sources).take(own) {
        let name = path.strip_prefix(pure)?;
        let mut mutator = Mutator::new(text, &called, &defaults, number);
        mutator.visit_file(file);
        number = mutator.last();
        let (changed, mut mutants) = mutator.finish();

        tell_apart(&mut mutants);
        for mutant in mutants {
            let how = if mutant.built { "build" } else { "run" };
            let (file, function, what) = (name.display(), mutant.function, mutant.what);
            println!("{}\t{how}\t{file}\t{function}\t{what}", mutant.number);
        }
        let target = out.join(name);
        fs::create_dir_all(target.parent().ok_or("no folder")?)?;
        fs::write(target, changed)?;
    }
    Ok(())
}
