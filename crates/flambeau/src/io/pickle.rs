//! Writes the pickles of PyTorch's files, in protocol 2 as it does.

use super::Value;
use super::unpickle::DEEPEST;
use crate::{DType, Layout, Result, Tensor};
use flambeau_core::{Shared, Storage, bail};
use std::collections::HashMap;

/// The pickle of a value, and the storages that it refers to by their numbers, with the dtype that they are seen as.
pub(super) fn pickle(value: &Value) -> Result<(Vec<u8>, Vec<(Shared<Storage>, DType)>)> {
    let mut writer = Writer { out: vec![0x80, 2], ..Writer::default() };
    writer.value(value, 0)?;
    writer.out.push(b'.');
    Ok((writer.out, writer.storages))
}

#[derive(Default)]
struct Writer {
    out: Vec<u8>,
    storages: Vec<(Shared<Storage>, DType)>,
    /// The numbers of storages by their places.
    numbers: HashMap<usize, usize>,
    /// What was written before, by its place in the reader's memo: texts, and names of classes and functions.
    texts: HashMap<String, u32>,
    names: HashMap<String, u32>,
    tensors: HashMap<usize, u32>,
    count: u32,
}

impl Writer {
    fn remember(&mut self) -> u32 {
        self.out.push(b'r');
        self.out.extend(self.count.to_le_bytes());
        self.count += 1;
        self.count - 1
    }
    fn recall(&mut self, number: u32) {
        self.out.push(b'j');
        self.out.extend(number.to_le_bytes());
    }
    fn global(&mut self, module: &str, name: &str) {
        let text = format!("c{module}\n{name}\n");
        if let Some(&number) = self.names.get(&text) {
            return self.recall(number);
        }
        self.out.extend(text.as_bytes());
        let number = self.remember();
        self.names.insert(text, number);
    }
    fn length(&mut self, code: u8, n: usize) -> Result<()> {
        let Ok(n) = u32::try_from(n) else { bail!(Value, "a text of {n} bytes is too long for a file") };
        self.out.push(code);
        self.out.extend(n.to_le_bytes());
        Ok(())
    }
    fn str(&mut self, text: &str) -> Result<()> {
        if let Some(&number) = self.texts.get(text) {
            self.recall(number);
            return Ok(());
        }
        self.length(b'X', text.len())?;
        self.out.extend(text.as_bytes());
        // Short ones come again: names of settings and of dtypes.
        if text.len() <= 32 {
            let number = self.remember();
            self.texts.insert(text.to_string(), number);
        }
        Ok(())
    }
    fn int(&mut self, n: i64) {
        match i32::try_from(n) {
            Ok(n @ 0..=255) => self.out.extend([b'K', n as u8]),
            Ok(n) => {
                self.out.push(b'J');
                self.out.extend(n.to_le_bytes());
            }
            Err(_) => {
                self.out.extend([0x8a, 8]);
                self.out.extend(n.to_le_bytes());
            }
        }
    }
    fn bool(&mut self, on: bool) {
        self.out.push(if on { 0x88 } else { 0x89 });
    }
    fn ints(&mut self, items: &[i64]) {
        self.out.push(b'(');
        items.iter().for_each(|&n| self.int(n));
        self.out.push(b't');
    }
    fn all(&mut self, items: &[Value], depth: usize) -> Result<()> {
        self.out.push(b'(');
        items.iter().try_for_each(|item| self.value(item, depth + 1))
    }

