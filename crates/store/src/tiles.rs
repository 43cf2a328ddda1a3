//! Tiles: the Merkle tree's hashes on disk, derived from the journal and rebuilt at will, so that a proof reads
//! O(log n) small files and never the records beside it.
//!
//! The layout is that of C2SP tlog-tiles: `ledger/tile/<L>/<N>` holds the 256 hashes of the complete subtrees of
//! 2^(8·L) leaves from number 256·N on, 32 bytes each, and N is written in groups of three digits (`x001/x234/067`).
//! Full tiles never change. What is not full yet stands in one file, `ledger/edge`, which is replaced as a
//! whole: length of the note (u32, little endian), the signed checkpoint that the tiles are complete for, and
//! for each level from 0 the number of its hashes (u16, little endian) with the hashes.
//!
//! Nothing here is believed: the edge must give the signed root, and a tile must give its hash in the tile above.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{ErrorKind, Place, StoreError};
use crate::files::{File, Files, parent, read_small, write_atomic};
use crate::ledger::{Checkpoint, NOTE_BYTES_MAX, PublicKey};
use crate::merkle::proof::split;
use crate::merkle::{HASH_BYTES, Hash, Leaves, Tree, node_hash};

/// Where tiles and edge stand in the data directory.
pub const LEDGER_DIR: &str = "ledger";
/// The file that says how far the tiles reach.
pub const EDGE_PATH: &str = "ledger/edge";

/// Hashes of a full tile; its height is 8, as in C2SP tlog-tiles.
const TILE_HASHES: usize = 256;
const TILE_HEIGHT: u32 = 8;
const TILE_BYTES: usize = TILE_HASHES * HASH_BYTES;
/// 8 levels of height 8 hold 2^64 leaves.
const LEVELS_MAX: usize = 8;
const EDGE_BYTES_MAX: u64 = (4 + NOTE_BYTES_MAX + LEVELS_MAX * (2 + TILE_BYTES)) as u64;
/// Full tiles kept in memory by a reader: half a megabyte, all that neighbouring proofs share.
const CACHE_TILES: usize = 64;
/// Files written before they are synced together: 2 MiB of tiles.
const UNSYNCED_MAX: usize = 256;

type Tile = Arc<[Hash]>;

/// The tiles of one data directory. One thread extends them; any number may open and read them meanwhile.
#[derive(Debug)]
pub struct Tiles {
    files: Arc<dyn Files>,
    checkpoint: Option<Checkpoint>,
    edge: Edge,
    damage: Option<String>,
    cache: Mutex<VecDeque<(usize, u64, Tile)>>,
}

