//! Counts lines of code, comment and blank lines in one pass over a text, and tells where the
//! comments are. It knows strings and comments, not grammar: good to a fraction of a percent.

use std::ops::Range;

use super::languages::{Language, Token, TokenKind};

/// Lines of one text. A line with code and a comment is a line of code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) code: u64,
    pub(super) comments: u64,
    pub(super) blank: u64,
}

/// Counts the lines of `text`; `on_comment` is called with the place of each piece of comment, in
/// order, line by line.
pub(super) fn count(
    language: &Language,
    text: &[u8],
    on_comment: &mut dyn FnMut(Range<usize>),
) -> Counts {
    let mut scan = Scan {
        language,
        text,
        state: State::Code,
        has_code: false,
        has_comment: false,
        on_comment,
    };
    let mut counts = Counts::default();
    let mut start = 0;
    while start < text.len() {
        let rest = text.get(start..).unwrap_or_default();
        let end = memchr::memchr(b'\n', rest).map_or(text.len(), |length| start + length);
        scan.has_code = false;
        scan.has_comment = false;
        scan.line(start, end);
        match (scan.has_code, scan.has_comment) {
            (true, _) => counts.code += 1,
            (false, true) => counts.comments += 1,
            (false, false) => counts.blank += 1,
        }
        start = end + 1;
    }
    counts
}

struct Scan<'a> {
    language: &'a Language,
    text: &'a [u8],
    state: State<'a>,
    has_code: bool,
    has_comment: bool,
    on_comment: &'a mut dyn FnMut(Range<usize>),
}

#[derive(Clone, Copy)]
enum State<'a> {
    Code,
    Comment { open: &'a [u8], close: &'a [u8], depth: usize },
    Text { close: &'a [u8], escapes: bool, ends_with_line: bool },
}

impl<'a> Scan<'a> {
    fn line(&mut self, start: usize, end: usize) {
        let mut at = start;
        while at < end {
            at = match self.state {
                State::Code => self.code(at, end),
                State::Comment { open, close, depth } => self.comment(at, end, open, close, depth),
                State::Text { close, escapes, ends_with_line } => {
                    self.string(at, end, close, escapes, ends_with_line)
                }
            };
        }
    }

    /// Goes through code up to the next comment or string.
    fn code(&mut self, start: usize, end: usize) -> usize {
        let line = self.text.get(start..end).unwrap_or_default();
        for (offset, byte) in line.iter().enumerate() {
            if byte.is_ascii_whitespace() {
                continue;
            }
            if self.language.begins.get(usize::from(*byte)) == Some(&true) {
                let at = start + offset;
                let rest = line.get(offset..).unwrap_or_default();
                let language = self.language;
                let token = language.tokens.iter().find(|token| rest.starts_with(&token.open));
                if let Some(token) = token {
                    return self.token(token, at, end);
                }
            }
            self.has_code = true;
        }
        end
    }

    fn token(&mut self, token: &'a Token, at: usize, end: usize) -> usize {
        let after = at + token.open.len();
        match &token.kind {
            TokenKind::Skip => self.has_code = true,
            TokenKind::LineComment => {
                self.has_comment = true;
                (self.on_comment)(at..end);
                return end;
            }
            TokenKind::Doc { close } if self.has_code => {
                self.state = State::Text { close, escapes: true, ends_with_line: false };
            }
            TokenKind::BlockComment { close } | TokenKind::Doc { close } => {
                self.has_comment = true;
                self.state = State::Comment { open: &token.open, close, depth: 1 };
            }
            TokenKind::Text { close, escapes, ends_with_line } => {
                self.has_code = true;
                let (escapes, ends_with_line) = (*escapes, *ends_with_line);
                self.state = State::Text { close, escapes, ends_with_line };
            }
        }
        after
    }

    /// Goes through a comment to its end or the end of the line.
    fn comment(
        &mut self,
        start: usize,
        end: usize,
        open: &'a [u8],
        close: &'a [u8],
        mut depth: usize,
    ) -> usize {
        let line = self.text.get(start..end).unwrap_or_default();
        let nests = self.language.nested && open != close;
        self.has_comment |= !line.iter().all(u8::is_ascii_whitespace);
        let mut at = 0;
        while at < line.len() {
            let rest = line.get(at..).unwrap_or_default();
            if rest.starts_with(close) {
                at += close.len();
                depth -= 1;
                if depth == 0 {
                    self.state = State::Code;
                    (self.on_comment)(start..start + at);
                    return start + at;
                }
            } else if nests && rest.starts_with(open) {
                at += open.len();
                depth += 1;
            } else {
                at += 1;
            }
        }
        self.state = State::Comment { open, close, depth };
        (self.on_comment)(start..end);
        end
    }

