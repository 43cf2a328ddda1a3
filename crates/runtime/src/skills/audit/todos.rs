//! Finds the marks people leave for later. In code they count only inside comments, in prose only
//! where a `:` or `(` follows; a mark that is quoted or part of a list is talked about and is none.

use std::ops::Range;
use std::sync::LazyLock;

use ark_os_core::text::beginning;
use regex::bytes::Regex;

use super::secrets;

/// Characters of text kept of a mark.
const TEXT_CHARS_MAX: usize = 200;
/// Marks of one file that are looked at; what is above is generated.
const MARKS_MAX: usize = 10_000;

static MARK: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?-u:\b)(?:TODO|FIXME|XXX|HACK)(?-u:\b)").ok());

/// One mark in a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) at: Range<usize>,
}

/// Where the words stand, comment or not.
pub(super) fn candidates(text: &[u8]) -> Vec<Mark> {
    let Some(mark) = MARK.as_ref() else { return Vec::new() };
    mark.find_iter(text).take(MARKS_MAX).map(|found| Mark { at: found.range() }).collect()
}

/// Keeps the candidates that are marks; `comments` are in order.
pub(super) fn confirm(
    candidates: Vec<Mark>,
    comments: &[Range<usize>],
    text: &[u8],
    is_prose: bool,
) -> Vec<Mark> {
    let is_mark = |mark: &Mark| {
        let before = mark.at.start.checked_sub(1).and_then(|at| text.get(at));
        let after = text.get(mark.at.end);
        if matches!(before, Some(b'`' | b'"' | b'\'' | b'|'))
            || matches!(after, Some(b'`' | b'"' | b'\'' | b'|' | b','))
        {
            return false;
        }
        if is_prose {
            return matches!(after, Some(b':' | b'('));
        }
        let next = comments.partition_point(|comment| comment.end <= mark.at.start);
        comments.get(next).is_some_and(|comment| comment.start <= mark.at.start)
    };
    let mut marks: Vec<Mark> = candidates.into_iter().filter(is_mark).collect();
    // One a line: its text holds the others.
    marks.dedup_by(|next, first| {
        let between = text.get(first.at.end..next.at.start).unwrap_or_default();
        memchr::memchr(b'\n', between).is_none()
    });
    marks
}

/// The text of a mark, from the mark to the end of its line; what overlaps `hidden` is left out.
pub(super) fn text_of(mark: &Mark, text: &[u8], hidden: &[Range<usize>]) -> String {
    let start = mark.at.start;
    // Looking no further than could be shown: a line may be a whole minified file.
    let far = (start + 8 * TEXT_CHARS_MAX).min(text.len());
    let rest = text.get(start..far).unwrap_or_default();
    let end = start + memchr::memchr(b'\n', rest).unwrap_or(rest.len());
    let shown = secrets::without(text, start..end, hidden);
    let line = beginning(&shown, TEXT_CHARS_MAX);
    line.trim_end_matches("*/").trim_end_matches("-->").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(range: Range<usize>) -> Vec<Range<usize>> {
        Vec::from([range])
    }

    fn marks(text: &[u8], comments: &[Range<usize>], is_prose: bool) -> Vec<String> {
        let marks = confirm(candidates(text), comments, text, is_prose);
        marks.iter().map(|mark| text_of(mark, text, &[])).collect()
    }

    #[test]
    fn marks_count_in_comments_only() {
        let text = b"TODO // TODO a */\nXXXX FIXMEs";
        assert_eq!(marks(text, &one(5..17), false), ["TODO a"]);
        assert_eq!(marks(b"a TODO list. TODO: this", &[], true), ["TODO: this"]);
    }

    #[test]
    fn marks_that_are_talked_about_do_not_count() {
        for text in ["// `TODO` is a mark", "// \"TODO\"", "// a|TODO|b"] {
            assert!(marks(text.as_bytes(), &one(0..text.len()), false).is_empty(), "{text}");
        }
        assert_eq!(marks(b"//TODO a HACK", &one(0..13), false), ["TODO a HACK"]);
    }

    #[test]
    fn hidden_ranges_are_not_shown() {
        let text = b"TODO drop s3cr3t now";
        let mark = Mark { at: 0..4 };
        assert_eq!(text_of(&mark, text, &one(10..16)), "TODO drop [hidden] now");
        assert_eq!(text_of(&mark, text, &one(10..99)), "TODO drop [hidden]");
        assert_eq!(text_of(&mark, text, &[8..12, 11..16]), "TODO dro[hidden][hidden] now");
    }

    #[test]
    fn long_lines_are_cut() {
        let text = [b"TODO ".to_vec(), "é".repeat(5000).into_bytes()].concat();
        assert_eq!(text_of(&Mark { at: 0..4 }, &text, &[]).chars().count(), TEXT_CHARS_MAX);
    }
}
