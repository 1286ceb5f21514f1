//! PyTorch's format before 1.6: pickles one after another (a number, a version, facts of the machine, the object, the keys
//! of its storages), then for each key the number of elements and the elements.

use super::Value;
use super::numpy::swap;
use super::unpickle::first_of;
use crate::{DType, Result, Tensor};
use flambeau_core::bail;
use std::collections::HashMap;

/// 0x1950a86a20f9469cfc6c, low byte first.
const MAGIC: &[u8] = &[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const VERSION: i64 = 1001;

/// What the object says of a storage.
struct Declared {
    nbytes: usize,
    dtype: DType,
}

fn plain(bytes: &[u8], place: &mut usize) -> Result<Value> {
    let rest = bytes.get(*place..).unwrap_or_default();
    let none = &mut |_: &str, _, _| bail!("the header of the file refers to a storage");
    let (value, length) = first_of(rest, none)?;
    *place += length;
    Ok(value)
}

/// The object of a file.
pub(super) fn read(bytes: &[u8]) -> Result<Value> {
    let place = &mut 0;
    if !matches!(plain(bytes, place)?, Value::BigInt(number) if number == MAGIC) {
        bail!("Invalid magic number; corrupt file?");
    }
    match plain(bytes, place)? {
        Value::Int(VERSION) => {}
        other => bail!("Invalid protocol version: {}", other.kind()),
    }
    let facts = plain(bytes, place)?;
    let little = !matches!(facts.get("little_endian"), Some(Value::Bool(false)));

    // The storages come after the object that says how large they are, hence it is read twice.
    let object = &bytes[*place..];
    let mut declared: HashMap<String, Declared> = HashMap::new();
    let (_, length) = first_of(object, &mut |key, nbytes, dtype| {
        declared.entry(key.to_string()).or_insert(Declared { nbytes, dtype });
        Ok(None)
    })?;
    *place += length;
    let keys = plain(bytes, place)?;
    let storages = storages(bytes.get(*place..).unwrap_or_default(), &keys, &declared, little)?;
    let value = first_of(object, &mut |key, _, _| match storages.get(key) {
        Some(storage) => Ok(Some(storage.clone())),
        None => bail!("the file does not hold the storages that it refers to; corrupt file?"),
    });
    Ok(value?.0)
}

fn storages(
    mut bytes: &[u8],
    keys: &Value,
    declared: &HashMap<String, Declared>,
    little: bool,
) -> Result<HashMap<String, Tensor>> {
    let strays = "the file does not hold the storages that it refers to; corrupt file?";
    let Value::List(keys) = keys else { bail!("{strays}") };
    let mut out = HashMap::new();
    for key in keys {
        let key = match key {
            Value::Int(number) => number.to_string(),
            Value::Str(text) => text.clone(),
            _ => bail!("{strays}"),
        };
        let Some(Declared { nbytes, dtype }) = declared.get(&key) else { bail!("{strays}") };
        let Some((count, rest)) = bytes.split_first_chunk::<8>() else {
            bail!("unexpected EOF: the file might be corrupted");
        };
        let count = if little { u64::from_le_bytes(*count) } else { u64::from_be_bytes(*count) };
        if count != (nbytes / dtype.size()) as u64 {
            bail!("the file's storages have other sizes than it declares; corrupt file?");
        }
        let Some((elements, rest)) = rest.split_at_checked(*nbytes) else {
            bail!("unexpected EOF: the file might be corrupted");
        };
        bytes = rest;
        let storage = if little == cfg!(target_endian = "little") {
            Tensor::from_bytes(elements, DType::UInt8, &[*nbytes as i64])?
        } else {
            let mut elements = elements.to_vec();
            swap(&mut elements, *dtype);
            Tensor::from_bytes(&elements, DType::UInt8, &[*nbytes as i64])?
        };
        if out.insert(key, storage).is_some() {
            bail!("{strays}");
        }
    }
    if out.len() != declared.len() {
        bail!("{strays}");
    }
    Ok(out)
}
