//! Tampering: thousands of changes to a signed journal, with checksums made right again, each must be found.
//!
//! The layout is written down here once more, apart from the product's code, so that a format that drifts from
//! its documentation fails here too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ark_os_store::files::{MemFiles, read_small};
use ark_os_store::verify::{Oddity, Trust, verify};
use ark_os_store::{ErrorKind, Files, LedgerKey};

use super::support::{Rng, append, key, open, replay};

const FRAME: usize = 40;
const PREFIX: usize = 8;

#[derive(Clone)]
struct Frame {
    kind: u32,
    first: u64,
    salt: u64,
    /// Records of a batch; the one note of a checkpoint.
    parts: Vec<Vec<u8>>,
}

#[derive(Clone)]
struct Segment {
    header: Vec<u8>,
    frames: Vec<Frame>,
}

type Log = BTreeMap<String, Segment>;

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn parse(bytes: &[u8]) -> Segment {
    let header = bytes[..u32_at(bytes, 12) as usize].to_vec();
    let (mut at, mut frames) = (header.len(), Vec::new());
    while at < bytes.len() {
        let kind = u32_at(bytes, at + 4);
        let payload = &bytes[at + FRAME..at + FRAME + u32_at(bytes, at + 8) as usize];
        let mut parts = Vec::new();
        if kind == 1 {
            let mut next = 0;
            while next < payload.len() {
                let length = u32_at(payload, next) as usize;
                parts.push(payload[next + PREFIX..next + PREFIX + length].to_vec());
                next += PREFIX + length;
            }
        } else {
            parts.push(payload.to_vec());
        }
        frames.push(Frame {
            kind,
            first: u64_at(bytes, at + 16),
            salt: u64_at(bytes, at + 24),
            parts,
        });
        at += FRAME + payload.len();
    }
    Segment { header, frames }
}

fn encode(segment: &Segment) -> Vec<u8> {
    let mut out = segment.header.clone();
    for frame in &segment.frames {
        let mut payload = Vec::new();
        for part in &frame.parts {
            if frame.kind == 1 {
                payload.extend_from_slice(&(part.len() as u32).to_le_bytes());
                payload.extend_from_slice(&crc32c::crc32c(part).to_le_bytes());
            }
            payload.extend_from_slice(part);
        }
        let count = if frame.kind == 1 { frame.parts.len() as u32 } else { 0 };
        let mut header = b"arkF".to_vec();
        header.extend_from_slice(&frame.kind.to_le_bytes());
        header.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        header.extend_from_slice(&count.to_le_bytes());
        header.extend_from_slice(&frame.first.to_le_bytes());
        header.extend_from_slice(&frame.salt.to_le_bytes());
        header.extend_from_slice(&crc32c::crc32c(&payload).to_le_bytes());
        header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
        out.extend_from_slice(&header);
        out.extend_from_slice(&payload);
    }
    out
}

/// Gives every frame the sequence that a careful intruder would.
fn renumber(log: &mut Log) {
    let mut next = 1;
    for frame in log.values_mut().flat_map(|segment| &mut segment.frames) {
        frame.first = next;
        next += if frame.kind == 1 { frame.parts.len() as u64 } else { 0 };
    }
}

struct Original {
    log: Log,
    records: u64,
    trust: Trust,
}

fn original() -> Original {
    let files = MemFiles::default();
    let shared: Arc<dyn Files> = Arc::new(files.clone());
    let (mut journal, _) = open(&shared).unwrap();
    for step in 0..24u64 {
        append(&mut journal, 1 + step * 5 % 11).unwrap();
        if step % 4 == 3 {
            journal.checkpoint().unwrap();
        }
    }
    let checkpoint = journal.close().unwrap();
    let mut log = Log::new();
    for name in files.list("journal").unwrap() {
        let path = format!("journal/{name}");
        let bytes = read_small(&files, &path, 1 << 20).unwrap();
        let segment = parse(&bytes);
        assert!(encode(&segment) == bytes, "the layout is not the documented one");
        log.insert(path, segment);
    }
    assert!(log.len() >= 3);
    let trust = Trust { key: Some(key().public().clone()), kept: vec![checkpoint.note().into()] };
    Original { log, records: checkpoint.size(), trust }
}

type Bytes = BTreeMap<String, Vec<u8>>;

fn bytes_of(log: &Log) -> Bytes {
    log.iter().map(|(path, segment)| (path.clone(), encode(segment))).collect()
}

