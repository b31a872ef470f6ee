// SPDX-License-Identifier: GPL-2.0

//! Finds the places of a file where a small mistake could be, and puts them all in.

use crate::values::{
    self,
    Defaults, //
};
use std::{
    collections::HashSet,
    ops::Range, //
};
use syn::{
    spanned::Spanned,
    visit::Visit,
    BinOp,
    Expr,
    UnOp, //
};

/// One mistake.
pub struct Mutant {
    pub number: u32,
    /// Whether the compiler may have called it already, so that it takes a build of its own.
    pub built: bool,
    pub function: String,
    pub what: String,
}

/// A text to be put in at a place. Where several are at a place, the ends of ranges come
/// first, the inner before the outer, and then the beginnings.
struct Insertion {
    at: usize,
    order: (bool, isize),
    text: String,
}

/// The function that is looked at.
#[derive(Clone, Default)]
struct Function {
    name: String,
    constant: bool,
    built: bool,
}

pub struct Mutator<'a> {
    text: &'a str,
    called: &'a HashSet<String>,
    defaults: &'a Defaults,
    number: u32,
    depth: isize,
    /// What is implemented, and what `Self` is there.
    this: Vec<String>,
    function: Option<Function>,
    mutants: Vec<Mutant>,
    insertions: Vec<Insertion>,
}

/// The binary operators that an operator is mistaken for.
fn mistaken(op: &BinOp) -> &'static [&'static str] {
    match op {
        BinOp::Eq(_) => &["!="],
        BinOp::Ne(_) => &["=="],
        BinOp::Lt(_) => &["<=", "==", ">"],
        BinOp::Le(_) => &["<", ">"],
        BinOp::Gt(_) => &[">=", "==", "<"],
        BinOp::Ge(_) => &[">", "<"],
        BinOp::And(_) => &["||"],
        BinOp::Or(_) => &["&&"],
        BinOp::Add(_) => &["-", "*"],
        BinOp::Sub(_) => &["+", "/"],
        BinOp::Mul(_) => &["+", "/"],
        BinOp::Div(_) => &["%", "*"],
        BinOp::Rem(_) => &["/", "+"],
        BinOp::BitAnd(_) => &["|", "^"],
        BinOp::BitOr(_) => &["&", "^"],
        BinOp::BitXor(_) => &["&", "|"],
        BinOp::Shl(_) => &[">>"],
        BinOp::Shr(_) => &["<<"],
        BinOp::AddAssign(_) => &["-=", "*="],
        BinOp::SubAssign(_) => &["+=", "/="],
        BinOp::MulAssign(_) => &["+=", "/="],
        BinOp::DivAssign(_) => &["%=", "*="],
        BinOp::RemAssign(_) => &["/=", "+="],
        BinOp::BitAndAssign(_) => &["|=", "^="],
        BinOp::BitOrAssign(_) => &["&=", "^="],
        BinOp::BitXorAssign(_) => &["&=", "|="],
        BinOp::ShlAssign(_) => &[">>="],
        BinOp::ShrAssign(_) => &["<<="],
        _ => &[],
    }
}

/// The method that a method is mistaken for, of the same type, by its name and number of arguments.
fn other_method(name: &str, arguments: usize) -> Option<&'static str> {
    Some(match (name, arguments) {
        ("wrapping_add", 1) => "wrapping_sub",
        ("wrapping_sub", 1) => "wrapping_add",
        ("saturating_add", 1) => "saturating_sub",
        ("saturating_sub", 1) => "saturating_add",
        ("saturating_mul", 1) => "saturating_add",
        ("checked_add", 1) => "checked_sub",
        ("checked_sub", 1) => "checked_add",
        ("wrapping_shl", 1) => "wrapping_shr",
        ("wrapping_shr", 1) => "wrapping_shl",
        ("max", 1) => "min",
        ("min", 1) => "max",
        ("is_some", 0) => "is_none",
        ("is_none", 0) => "is_some",
        ("is_ok", 0) => "is_err",
        ("is_err", 0) => "is_ok",
        ("any", 1) => "all",
        ("all", 1) => "any",
        _ => return None,
    })
}

/// A piece of source on one line, not too long.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= 60 {
        return line;
    }
    let head: String = line.chars().take(40).collect();
    let tail: Vec<char> = line.chars().rev().take(16).collect();
    format!("{head}...{}", tail.into_iter().rev().collect::<String>())
}

