//! One Rust source as the checks see it: code and comments apart, words with their lines, and
//! which lines are test code.

use super::mask::{Masked, mask};

/// A word (identifier, number) or one punctuation mark of the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    pub(super) line: usize,
}

/// A source with its test code marked. Lines count from one.
#[derive(Debug)]
pub(super) struct RustFile {
    path: String,
    first_line: String,
    masked: Masked,
    /// For each line, whether it is test code.
    test: Vec<bool>,
    /// Modules declared `#[cfg(test)] mod name;`.
    test_modules: Vec<String>,
}

impl RustFile {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let masked = mask(text);
        let in_tests = path.split('/').any(|part| part == "tests" || part == "benches");
        let mut file = Self {
            path: path.to_owned(),
            first_line: text.lines().next().unwrap_or_default().to_owned(),
            test: vec![in_tests; text.lines().count()],
            masked,
            test_modules: Vec::new(),
        };
        file.mark_test_items();
        file
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn first_line(&self) -> &str {
        &self.first_line
    }

    /// The comments' lines with their numbers.
    pub(super) fn comment_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.masked.comments.lines())
    }

    pub(super) fn is_test(&self, line: usize) -> bool {
        self.test.get(line.saturating_sub(1)).copied().unwrap_or(false)
    }

    /// How many lines are not test code.
    pub(super) fn product_lines(&self) -> usize {
        self.test.iter().filter(|test| !**test).count()
    }

    pub(super) fn mark_as_test(&mut self) {
        self.test.fill(true);
    }

    pub(super) fn tokens(&self) -> Vec<Token<'_>> {
        tokens(&self.masked.code)
    }

    fn mark_test_items(&mut self) {
        let tokens = tokens(&self.masked.code);
        let mut ranges = Vec::new();
        let mut modules = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            let rest = tokens.get(at..).unwrap_or_default();
            if let Some(item) = test_item(rest) {
                let end = item_end(item).map_or(usize::MAX, |end| end.line);
                ranges.push((token.line, end));
                modules.extend(declared_module(item));
            }
        }
        for (line, test) in (1..).zip(self.test.iter_mut()) {
            *test |= ranges.iter().any(|(start, end)| (*start..=*end).contains(&line));
        }
        self.test_modules = modules;
    }
}

/// Paths without ending of the modules that a file declares for tests only.
pub(super) fn external_test_modules(file: &RustFile) -> Vec<String> {
    let stem = file.path.strip_suffix(".rs").unwrap_or(&file.path);
    let (folder, name) = stem.rsplit_once('/').unwrap_or(("", stem));
    let base = if matches!(name, "lib" | "main") { folder } else { stem };
    file.test_modules.iter().map(|module| format!("{base}/{module}")).collect()
}

/// Splits masked code.
pub(super) fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    for (line, text) in (1..).zip(code.lines()) {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
            let length = match word.unwrap_or(rest.len()) {
                0 => first.len_utf8(),
                length => length,
            };
            let (token, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
            found.push(Token { text: token, line });
            rest = after.trim_start();
        }
    }
    found
}

/// Does a text of these tokens start here?
pub(super) fn starts(tokens: &[Token<'_>], pattern: &[&str]) -> bool {
    tokens.len() >= pattern.len()
        && tokens.iter().zip(pattern).all(|(token, wanted)| token.text == *wanted)
}

/// The token that closes the item which starts here: its `;`, or the brace that ends its body.
pub(super) fn item_end<'a>(item: &[Token<'a>]) -> Option<Token<'a>> {
    let mut depth = 0_i32;
    for token in item {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" => depth -= 1,
            "}" => {
                depth -= 1;
                if depth == 0 {
                    return Some(*token);
                }
            }
            ";" if depth == 0 => return Some(*token),
            _ => {}
        }
    }
    None
}

/// If these tokens are an attribute that keeps an item for tests, the item.
fn test_item<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<&'t [Token<'a>]> {
    let only = starts(tokens, &["#", "[", "cfg", "(", "test"])
        || starts(tokens, &["#", "[", "cfg", "(", "all", "(", "test"])
        || starts(tokens, &["#", "[", "test", "]"]);
    if !only {
        return None;
    }
    let mut rest = tokens;
    while starts(rest, &["#", "["]) {
        let close = attribute_length(rest);
        rest = rest.get(close..)?;
    }
    Some(rest)
}

fn attribute_length(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0_i32;
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "[" => depth += 1,
            "]" => depth -= 1,
            _ => {}
        }
        if token.text == "]" && depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

fn declared_module(item: &[Token<'_>]) -> Option<String> {
    let at = item.iter().position(|token| token.text == "mod")?;
    match item.get(at..at + 3)? {
        [_, name, end] if end.text == ";" => Some(name.text.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_modules_are_not_product_code() {
        let text = "//! X.\nfn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n";
        let file = RustFile::new("crates/a/src/lib.rs", text);
        assert_eq!(file.product_lines(), 3);
        assert!(file.is_test(5) && !file.is_test(7));
    }

    #[test]
    fn attributes_between_the_mark_and_the_item_do_not_hide_it() {
        let text = "#[cfg(test)]\n#[expect(clippy::x, reason = \"y\")]\npub(crate) fn a() {\n}\nfn c() {}\n";
        let file = RustFile::new("crates/a/src/lib.rs", text);
        assert_eq!(file.product_lines(), 1);
    }

    #[test]
    fn code_that_is_not_for_tests_only_is_product_code() {
        for mark in ["#[cfg(not(test))]", "#[cfg(any(test, unix))]", "#[cfg(feature = \"test\")]"] {
            let file = RustFile::new("crates/a/src/lib.rs", &format!("{mark}\nfn a() {{}}\n"));
            assert_eq!(file.product_lines(), 2, "{mark}");
        }
    }

    #[test]
    fn files_of_integration_tests_are_test_code() {
        assert_eq!(RustFile::new("crates/a/tests/x.rs", "fn a() {}\n").product_lines(), 0);
    }
}