fn is_found(original: &Original, mutated: &Bytes) -> bool {
    let files = MemFiles::default();
    files.make_dir("journal").unwrap();
    for (path, bytes) in mutated {
        files.create(path, 0).unwrap().write_at(bytes, 0).unwrap();
    }
    let report = verify(&files, &original.trust).unwrap();
    // Bytes behind the signed end of a segment are void: they change no record, but are reported.
    report.fault.is_some()
        || report.oddities.iter().any(|oddity| matches!(oddity, Oddity::VoidBytes(_)))
}

/// Picks a segment, and a frame in it of this kind.
fn pick<'a>(log: &'a mut Log, kind: u32, rng: &mut Rng) -> (&'a mut Segment, usize) {
    let with: Vec<_> = log
        .values_mut()
        .filter(|segment| segment.frames.iter().any(|frame| frame.kind == kind))
        .collect();
    let at = rng.below(with.len());
    let segment = with.into_iter().nth(at).unwrap();
    let frames: Vec<_> =
        (0..segment.frames.len()).filter(|at| segment.frames[*at].kind == kind).collect();
    let at = frames[rng.below(frames.len())];
    (segment, at)
}

/// Runs one kind of mutation until `count` different ones were found.
fn each_is_found(name: &str, count: usize, mutate: impl Fn(&mut Log, &mut Rng) -> Bytes) {
    let original = original();
    let clean = bytes_of(&original.log);
    assert!(!is_found(&original, &clean));
    let mut seen = BTreeSet::from([clean]);
    for seed in 0..(count * 50) as u64 {
        let mutated = mutate(&mut original.log.clone(), &mut Rng::new(seed));
        if seen.contains(&mutated) {
            continue;
        }
        assert!(is_found(&original, &mutated), "{name}, seed {seed} was not found");
        seen.insert(mutated);
        if seen.len() > count {
            return;
        }
    }
    panic!("{name}: only {} different mutations", seen.len() - 1);
}

/// Changes a log with its checksums made right, then maybe renumbers it.
fn each_edit_is_found(name: &str, count: usize, edit: impl Fn(&mut Log, &mut Rng)) {
    each_is_found(name, count, |log, rng| {
        edit(log, rng);
        if rng.coin() {
            renumber(log);
        }
        bytes_of(log)
    });
}

fn pick_bytes<'a>(bytes: &'a mut Bytes, rng: &mut Rng) -> &'a mut Vec<u8> {
    let at = rng.below(bytes.len());
    bytes.values_mut().nth(at).unwrap()
}

#[test]
fn every_flipped_bit_is_found() {
    each_is_found("flip", 2000, |log, rng| {
        let mut bytes = bytes_of(log);
        let segment = pick_bytes(&mut bytes, rng);
        let at = rng.below(segment.len());
        segment[at] ^= 1 << (rng.next() % 8);
        bytes
    });
}

#[test]
fn every_overwritten_range_is_found() {
    each_is_found("overwrite", 600, |log, rng| {
        let mut bytes = bytes_of(log);
        let segment = pick_bytes(&mut bytes, rng);
        let (at, length) = (rng.below(segment.len()), 1 + rng.below(2000));
        let fill = if rng.coin() { 0 } else { rng.next() as u8 };
        segment.iter_mut().skip(at).take(length).for_each(|byte| *byte = fill);
        bytes
    });
}

#[test]
fn every_edited_record_is_found() {
    each_edit_is_found("edit", 1600, |log, rng| {
        let (segment, at) = pick(log, 1, rng);
        let parts = &mut segment.frames[at].parts;
        let part = rng.below(parts.len());
        let byte = rng.below(parts[part].len());
        match rng.below(4) {
            0 => parts[part].truncate(byte),
            1 => parts[part].push(rng.next() as u8),
            _ => parts[part][byte] ^= 1 << rng.below(8),
        }
    });
}

#[test]
fn every_dropped_record_is_found() {
    each_edit_is_found("drop record", 200, |log, rng| {
        let (segment, at) = pick(log, 1, rng);
        let part = rng.below(segment.frames[at].parts.len());
        segment.frames[at].parts.remove(part);
    });
}

#[test]
fn every_swap_of_records_is_found() {
    each_edit_is_found("swap records", 1200, |log, rng| {
        let frames = log.values_mut().flat_map(|segment| &mut segment.frames);
        let mut parts: Vec<_> =
            frames.filter(|frame| frame.kind == 1).flat_map(|frame| &mut frame.parts).collect();
        let (one, other) = (rng.below(parts.len()), rng.below(parts.len()));
        let copy = parts[one].clone();
        let swapped = std::mem::replace(parts[other], copy);
        *parts[one] = swapped;
    });
}

