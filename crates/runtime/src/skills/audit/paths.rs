//! File names as text, without loss: names need not be UTF-8, and JSON knows nothing else. Bytes
//! that are no UTF-8 are written `\xff` and the backslash itself `\\`; all the rest stands as it is.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// The text of a path, with `/` between its parts.
pub(super) fn text_of(path: &Path) -> String {
    let mut text = String::new();
    for part in path.components() {
        match part {
            Component::RootDir => text.push('/'),
            Component::Prefix(prefix) => escape(&bytes_of(prefix.as_os_str()), &mut text),
            part => {
                if !text.is_empty() && !text.ends_with('/') {
                    text.push('/');
                }
                escape(&bytes_of(part.as_os_str()), &mut text);
            }
        }
    }
    text
}

/// The text of a path that comes as bytes, with `/` between its parts already.
pub(super) fn text_of_bytes(bytes: &[u8]) -> String {
    let mut text = String::new();
    escape(bytes, &mut text);
    text
}

/// The path of a text made by [`text_of`]; `None` for any other text.
pub(super) fn path_of(text: &str) -> Option<PathBuf> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        if let Some(after) = escaped.strip_prefix('\\') {
            bytes.push(b'\\');
            rest = after;
        } else {
            let digits = escaped.strip_prefix('x')?.get(..2)?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = escaped.get(3..)?;
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    os_string(bytes).map(PathBuf::from)
}

/// The same, for a path that must stay below the directory it is joined to.
pub(super) fn relative_path_of(text: &str) -> Option<PathBuf> {
    let path = path_of(text)?;
    let stays = path.components().all(|part| matches!(part, Component::Normal(_)));
    (stays && !path.as_os_str().is_empty()).then_some(path)
}

fn escape(bytes: &[u8], text: &mut String) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
}

#[cfg(unix)]
fn bytes_of(name: &std::ffi::OsStr) -> std::borrow::Cow<'_, [u8]> {
    use std::os::unix::ffi::OsStrExt;
    name.as_bytes().into()
}

#[cfg(unix)]
fn os_string(bytes: Vec<u8>) -> Option<OsString> {
    use std::os::unix::ffi::OsStringExt;
    (!bytes.contains(&0)).then(|| OsString::from_vec(bytes))
}

// Elsewhere names are UTF-16; the rare one that is not is shown lossily and cannot be opened.
#[cfg(not(unix))]
fn bytes_of(name: &std::ffi::OsStr) -> std::borrow::Cow<'_, [u8]> {
    name.to_string_lossy().into_owned().into_bytes().into()
}

#[cfg(not(unix))]
fn os_string(bytes: Vec<u8>) -> Option<OsString> {
    String::from_utf8(bytes).ok().map(OsString::from)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn odd_names_have_a_readable_text() {
        let cases: [(&[u8], &str); 5] = [
            (b"src/main.rs", "src/main.rs"),
            (b"a\\b", "a\\\\b"),
            (b"caf\xe9/x", "caf\\xe9/x"),
            ("naïve |`\n".as_bytes(), "naïve |`\n"),
            (b"/abs/./x", "/abs/x"),
        ];
        for (bytes, text) in cases {
            assert_eq!(text_of(&PathBuf::from(OsString::from_vec(bytes.to_vec()))), text);
        }
    }

    #[test]
    fn texts_that_lead_out_are_no_relative_paths() {
        for text in
            ["", "/etc/passwd", "../x", "a/../../x", "\\x2e\\x2e/x", "a\\x00", "a\\xg0", "a\\"]
        {
            assert_eq!(relative_path_of(text), None, "{text}");
        }
        assert!(relative_path_of("a/b").is_some());
    }

    proptest! {
        #[test]
        fn any_name_comes_back_byte_for_byte(
            names in prop::collection::vec(prop::collection::vec(1_u8..=255, 1..12), 1..4),
        ) {
            let names = names.into_iter().map(|mut name| {
                name.iter_mut().for_each(|byte| if matches!(*byte, b'/' | b'.') { *byte = b'_' });
                OsString::from_vec(name)
            });
            let path: PathBuf = names.collect();
            prop_assert_eq!(path_of(&text_of(&path)), Some(path));
        }

        #[test]
        fn no_text_breaks_the_reader(text in ".*") {
            let _ = relative_path_of(&text);
        }
    }
}