impl Tiles {
    /// Opens what is there. Tiles that are absent or do not verify count as none: `damage` says why, and the next
    /// `extend` makes them anew.
    pub fn open(files: Arc<dyn Files>, key: &PublicKey) -> Result<Self, StoreError> {
        let read = read_small(files.as_ref(), EDGE_PATH, EDGE_BYTES_MAX);
        let (found, damage) = match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => (None, None),
            Err(error) => return Err(StoreError::io(format!("read `{EDGE_PATH}`"), error)),
            Ok(bytes) => match Edge::decode(&bytes, key) {
                Ok(found) => (Some(found), None),
                Err(why) => (None, Some(why.to_owned())),
            },
        };
        let (checkpoint, edge) = found
            .map_or_else(|| (None, Edge::default()), |(checkpoint, edge)| (Some(checkpoint), edge));
        Ok(Self { files, checkpoint, edge, damage, cache: Mutex::default() })
    }

    /// How many leaves the tiles cover.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.edge.size
    }

    /// The checkpoint that the tiles are complete for; none: there are no tiles.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }

    /// Why the tiles that were there were not taken, if that is so.
    #[must_use]
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// Extends the tiles to a checkpoint, reading the leaves behind the present end; gives how many there were.
    /// `leaves` is a `Reader` of the journal. After a crash it goes on from the last extension that was
    /// finished. `Corrupt` if leaves and tiles do not give the checkpoint's root: `rebuild` then, and try again.
    pub fn extend(&mut self, leaves: &dyn Leaves, to: &Checkpoint) -> Result<u64, StoreError> {
        let from = self.edge.size;
        if to.size() < from || (to.size() == from && self.checkpoint.is_some()) {
            return self.agrees(to).map(|()| 0);
        }
        let mut edge = self.edge.clone();
        let mut writing = Writing::new(self.files.as_ref());
        let mut failed = None;
        leaves.leaves(from, to.size(), &mut |leaf| {
            if failed.is_none() {
                failed = edge.push(leaf, &mut writing).err();
            }
        })?;
        if let Some(error) = failed {
            return Err(StoreError::io("write a tile", error));
        }
        if edge.size != to.size() || edge.tree().root() != to.root() {
            return Err(disagrees(to));
        }
        let mut finish = || {
            writing.finish()?;
            self.files.make_dir(LEDGER_DIR)?;
            write_atomic(self.files.as_ref(), EDGE_PATH, &edge.encode(to))?;
            self.files.sync_dir("")
        };
        finish().map_err(|error| StoreError::io("write the tiles", error))?;
        (self.edge, self.checkpoint, self.damage) = (edge, Some(to.clone()), None);
        Ok(to.size() - from)
    }

    /// Forgets everything: the next `extend` begins with the first leaf and writes every tile anew.
    pub fn rebuild(&mut self) {
        (self.edge, self.checkpoint) = (Edge::default(), None);
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The tree over the first `size` leaves: its frontier and its root.
    pub fn tree_at(&self, size: u64) -> Result<Tree, StoreError> {
        let mut peaks = Vec::new();
        let mut from = 0u64;
        for height in (0..u64::BITS).rev().filter(|height| size >> height & 1 == 1) {
            peaks.push(self.node(height, from >> height)?);
            from += 1 << height;
        }
        Tree::from_peaks(size, &peaks).ok_or_else(|| beyond(from, size))
    }

    /// The root of the complete subtree number `index` of 2^`height` leaves. Reads one tile, and those above it
    /// that are not in memory.
    pub fn node(&self, height: u32, index: u64) -> Result<Hash, StoreError> {
        let absent = || StoreError::new(ErrorKind::NotFound, format!("find node {height}/{index}"));
        let end = index.checked_add(1).and_then(|next| next.checked_shl(height)).unwrap_or(0);
        if height >= u64::BITS || end == 0 || end >> height != index + 1 || end > self.edge.size {
            return Err(absent());
        }
        let (level, inside) = ((height / TILE_HEIGHT) as usize, height % TILE_HEIGHT);
        let first = index << inside;
        let at = (first % TILE_HASHES as u64) as usize;
        let node = |tile: &[Hash]| tile.get(at..at + (1 << inside)).map(root);
        self.look(level, first / TILE_HASHES as u64, node)?.ok_or_else(absent)
    }

    fn agrees(&self, to: &Checkpoint) -> Result<(), StoreError> {
        if self.tree_at(to.size())?.root() == to.root() { Ok(()) } else { Err(disagrees(to)) }
    }

    /// Looks at a tile: of the edge, or a full one from the disk, checked against the one above.
    fn look<T>(
        &self,
        level: usize,
        number: u64,
        look: impl FnOnce(&[Hash]) -> T,
    ) -> Result<T, StoreError> {
        if let Some(hashes) = self.edge.tile(level, number) {
            return Ok(look(hashes));
        }
        if let Some(tile) = self.cached(level, number) {
            return Ok(look(&tile));
        }
        let path = tile_path(level, number);
        let bytes = read_small(self.files.as_ref(), &path, TILE_BYTES as u64)
            .map_err(|error| StoreError::io(format!("read `{path}`"), error))?;
        let tile: Tile = bytes.as_chunks::<HASH_BYTES>().0.iter().map(|hash| Hash(*hash)).collect();
        // The edge ends the way up.
        if tile.len() != TILE_HASHES || self.entry(level + 1, number)? != Some(root(&tile)) {
            let place = Place { file: path, bytes: 0..bytes.len() as u64, seqs: 0..0 };
            return Err(StoreError::corrupt(place, "the tile is not the one that the tree has"));
        }
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHE_TILES {
            cache.pop_front();
        }
        cache.push_back((level, number, Arc::clone(&tile)));
        Ok(look(&tile))
    }

    fn entry(&self, level: usize, index: u64) -> Result<Option<Hash>, StoreError> {
        let at = (index % TILE_HASHES as u64) as usize;
        self.look(level, index / TILE_HASHES as u64, |tile| tile.get(at).copied())
    }

    fn cached(&self, level: usize, number: u64) -> Option<Tile> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let found = cache.iter().find(|(at, n, _)| (*at, *n) == (level, number));
        found.map(|(_, _, tile)| Arc::clone(tile))
    }
}

