//! Tensors by name in the format `safetensors`: a header with names, dtypes, shapes and places, then the bytes. Reading one
//! runs no code and looks at nothing beyond the file.

use super::StateDict;
use super::files::replace;
use super::value::file_fault;
use crate::{DType, Error, Result, Tensor};
use ::safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use flambeau_core::bail;
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

/// The format's name of each dtype; it has none for `complex128`.
const DTYPES: [(DType, Dtype); 14] = [
    (DType::Bool, Dtype::BOOL),
    (DType::UInt8, Dtype::U8),
    (DType::Int8, Dtype::I8),
    (DType::Int16, Dtype::I16),
    (DType::UInt16, Dtype::U16),
    (DType::Float16, Dtype::F16),
    (DType::BFloat16, Dtype::BF16),
    (DType::Int32, Dtype::I32),
    (DType::UInt32, Dtype::U32),
    (DType::Float32, Dtype::F32),
    (DType::Complex64, Dtype::C64),
    (DType::Float64, Dtype::F64),
    (DType::Int64, Dtype::I64),
    (DType::UInt64, Dtype::U64),
];

fn fault(error: SafeTensorError) -> Error {
    Error::value(format!("Error while reading or writing safetensors: {error}"))
}

/// The bytes of a file of these tensors. Tensors that share memory are written one by one.
///
/// ```
/// use flambeau::io::StateDict;
/// use flambeau::io::safetensors::{load, save};
/// let state: StateDict = [("x".to_string(), flambeau::arange(0, 3, 1, ())?)].into_iter().collect();
/// let bytes = save(&state, &[])?;
/// assert_eq!(load(&bytes)?["x"].to_string(), "tensor([0, 1, 2])");
/// assert!(load(&bytes[..bytes.len() - 1]).is_err());
/// # Ok::<(), flambeau::Error>(())
/// ```
pub fn save(state: &StateDict, metadata: &[(&str, &str)]) -> Result<Vec<u8>> {
    let mut parts = Vec::with_capacity(state.len());
    for (name, tensor) in state.iter() {
        let Some((_, dtype)) = DTYPES.iter().find(|(ours, _)| *ours == tensor.dtype()) else {
            bail!(Value, "safetensors has no dtype for {} of tensor {name:?}", tensor.dtype());
        };
        let shape: Vec<usize> = tensor.sizes().iter().map(|&n| n as usize).collect();
        parts.push((name, *dtype, shape, tensor.to_bytes()?));
    }
    let mut views = Vec::with_capacity(parts.len());
    for (name, dtype, shape, bytes) in &parts {
        views.push((*name, TensorView::new(*dtype, shape.clone(), bytes).map_err(fault)?));
    }
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    ::safetensors::serialize(views, (!metadata.is_empty()).then_some(metadata)).map_err(fault)
}

/// The tensors of a file's bytes, in the order in which they lie in it.
pub fn load(bytes: &[u8]) -> Result<StateDict> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(fault)?;
    let file = SafeTensors::deserialize(bytes).map_err(fault)?;
    let mut out = StateDict::new();
    for name in header.offset_keys() {
        let view = file.tensor(&name).map_err(fault)?;
        let Some((dtype, _)) = DTYPES.iter().find(|(_, theirs)| *theirs == view.dtype()) else {
            bail!(Value, "tensor {name:?} has dtype {:?}, which is not supported", view.dtype());
        };
        let mut sizes = Vec::with_capacity(view.shape().len());
        for &n in view.shape() {
            match i64::try_from(n) {
                Ok(n) => sizes.push(n),
                Err(_) => bail!(Value, "tensor {name:?} has a size of {n}"),
            }
        }
        out.insert(name, Tensor::from_bytes(view.data(), *dtype, &sizes)?);
    }
    Ok(out)
}

/// Writes tensors to a file, by way of a second one beside it, so that a failure leaves the old file as it was.
pub fn save_file(state: &StateDict, path: impl AsRef<Path>, metadata: &[(&str, &str)]) -> Result<()> {
    let path = path.as_ref();
    let bytes = save(state, metadata)?;
    replace(path, |file| file.write_all(&bytes).map_err(|error| file_fault(path, error)))
}

/// The tensors of a file.
pub fn load_file(path: impl AsRef<Path>) -> Result<StateDict> {
    let path = path.as_ref();
    load(&std::fs::read(path).map_err(|error| file_fault(path, error))?)
}
