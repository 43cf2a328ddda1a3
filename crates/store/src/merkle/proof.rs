//! Inclusion and consistency proofs of RFC 6962/9162: made from leaf hashes, checked from nothing but hashes.

use super::{Hash, Tree, node_hash};
use crate::StoreError;

/// Where proofs get leaf hashes from, by leaf index (the sequence of the record minus one).
pub trait Leaves {
    /// Calls `visit` for the leaf hashes of `from..to` in order; fails if one is not there.
    fn leaves(&self, from: u64, to: u64, visit: &mut dyn FnMut(Hash)) -> Result<(), StoreError>;

    /// The root over the leaves `from..to`, a node of the tree. Reads them all; tiles do better.
    fn root_of(&self, from: u64, to: u64) -> Result<Hash, StoreError> {
        let mut tree = Tree::default();
        self.leaves(from, to, &mut |leaf| tree.push(leaf))?;
        Ok(tree.root())
    }
}

impl Leaves for &[Hash] {
    fn leaves(&self, from: u64, to: u64, visit: &mut dyn FnMut(Hash)) -> Result<(), StoreError> {
        let range = usize::try_from(from).ok().zip(usize::try_from(to).ok());
        let hashes = range
            .and_then(|(from, to)| self.get(from..to))
            .ok_or_else(|| StoreError::invalid(format!("find leaves {from}..{to}")))?;
        hashes.iter().copied().for_each(visit);
        Ok(())
    }
}

/// The path that proves that leaf `index` is in the tree of `size` leaves: O(log n) roots of `leaves`.
pub fn inclusion_proof(
    leaves: &dyn Leaves,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, StoreError> {
    if index >= size {
        return Err(StoreError::invalid(format!("prove leaf {index} of a tree of {size}")));
    }
    let mut path = Vec::new();
    let (mut from, mut to) = (0, size);
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            path.push(leaves.root_of(middle, to)?);
            to = middle;
        } else {
            path.push(leaves.root_of(from, middle)?);
            from = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The path that proves that the tree of `old` leaves is a prefix of the tree of `new` leaves.
pub fn consistency_proof(leaves: &dyn Leaves, old: u64, new: u64) -> Result<Vec<Hash>, StoreError> {
    if old > new {
        return Err(StoreError::invalid(format!("prove a tree of {old} a prefix of one of {new}")));
    }
    let mut path = Vec::new();
    if old == 0 || old == new {
        return Ok(path);
    }
    let (mut from, mut to, mut whole) = (0, new, true);
    // INVARIANT: from < old <= to; `whole` says that from..old is still a complete left edge of the tree.
    while old != to {
        let middle = from + split(to - from);
        if old <= middle {
            path.push(leaves.root_of(middle, to)?);
            to = middle;
        } else {
            path.push(leaves.root_of(from, middle)?);
            from = middle;
            whole = false;
        }
    }
    if !whole {
        path.push(leaves.root_of(from, to)?);
    }
    path.reverse();
    Ok(path)
}

/// Whether `path` proves that `leaf` is number `index` of the tree of `size` leaves with this root.
#[must_use]
pub fn verify_inclusion(leaf: Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = leaf;
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether `path` proves that the tree `(old, old_root)` is a prefix of the tree `(new, new_root)`.
#[must_use]
pub fn verify_consistency(old: (u64, Hash), new: (u64, Hash), path: &[Hash]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size > new_size {
        return false;
    }
    if old_size == new_size {
        return path.is_empty() && old_root == new_root;
    }
    if old_size == 0 {
        return path.is_empty() && old_root == Tree::default().root();
    }
    let mut rest = path.iter();
    // A complete old tree is itself the first node; otherwise the path begins with that node.
    let first = if old_size.is_power_of_two() { Some(&old_root) } else { rest.next() };
    let Some(&first) = first else { return false };
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut old_hash, mut new_hash) = (first, first);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == old_root && new_hash == new_root
}

/// The largest power of two below `size`, which is at least 2.
pub(crate) fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::super::leaf_hash;
    use super::*;

    struct Slice(Vec<Hash>);

    impl Leaves for Slice {
        fn leaves(
            &self,
            from: u64,
            to: u64,
            visit: &mut dyn FnMut(Hash),
        ) -> Result<(), StoreError> {
            self.0.as_slice().leaves(from, to, visit)
        }
    }

    fn roots(count: u64) -> (Slice, Vec<Hash>) {
        let mut tree = Tree::default();
        let (mut leaves, mut roots) = (Vec::new(), vec![tree.root()]);
        for index in 0..count {
            let leaf = leaf_hash(&index.to_le_bytes());
            tree.push(leaf);
            leaves.push(leaf);
            roots.push(tree.root());
        }
        (Slice(leaves), roots)
    }

    #[test]
    fn every_leaf_of_every_tree_to_65_is_provable_and_nothing_else_is() {
        let (leaves, roots) = roots(65);
        for size in 1..=65u64 {
            let root = &roots[size as usize];
            for index in 0..size {
                let path = inclusion_proof(&leaves, index, size).unwrap();
                let leaf = leaves.0[index as usize];
                assert!(verify_inclusion(leaf, index, size, &path, root));
                let other = leaves.0[(index as usize + 1) % 65];
                assert!(!verify_inclusion(other, index, size, &path, root));
                assert!(!verify_inclusion(leaf, index + 1, size, &path, root));
                let mut longer = path.clone();
                longer.push(leaf);
                assert!(!verify_inclusion(leaf, index, size, &longer, root));
                if let Some((_, shorter)) = path.split_last() {
                    assert!(!verify_inclusion(leaf, index, size, shorter, root));
                }
            }
        }
        assert!(inclusion_proof(&leaves, 65, 65).is_err());
        assert!(inclusion_proof(&leaves, 0, 66).is_err());
    }

    #[test]
    fn every_prefix_of_every_tree_to_65_is_provable_and_nothing_else_is() {
        let (leaves, roots) = roots(65);
        let at = |size: u64| (size, roots[size as usize]);
        for new in 0..=65u64 {
            for old in 0..=new {
                let path = consistency_proof(&leaves, old, new).unwrap();
                assert!(verify_consistency(at(old), at(new), &path), "{old} {new}");
                let forged = (old, leaf_hash(b"forged"));
                assert!(!verify_consistency(forged, at(new), &path), "{old} {new}");
                if old > 0 {
                    assert!(!verify_consistency(at(old), (new, leaf_hash(b"forged")), &path));
                }
            }
        }
        assert!(consistency_proof(&leaves, 2, 1).is_err());
        assert!(!verify_consistency(at(2), at(1), &[]));
    }
}
