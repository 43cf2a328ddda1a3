//! The instance's token: made at the first start, in a file for its owner alone.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::client::TOKEN_FILE;
use crate::failure::Failure;

/// Random bytes of a token: not to be guessed, ever.
const TOKEN_BYTES: usize = 32;
/// Read and write for the owner, nothing for others.
const PRIVATE: u32 = 0o600;

/// The token of a data directory; made if there is none. A file that others could read is closed
/// to them; who read it before has it, so its owner is told.
pub(super) fn load_or_make(data_dir: &Path) -> Result<String, Failure> {
    let path = data_dir.join(TOKEN_FILE);
    let done = match File::open(&path) {
        Ok(file) => load(&file, &path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => make(&path),
        Err(error) => Err(error),
    };
    done.map_err(|error| {
        let message = format!("cannot use the token file `{}`: {error}", path.display());
        Failure::new("data_directory_unusable", message)
            .with_hint("remove the file to have a new token made")
    })
}

fn load(mut file: &File, path: &Path) -> std::io::Result<String> {
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "others could read the token; it is private now");
        file.set_permissions(std::fs::Permissions::from_mode(PRIVATE))?;
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let token = text.trim();
    let is_token = token.len() >= TOKEN_BYTES && token.bytes().all(|byte| byte.is_ascii_graphic());
    match is_token {
        true => Ok(token.to_owned()),
        false => Err(std::io::Error::other("it holds no token")),
    }
}

fn make(path: &Path) -> std::io::Result<String> {
    let mut bytes = [0; TOKEN_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    // In one piece: a start that is killed here must not leave half a token.
    let unfinished = path.with_extension("tmp");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(PRIVATE)
        .open(&unfinished)?;
    file.set_permissions(std::fs::Permissions::from_mode(PRIVATE))?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    std::fs::rename(unfinished, path)?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let token = load_or_make(dir.path()).unwrap();
        assert_eq!(load_or_make(dir.path()).unwrap(), token);
        let path = dir.path().join(TOKEN_FILE);
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(), token.len()), (0o600, 64));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        load_or_make(dir.path()).unwrap();
        assert_eq!(mode(), 0o600);
        std::fs::write(&path, "short\n").unwrap();
        assert!(load_or_make(dir.path()).is_err());
    }
}
