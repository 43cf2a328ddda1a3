//! Takes a Rust source apart into code and comments without parsing it: two texts with the lines
//! of the original, where everything that belongs to the other is blank. Words in strings or
//! comments then never look like code.

/// Stands for the inside of a string, so that a line of a long string is not a blank line.
const INSIDE: char = '\u{1}';

/// The two texts.
#[derive(Debug)]
pub(super) struct Masked {
    pub(super) code: String,
    pub(super) comments: String,
}

/// Splits a source.
pub(super) fn mask(source: &str) -> Masked {
    let mut reader = Reader { rest: source, code: String::new(), comments: String::new() };
    while !reader.rest.is_empty() {
        reader.step();
    }
    Masked { code: reader.code, comments: reader.comments }
}

struct Reader<'a> {
    rest: &'a str,
    code: String,
    comments: String,
}

/// Which of the two texts a character goes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    Code,
    Comments,
    /// Code that is the inside of a literal.
    Literal,
}

impl Reader<'_> {
    fn step(&mut self) {
        if self.rest.starts_with("//") {
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            self.take(end, To::Comments);
        } else if self.rest.starts_with("/*") {
            let end = block_comment_end(self.rest);
            self.take(end, To::Comments);
        } else if self.rest.starts_with('"') {
            let end = string_end(self.rest);
            self.take_literal(end);
        } else if let Some(end) = self.raw_string_end() {
            self.take_literal(end);
        } else if let Some(end) = char_end(self.rest) {
            self.take_literal(end);
        } else {
            let end = self.rest.chars().next().map_or(0, char::len_utf8);
            self.take(end, To::Code);
        }
    }

    /// Keeps the first and last character as code, so that a literal is still a literal there.
    fn take_literal(&mut self, length: usize) {
        self.take(1, To::Code);
        self.take(length.saturating_sub(2), To::Literal);
        self.take(usize::from(length > 1), To::Code);
    }

    fn take(&mut self, length: usize, to: To) {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        for c in taken.chars() {
            let (code, comment) = match (c, to) {
                ('\n', _) => ('\n', '\n'),
                (c, To::Code) => (c, ' '),
                (c, To::Literal) if c.is_whitespace() => (' ', ' '),
                (_, To::Literal) => (INSIDE, ' '),
                (c, To::Comments) => (' ', c),
            };
            self.code.push(code);
            self.comments.push(comment);
        }
    }

    /// The length of a raw string that starts here: `r"…"`, `br#"…"#` and so on.
    fn raw_string_end(&self) -> Option<usize> {
        if self.code.ends_with(is_word) {
            return None;
        }
        let prefix = ["r", "br", "cr"].iter().find(|prefix| {
            self.rest.strip_prefix(**prefix).is_some_and(|after| after.starts_with(['"', '#']))
        })?;
        let after = self.rest.strip_prefix(*prefix)?;
        let inside = after.trim_start_matches('#');
        let hashes = after.len() - inside.len();
        let body = inside.strip_prefix('"')?;
        let close = format!("\"{}", "#".repeat(hashes));
        let end = body.find(&close).map_or(body.len(), |at| at + close.len());
        Some(prefix.len() + hashes + 1 + end)
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Block comments nest.
fn block_comment_end(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0_usize);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth = depth.saturating_sub(1);
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of the string literal that starts here.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a character literal, or nothing for a lifetime.
fn char_end(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('\'')?;
    let first = inside.chars().next()?;
    if first == '\\' {
        // Past the escaped character, which may itself be a quote.
        let tail = inside.get(2..)?;
        return tail.find('\'').map(|at| 1 + 2 + at + 1);
    }
    inside.get(first.len_utf8()..)?.starts_with('\'').then(|| 1 + first.len_utf8() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(source: &str) -> String {
        mask(source).code.replace(INSIDE, "·")
    }

    #[test]
    fn strings_and_comments_are_not_code() {
        assert_eq!(code("let a = \"std::fs\"; // std::fs"), "let a = \"·······\";           ");
        assert_eq!(code("a /* b /* c */ d */ e"), "a                   e");
        assert_eq!(code(r#"x("\"y\"") z"#), r#"x("·····") z"#);
    }

    #[test]
    fn raw_strings_end_at_their_own_mark() {
        assert_eq!(code("r#\"a \"b\" c\"# d"), "r··· ··· ··# d");
        assert_eq!(code("br\"\\\" d"), "b···\" d");
        assert_eq!(code("for\"x\""), "for\"·\"");
        assert_eq!(code("r#type"), "r#type");
    }

    #[test]
    fn lifetimes_are_not_characters() {
        assert_eq!(
            code("fn f<'a>(x: &'a str, c: char) -> '{' '\\'' '\\u{1F}'").matches('{').count(),
            0
        );
        assert_eq!(code("&'a str"), "&'a str");
    }

    #[test]
    fn lines_stay_where_they_are() {
        let masked = mask("a\n\"x\ny\" // c\n/* d\ne */ f\n");
        assert_eq!(masked.code.lines().count(), 5);
        assert_eq!(masked.comments.lines().nth(2).unwrap().trim(), "// c");
        assert_eq!(masked.code.lines().nth(4).unwrap().trim(), "f");
    }
}
