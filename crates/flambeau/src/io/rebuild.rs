//! The names that a pickle may have, and what calling them makes.

use super::Value;
use super::unpickle::{Bits, Id, Machine, Node, layout};
use crate::{Array, C64, DType, Device, Result, Tensor};
use flambeau_core::{Dims, bail, check_sizes, required_bytes};

/// The memory of a storage as a tensor of bytes, none for `meta`, and the dtype that its class stands for.
#[derive(Clone)]
pub(super) struct Memory {
    pub(super) bytes: Option<Tensor>,
    pub(super) dtype: Option<DType>,
    /// The first element and the number of elements of a part of the memory.
    pub(super) part: Option<(usize, usize)>,
}

/// A function or a class that a file may name. Those of tensors come in the versions of the format.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Call {
    OrderedDict,
    Counter,
    Encode,
    ByteArray,
    Set,
    Complex,
    Size,
    Device,
    GetLayout,
    Tensor,
    TensorV2,
    TensorV3,
    Parameter,
    ParameterWithState,
    Meta,
    FromType,
    /// `Tensor`, `Parameter` and their like, named but not called.
    Class,
}

const CALLS: [(&str, Call); 20] = [
    ("collections.OrderedDict", Call::OrderedDict),
    ("collections.Counter", Call::Counter),
    ("_codecs.encode", Call::Encode),
    ("builtins.bytearray", Call::ByteArray),
    ("builtins.set", Call::Set),
    ("builtins.complex", Call::Complex),
    ("torch.Size", Call::Size),
    ("torch.device", Call::Device),
    ("torch.serialization._get_layout", Call::GetLayout),
    ("torch._utils._rebuild_tensor", Call::Tensor),
    ("torch._utils._rebuild_tensor_v2", Call::TensorV2),
    ("torch._utils._rebuild_tensor_v3", Call::TensorV3),
    ("torch._utils._rebuild_parameter", Call::Parameter),
    ("torch._utils._rebuild_parameter_with_state", Call::ParameterWithState),
    ("torch._utils._rebuild_meta_tensor_no_storage", Call::Meta),
    ("torch._tensor._rebuild_from_type_v2", Call::FromType),
    ("torch.Tensor", Call::Class),
    ("torch.nn.parameter.Parameter", Call::Class),
    ("torch.nn.parameter.Buffer", Call::Class),
    ("torch.nn.Parameter", Call::Class),
];

/// What a name stands for.
pub(super) fn find(module: &str, name: &str) -> Result<Node> {
    let (package, rest) = module.split_once('.').map_or((module, ""), |(package, rest)| (package, rest));
    let package = match package {
        "flambeau" => "torch",
        "__builtin__" => "builtins",
        other => other,
    };
    let full = if rest.is_empty() { format!("{package}.{name}") } else { format!("{package}.{rest}.{name}") };
    if let Some((_, call)) = CALLS.iter().find(|(known, _)| *known == full) {
        return Ok(Node::Call(*call));
    }
    if full == "torch.storage.UntypedStorage" {
        return Ok(Node::StorageClass(None));
    }
    if let Some(name) = full.strip_prefix("torch.") {
        let typed = |d: &&DType| !matches!(d, DType::UInt16 | DType::UInt32 | DType::UInt64);
        if let Some(class) = name.strip_suffix("Storage")
            && let Some(dtype) = DType::ALL.iter().filter(typed).find(|d| d.cpp_name() == class)
        {
            return Ok(Node::StorageClass(Some(*dtype)));
        }
        if let Some(dtype) = DType::ALL.iter().find(|d| d.name() == name) {
            return Ok(Node::Value(Value::DType(*dtype)));
        }
        if let Some(layout) = layout(name) {
            return Ok(Node::Value(Value::Layout(layout)));
        }
    }
    bail!(
        "Unsupported global: the file names {full}, which is not among what files of tensors need; only state dicts and values of plain types can be loaded"
    )
}

