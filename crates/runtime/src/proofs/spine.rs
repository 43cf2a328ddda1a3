//! The journal's tree with everything cut out that is not proven: leaves and hashes of complete subtrees from
//! left to right. Memory: one hash for each level.

use ark_os_store::Hash;
use ark_os_store::merkle::node_hash;

use super::{Class, Fault};

/// The tree on the way from left to right.
#[derive(Debug)]
pub(super) struct Spine {
    size: u64,
    /// The leaf that comes next.
    position: u64,
    /// Complete subtrees to the left of it, largest first.
    stack: Vec<Subtree>,
}

#[derive(Debug)]
struct Subtree {
    height: u32,
    hash: Hash,
    /// Cut out, with nothing of it shown.
    is_cut: bool,
}

fn fault(why: &str) -> Fault {
    Fault::new(Class::Tree, why)
}

impl Spine {
    /// The beginning of the tree of `size` leaves.
    pub(super) fn new(size: u64) -> Self {
        Spine { size, position: 0, stack: Vec::new() }
    }

    /// The next leaf, whose record has the number `seq`.
    pub(super) fn leaf(&mut self, seq: u64, hash: Hash) -> Result<(), Fault> {
        if self.position >= self.size || seq.checked_sub(1) != Some(self.position) {
            return Err(fault("the record is not the one that comes next in the tree"));
        }
        self.push(0, hash, false)
    }

    /// The subtree number `index` of 2^`height` leaves, by its hash.
    pub(super) fn cut(&mut self, height: u32, index: u64, hash: Hash) -> Result<(), Fault> {
        let width = 1u64.checked_shl(height).unwrap_or(0);
        let begins = index.checked_mul(width).filter(|_| width > 0);
        let fits = self.size.saturating_sub(self.position) >= width;
        if begins != Some(self.position) || !fits {
            return Err(fault("the hash is not the one that comes next in the tree"));
        }
        self.push(height, hash, true)
    }

    fn push(&mut self, height: u32, hash: Hash, is_cut: bool) -> Result<(), Fault> {
        self.position += 1 << height;
        let mut top = Subtree { height, hash, is_cut };
        // A right child has its left sibling on the stack.
        while self.position >> top.height & 1 == 0
            && let Some(left) = self.stack.pop_if(|left| left.height == top.height)
        {
            if left.is_cut && top.is_cut {
                return Err(fault("two hashes stand where one would do"));
            }
            let hash = node_hash(&left.hash, &top.hash);
            top = Subtree { height: top.height + 1, hash, is_cut: false };
        }
        self.stack.push(top);
        Ok(())
    }

    /// The root, once every leaf is accounted for.
    pub(super) fn root(&self) -> Result<Hash, Fault> {
        let mut peaks = self.stack.iter().rev();
        let last = peaks.next().filter(|_| self.position == self.size);
        let last = last.ok_or_else(|| fault("the tree is not complete"))?;
        Ok(peaks.fold(last.hash, |right, left| node_hash(&left.hash, &right)))
    }
}

/// Height and index of the subtrees that take the place of the leaves `from..to`, each as large as possible.
pub(super) fn cuts(from: u64, to: u64) -> impl Iterator<Item = (u32, u64)> {
    let mut at = from;
    std::iter::from_fn(move || {
        let left = to.checked_sub(at).filter(|left| *left > 0)?;
        let height = left.ilog2().min(at.trailing_zeros());
        let index = at >> height;
        at += 1 << height;
        Some((height, index))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_os_store::merkle::{Leaves, Tree, leaf_hash};

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|n| leaf_hash(&n.to_le_bytes())).collect()
    }

    /// The spine of the tree over `all` that shows these leaves.
    fn spine(all: &[Hash], shown: &[u64]) -> Result<Hash, Fault> {
        let size = all.len() as u64;
        let (mut spine, mut at) = (Spine::new(size), 0);
        for next in shown.iter().copied().chain([size]) {
            for (height, index) in cuts(at, next) {
                let hash = (&all).root_of(index << height, (index + 1) << height).unwrap();
                spine.cut(height, index, hash)?;
            }
            if next < size {
                spine.leaf(next + 1, all[next as usize])?;
            }
            at = next + 1;
        }
        spine.root()
    }

    #[test]
    fn every_choice_of_leaves_of_every_small_tree_gives_its_root() {
        for size in 1..=9u64 {
            let all = leaves(size);
            let mut tree = Tree::default();
            all.iter().for_each(|leaf| tree.push(*leaf));
            for choice in 0u64..1 << size {
                let shown: Vec<u64> = (0..size).filter(|leaf| choice >> leaf & 1 == 1).collect();
                assert_eq!(spine(&all, &shown).unwrap(), tree.root(), "{size} {choice:b}");
            }
        }
    }

    #[test]
    fn what_is_not_next_not_whole_or_not_shortest_is_refused() {
        let hash = leaf_hash(b"x");
        assert!(Spine::new(4).leaf(2, hash).is_err() && Spine::new(4).leaf(0, hash).is_err());
        assert!(Spine::new(4).cut(3, 0, hash).is_err() && Spine::new(4).cut(1, 1, hash).is_err());
        assert!(Spine::new(u64::MAX).cut(64, 0, hash).is_err());
        assert!(Spine::new(u64::MAX).cut(63, u64::MAX, hash).is_err());
        let mut twice = Spine::new(4);
        twice.cut(0, 0, hash).unwrap();
        assert!(twice.cut(0, 1, hash).is_err());
        let mut short = Spine::new(4);
        short.leaf(1, hash).unwrap();
        assert!(short.root().is_err());
        short.cut(0, 1, hash).unwrap();
        short.cut(1, 1, hash).unwrap();
        assert!(short.root().is_ok() && short.leaf(5, hash).is_err());
    }
}