fn is_catch_all(arm: &syn::Arm) -> bool {
    let any = match &arm.pat {
        syn::Pat::Wild(_) => true,
        // Not a variant.
        syn::Pat::Ident(name) => name.ident.to_string().starts_with(char::is_lowercase),
        _ => false,
    };
    any && arm.guard.is_none()
}

fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => {
            list.path.is_ident("cfg") && list.tokens.to_string().contains("test")
        }
        _ => false,
    })
}

impl<'a> Mutator<'a> {
    /// The last number that was given to a mutant is `number`.
    pub fn new(
        text: &'a str,
        called: &'a HashSet<String>,
        defaults: &'a Defaults,
        number: u32,
    ) -> Self {
        Self {
            text,
            called,
            defaults,
            number,
            depth: 0,
            this: Vec::new(),
            function: None,
            mutants: Vec::new(),
            insertions: Vec::new(),
        }
    }

    pub fn last(&self) -> u32 {
        self.number
    }

    /// The file with everything put in, and what that is.
    pub fn finish(mut self) -> (String, Vec<Mutant>) {
        self.insertions.sort_by_key(|one| (one.at, one.order));
        let mut changed = String::new();
        let mut from = 0;
        for insertion in &self.insertions {
            changed += &self.text[from..insertion.at];
            changed += &insertion.text;
            from = insertion.at;
        }
        changed += &self.text[from..];
        (changed, self.mutants)
    }