    /// Goes through a string to its end or the end of the line.
    fn string(
        &mut self,
        start: usize,
        end: usize,
        close: &[u8],
        escapes: bool,
        ends_with_line: bool,
    ) -> usize {
        let line = self.text.get(start..end).unwrap_or_default();
        self.has_code |= !line.iter().all(u8::is_ascii_whitespace);
        let mut at = 0;
        while let Some(byte) = line.get(at) {
            if escapes && *byte == b'\\' {
                at += 2;
            } else if line.get(at..).unwrap_or_default().starts_with(close) {
                self.state = State::Code;
                return start + at + close.len();
            } else {
                at += 1;
            }
        }
        if ends_with_line {
            self.state = State::Code;
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::super::languages::detect;
    use super::*;
    use proptest::prelude::*;

    fn counts(name: &str, text: &str) -> (u64, u64, u64) {
        let counts = count(detect(name, b""), text.as_bytes(), &mut |_| {});
        (counts.code, counts.comments, counts.blank)
    }

    #[test]
    fn lines_are_told_apart() {
        let cases = [
            ("a.rs", "", (0, 0, 0)),
            ("a.rs", "fn a() {} // x\n// y\n\n", (1, 1, 1)),
            ("a.rs", "/* a /* b */ c */ fn x() {}\n/*\n\n*/\n", (1, 2, 1)),
            ("a.rs", "let a = \"// no\n // still no\";\n'\"' // yes\n// c", (3, 1, 0)),
            ("a.rs", "let a = r#\"\n/* no \" \"#;\n// yes\n", (2, 1, 0)),
            ("a.c", "char *a = \"/*\"; /* b\nc */ int d;\n", (2, 0, 0)),
            ("a.py", "\"\"\"doc\nmore\n\"\"\"\nx = \"\"\"# no\n# no\"\"\"\n# yes\n", (2, 4, 0)),
            ("a.py", "s = 'it\\'s # no'\n", (1, 0, 0)),
            ("a.lua", "--[[ a\nb ]]\n-- c\nx = 1\n", (1, 3, 0)),
            ("a.html", "<!-- a\n-->\n<p>\n", (1, 2, 0)),
            ("a.sh", "#!/bin/sh\necho \"# no\" # c\necho ${#x}\n", (2, 1, 0)),
            ("a.md", "# Title\n\ntext\n", (2, 0, 1)),
            ("a.go", "x := `// no\n/* no`\n", (2, 0, 0)),
            ("a.rs", " \t\r\n\r\n", (0, 0, 2)),
            ("a.zzz", "a\n\nb", (2, 0, 1)),
        ];
        for (name, text, expected) in cases {
            assert_eq!(counts(name, text), expected, "{name}: {text:?}");
        }
    }

    #[test]
    fn comments_are_placed() {
        let text = b"a // b\n/* c\nd */ e\n";
        let mut found = Vec::new();
        count(detect("a.rs", b""), text, &mut |range| found.push(text[range].to_vec()));
        assert_eq!(found, [&b"// b"[..], b" c", b"d */"]);
    }

    proptest! {
        #[test]
        fn every_line_of_any_bytes_is_counted_once(
            text in prop::collection::vec(prop::sample::select(&b"ab \n\n\t\"'`/*#-<!>[]{}()=\\r\xff"[..]), 0..400),
            name in prop::sample::select(&["a.rs", "a.py", "a.lua", "a.cs", "a.nix", "a.coffee", "a.vim", "a.zzz"][..]),
        ) {
            let mut last = 0;
            let counts = count(detect(name, b""), &text, &mut |range| {
                assert!(range.start >= last && range.end <= text.len());
                last = range.end;
            });
            let lines = text.split_inclusive(|byte| *byte == b'\n').count() as u64;
            prop_assert_eq!(counts.code + counts.comments + counts.blank, lines);
        }
    }
}