impl Leaves for Tiles {
    fn leaves(&self, from: u64, to: u64, visit: &mut dyn FnMut(Hash)) -> Result<(), StoreError> {
        (from..to).try_for_each(|leaf| self.node(0, leaf).map(&mut *visit))
    }

    fn root_of(&self, from: u64, to: u64) -> Result<Hash, StoreError> {
        let length = to.saturating_sub(from);
        if length == 0 {
            return Ok(Tree::default().root());
        }
        if length.is_power_of_two() && from.is_multiple_of(length) {
            return self.node(length.ilog2(), from / length);
        }
        let middle = from + split(length);
        Ok(node_hash(&self.root_of(from, middle)?, &self.root_of(middle, to)?))
    }
}

/// Tiles as far as they reach, and the leaves themselves behind that.
#[derive(Clone, Copy)]
pub struct Covered<'a> {
    tiles: &'a Tiles,
    rest: &'a dyn Leaves,
}

impl std::fmt::Debug for Covered<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Covered").field("tiles", &self.tiles.size()).finish_non_exhaustive()
    }
}

impl<'a> Covered<'a> {
    /// Both must be of the same log.
    #[must_use]
    pub fn new(tiles: &'a Tiles, rest: &'a dyn Leaves) -> Self {
        Self { tiles, rest }
    }
}

impl Leaves for Covered<'_> {
    fn leaves(&self, from: u64, to: u64, visit: &mut dyn FnMut(Hash)) -> Result<(), StoreError> {
        let border = self.tiles.size().clamp(from, to);
        self.tiles.leaves(from, border, visit)?;
        self.rest.leaves(border, to, visit)
    }

    fn root_of(&self, from: u64, to: u64) -> Result<Hash, StoreError> {
        if to <= self.tiles.size() {
            return self.tiles.root_of(from, to);
        }
        if from >= self.tiles.size() || to - from < 2 {
            return self.rest.root_of(from, to);
        }
        let middle = from + split(to - from);
        Ok(node_hash(&self.root_of(from, middle)?, &self.root_of(middle, to)?))
    }
}

/// The hashes that fill no tile yet, by level.
#[derive(Debug, Clone, Default)]
struct Edge {
    size: u64,
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    fn push(&mut self, leaf: Hash, writing: &mut Writing<'_>) -> io::Result<()> {
        self.size += 1;
        let (mut hash, mut level) = (leaf, 0);
        loop {
            if self.levels.len() <= level {
                self.levels.push(Vec::with_capacity(TILE_HASHES));
            }
            let Some(hashes) = self.levels.get_mut(level) else { return Ok(()) };
            hashes.push(hash);
            if hashes.len() < TILE_HASHES {
                return Ok(());
            }
            let shift = TILE_HEIGHT * (level as u32 + 1);
            writing.tile(level, (self.size >> shift) - 1, hashes)?;
            hash = root(hashes);
            hashes.clear();
            level += 1;
        }
    }

    /// The tile of the edge at this level, if that is its number.
    fn tile(&self, level: usize, number: u64) -> Option<&[Hash]> {
        let shift = TILE_HEIGHT * (level as u32 + 1);
        let current = self.size.checked_shr(shift).unwrap_or(0);
        (current == number).then(|| self.levels.get(level).map(Vec::as_slice).unwrap_or_default())
    }

    fn tree(&self) -> Tree {
        let mut peaks = Vec::new();
        for hashes in self.levels.iter().rev() {
            let mut rest = hashes.as_slice();
            for bit in (0..TILE_HEIGHT).rev() {
                if let Some((peak, after)) = rest.split_at_checked(1 << bit) {
                    peaks.push(root(peak));
                    rest = after;
                }
            }
        }
        Tree::from_peaks(self.size, &peaks).unwrap_or_default()
    }