    fn source(&self, node: &impl Spanned) -> &'a str {
        &self.text[node.span().byte_range()]
    }

    /// A new mutant of the function that is looked at: its condition.
    fn mutant(&mut self, what: String) -> String {
        let function = self.function.clone().unwrap_or_default();
        self.number += 1;
        let condition = format!("crate::mutant::m({})", self.number);
        self.mutants.push(Mutant {
            number: self.number,
            built: function.built,
            function: function.name,
            what,
        });
        condition
    }

    fn begin(&mut self, at: usize, text: String) {
        self.insertions.push(Insertion {
            at,
            order: (true, self.depth),
            text,
        });
    }

    fn end(&mut self, at: usize, text: String) {
        self.insertions.push(Insertion {
            at,
            order: (false, -self.depth),
            text,
        });
    }

    /// An expression is to be one of other expressions.
    fn replace(&mut self, range: Range<usize>, others: Vec<(String, String)>) {
        if others.is_empty() || self.function.is_none() {
            return;
        }
        let mut text = "(".to_owned();
        for (what, other) in others {
            let condition = self.mutant(what);
            text += &format!("if {condition} {{ {other} }} else ");
        }
        self.begin(range.start, text + "{ (");
        self.end(range.end, ") })".to_owned());
    }

    fn with_function(
        &mut self,
        sig: &syn::Signature,
        block: &syn::Block,
        visit: impl FnOnce(&mut Self),
    ) {
        let name = sig.ident.to_string();
        let constant = sig.constness.is_some();
        let built = constant && self.called.contains(&name);
        let outer = self.function.take();
        let mut path = self.this.clone();
        path.extend(outer.as_ref().map(|outer| outer.name.clone()));
        path.push(name);
        self.function = Some(Function {
            name: path.join("::"),
            constant,
            built,
        });
        self.return_others(sig, block);
        visit(self);
        self.function = outer;
    }

    /// The function does nothing, and returns something else.
    fn return_others(&mut self, sig: &syn::Signature, block: &syn::Block) {
        let constant = self
            .function
            .as_ref()
            .is_some_and(|function| function.constant);
        let values = match &sig.output {
            syn::ReturnType::Default => vec![String::new()],
            syn::ReturnType::Type(_, ty) => {
                let this = self
                    .this
                    .last()
                    .and_then(|this| this.split(' ').next_back());
                values::of(ty, this, self.defaults, constant)
            }
        };
        let braces = self.source(block);
        let body = braces[1..braces.len() - 1].trim();
        let mut text = String::new();
        for value in values {
            if body == value {
                continue;
            }
            let what = match value.as_str() {
                "" => "return at once".to_owned(),
                value => format!("return {value} at once"),
            };
            let condition = self.mutant(what);
            text += &format!(" if {condition} {{ return {value}; }}");
        }
        if !text.is_empty() {
            self.begin(block.span().byte_range().start + 1, text);
        }
    }

    fn binary(&mut self, node: &syn::ExprBinary) {
        let (left, op, right) = (
            self.source(&node.left),
            self.source(&node.op),
            self.source(&node.right),
        );
        let whole = short(self.source(node));
        let others = mistaken(&node.op)
            .iter()
            .map(|other| {
                (
                    format!("{op} is {other} in: {whole}"),
                    format!("({left}) {other} ({right})"),
                )
            })
            .collect();
        self.replace(node.span().byte_range(), others);
    }

    fn literal(&mut self, node: &syn::ExprLit) {
        let other = match &node.lit {
            syn::Lit::Int(int) => {
                let Ok(value) = int.base10_parse::<u128>() else {
                    return;
                };
                let top = [0xff, 0xffff, 0xffff_ffff].contains(&value);
                let other = if top { value - 1 } else { value + 1 };
                format!("{other}{}", int.suffix())
            }
            syn::Lit::Bool(bool) => (!bool.value).to_string(),
            syn::Lit::Byte(byte) => format!("{}u8", byte.value() ^ 1),
            _ => return,
        };
        let what = format!("constant {} is {other}", self.source(node));
        self.replace(node.span().byte_range(), vec![(what, other)]);
    }

    fn method(&mut self, node: &syn::ExprMethodCall) {
        let name = node.method.to_string();
        let Some(other) = other_method(&name, node.args.len()) else {
            return;
        };
        let (whole, method) = (node.span().byte_range(), node.method.span().byte_range());
        let (before, after) = (
            &self.text[whole.start..method.start],
            &self.text[method.end..whole.end],
        );
        let what = format!("{name} is {other} in: {}", short(self.source(node)));
        self.replace(whole, vec![(what, format!("{before}{other}{after}"))]);
    }

    /// Comparisons of sequence numbers are calls; their arguments are exchanged.
    fn call(&mut self, node: &syn::ExprCall) {
        let function = self.source(&node.func);
        let arguments: Vec<_> = node.args.iter().collect();
        if let (true, [first, second]) = (
            ["before", "after"].contains(&function),
            arguments.as_slice(),
        ) {
            let what = format!("exchanged in: {}", short(self.source(node)));
            let other = format!(
                "{function}({}, {})",
                self.source(second),
                self.source(first)
            );
            self.replace(node.span().byte_range(), vec![(what, other)]);
        }
    }

    /// A structure may take too much from another structure.
    fn structure(&mut self, node: &syn::ExprStruct) {
        if node.rest.is_none() {
            return;
        }
        let whole = node.span().byte_range();
        let others = node
            .fields
            .pairs()
            .map(|pair| {
                let field = pair.span().byte_range();
                let text = format!(
                    "{}{}",
                    &self.text[whole.start..field.start],
                    &self.text[field.end..whole.end]
                );
                let value = short(self.source(pair.value()));
                (
                    format!("without {value} in: {}", short(self.source(&node.path))),
                    text,
                )
            })
            .collect();
        self.replace(whole, others);
    }

    fn is_plain_condition(cond: &Expr) -> bool {
        match cond {
            Expr::Binary(_) | Expr::Let(_) | Expr::Lit(_) => false,
            Expr::Unary(unary) => !matches!(unary.op, UnOp::Not(_)),
            Expr::Paren(paren) => Self::is_plain_condition(&paren.expr),
            _ => true,
        }
    }

    /// Operands of `&&` and `||`, and conditions, that are calls or variables.
    fn negate(&mut self, cond: &Expr) {
        if Self::is_plain_condition(cond) {
            let text = self.source(cond);
            let what = format!("not: {}", short(text));
            // Deeper than what it contains begins.
            self.depth -= 1;
            self.replace(cond.span().byte_range(), vec![(what, format!("!({text})"))]);
            self.depth += 1;
        }
    }
}

