//! Reading a file that somebody named: never more of it than what it is for may have, whatever its length says.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// The text of a file.
pub(crate) fn read_bounded(path: &Path, bytes_max: u64) -> Result<String> {
    take_bounded(&mut File::open(path)?, bytes_max)
}

/// The text of what can be read; one that is longer is `FileTooLarge`.
pub(crate) fn take_bounded(source: &mut dyn Read, bytes_max: u64) -> Result<String> {
    // Bytes first: half a character at the limit must not hide that there is more.
    let mut bytes = Vec::new();
    source.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let message = format!("it has more than {bytes_max} bytes");
        return Err(Error::new(ErrorKind::FileTooLarge, message));
    }
    String::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::InvalidData, "it is no UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_refused_at_the_limit() {
        let error = read_bounded(Path::new("/dev/zero"), 10).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        assert_eq!(take_bounded(&mut "0123456789".as_bytes(), 10).unwrap(), "0123456789");
        assert!(take_bounded(&mut "0123456789é".as_bytes(), 11).is_err());
    }
}