    fn encode(&self, checkpoint: &Checkpoint) -> Vec<u8> {
        let note = checkpoint.note().as_bytes();
        // Both lengths have limits far below their types'.
        let mut bytes = (note.len() as u32).to_le_bytes().to_vec();
        bytes.extend_from_slice(note);
        for hashes in &self.levels {
            bytes.extend_from_slice(&(hashes.len() as u16).to_le_bytes());
            hashes.iter().for_each(|hash| bytes.extend_from_slice(&hash.0));
        }
        bytes
    }

    fn decode(bytes: &[u8], key: &PublicKey) -> Result<(Checkpoint, Self), &'static str> {
        let short = "the edge is cut short";
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or(short)?;
        let (note, mut rest) =
            rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(short)?;
        let note = std::str::from_utf8(note).map_err(|_| "its checkpoint is not text")?;
        let checkpoint = key.check(note)?;
        let mut edge = Edge { size: checkpoint.size(), levels: Vec::new() };
        while let Some((count, after)) = rest.split_first_chunk::<2>() {
            let bytes = usize::from(u16::from_le_bytes(*count)) * HASH_BYTES;
            let (hashes, after) = after.split_at_checked(bytes).ok_or(short)?;
            let hashes = hashes.as_chunks::<HASH_BYTES>().0.iter().map(|hash| Hash(*hash));
            edge.levels.push(hashes.collect());
            rest = after;
        }
        let fits = (0u32..).zip(&edge.levels).all(|(level, hashes)| {
            let shifted = edge.size.checked_shr(TILE_HEIGHT * level).unwrap_or(0);
            hashes.len() as u64 == shifted % TILE_HASHES as u64
        });
        if !fits || edge.tree().root() != checkpoint.root() || edge.tree().size() != edge.size {
            return Err("the edge does not give the root of its checkpoint");
        }
        Ok((checkpoint, edge))
    }
}

/// Full tiles on their way to the disk.
struct Writing<'a> {
    files: &'a dyn Files,
    unsynced: Vec<Arc<dyn File>>,
    dirs: BTreeSet<String>,
}

impl<'a> Writing<'a> {
    fn new(files: &'a dyn Files) -> Self {
        Self { files, unsynced: Vec::new(), dirs: BTreeSet::new() }
    }

    fn tile(&mut self, level: usize, number: u64, hashes: &[Hash]) -> io::Result<()> {
        let path = tile_path(level, number);
        self.make_dirs(parent(&path))?;
        let file = match self.files.create(&path, TILE_BYTES as u64) {
            // An extension that did not finish has left it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.files.open(&path)?,
            other => other?,
        };
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
        file.write_at(&bytes, 0)?;
        self.unsynced.push(file);
        if self.unsynced.len() >= UNSYNCED_MAX { self.sync() } else { Ok(()) }
    }

    fn make_dirs(&mut self, dir: &str) -> io::Result<()> {
        if dir.is_empty() || self.dirs.contains(dir) {
            return Ok(());
        }
        self.make_dirs(parent(dir))?;
        self.files.make_dir(dir)?;
        self.dirs.insert(dir.to_owned());
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.unsynced.drain(..).try_for_each(|file| file.sync().map(|_| ()))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.sync()?;
        self.dirs.iter().try_for_each(|dir| self.files.sync_dir(dir))
    }
}

/// The root over 1 to 256 hashes whose number is a power of two.
fn root(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    row.first().copied().unwrap_or_else(|| Hash::of(&[]))
}

/// `ledger/tile/<L>/<N>`, N in groups of three digits, all but the last marked with an `x`.
fn tile_path(level: usize, number: u64) -> String {
    let mut path = format!("{:03}", number % 1000);
    let mut rest = number / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    format!("{LEDGER_DIR}/tile/{level}/{path}")
}

fn disagrees(to: &Checkpoint) -> StoreError {
    let place = Place { file: LEDGER_DIR.to_owned(), bytes: 0..0, seqs: 1..to.size() + 1 };
    StoreError::corrupt(place, "the tiles do not give the root of the checkpoint")
}

fn beyond(have: u64, size: u64) -> StoreError {
    StoreError::new(ErrorKind::NotFound, format!("find the tree over {size} leaves of {have}"))
}

#[cfg(test)]
mod tests;