impl Machine<'_> {
    /// Calls a function, or makes an object of a class.
    pub(super) fn call(&mut self, function: Id, arguments: Id, new: bool) -> Result<Node> {
        let Node::Call(call) = self.nodes[function] else {
            bail!("the pickle calls something that is not a function");
        };
        self.copy(arguments)?;
        let a = self.tuple(arguments)?.to_vec();
        if call != Call::FromType {
            a.iter().try_for_each(|&id| self.copy(id))?;
        }
        if new && (call != Call::OrderedDict || !a.is_empty()) {
            bail!("the pickle makes an object of a class that files of tensors do not need");
        }
        let tensor = |tensor| Ok(Node::Value(Value::Tensor(tensor)));
        match (call, &a[..]) {
            (Call::OrderedDict, []) => Ok(Node::Dict { ordered: true, entries: Vec::new() }),
            (Call::OrderedDict, [list]) => {
                let Node::List(items) = &self.nodes[*list] else {
                    bail!("OrderedDict is known for lists of pairs only");
                };
                let mut entries = Vec::with_capacity(items.len());
                for &item in items {
                    match &self.nodes[item] {
                        Node::List(pair) | Node::Tuple(pair) if pair.len() == 2 => {
                            entries.push((pair[0], pair[1]))
                        }
                        _ => bail!("OrderedDict is known for lists of pairs only"),
                    }
                }
                Ok(Node::Dict { ordered: true, entries })
            }
            (Call::Counter, []) => Ok(Node::Dict { ordered: false, entries: Vec::new() }),
            (Call::Counter, [counts]) => match &self.nodes[*counts] {
                Node::Dict { entries, .. } => Ok(Node::Dict { ordered: false, entries: entries.clone() }),
                _ => bail!("Counter is known for dictionaries only"),
            },
            (Call::ByteArray, []) => Ok(Node::Value(Value::Bytes(Vec::new()))),
            (Call::ByteArray, [data]) => match &self.nodes[*data] {
                Node::Value(Value::Bytes(bytes)) => Ok(Node::Value(Value::Bytes(bytes.clone()))),
                _ => bail!("bytearray is known for bytes only"),
            },
            (Call::Encode | Call::ByteArray, [text, encoding]) => {
                if self.str(*encoding)? != "latin1" {
                    bail!("_codecs.encode is known for text in latin1 only");
                }
                let bytes = self.str(*text)?.chars().map(|c| u8::try_from(c as u32).ok());
                match bytes.collect::<Option<Vec<u8>>>() {
                    Some(bytes) => Ok(Node::Value(Value::Bytes(bytes))),
                    None => bail!("the pickle has a text that is not in latin1"),
                }
            }
            (Call::Set, []) => Ok(Node::Set(Vec::new())),
            (Call::Set, [items]) => match &self.nodes[*items] {
                Node::List(items) => Ok(Node::Set(items.clone())),
                _ => bail!("set is known for lists only"),
            },
            (Call::Complex, [re, im]) => {
                Ok(Node::Value(Value::Complex(C64::new(self.float(*re)?, self.float(*im)?))))
            }
            (Call::Size, [sizes]) => Ok(Node::Value(Value::Size(self.ints(*sizes)?))),
            (Call::Device, [kind]) => Ok(Node::Value(Value::Device(Device::parse(self.str(*kind)?)?))),
            (Call::Device, [kind, index]) => {
                let text = format!("{}:{}", self.str(*kind)?, self.int(*index)?);
                Ok(Node::Value(Value::Device(Device::parse(&text)?)))
            }
            (Call::GetLayout, [name]) => match layout(self.str(*name)?.trim_start_matches("torch.")) {
                Some(layout) => Ok(Node::Value(Value::Layout(layout))),
                None => bail!("only tensors of the layout torch.strided can be loaded"),
            },
            (Call::Tensor, [storage, offset, size, stride]) => {
                tensor(self.window(*storage, None, *offset, *size, *stride)?)
            }
            (Call::TensorV2, [storage, offset, size, stride, grad, _, metadata @ ..])
                if metadata.len() <= 1 =>
            {
                let out = self.window(*storage, None, *offset, *size, *stride)?;
                tensor(self.finish(out, *grad, metadata)?)
            }
            (Call::TensorV3, [storage, offset, size, stride, grad, _, dtype, metadata @ ..])
                if metadata.len() <= 1 =>
            {
                let out = self.window(*storage, Some(self.dtype(*dtype)?), *offset, *size, *stride)?;
                tensor(self.finish(out, *grad, metadata)?)
            }
            (Call::Parameter, [data, grad, _]) => tensor(self.parameter(*data, *grad)?),
            (Call::ParameterWithState, [data, grad, _, _]) => tensor(self.parameter(*data, *grad)?),
            (Call::Meta, [dtype, size, stride, grad]) => {
                let (sizes, strides) = (self.ints(*size)?, self.ints(*stride)?);
                let memory = Memory { bytes: None, dtype: Some(self.dtype(*dtype)?), part: None };
                let out = window(&memory, None, 0, &sizes, &strides)?;
                tensor(self.finish(out, *grad, &[])?)
            }
            (Call::FromType, [function, class, arguments, _]) => {
                if !matches!(self.nodes[*class], Node::Call(Call::Class)) {
                    bail!("the file has tensors of a class of its own");
                }
                if matches!(self.nodes[*function], Node::Call(Call::FromType)) {
                    bail!("the pickle rebuilds a tensor within a tensor");
                }
                self.call(*function, *arguments, false)
            }
            _ => bail!("the pickle calls {call:?} with {} arguments", a.len()),
        }
    }

    /// Attributes are passed over, those of modules' state dicts (their versions) among them.
    pub(super) fn check_attributes(&self, target: Id, state: Id) -> Result<()> {
        match self.nodes[target] {
            Node::Dict { ordered: true, .. } | Node::Value(Value::Tensor(_)) => {}
            _ => bail!("the pickle gives attributes to something that cannot have any"),
        }
        let state = match &self.nodes[state] {
            Node::Tuple(pair) if pair.len() == 2 => pair[0],
            _ => state,
        };
        match self.nodes[state] {
            Node::Dict { .. } => Ok(()),
            _ => bail!("the pickle has attributes that are not a dictionary"),
        }
    }

    fn dtype(&self, id: Id) -> Result<DType> {
        match self.nodes[id] {
            Node::Value(Value::DType(dtype)) => Ok(dtype),
            _ => bail!("the pickle has something else where a dtype must be"),
        }
    }
    /// A tensor over part of a storage.
    fn window(
        &mut self,
        storage: Id,
        dtype: Option<DType>,
        offset: Id,
        size: Id,
        stride: Id,
    ) -> Result<Tensor> {
        let memory = match &self.nodes[storage] {
            Node::Storage(memory) => memory.clone(),
            _ => bail!("the pickle has something else where a storage must be"),
        };
        if dtype.or(memory.dtype) == Some(DType::Bool)
            && let Some(bytes) = &memory.bytes
            && self.checked.insert(bytes.id())
            && bytes.gt_scalar(1)?.any()?.item()?.to_bool()
        {
            bail!("the file has bools that are neither 0 nor 1");
        }
        let (sizes, strides) = (self.ints(size)?, self.ints(stride)?);
        window(&memory, dtype, self.int(offset)?, &sizes, &strides)
    }
    /// With what was not stored in the memory itself: elements may be conjugated or negated.
    fn finish(&mut self, mut tensor: Tensor, grad: Id, metadata: &[Id]) -> Result<Tensor> {
        if let Some(&metadata) = metadata.first() {
            let entries = match &self.nodes[metadata] {
                Node::Dict { entries, .. } => &entries[..],
                Node::Value(Value::None) => &[],
                _ => bail!("the pickle has something else where a tensor's notes must be"),
            };
            let mut bits = Bits::default();
            for &(key, value) in entries {
                match self.str(key)? {
                    "conj" => bits.conj = self.bool(value)?,
                    "neg" => bits.neg = self.bool(value)?,
                    other => bail!("the file notes {other:?} of a tensor, which is not known"),
                }
            }
            tensor = self.resolve(tensor, bits)?;
        }
        if self.bool(grad)? {
            tensor.set_requires_grad(true)?;
        }
        Ok(tensor)
    }
    /// The same window of a storage with other elements: each storage is rewritten once, however many tensors view it.
    fn resolve(&mut self, tensor: Tensor, bits: Bits) -> Result<Tensor> {
        if bits == Bits::default() || tensor.is_meta() {
            return Ok(tensor);
        }
        let array = tensor.array();
        let key = (flambeau_core::Shared::as_ptr(&array.storage) as usize, array.dtype, bits);
        let whole = match self.resolved.get(&key) {
            Some(whole) => whole.array(),
            None => {
                let count = array.storage.nbytes() / array.dtype.size();
                let (sizes, strides) = (Dims::from_slice(&[count as i64]), Dims::from_slice(&[1]));
                let mut whole = Tensor::from_array(Array { sizes, strides, offset: 0, ..array.clone() });
                if bits.conj {
                    whole = whole.conj()?;
                }
                if bits.neg {
                    whole = crate::ops::neg(&whole)?;
                }
                self.resolved.insert(key, whole.clone());
                whole.array()
            }
        };
        Ok(Tensor::from_array(Array { storage: whole.storage, offset: whole.offset + array.offset, ..array }))
    }
    fn parameter(&self, data: Id, grad: Id) -> Result<Tensor> {
        let Node::Value(Value::Tensor(data)) = &self.nodes[data] else {
            bail!("the pickle has something else where a tensor must be");
        };
        data.alias().requires_grad_(self.bool(grad)?)
    }
}