    fn value(&mut self, value: &Value, depth: usize) -> Result<()> {
        if depth > DEEPEST {
            bail!(Value, "containers nest more than {DEEPEST} deep");
        }
        match value {
            Value::None => self.out.push(b'N'),
            Value::Bool(on) => self.bool(*on),
            Value::Int(n) => self.int(*n),
            Value::BigInt(bytes) => {
                let Ok(n) = u8::try_from(bytes.len()) else {
                    bail!(Value, "an integer is too large for a file")
                };
                self.out.extend([0x8a, n]);
                self.out.extend(bytes);
            }
            Value::Float(x) => {
                self.out.push(b'G');
                self.out.extend(x.to_be_bytes());
            }
            Value::Complex(z) => {
                self.global("__builtin__", "complex");
                for part in [z.re, z.im] {
                    self.out.push(b'G');
                    self.out.extend(part.to_be_bytes());
                }
                self.out.extend([0x86, b'R']);
            }
            Value::Str(text) => self.str(text)?,
            Value::Bytes(bytes) => {
                self.global("_codecs", "encode");
                let text: String = bytes.iter().map(|&byte| byte as char).collect();
                self.length(b'X', text.len())?;
                self.out.extend(text.as_bytes());
                self.str("latin1")?;
                self.out.extend([0x86, b'R']);
            }
            Value::Tensor(tensor) => self.tensor(tensor)?,
            Value::DType(dtype) => self.global("torch", dtype.name()),
            Value::Device(device) => {
                self.global("torch", "device");
                self.out.push(b'(');
                self.str(device.type_name())?;
                if let Some(index) = device.index {
                    self.int(index.into());
                }
                self.out.extend(b"tR");
            }
            Value::Layout(Layout::Strided) => {
                self.global("torch.serialization", "_get_layout");
                self.out.push(b'(');
                self.str("torch.strided")?;
                self.out.extend(b"tR");
            }
            Value::Layout(layout) => bail!(Value, "the layout {layout:?} cannot be saved"),
            Value::Size(sizes) => {
                self.global("torch", "Size");
                self.out.push(b'(');
                self.ints(sizes);
                self.out.extend(b"tR");
            }
            Value::List(items) => {
                self.out.push(b']');
                self.all(items, depth)?;
                self.out.push(b'e');
            }
            Value::Tuple(items) => {
                self.all(items, depth)?;
                self.out.push(b't');
            }
            Value::Set(items) => {
                self.global("__builtin__", "set");
                self.out.extend(b"(]");
                self.all(items, depth)?;
                self.out.extend(b"etR");
            }
            Value::Dict(entries) | Value::OrderedDict(entries) => {
                if matches!(value, Value::OrderedDict(_)) {
                    self.global("collections", "OrderedDict");
                    self.out.extend(b")R");
                } else {
                    self.out.push(b'}');
                }
                self.out.push(b'(');
                for (key, value) in entries {
                    self.value(key, depth + 1)?;
                    self.value(value, depth + 1)?;
                }
                self.out.push(b'u');
            }
        }
        Ok(())
    }

    fn tensor(&mut self, tensor: &Tensor) -> Result<()> {
        if let Some(&number) = self.tensors.get(&tensor.id()) {
            self.recall(number);
            return Ok(());
        }
        let array = tensor.array();
        let dtype = array.dtype;
        if array.device().is_meta() {
            self.global("torch._utils", "_rebuild_meta_tensor_no_storage");
            self.out.push(b'(');
            self.global("torch", dtype.name());
            self.ints(&array.sizes);
            self.ints(&array.strides);
            self.bool(tensor.requires_grad());
            self.out.extend(b"tR");
            return Ok(());
        }
        if !array.in_bounds() {
            bail!("a tensor that reaches beyond its storage cannot be saved");
        }
        // No class of storages stands for these.
        let untyped = matches!(dtype, DType::UInt16 | DType::UInt32 | DType::UInt64);
        let version = if untyped { "_rebuild_tensor_v3" } else { "_rebuild_tensor_v2" };
        self.global("torch._utils", version);
        self.out.extend(b"((");
        self.str("storage")?;
        let nbytes = array.storage.nbytes();
        let count = if untyped {
            self.global("torch.storage", "UntypedStorage");
            nbytes
        } else {
            self.global("torch", &format!("{}Storage", dtype.cpp_name()));
            nbytes / dtype.size()
        };
        let number = self.number(&array.storage, dtype)?;
        self.str(&number.to_string())?;
        self.str("cpu")?;
        self.int(count as i64);
        self.out.extend(b"tQ");
        self.int(array.offset);
        self.ints(&array.sizes);
        self.ints(&array.strides);
        self.bool(tensor.requires_grad());
        self.global("collections", "OrderedDict");
        self.out.extend(b")R");
        if untyped {
            self.global("torch", dtype.name());
        }
        self.out.extend(b"tR");
        let number = self.remember();
        self.tensors.insert(tensor.id(), number);
        Ok(())
    }
    fn number(&mut self, storage: &Shared<Storage>, dtype: DType) -> Result<usize> {
        let next = self.storages.len();
        let number = *self.numbers.entry(Shared::as_ptr(storage) as usize).or_insert(next);
        if number == next {
            self.storages.push((storage.clone(), dtype));
        } else if self.storages[number].1 != dtype {
            bail!("Cannot save multiple tensors or storages that view the same data as different types");
        }
        Ok(number)
    }
}