#[test]
fn every_duplicated_or_added_record_is_found() {
    each_edit_is_found("duplicate record", 1200, |log, rng| {
        let (segment, at) = pick(log, 1, rng);
        let parts = &mut segment.frames[at].parts;
        let mut copy = parts[rng.below(parts.len())].clone();
        if rng.coin() {
            let last = copy.len() - 1;
            copy[last] ^= 1;
        }
        parts.insert(rng.below(parts.len() + 1), copy);
    });
}

#[test]
fn every_dropped_frame_is_found() {
    each_edit_is_found("drop batch", 40, |log, rng| {
        let (segment, at) = pick(log, 1, rng);
        segment.frames.remove(at);
    });
    each_edit_is_found("drop checkpoint", 6, |log, rng| {
        let (segment, at) = pick(log, 2, rng);
        segment.frames.remove(at);
    });
}

#[test]
fn every_swap_of_frames_is_found() {
    each_edit_is_found("swap frames", 150, |log, rng| {
        let (segment, one) = pick(log, 1, rng);
        let other = rng.below(segment.frames.len());
        segment.frames.swap(one, other);
    });
}

#[test]
fn every_duplicated_or_moved_frame_is_found() {
    for kind in [1, 2] {
        each_edit_is_found("duplicate frame", 600, |log, rng| {
            let (segment, at) = pick(log, kind, rng);
            let frame = segment.frames[at].clone();
            if rng.coin() {
                segment.frames.remove(at);
            }
            let newest = log.values().next_back().unwrap().frames[0].salt;
            let (target, _) = pick(log, 1, rng);
            let salt = target.frames[0].salt;
            // Behind the newest checkpoint nothing is signed yet, so there is nothing to find.
            let places = target.frames.len() + usize::from(salt != newest);
            target.frames.insert(rng.below(places), Frame { salt, ..frame });
        });
    }
}

#[test]
fn every_truncation_is_found() {
    each_is_found("truncate", 1500, |log, rng| {
        let mut bytes = bytes_of(log);
        let segment = pick_bytes(&mut bytes, rng);
        segment.truncate(rng.below(segment.len()));
        bytes
    });
    each_edit_is_found("truncate at a frame", 30, |log, rng| {
        let (segment, at) = pick(log, 1, rng);
        segment.frames.truncate(at);
    });
}

#[test]
fn every_changed_checkpoint_is_found() {
    each_edit_is_found("edit note", 1200, |log, rng| {
        let (segment, at) = pick(log, 2, rng);
        let note = &mut segment.frames[at].parts[0];
        let byte = rng.below(note.len());
        if rng.coin() {
            note.remove(byte);
        } else {
            note[byte] = b"0123456789+/ABab\n "[rng.below(18)];
        }
    });
    each_edit_is_found("exchange notes", 25, |log, rng| {
        let (segment, at) = pick(log, 2, rng);
        let note = segment.frames[at].parts.clone();
        let (segment, at) = pick(log, 2, rng);
        segment.frames[at].parts = note;
    });
    let forger = LedgerKey::from_seed(super::support::ORIGIN, &[66; 32]).unwrap();
    let files: Arc<dyn Files> = Arc::new(MemFiles::default());
    let (mut journal, _) =
        ark_os_store::Journal::open(files, super::support::SMALL, forger).unwrap();
    append(&mut journal, 3).unwrap();
    let forged = journal.checkpoint().unwrap();
    each_edit_is_found("forge", 6, |log, rng| {
        let (segment, at) = pick(log, 2, rng);
        segment.frames[at].parts = vec![forged.note().as_bytes().to_vec()];
    });
}

#[test]
fn every_changed_segment_header_is_found() {
    each_is_found("edit header", 1500, |log, rng| {
        let at = rng.below(log.len());
        let header = &mut log.values_mut().nth(at).unwrap().header;
        let end = header.len() - 4;
        let byte = rng.below(end);
        header[byte] ^= 1 << rng.below(8);
        let crc = crc32c::crc32c(&header[..end]);
        header[end..].copy_from_slice(&crc.to_le_bytes());
        bytes_of(log)
    });
}

#[test]
fn every_removed_renamed_or_copied_segment_is_found() {
    each_is_found("segments", 100, |log, rng| {
        let mut bytes = bytes_of(log);
        let paths: Vec<String> = bytes.keys().cloned().collect();
        let (one, other) = (&paths[rng.below(paths.len())], &paths[rng.below(paths.len())]);
        let fresh = format!("journal/segment-{:020}.ark", 1 + rng.below(300));
        let content = bytes[one].clone();
        match rng.below(5) {
            0 => drop(bytes.remove(one)),
            1 => {
                bytes.remove(one);
                bytes.insert(fresh, content);
            }
            2 => drop(bytes.insert(fresh, content)),
            3 => {
                let swapped = bytes.insert(other.clone(), content).unwrap();
                bytes.insert(one.clone(), swapped);
            }
            _ => drop(bytes.insert(other.clone(), content)),
        }
        bytes
    });
}

