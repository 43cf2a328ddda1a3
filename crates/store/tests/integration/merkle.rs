//! The tree and its proofs against an independent implementation of RFC 6962.

use ark_os_store::Hash;
use ark_os_store::merkle::{Tree, consistency_proof, inclusion_proof, leaf_hash};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use sha2::Sha256;

use super::support::Rng;

struct Stored(Vec<Hash>);

impl ark_os_store::merkle::Leaves for Stored {
    fn leaves(
        &self,
        from: u64,
        to: u64,
        visit: &mut dyn FnMut(Hash),
    ) -> Result<(), ark_os_store::StoreError> {
        self.0.as_slice().leaves(from, to, visit)
    }
}

fn flat(path: &[Hash]) -> Vec<u8> {
    path.iter().flat_map(|hash| hash.0).collect()
}

#[test]
fn roots_and_proofs_equal_those_of_ct_merkle() {
    let mut rng = Rng::new(3);
    let (mut ours, mut theirs) = (Tree::default(), MemoryBackedTree::<Sha256, Vec<u8>>::new());
    let mut leaves = Stored(Vec::new());
    for size in 1..=200u64 {
        let leaf: Vec<u8> = (0..rng.below(300)).map(|_| rng.next() as u8).collect();
        leaves.0.push(leaf_hash(&leaf));
        ours.push(leaf_hash(&leaf));
        theirs.push(leaf);
        assert_eq!(ours.root().0[..], theirs.root().as_bytes()[..], "size {size}");
        let index = rng.below(size as usize);
        let path = inclusion_proof(&leaves, index as u64, size).unwrap();
        assert_eq!(flat(&path), theirs.prove_inclusion(index).as_bytes());
        let old = 1 + rng.below(size as usize);
        let path = consistency_proof(&leaves, old as u64, size).unwrap();
        let additions = size as usize - old;
        assert_eq!(flat(&path), theirs.prove_consistency(additions).as_bytes(), "{old} of {size}");
    }
}
