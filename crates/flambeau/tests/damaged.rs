//! Real files of every format, damaged: each is read or refused with an error, and nothing else. The damage is the same
//! in every run: all truncations, flipped bytes, other sizes and offsets, pieces moved, archives whose records do not fit.
//!
//! FLAMBEAU_FUZZ_FILES sets how many files are made besides the truncations; `fuzz/` looks for more with coverage.

use flambeau::io::{self, StateDict, Value, numpy, safetensors};
use flambeau::nn::{BatchNorm1d, Linear, Module, Sequential};
use flambeau::optim::{Adam, AdamOptions};
use flambeau::{Tensor, ones};
use std::io::{Cursor, Read, Write};
use std::path::PathBuf;

const FILES: usize = 12_000;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Torch,
    Safetensors,
    Npy,
    Npz,
}

fn touch(tensor: &Tensor) {
    if !tensor.is_meta() && tensor.numel() < 1 << 16 && tensor.dim() <= 64 {
        tensor.detach().unwrap().to_bytes().unwrap();
    }
}
fn look(value: &Value) {
    if let Value::Tensor(tensor) = value {
        touch(tensor);
    }
    value.items().into_iter().flatten().for_each(look);
    for (key, value) in value.entries().into_iter().flatten() {
        look(key);
        look(value);
    }
}

/// Reads a file as its users do; whether there is something in it.
fn read(kind: Kind, bytes: &[u8]) -> bool {
    let error = match kind {
        Kind::Torch => match io::from_bytes(bytes) {
            Ok(value) => {
                look(&value);
                let _ = value.to_string();
                let net =
                    Sequential::new().append(Linear::new(2, 3).unwrap()).append(BatchNorm1d::new(3).unwrap());
                if let Ok(state) = value.get("model").unwrap_or(&value).to_state_dict() {
                    let _ = net.load_state_dict(&state);
                }
                if let Some(state) = value.get("optimizer") {
                    let mut adam = Adam::new(net.parameters(), AdamOptions::default()).unwrap();
                    let _ = adam.load_state_dict(state);
                }
                return true;
            }
            Err(error) => error,
        },
        Kind::Safetensors | Kind::Npz => {
            let state = if kind == Kind::Npz { numpy::from_npz(bytes) } else { safetensors::load(bytes) };
            match state {
                Ok(state) => {
                    state.iter().for_each(|(_, tensor)| touch(tensor));
                    return true;
                }
                Err(error) => error,
            }
        }
        Kind::Npy => match numpy::from_bytes(bytes) {
            Ok(tensor) => {
                touch(&tensor);
                return true;
            }
            Err(error) => error,
        },
    };
    assert!(!error.message().is_empty() && error.message().len() < 100_000);
    false
}

fn fixture(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    std::fs::read(folder.join(name)).unwrap()
}

fn good() -> Vec<(Kind, Vec<u8>)> {
    let torch = "dtypes kinds sharing training legacy legacy_dtypes legacy_kinds legacy_training";
    let mut out: Vec<(Kind, Vec<u8>)> =
        torch.split(' ').map(|name| (Kind::Torch, fixture(&format!("checkpoints/{name}.pt")))).collect();
    let state: StateDict =
        [("a", ones([2, 3], ()).unwrap()), ("b.c", ones([0, 2], flambeau::DType::Int16).unwrap())]
            .into_iter()
            .map(|(name, tensor)| (name.to_string(), tensor))
            .collect();
    out.push((Kind::Torch, io::to_bytes(&state).unwrap()));
    for _ in 0..3 {
        out.push((Kind::Safetensors, safetensors::save(&state, &[("by", "us")]).unwrap()));
        out.push((Kind::Npy, numpy::to_bytes(&state["a"]).unwrap()));
    }
    out.push((Kind::Npz, fixture("arrays.npz")));
    out.push((Kind::Npz, fixture("arrays_compressed.npz")));
    out
}

/// Numbers that are the same in every run.
struct Draw(u64);
impl Draw {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }
    /// A size or an offset that a reader may trip over.
    fn number(&mut self, length: usize) -> u64 {
        let numbers = [
            0,
            1,
            7,
            8,
            255,
            65535,
            (1 << 31) - 1,
            1 << 31,
            (1 << 32) - 1,
            1 << 40,
            1 << 62,
            (1 << 63) - 1,
            1 << 63,
            u64::MAX,
            length as u64,
            (length as u64).wrapping_sub(1),
        ];
        match self.below(numbers.len() + 1) {
            i if i < numbers.len() => numbers[i],
            _ => self.below(length.max(1)) as u64,
        }
    }
}

