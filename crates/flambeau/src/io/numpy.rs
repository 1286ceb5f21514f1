//! NumPy's files: `.npy` for one array, `.npz` for several by name.

use super::StateDict;
use super::archive::{Records, Source, Target, Writer};
use super::files::replace;
use super::value::file_fault;
use crate::{DType, Error, Result, Tensor};
use flambeau_core::{bail, check_sizes};
use std::fs::File;
use std::io::{Cursor, Write};
use std::path::Path;

const MAGIC: &[u8] = b"\x93NUMPY";

/// NumPy makes no arrays of more.
const MOST_DIMENSIONS: usize = 64;

/// NumPy's name of each dtype, without the order of its bytes; it has none for `bfloat16`.
const DTYPES: [(DType, &str); 14] = [
    (DType::Bool, "b1"),
    (DType::UInt8, "u1"),
    (DType::Int8, "i1"),
    (DType::UInt16, "u2"),
    (DType::Int16, "i2"),
    (DType::UInt32, "u4"),
    (DType::Int32, "i4"),
    (DType::UInt64, "u8"),
    (DType::Int64, "i8"),
    (DType::Float16, "f2"),
    (DType::Float32, "f4"),
    (DType::Float64, "f8"),
    (DType::Complex64, "c8"),
    (DType::Complex128, "c16"),
];

/// The bytes of a `.npy` file.
///
/// ```
/// use flambeau::io::numpy;
/// let bytes = numpy::to_bytes(&flambeau::arange(0, 3, 1, ())?)?;
/// assert_eq!(numpy::from_bytes(&bytes)?.to_string(), "tensor([0, 1, 2])");
/// assert!(numpy::from_bytes(&bytes[..bytes.len() - 1]).is_err());
/// # Ok::<(), flambeau::Error>(())
/// ```
pub fn to_bytes(tensor: &Tensor) -> Result<Vec<u8>> {
    let Some((_, name)) = DTYPES.iter().find(|(dtype, _)| *dtype == tensor.dtype()) else {
        bail!(Type, "NumPy has no dtype for {}", tensor.dtype());
    };
    let order = if tensor.dtype().size() == 1 { '|' } else { '<' };
    let sizes = tensor.sizes();
    let shape = match &sizes[..] {
        [one] => format!("({one},)"),
        many => format!("({})", many.iter().map(i64::to_string).collect::<Vec<_>>().join(", ")),
    };
    let mut header = format!("{{'descr': '{order}{name}', 'fortran_order': False, 'shape': {shape}, }}");
    // The elements begin at a multiple of 64 bytes.
    let length = (MAGIC.len() + 4 + header.len() + 1).next_multiple_of(64) - MAGIC.len() - 4;
    header.extend(std::iter::repeat_n(' ', length - header.len() - 1));
    header.push('\n');
    let Ok(length) = u16::try_from(length) else {
        bail!(Value, "an array of too many dimensions for a file")
    };
    let mut out = [MAGIC, &[1, 0], &length.to_le_bytes(), header.as_bytes()].concat();
    out.extend(tensor.detach()?.to_bytes()?);
    Ok(out)
}

fn malformed(what: &str) -> Error {
    Error::value(format!("the .npy file is malformed: {what}"))
}

/// The tensor of a `.npy` file's bytes.
pub fn from_bytes(bytes: &[u8]) -> Result<Tensor> {
    let cut = |from: usize, n: usize| bytes.get(from..).and_then(|rest| rest.get(..n));
    if cut(0, 6) != Some(MAGIC) {
        return Err(malformed("it does not begin as one"));
    }
    let ends_early = || malformed("it ends early");
    let major = cut(6, 2).ok_or_else(ends_early)?[0];
    let width = if major == 1 { 2 } else { 4 };
    if !(1..=3).contains(&major) {
        return Err(malformed("its version is not known"));
    }
    let digits = cut(8, width).ok_or_else(ends_early)?;
    let length = digits.iter().rev().fold(0usize, |n, &byte| n << 8 | byte as usize);
    let header = cut(8 + width, length).ok_or_else(ends_early)?;
    let header = std::str::from_utf8(header).map_err(|_| malformed("its header is not a text"))?;
    let header = Header::parse(header)?;

    let dtype = header.dtype;
    let count = header.shape.iter().try_fold(dtype.size(), |n, &s| n.checked_mul(usize::try_from(s).ok()?));
    let data = count.and_then(|n| cut(8 + width + length, n)).ok_or_else(ends_early)?;
    let mut swapped;
    let data = match header.swapped {
        false => data,
        true => {
            swapped = data.to_vec();
            swap(&mut swapped, dtype);
            &swapped[..]
        }
    };
    if !header.fortran {
        return Tensor::from_bytes(data, dtype, &header.shape);
    }
    let shape: Vec<i64> = header.shape.iter().rev().copied().collect();
    let order: Vec<i64> = (0..shape.len() as i64).rev().collect();
    Tensor::from_bytes(data, dtype, &shape)?.permute(&order)
}

/// Elements in the other order of bytes.
pub(super) fn swap(bytes: &mut [u8], dtype: DType) {
    let part = if dtype.is_complex() { dtype.size() / 2 } else { dtype.size() };
    bytes.chunks_exact_mut(part).for_each(<[u8]>::reverse);
}

struct Header {
    dtype: DType,
    swapped: bool,
    fortran: bool,
    shape: Vec<i64>,
}

