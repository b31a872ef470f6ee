// SPDX-License-Identifier: GPL-2.0

//! Values that a function could return in the place of the right value.

use std::collections::HashSet;
use syn::{
    visit::Visit,
    Type, //
};

/// The types that have a default.
#[derive(Default)]
pub struct Defaults(HashSet<String>);

impl Defaults {
    fn note(&mut self, name: &syn::Ident, attributes: &[syn::Attribute]) {
        for attribute in attributes {
            let _ = attribute.parse_nested_meta(|meta| {
                if attribute.path().is_ident("derive") && meta.path.is_ident("Default") {
                    self.0.insert(name.to_string());
                }
                Ok(())
            });
        }
    }
}

impl<'ast> Visit<'ast> for Defaults {
    fn visit_item_struct(&mut self, node: &'ast syn::ItemStruct) {
        self.note(&node.ident, &node.attrs);
    }
    fn visit_item_enum(&mut self, node: &'ast syn::ItemEnum) {
        self.note(&node.ident, &node.attrs);
    }
}

/// What else a function of a type may return, as source; nothing where that may not compile.
/// `this` is what `Self` stands for.
pub fn of(ty: &Type, this: Option<&str>, defaults: &Defaults, constant: bool) -> Vec<String> {
    let strings = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    match ty {
        Type::Path(path) => {
            let Some(last) = path.path.segments.last() else {
                return Vec::new();
            };
            let first_argument = || match &last.arguments {
                syn::PathArguments::AngleBracketed(list) => match list.args.first() {
                    Some(syn::GenericArgument::Type(ty)) => of(ty, this, defaults, constant),
                    _ => Vec::new(),
                },
                _ => Vec::new(),
            };
            let wrapped = |by: &str| {
                first_argument()
                    .into_iter()
                    .map(|v| format!("{by}({v})"))
                    .collect()
            };
            match last.ident.to_string().as_str() {
                "bool" => strings(&["true", "false"]),
                "u8" | "u16" | "u32" | "u64" | "usize" => strings(&["0", "1"]),
                "i8" | "i16" | "i32" | "i64" | "isize" => strings(&["0", "1", "-1"]),
                "Option" => {
                    let mut values = vec!["None".to_owned()];
                    values.extend::<Vec<_>>(wrapped("Some"));
                    values
                }
                "Result" => wrapped("Ok"),
                name => {
                    let name = if name == "Self" {
                        this.unwrap_or(name)
                    } else {
                        name
                    };
                    if !constant && defaults.0.contains(name) {
                        strings(&["Default::default()"])
                    } else {
                        Vec::new()
                    }
                }
            }
        }
        Type::Tuple(tuple) => {
            let each: Vec<_> = tuple
                .elems
                .iter()
                .map(|ty| of(ty, this, defaults, constant))
                .collect();
            let firsts: Option<Vec<_>> =
                each.iter().map(|values| values.first().cloned()).collect();
            firsts.map_or_else(Vec::new, |values| vec![format!("({})", values.join(", "))])
        }
        Type::Reference(reference) => match &*reference.elem {
            Type::Path(path) if path.path.is_ident("str") => strings(&["\"\"", "\"other\""]),
            Type::Path(path) if path.path.is_ident("bool") => strings(&["&true", "&false"]),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}