#[test]
fn opening_damaged_bytes_gives_the_records_or_an_error_with_a_place() {
    let original = original();
    let (mut opened, mut refused) = (0, 0);
    for seed in 0..600 {
        let mut rng = Rng::new(seed);
        let mut bytes = bytes_of(&original.log);
        let segment = pick_bytes(&mut bytes, &mut rng);
        let at = rng.below(segment.len());
        for byte in segment.iter_mut().skip(at).take(1 + rng.below(60)) {
            *byte = rng.next() as u8;
        }
        let files = MemFiles::default();
        files.make_dir("journal").unwrap();
        for (path, bytes) in &bytes {
            files.create(path, 0).unwrap().write_at(bytes, 0).unwrap();
        }
        let files: Arc<dyn Files> = Arc::new(files);
        match open(&files) {
            // Only the newest checkpoint itself was damaged: all records are there.
            Ok((_, recovered)) => {
                assert_eq!(replay(recovered), original.records);
                opened += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                assert!(error.place().is_some());
                refused += 1;
            }
        }
    }
    assert!(opened > 2 && refused > 500, "{opened} {refused}");
}

#[test]
fn without_a_kept_checkpoint_only_the_loss_of_the_end_stays_unseen() {
    let mut original = original();
    original.trust.kept.clear();
    let mut log = original.log.clone();
    log.pop_last();
    assert!(!is_found(&original, &bytes_of(&log)));
    log.pop_first();
    assert!(is_found(&original, &bytes_of(&log)));
}

#[test]
fn a_rollback_a_fork_and_another_key_are_found_against_kept_checkpoints() {
    let files: Arc<dyn Files> = Arc::new(MemFiles::default());
    let (mut journal, _) = open(&files).unwrap();
    let mut kept = Vec::new();
    for count in [3, 5, 2] {
        append(&mut journal, count).unwrap();
        kept.push(journal.checkpoint().unwrap().note().to_owned());
    }
    drop(journal);
    let why = |files: &Arc<dyn Files>, kept: &[String]| {
        let trust = Trust { key: Some(key().public().clone()), kept: kept.to_vec() };
        verify(files.as_ref(), &trust).unwrap().fault.map(|fault| fault.why)
    };
    assert_eq!(why(&files, &kept), None, "all of them, in any order");
    kept.reverse();
    assert_eq!(why(&files, &kept), None);

    let shorter: Arc<dyn Files> = Arc::new(MemFiles::default());
    let (mut rolled_back, _) = open(&shorter).unwrap();
    append(&mut rolled_back, 3).unwrap();
    rolled_back.close().unwrap();
    assert!(why(&shorter, &kept).unwrap().contains("missing"));
    assert_eq!(why(&shorter, &kept[2..]), None);

    // The same key signs another history of the same length.
    let other: Arc<dyn Files> = Arc::new(MemFiles::default());
    let (mut forked, _) = open(&other).unwrap();
    let mut batch = ark_os_store::Batch::new(1);
    for _ in 0..12 {
        batch.push(&ark_os_store::RecordHeader::default(), |out| out.push(7)).unwrap();
    }
    forked.append(&mut batch).unwrap();
    forked.close().unwrap();
    assert!(why(&other, &kept).unwrap().contains("forked"));

    let stranger = LedgerKey::from_seed(super::support::ORIGIN, &[66; 32]).unwrap();
    let trust = Trust { key: Some(stranger.public().clone()), kept };
    let fault = verify(files.as_ref(), &trust).unwrap().fault.unwrap();
    assert!(fault.why.contains("not signed by this log's key"), "{fault}");
    let junk = Trust { key: Some(key().public().clone()), kept: vec!["junk".into()] };
    assert_eq!(verify(files.as_ref(), &junk).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_fault_is_named_with_its_place() {
    let original = original();
    let mut log = original.log.clone();
    let (path, segment) = log.iter_mut().nth(1).unwrap();
    let path = path.clone();
    let frame = segment.frames.iter_mut().find(|frame| frame.kind == 1).unwrap();
    let first = frame.first;
    frame.parts[0][30] ^= 1;
    let files = MemFiles::default();
    files.make_dir("journal").unwrap();
    for (path, bytes) in bytes_of(&log) {
        files.create(&path, 0).unwrap().write_at(&bytes, 0).unwrap();
    }
    let fault = verify(&files, &original.trust).unwrap().fault.unwrap();
    assert_eq!(fault.place.file, path);
    // The edit has right checksums: it shows at the next checkpoint, in the same segment.
    assert!(fault.place.seqs.start >= first, "{fault}");
}