fn mutate(draw: &mut Draw, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..[1, 1, 1, 2, 3, 8][draw.below(6)] {
        if bytes.is_empty() {
            return;
        }
        let (place, length) = (draw.below(bytes.len()), bytes.len());
        let some = |draw: &mut Draw| (place + 1 + draw.below(64)).min(length);
        match draw.below(9) {
            0 => bytes[place] ^= 1 << draw.below(8),
            1 => bytes[place] = draw.below(256) as u8,
            2 | 3 => {
                let width = [1, 2, 4, 8][draw.below(4)].min(length - place);
                let number = draw.number(length);
                bytes[place..place + width].copy_from_slice(&number.to_le_bytes()[..width]);
            }
            4 => bytes.truncate(place),
            5 => drop(bytes.drain(place..some(draw))),
            6 => {
                let piece = bytes[place..some(draw)].to_vec();
                let at = draw.below(length);
                bytes.splice(at..at, piece);
            }
            7 => {
                let start = draw.below(other.len());
                let piece = &other[start..(start + 1 + draw.below(200)).min(other.len())];
                bytes.splice(place..place, piece.iter().copied());
            }
            _ => {
                // The numbers of headers in text.
                let digits: Vec<usize> =
                    (0..length.min(4000)).filter(|&i| bytes[i].is_ascii_digit()).collect();
                if !digits.is_empty() {
                    let at = digits[draw.below(digits.len())];
                    let text = draw.number(length).to_string();
                    bytes.splice(at..at + 1, text.bytes());
                }
            }
        }
    }
}

/// Where an archive's sizes, offsets and counts stand, and how wide they are.
fn fields(bytes: &[u8]) -> Vec<(usize, usize)> {
    let marks: [(&[u8], &[(usize, usize)]); 3] = [
        (b"PK\x01\x02", &[(8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (42, 4)]),
        (b"PK\x03\x04", &[(6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)]),
        (b"PK\x05\x06", &[(8, 2), (10, 2), (12, 4), (16, 4), (20, 2)]),
    ];
    let mut out = Vec::new();
    for (mark, places) in marks {
        let starts = (0..bytes.len()).filter(|&i| bytes[i..].starts_with(mark));
        for start in starts {
            let fits = places.iter().map(|&(place, width)| (start + place, width));
            out.extend(fits.filter(|&(place, width)| place + width <= bytes.len()));
        }
    }
    out
}

type Records = Vec<(String, Vec<u8>)>;

fn records(bytes: &[u8]) -> Records {
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut out = Vec::new();
    for i in 0..zip.len() {
        let mut entry = zip.by_index(i).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        out.push((entry.name().unwrap().into_owned(), bytes));
    }
    out
}
fn zipped(records: &Records) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in records {
        zip.start_file(name.as_str(), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn every_beginning_of_a_file_is_refused() {
    for (kind, bytes) in good() {
        assert!(read(kind, &bytes));
        for length in 0..bytes.len() {
            assert!(!read(kind, &bytes[..length]), "{kind:?} of {} bytes cut at {length}", bytes.len());
        }
    }
}

#[test]
fn damaged_files_are_read_or_refused() {
    let count = std::env::var("FLAMBEAU_FUZZ_FILES").ok().and_then(|text| text.parse().ok()).unwrap_or(FILES);
    let files = good();
    let parts: Vec<Option<(Records, Vec<(usize, usize)>)>> = files
        .iter()
        .map(|(_, bytes)| bytes.starts_with(b"PK").then(|| (records(bytes), fields(bytes))))
        .collect();
    let (mut draw, mut known) = (Draw(1444), 0);
    for _ in 0..count {
        let chosen = draw.below(files.len());
        let (kind, file) = &files[chosen];
        let other = &files[draw.below(files.len())].1;
        let mut bytes = file.clone();
        match (&parts[chosen], draw.below(3)) {
            (Some((_, fields)), 0) => {
                for _ in 0..1 + draw.below(3) {
                    let (place, width) = fields[draw.below(fields.len())];
                    let number = draw.number(bytes.len());
                    bytes[place..place + width].copy_from_slice(&number.to_le_bytes()[..width]);
                }
            }
            (Some((records, _)), 1) => {
                let mut records = records.clone();
                let pickle = records.iter().position(|(name, _)| name.ends_with("/data.pkl"));
                let place = pickle.filter(|_| draw.below(5) > 0).unwrap_or_else(|| draw.below(records.len()));
                mutate(&mut draw, &mut records[place].1, other);
                bytes = zipped(&records);
            }
            _ => mutate(&mut draw, &mut bytes, other),
        }
        known += read(*kind, &bytes) as usize;
    }
    // Much of the damage is noticed, and some of it is none.
    assert!((count / 50..count - count / 4).contains(&known), "{known} of {count} were read");
}
