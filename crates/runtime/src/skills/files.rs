//! `file.write`: puts results where people find them. Writing the same files twice leaves the same
//! directory, and a reader sees either the old file or the new one, never a part.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::wire;
use super::{Cost, EffectClass, Host, Skill, SkillError, SkillSpec};

/// More files than this are a job for several tasks.
const FILES_MAX: usize = 1000;
/// The longest name that common file systems take.
const NAME_BYTES_MAX: usize = 255;
/// `FILES_MAX` entries, each with its name escaped at worst.
const OUTPUT_BYTES_MAX: usize = FILES_MAX * (6 * (NAME_BYTES_MAX + 4096) + 128);

/// Writes files into one directory.
#[derive(Debug)]
pub(super) struct FileWrite;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    dir: String,
    files: Vec<Content>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    name: String,
    blob: Option<String>,
    text: Option<String>,
}

#[derive(Serialize)]
struct Output {
    written: Vec<Written>,
}

#[derive(Serialize)]
struct Written {
    path: String,
    bytes: usize,
    sha256: String,
}

impl Skill for FileWrite {
    fn spec(&self) -> &SkillSpec {
        static SPEC: SkillSpec = SkillSpec {
            name: Cow::Borrowed("file.write"),
            summary: Cow::Borrowed("writes texts and blobs as files of one directory"),
            class: EffectClass::Idempotent,
            cost: Cost::Blocking,
            output_bytes_max: OUTPUT_BYTES_MAX,
            input_schema: Cow::Borrowed(
                r#"{"type":"object","required":["dir","files"],"additionalProperties":false,
                "properties":{"dir":{"type":"string","minLength":1,"maxLength":4096},
                "files":{"type":"array","maxItems":1000,"items":{"type":"object",
                "required":["name"],"additionalProperties":false,
                "properties":{"name":{"type":"string","minLength":1,"maxLength":255},
                "blob":{"type":"string"},"text":{"type":"string"}},
                "oneOf":[{"required":["blob"]},{"required":["text"]}]}}}}"#,
            ),
            output_schema: Cow::Borrowed(
                r#"{"type":"object","required":["written"],"properties":{"written":
                {"type":"array","items":{"type":"object","required":["path","bytes","sha256"]}}}}"#,
            ),
            concurrency_max: None,
        };
        &SPEC
    }

    fn run(&self, host: &dyn Host, input: &[u8]) -> Result<Vec<u8>, SkillError> {
        let Input { dir, files } = wire::read(input)?;
        check(&dir, &files)?;
        let dir_path = Path::new(&dir);
        fs::create_dir_all(dir_path)
            .map_err(|error| SkillError::io(format_args!("create directory `{dir}`"), &error))?;
        let total = files.len() as u64;
        let mut written = Vec::with_capacity(files.len());
        for (done, file) in (0_u64..).zip(&files) {
            if host.is_cancelled() {
                return Err(SkillError::cancelled());
            }
            host.progress(done, total);
            written.push(write(host, dir_path, file)?);
        }
        sync_dir(dir_path)
            .map_err(|error| SkillError::io(format_args!("sync directory `{dir}`"), &error))?;
        wire::answer(&Output { written })
    }
}

fn check(dir: &str, files: &[Content]) -> Result<(), SkillError> {
    let refuse = |message: String| Err(SkillError::invalid_input(message));
    if dir.is_empty() || dir.contains('\0') {
        return refuse(format!("use directory `{dir}`: it is not a path"));
    }
    if files.len() > FILES_MAX {
        return Err(SkillError::limit(format!(
            "write {} files: the most in one task is {FILES_MAX}",
            files.len()
        )));
    }
    let mut names = BTreeSet::new();
    for Content { name, blob, text } in files {
        if !is_plain_name(name) {
            return refuse(format!("use name `{name}`: it is not the name of a file in `dir`"));
        }
        if !names.insert(name) {
            return refuse(format!("use name `{name}`: it is there twice"));
        }
        if blob.is_some() == text.is_some() {
            return refuse(format!("write `{name}`: it needs either `blob` or `text`"));
        }
    }
    Ok(())
}

/// Whose turn it is to write, by the name of the scratch file: whoever has another one is not waited for.
static TURNS: [Mutex<()>; 16] = [const { Mutex::new(()) }; 16];

/// A name that cannot lead out of the directory, on any system.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name != "."
        && name != ".."
        && !name.contains(['/', '\\', '\0', ':'])
}

fn write(host: &dyn Host, dir: &Path, file: &Content) -> Result<Written, SkillError> {
    let loaded;
    let bytes = match (&file.text, &file.blob) {
        (Some(text), _) => text.as_bytes(),
        (None, Some(blob)) => {
            loaded = host.load(blob)?;
            &loaded
        }
        (None, None) => &[],
    };
    let sha256 = wire::sha256_hex(bytes);
    let path = dir.join(&file.name);
    // Named after what it will be: a second attempt takes over what a dead one left behind.
    let scratch_of = wire::sha256_hex(format!("{}\0{sha256}", file.name).as_bytes());
    let scratch = dir.join(format!(".{}.part", scratch_of.get(..32).unwrap_or(&scratch_of)));
    replace(&path, &scratch, bytes)
        .map_err(|error| SkillError::io(format_args!("write `{}`", path.display()), &error))?;
    Ok(Written { path: path.display().to_string(), bytes: bytes.len(), sha256 })
}

fn replace(path: &Path, scratch: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // Two that write the same at the same time take turns: else one would give a name to the other's half.
    let name = scratch.file_name().unwrap_or_default().as_encoded_bytes();
    let number = name.iter().map(|byte| usize::from(*byte)).sum::<usize>() % TURNS.len();
    let _turn = TURNS.get(number).map(|it| it.lock().unwrap_or_else(PoisonError::into_inner));
    match fs::remove_file(scratch) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // `create_new`: a link planted under this name is not followed.
    let mut file = OpenOptions::new().write(true).create_new(true).open(scratch)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(scratch, path)
}

fn sync_dir(dir: &Path) -> std::io::Result<()> {
    // Elsewhere a directory cannot be opened as a file, and the rename is durable by itself.
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::{is_plain_name, replace};

    #[test]
    fn those_who_write_the_same_at_the_same_time_take_turns() {
        let dir = tempfile::tempdir().unwrap();
        let (path, scratch) = (dir.path().join("report.md"), dir.path().join(".same.part"));
        let text = vec![b'x'; 100_000];
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10).for_each(|_| replace(&path, &scratch, &text).unwrap()));
            }
        });
        assert_eq!(std::fs::read(&path).unwrap(), text);
    }

    #[test]
    fn only_plain_names_are_taken() {
        for name in ["a.md", ".hidden", "…", "a b|c`d", "..."] {
            assert!(is_plain_name(name), "{name}");
        }
        let long = "x".repeat(256);
        for name in ["", ".", "..", "a/b", "../x", "a\\b", "C:x", "a\0b", &long] {
            assert!(!is_plain_name(name), "{name:?}");
        }
    }
}