impl Header {
    /// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`.
    fn parse(text: &str) -> Result<Header> {
        let body = text.trim().strip_prefix('{').and_then(|t| t.strip_suffix('}'));
        let mut rest = body.ok_or_else(|| malformed("its header is not a dictionary"))?.trim();
        let (mut dtype, mut fortran, mut shape) = (None, None, None);
        while !rest.is_empty() {
            let (key, after) =
                rest.split_once(':').ok_or_else(|| malformed("its header has a key without a value"))?;
            let after = after.trim_start();
            let end = match after.as_bytes().first() {
                Some(b'(') => after.find(')').map(|n| n + 1),
                Some(b'[') => bail!(Type, "arrays of records cannot be tensors"),
                _ => Some(after.find(',').unwrap_or(after.len())),
            };
            let end = end.ok_or_else(|| malformed("its shape has no end"))?;
            let value = after[..end].trim();
            match key.trim().trim_matches(['\'', '"']) {
                "descr" => dtype = Some(descr(value.trim_matches(['\'', '"']))?),
                "fortran_order" => fortran = Some(value == "True"),
                "shape" => {
                    let inside = value.trim_start_matches('(').trim_end_matches(')');
                    let numbers = inside.split(',').map(str::trim).filter(|n| !n.is_empty());
                    let numbers = numbers.map(|n| n.trim_end_matches('L').parse::<i64>());
                    let numbers = numbers.collect::<std::result::Result<Vec<_>, _>>();
                    shape = Some(numbers.map_err(|_| malformed("its shape is not of integers"))?);
                }
                other => return Err(malformed(&format!("its header has {other:?}"))),
            }
            rest = after[end..].trim_start().trim_start_matches(',').trim();
        }
        let (Some((dtype, swapped)), Some(fortran), Some(shape)) = (dtype, fortran, shape) else {
            return Err(malformed("its header lacks a dtype, an order or a shape"));
        };
        if shape.len() > MOST_DIMENSIONS {
            bail!(Value, "an array of {} dimensions: NumPy's have at most {MOST_DIMENSIONS}", shape.len());
        }
        check_sizes(&shape)?;
        Ok(Header { dtype, swapped, fortran, shape })
    }
}

/// The dtype that NumPy writes so, and whether its bytes are in the other order.
fn descr(text: &str) -> Result<(DType, bool)> {
    let name = text.trim_start_matches(['<', '>', '=', '|']);
    match DTYPES.iter().find(|(_, known)| *known == name) {
        Some((dtype, _)) => Ok((*dtype, text.starts_with('>') && dtype.size() > 1)),
        None => bail!(Type, "an array of NumPy's dtype {text:?} cannot be a tensor"),
    }
}

/// Writes a `.npy` file, `numpy.save`.
pub fn save(path: impl AsRef<Path>, tensor: &Tensor) -> Result<()> {
    let (path, bytes) = (path.as_ref(), to_bytes(tensor)?);
    replace(path, |file| file.write_all(&bytes).map_err(|error| file_fault(path, error)))
}

/// The tensor of a `.npy` file, `numpy.load`.
pub fn load(path: impl AsRef<Path>) -> Result<Tensor> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|error| file_fault(path, error))?;
    from_bytes(&bytes).map_err(|e| e.map_message(|text| format!("{}: {text}", path.display())))
}

fn write_npz(tensors: &StateDict, target: &mut dyn Target) -> Result<()> {
    let mut writer = Writer::new(target);
    for (name, tensor) in tensors.iter() {
        writer.put(&format!("{name}.npy"), &to_bytes(tensor)?)?;
    }
    writer.finish()
}

fn read_npz(source: &mut dyn Source) -> Result<StateDict> {
    let mut records = Records::open(source)?;
    let mut out = StateDict::new();
    for name in records.names() {
        let tensor = from_bytes(&records.read(&name, None)?)?;
        out.insert(name.strip_suffix(".npy").unwrap_or(&name), tensor);
    }
    Ok(out)
}

/// Writes a `.npz` file of tensors by name, `numpy.savez`.
pub fn savez(path: impl AsRef<Path>, tensors: &StateDict) -> Result<()> {
    replace(path.as_ref(), |file| write_npz(tensors, file))
}

/// The tensors of a `.npz` file by name, `numpy.load`; compressed ones are read too.
pub fn loadz(path: impl AsRef<Path>) -> Result<StateDict> {
    let path = path.as_ref();
    let mut file = File::open(path).map_err(|error| file_fault(path, error))?;
    read_npz(&mut file).map_err(|e| e.map_message(|text| format!("{}: {text}", path.display())))
}

/// The bytes of a `.npz` file.
///
/// ```
/// use flambeau::io::{StateDict, numpy};
/// let arrays: StateDict = [("x".to_string(), flambeau::ones([2], ())?)].into_iter().collect();
/// assert_eq!(numpy::from_npz(&numpy::to_npz(&arrays)?)?["x"].to_string(), "tensor([1., 1.])");
/// # Ok::<(), flambeau::Error>(())
/// ```
pub fn to_npz(tensors: &StateDict) -> Result<Vec<u8>> {
    let mut out = Cursor::new(Vec::new());
    write_npz(tensors, &mut out)?;
    Ok(out.into_inner())
}

/// The tensors of a `.npz` file's bytes by name.
pub fn from_npz(bytes: &[u8]) -> Result<StateDict> {
    read_npz(&mut Cursor::new(bytes))
}