impl<'ast> Visit<'ast> for Mutator<'_> {
    fn visit_expr(&mut self, node: &'ast Expr) {
        self.depth += 2;
        match node {
            Expr::Binary(binary) => self.binary(binary),
            Expr::Lit(literal) => self.literal(literal),
            Expr::MethodCall(call) => self.method(call),
            Expr::Call(call) => self.call(call),
            Expr::Struct(structure) => self.structure(structure),
            Expr::Unary(unary) if !matches!(unary.op, UnOp::Deref(_)) => {
                let what = format!("without its sign: {}", short(self.source(unary)));
                let other = self.source(&unary.expr).to_owned();
                self.replace(unary.span().byte_range(), vec![(what, other)]);
            }
            Expr::If(conditional) => self.negate_in(&conditional.cond),
            Expr::While(conditional) => self.negate_in(&conditional.cond),
            _ => {}
        }
        syn::visit::visit_expr(self, node);
        self.depth -= 2;
    }

    fn visit_expr_match(&mut self, node: &'ast syn::ExprMatch) {
        let has_rest = node.arms.last().is_some_and(is_catch_all);
        for arm in &node.arms {
            let pattern = short(self.source(&arm.pat));
            match &arm.guard {
                Some((_, guard)) => {
                    let others = ["true", "false"]
                        .map(|value| (format!("guard of {pattern} is {value}"), value.to_owned()));
                    self.replace(guard.span().byte_range(), others.into());
                }
                None if has_rest && !is_catch_all(arm) && self.function.is_some() => {
                    let condition = self.mutant(format!("without the arm: {pattern}"));
                    let at = arm.pat.span().byte_range().end;
                    self.end(at, format!(" if !{condition}"));
                }
                None => {}
            }
        }
        syn::visit::visit_expr_match(self, node);
    }

    fn visit_expr_repeat(&mut self, node: &'ast syn::ExprRepeat) {
        self.visit_expr(&node.expr);
    }

    fn visit_item_fn(&mut self, node: &'ast syn::ItemFn) {
        if !is_test_only(&node.attrs) {
            self.with_function(&node.sig, &node.block, |this| this.visit_block(&node.block));
        }
    }

    fn visit_impl_item_fn(&mut self, node: &'ast syn::ImplItemFn) {
        self.with_function(&node.sig, &node.block, |this| this.visit_block(&node.block));
    }

    fn visit_trait_item_fn(&mut self, node: &'ast syn::TraitItemFn) {
        if let Some(block) = &node.default {
            self.with_function(&node.sig, block, |this| this.visit_block(block));
        }
    }

    fn visit_item_impl(&mut self, node: &'ast syn::ItemImpl) {
        let of = match &*node.self_ty {
            syn::Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
            _ => None,
        };
        let of = of.unwrap_or_else(|| short(self.source(&node.self_ty)));
        let name = match &node.trait_ {
            Some((_, path, _)) => {
                let last = path.segments.last().map(|last| last.ident.to_string());
                format!("{} of {of}", last.unwrap_or_default())
            }
            None => of,
        };
        self.this.push(name);
        syn::visit::visit_item_impl(self, node);
        self.this.pop();
    }

    fn visit_item_trait(&mut self, node: &'ast syn::ItemTrait) {
        self.this.push(node.ident.to_string());
        syn::visit::visit_item_trait(self, node);
        self.this.pop();
    }

    fn visit_item_mod(&mut self, node: &'ast syn::ItemMod) {
        if !is_test_only(&node.attrs) {
            syn::visit::visit_item_mod(self, node);
        }
    }

    // What is not run.
    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_trait_item_const(&mut self, _: &'ast syn::TraitItemConst) {}
    fn visit_item_enum(&mut self, _: &'ast syn::ItemEnum) {}
    fn visit_pat(&mut self, _: &'ast syn::Pat) {}
    fn visit_type(&mut self, _: &'ast syn::Type) {}
    fn visit_path(&mut self, _: &'ast syn::Path) {}
    fn visit_angle_bracketed_generic_arguments(
        &mut self,
        _: &'ast syn::AngleBracketedGenericArguments,
    ) {
    }
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}
}

impl Mutator<'_> {
    /// All operands of a condition.
    fn negate_in(&mut self, cond: &Expr) {
        self.depth += 2;
        match cond {
            Expr::Binary(binary) if matches!(binary.op, BinOp::And(_) | BinOp::Or(_)) => {
                self.negate_in(&binary.left);
                self.negate_in(&binary.right);
            }
            cond => self.negate(cond),
        }
        self.depth -= 2;
    }
}
