//! Finds files with the same content among millions: 32 bytes of memory for each, one sort, and
//! names only of what is shown.

/// The place of a file: the chunk, and the file in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) chunk: u32,
    pub(super) file: u32,
}

/// Files with one content.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) bytes: u64,
    pub(super) files: u64,
    /// The first of them, in the order of the inventory.
    pub(super) places: Vec<Place>,
}

/// What is known of all duplicates.
#[derive(Debug, Default)]
pub(super) struct Duplicates {
    pub(super) groups: u64,
    /// Files that could go: all but one of each group.
    pub(super) spare_files: u64,
    pub(super) spare_bytes: u64,
    /// The groups that waste most, most first.
    pub(super) largest: Vec<Group>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    digest: [u8; 16],
    bytes: u64,
    place: Place,
}

/// Collects digests.
#[derive(Debug, Default)]
pub(super) struct Index {
    rows: Vec<Row>,
}

impl Index {
    /// Takes a digest of 32 hex digits; anything else is a file that was not digested.
    pub(super) fn add(&mut self, digest: &str, bytes: u64, place: Place) {
        let digest = u128::from_str_radix(digest, 16).ok().filter(|_| digest.len() == 32);
        if let Some(digest) = digest {
            self.rows.push(Row { digest: digest.to_be_bytes(), bytes, place });
        }
    }

    /// Groups equal files; keeps `groups_max` groups and `places_max` places of each.
    pub(super) fn find(mut self, groups_max: usize, places_max: usize) -> Duplicates {
        self.rows.sort_unstable();
        let mut found = Duplicates::default();
        let same = |a: &Row, b: &Row| (a.digest, a.bytes) == (b.digest, b.bytes);
        let mut groups = Vec::new();
        for rows in self.rows.chunk_by(same).filter(|rows| rows.len() > 1) {
            let Some(first) = rows.first() else { continue };
            let spare = rows.len() as u64 - 1;
            let wasted = first.bytes.saturating_mul(spare);
            found.groups += 1;
            found.spare_files += spare;
            found.spare_bytes = found.spare_bytes.saturating_add(wasted);
            groups.push((wasted, first.place, rows));
        }
        // By place where the waste is the same, so that the order is always the same.
        groups.sort_unstable_by_key(|(wasted, place, _)| (std::cmp::Reverse(*wasted), *place));
        let group = |(_, _, rows): (u64, Place, &[Row])| Group {
            bytes: rows.first().map_or(0, |row| row.bytes),
            files: rows.len() as u64,
            places: rows.iter().take(places_max).map(|row| row.place).collect(),
        };
        found.largest = groups.into_iter().take(groups_max).map(group).collect();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_files_are_grouped_by_waste() {
        let mut index = Index::default();
        let files =
            [("a", 10), ("b", 500), ("a", 10), ("c", 1), ("b", 500), ("a", 10), ("", 7), ("", 7)];
        for (file, (digest, bytes)) in (0..).zip(files) {
            let digest = if digest.is_empty() { String::new() } else { digest.repeat(32) };
            index.add(&digest, bytes, Place { chunk: 0, file });
        }
        let found = index.find(10, 2);
        assert_eq!((found.groups, found.spare_files, found.spare_bytes), (2, 3, 520));
        let shown: Vec<_> =
            found.largest.iter().map(|g| (g.bytes, g.files, g.places.len())).collect();
        assert_eq!(shown, [(500, 2, 2), (10, 3, 2)]);
        assert_eq!(found.largest[1].places[0].file, 0);
    }
}
