//! What a forger with a key of their own can do: sign any tree, and make the rest fit it.

use ark_os_store::merkle::{leaf_hash, node_hash};
use ark_os_store::{Hash, LedgerKey};
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::document::{Document, leaf};

const SEED: [u8; 32] = [66; 32];

/// Signs what the log says by another key of the same name.
pub(super) fn sign_anew(document: &mut Document) -> Option<()> {
    let origin = document.head.get("origin")?.as_str()?.to_owned();
    let (size, root) = root(&document.log)?;
    let key = LedgerKey::from_seed(&origin, &SEED).ok()?.public().to_string();
    let note = note(&origin, &key, size, &root)?;
    let head = document.head.as_object_mut()?;
    head.insert("key".to_owned(), json!(key));
    head.insert("checkpoint".to_owned(), json!(note));
    head.insert("kept".to_owned(), Value::Null);
    Some(())
}

fn note(origin: &str, key: &str, size: u64, root: &Hash) -> Option<String> {
    let text = format!("{origin}\n{size}\n{}\n", STANDARD.encode(root.0));
    let pair = Ed25519KeyPair::from_seed_unchecked(&SEED).ok()?;
    let id = u32::from_str_radix(key.split('+').nth(1)?, 16).ok()?;
    let signed = [&id.to_be_bytes()[..], pair.sign(text.as_bytes()).as_ref()].concat();
    Some(format!("{text}\n\u{2014} {origin} {}\n", STANDARD.encode(signed)))
}

/// How many leaves the log is about, and the root over them, whatever their form.
fn root(log: &[Value]) -> Option<(u64, Hash)> {
    let (mut position, mut stack) = (0u64, Vec::<(u32, Hash)>::new());
    for entry in log {
        let (mut height, mut hash) = match leaf(entry) {
            Some(bytes) => (0, leaf_hash(&bytes)),
            None => {
                let height = entry.get("node")?.get(0)?.as_u64()?;
                let hash = Hash::from_hex(entry.get("hash")?.as_str()?)?;
                (u32::try_from(height).ok().filter(|height| *height < 60)?, hash)
            }
        };
        let mut index = position >> height;
        position = position.checked_add(1 << height)?;
        while index & 1 == 1
            && let Some((_, left)) = stack.pop_if(|(below, _)| *below == height)
        {
            (height, hash, index) = (height + 1, node_hash(&left, &hash), index >> 1);
        }
        stack.push((height, hash));
    }
    let mut peaks = stack.iter().rev();
    let (_, last) = peaks.next()?;
    Some((position, peaks.fold(*last, |right, (_, left)| node_hash(left, &right))))
}

/// Replaces a record by its hash, as whoever leaves it out would: with its neighbours as one, where they
/// are the other half of a subtree.
pub(super) fn leave_out(document: &mut Document, at: usize) -> Option<()> {
    let entry = document.log.get(at)?;
    let seq = entry.get("record")?.as_u64()?;
    let hash = leaf_hash(&leaf(entry)?);
    let mut node = (0u64, seq.checked_sub(1)?, hash);
    let mut place = at;
    document.log.remove(place);
    loop {
        let (height, index, hash) = node;
        let is_right = index & 1 == 1;
        let sibling = if is_right { place.checked_sub(1) } else { Some(place) };
        let found = sibling.and_then(|at| document.log.get(at)).and_then(cut);
        let wanted = (height, index ^ 1);
        match (found, sibling) {
            (Some((other_height, other, other_hash)), Some(at))
                if (other_height, other) == wanted =>
            {
                document.log.remove(at);
                place = at;
                let pair = if is_right { (other_hash, hash) } else { (hash, other_hash) };
                node = (height + 1, index >> 1, node_hash(&pair.0, &pair.1));
            }
            _ => break,
        }
    }
    let (height, index, hash) = node;
    document.log.insert(place, json!({"node": [height, index], "hash": hash.to_string()}));
    Some(())
}

fn cut(entry: &Value) -> Option<(u64, u64, Hash)> {
    let node = entry.get("node")?;
    let hash = Hash::from_hex(entry.get("hash")?.as_str()?)?;
    Some((node.get(0)?.as_u64()?, node.get(1)?.as_u64()?, hash))
}