/// A tensor over part of a storage, which must hold all of its elements.
fn window(
    memory: &Memory,
    dtype: Option<DType>,
    offset: i64,
    sizes: &[i64],
    strides: &[i64],
) -> Result<Tensor> {
    let Some(dtype) = dtype.or(memory.dtype) else { bail!("the file has a storage without a dtype") };
    check_sizes(sizes)?;
    flambeau_core::numel(sizes)?;
    let (offset, limit) = within(memory, dtype, offset)?;
    if offset < 0 || sizes.len() != strides.len() || strides.iter().any(|&stride| stride < 0) {
        bail!("the file has a tensor with an impossible place in its storage");
    }
    let need = required_bytes(sizes, strides, offset, dtype.size())?;
    let storage = match &memory.bytes {
        Some(bytes) => bytes.storage(),
        None => flambeau_core::Storage::new(need, Device::META, flambeau_core::Init::Uninit)?,
    };
    let array =
        Array { storage, dtype, sizes: Dims::from_slice(sizes), strides: Dims::from_slice(strides), offset };
    if need > limit.unwrap_or_else(|| array.storage.nbytes()) || !array.in_bounds() {
        bail!("the file has a tensor that reaches beyond its storage");
    }
    Ok(Tensor::from_array(array))
}

/// Where an element of a storage's part is in the memory, and where the part ends.
fn within(memory: &Memory, dtype: DType, offset: i64) -> Result<(i64, Option<usize>)> {
    let Some((first, count)) = memory.part else { return Ok((offset, None)) };
    let place = i64::try_from(first).ok().and_then(|first| first.checked_add(offset));
    let end = (first + count).checked_mul(dtype.size());
    match (place, end) {
        (Some(place), Some(end)) if offset >= 0 && memory.dtype.is_none_or(|own| own == dtype) => {
            Ok((place, Some(end)))
        }
        _ => bail!("the file has a tensor with an impossible place in its storage"),
    }
}
