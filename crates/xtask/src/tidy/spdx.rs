//! Licence expressions: enough of SPDX to tell whether an allowed choice exists.

/// One way through an expression may be enough, or all of its parts are needed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Expression {
    One(String),
    Any(Vec<Expression>),
    All(Vec<Expression>),
}

impl Expression {
    /// Reads an expression; `None` if it is none. `/` is the old way to write `OR`.
    pub(super) fn read(text: &str) -> Option<Self> {
        let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut rest = words.as_slice();
        let expression = any(&mut rest)?;
        rest.is_empty().then_some(expression)
    }

    /// Can it be met with the allowed licences? `used` hears of each that was of use.
    pub(super) fn met(&self, allowed: &dyn Fn(&str) -> bool, used: &mut dyn FnMut(&str)) -> bool {
        match self {
            Self::One(name) => {
                let met = allowed(name);
                if met {
                    used(name);
                }
                met
            }
            Self::Any(parts) => parts.iter().any(|part| part.met(allowed, used)),
            Self::All(parts) => parts.iter().all(|part| part.met(allowed, used)),
        }
    }
}

fn any(rest: &mut &[&str]) -> Option<Expression> {
    let mut parts = vec![all(rest)?];
    while take(rest, "OR") {
        parts.push(all(rest)?);
    }
    single(parts, Expression::Any)
}

fn all(rest: &mut &[&str]) -> Option<Expression> {
    let mut parts = vec![one(rest)?];
    while take(rest, "AND") {
        parts.push(one(rest)?);
    }
    single(parts, Expression::All)
}

fn one(rest: &mut &[&str]) -> Option<Expression> {
    if take(rest, "(") {
        let inside = any(rest)?;
        return take(rest, ")").then_some(inside);
    }
    let mut name = word(rest)?.to_owned();
    if take(rest, "WITH") {
        name.push_str(" WITH ");
        name.push_str(word(rest)?);
    }
    Some(Expression::One(name))
}

fn word<'a>(rest: &mut &[&'a str]) -> Option<&'a str> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    (!["AND", "OR", "WITH", "(", ")"].contains(first)).then_some(*first)
}

fn take(rest: &mut &[&str], wanted: &str) -> bool {
    match rest.split_first() {
        Some((first, after)) if *first == wanted => {
            *rest = after;
            true
        }
        _ => false,
    }
}

fn single(
    mut parts: Vec<Expression>,
    several: fn(Vec<Expression>) -> Expression,
) -> Option<Expression> {
    if parts.len() == 1 { parts.pop() } else { Some(several(parts)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(expression: &str) -> bool {
        let allowed = |name: &str| matches!(name, "MIT" | "Apache-2.0" | "ISC");
        Expression::read(expression).unwrap().met(&allowed, &mut |_| {})
    }

    #[test]
    fn a_choice_needs_one_side_and_a_sum_needs_all() {
        assert!(met("MIT OR GPL-3.0-only"));
        assert!(met("Unlicense/MIT"));
        assert!(!met("MIT AND GPL-3.0-only"));
        assert!(met("ISC AND (Apache-2.0 OR OpenSSL) AND MIT"));
        assert!(!met("(MIT AND OpenSSL) OR GPL-3.0-only"));
    }

    #[test]
    fn an_exception_is_part_of_the_licence() {
        assert!(!met("Apache-2.0 WITH LLVM-exception"));
        assert!(met("Apache-2.0 WITH LLVM-exception OR MIT"));
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for text in ["", "MIT OR", "(MIT", "MIT MIT", "AND", "MIT WITH"] {
            assert_eq!(Expression::read(text), None, "{text}");
        }
    }
}
