//! Tiles against the leaves themselves, at every stage of growth and with every kind of damage.

use super::*;
use crate::files::MemFiles;
use crate::ledger::{LedgerKey, Statement};
use crate::merkle::{consistency_proof, inclusion_proof, leaf_hash, verify_inclusion};

fn key() -> LedgerKey {
    LedgerKey::from_seed("example.org/tiles", &[3; 32]).unwrap()
}

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|n| leaf_hash(&n.to_le_bytes())).collect()
}

fn tree(leaves: &[Hash]) -> Tree {
    let mut tree = Tree::default();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree
}

fn checkpoint(leaves: &[Hash]) -> Checkpoint {
    let tree = tree(leaves);
    let size = leaves.len() as u64;
    key().sign(&Statement { size, root: tree.root(), previous: None, sealed_at: None })
}

fn open(files: &MemFiles) -> Tiles {
    Tiles::open(Arc::new(files.clone()), key().public()).unwrap()
}

#[test]
fn proofs_from_tiles_are_those_from_leaves_at_every_stage_of_growth() {
    let (files, all) = (MemFiles::default(), leaves(70_000));
    for size in [1, 2, 255, 256, 257, 600, 65_535, 65_536, 65_793, 70_000] {
        let mut tiles = open(&files);
        let before = tiles.size();
        let now = &all[..size];
        let added = tiles.extend(&now, &checkpoint(now)).unwrap();
        assert_eq!((added, tiles.size()), (size as u64 - before, size as u64));
        let root = tree(now).root();
        assert_eq!(tiles.tree_at(tiles.size()).unwrap(), tree(now));
        for index in [0, size / 3, size / 2, size - 1] {
            let index = index as u64;
            let path = inclusion_proof(&tiles, index, size as u64).unwrap();
            assert!(verify_inclusion(all[index as usize], index, size as u64, &path, &root));
        }
        for old in [1, size / 2, size - 1] {
            let old = old as u64;
            let path = consistency_proof(&tiles, old, size as u64).unwrap();
            assert_eq!(path, consistency_proof(&now, old, size as u64).unwrap());
            assert_eq!(tiles.tree_at(old).unwrap(), tree(&all[..old as usize]));
        }
        assert!(tiles.node(0, size as u64).is_err() && tiles.node(63, 1).is_err());
    }
    assert!(files.open("ledger/tile/0/272").is_ok() && files.open("ledger/tile/1/000").is_ok());
}

#[test]
fn leaves_behind_the_tiles_are_read_themselves() {
    let (files, all) = (MemFiles::default(), leaves(1_000));
    let mut tiles = open(&files);
    tiles.extend(&&all[..300], &checkpoint(&all[..300])).unwrap();
    let whole = &all[..];
    let covered = Covered::new(&tiles, &whole);
    for index in [0, 299, 300, 511, 999] {
        let expected = inclusion_proof(&whole, index, 1_000).unwrap();
        assert_eq!(inclusion_proof(&covered, index, 1_000).unwrap(), expected);
    }
    let mut seen = Vec::new();
    covered.leaves(298, 302, &mut |leaf| seen.push(leaf)).unwrap();
    assert_eq!(seen, all[298..302]);
}

#[test]
fn a_damaged_tile_or_edge_is_found_and_made_anew() {
    let (files, all) = (MemFiles::default(), leaves(1_000));
    let mut tiles = open(&files);
    tiles.extend(&&all[..], &checkpoint(&all)).unwrap();
    files.edit("ledger/tile/0/001", |bytes| bytes[77] ^= 1).unwrap();
    let damaged = open(&files);
    assert_eq!(damaged.node(0, 300).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(damaged.node(0, 3).unwrap(), all[3]);
    let whole = files.copy();
    whole.edit(EDGE_PATH, |bytes| *bytes.last_mut().unwrap() ^= 1).unwrap();
    let mut lost = open(&whole);
    assert!(lost.size() == 0 && lost.damage().is_some());
    assert_eq!(lost.extend(&&all[..], &checkpoint(&all)).unwrap(), 1_000);
    assert_eq!(open(&whole).node(0, 300).unwrap(), all[300]);
}

#[test]
fn leaves_that_are_not_the_signed_ones_give_no_tiles() {
    let (files, all) = (MemFiles::default(), leaves(400));
    let mut tiles = open(&files);
    let mut forged = all.clone();
    forged[17] = leaf_hash(b"forged");
    let error = tiles.extend(&&forged[..], &checkpoint(&all)).unwrap_err();
    assert_eq!((error.kind(), tiles.size(), open(&files).size()), (ErrorKind::Corrupt, 0, 0));
    tiles.extend(&&all[..], &checkpoint(&all)).unwrap();
    assert_eq!(tiles.extend(&&all[..], &checkpoint(&all[..300])).unwrap(), 0);
    assert!(tiles.extend(&&all[..], &checkpoint(&forged)).is_err());
}

#[test]
fn an_extension_that_was_cut_short_is_done_again() {
    let (files, all) = (MemFiles::default(), leaves(600));
    open(&files).extend(&&all[..300], &checkpoint(&all[..300])).unwrap();
    // What a crash may leave: a tile of the unfinished extension, with anything in it.
    files.create("ledger/tile/0/001", TILE_BYTES as u64).unwrap().write_at(b"junk", 9).unwrap();
    let mut tiles = open(&files);
    assert_eq!(tiles.extend(&&all[..], &checkpoint(&all)).unwrap(), 300);
    assert_eq!(open(&files).node(0, 257).unwrap(), all[257]);
}

#[test]
fn paths_are_those_of_the_published_layout() {
    assert_eq!(tile_path(0, 1_234_067), "ledger/tile/0/x001/x234/067");
    assert_eq!(tile_path(3, 5), "ledger/tile/3/005");
    assert_eq!(tile_path(1, 1_000), "ledger/tile/1/x001/000");
}
