//! Reads the pickles of PyTorch's files. They are programs for a small machine; this one knows values, containers and a
//! fixed list of names, and calls nothing else whatever a file asks for.
//!
//! Objects live in a table, so that a pickle can make no more of them than it has bytes; they become a [`Value`] at the
//! end, within limits of depth and size that a file with references to itself runs into.

use super::Value;
use super::rebuild::{self, Call, Memory};
use crate::{DType, Layout, Result, Tensor};
use flambeau_core::bail;
use std::collections::{HashMap, HashSet};

/// How deeply containers may nest.
pub(super) const DEEPEST: usize = 500;
/// How many objects and bytes of text there may always be, and how many for each byte of a pickle: what is named twice
/// counts twice.
const ALWAYS: usize = 1 << 20;
const FOR_EACH_BYTE: usize = 16;
/// How many elements of containers and texts calls may copy for each byte of a pickle.
const COPIES: usize = 8;

pub(super) type Id = usize;

/// An object on the machine's stack.
pub(super) enum Node {
    Value(Value),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Set(Vec<Id>),
    Dict {
        ordered: bool,
        entries: Vec<(Id, Id)>,
    },
    Call(Call),
    /// A class of storages, by the dtype of their elements.
    StorageClass(Option<DType>),
    Storage(Memory),
}

/// Brings the storage that a file refers to, none if it is not there yet: its key, how many bytes it must have, and the
/// dtype of its elements.
pub(super) type Fetch<'a> = &'a mut dyn FnMut(&str, usize, DType) -> Result<Option<Tensor>>;

/// The value of a pickle.
pub(super) fn unpickle(data: &[u8], fetch: Fetch) -> Result<Value> {
    Ok(first_of(data, fetch)?.0)
}

/// The value of the pickle that the bytes begin with, and how long it is.
pub(super) fn first_of(data: &[u8], fetch: Fetch) -> Result<(Value, usize)> {
    let mut machine = Machine {
        data,
        place: 0,
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        fetch,
        checked: HashSet::new(),
        resolved: HashMap::new(),
        copied: 0,
    };
    let last = machine.run()?;
    let length = machine.place;
    let mut left = ALWAYS.saturating_add(length.saturating_mul(FOR_EACH_BYTE));
    Ok((machine.value(last, 0, &mut left)?, length))
}

pub(super) struct Machine<'a> {
    data: &'a [u8],
    place: usize,
    pub(super) nodes: Vec<Node>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    fetch: Fetch<'a>,
    /// The storages whose bytes were seen to be bools.
    pub(super) checked: HashSet<usize>,
    /// What storages hold once it is conjugated or negated, by their places.
    pub(super) resolved: HashMap<(usize, DType, Bits), Tensor>,
    copied: usize,
}

/// What a file may note of a tensor's elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Bits {
    pub(super) conj: bool,
    pub(super) neg: bool,
}

impl Machine<'_> {
    // the bytes

    fn take(&mut self, n: usize) -> Result<&[u8]> {
        match self.data.get(self.place..).and_then(|rest| rest.get(..n)) {
            Some(bytes) => {
                self.place += n;
                Ok(bytes)
            }
            None => bail!("the pickle ends early"),
        }
    }
    fn number(&mut self, width: usize) -> Result<usize> {
        let n = self.take(width)?.iter().rev().fold(0u64, |n, &byte| n << 8 | byte as u64);
        match usize::try_from(n) {
            Ok(n) => Ok(n),
            Err(_) => bail!("the pickle speaks of {n} bytes"),
        }
    }
    fn text(&mut self, n: usize) -> Result<Value> {
        match std::str::from_utf8(self.take(n)?) {
            Ok(text) => Ok(Value::Str(text.to_string())),
            Err(_) => bail!("the pickle has a text that is not in UTF-8"),
        }
    }
    fn line(&mut self) -> Result<String> {
        let rest = &self.data[self.place.min(self.data.len())..];
        let Some(n) = rest.iter().position(|&byte| byte == b'\n') else {
            bail!("the pickle ends early");
        };
        let line = String::from_utf8_lossy(&rest[..n]).into_owned();
        self.place += n + 1;
        Ok(line)
    }
    fn integer(&mut self, n: usize) -> Result<Value> {
        let bytes = self.take(n)?;
        Ok(match bytes.len() {
            0..=8 => Value::Int(signed(bytes)),
            _ => Value::BigInt(bytes.to_vec()),
        })
    }

    // the stack

    pub(super) fn push(&mut self, node: Node) {
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
    }
    fn pop(&mut self) -> Result<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.pop() {
            Some(id) if self.stack.len() >= floor => Ok(id),
            _ => bail!("the pickle takes from an empty stack"),
        }
    }
    fn top(&self) -> Result<Id> {
        match self.stack.last() {
            Some(&id) => Ok(id),
            None => bail!("the pickle takes from an empty stack"),
        }
    }
    fn since_mark(&mut self) -> Result<Vec<Id>> {
        match self.marks.pop() {
            Some(mark) if mark <= self.stack.len() => Ok(self.stack.split_off(mark)),
            _ => bail!("the pickle has no mark where it needs one"),
        }
    }
    fn last(&mut self, n: usize) -> Result<Vec<Id>> {
        let mut out = (0..n).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
        out.reverse();
        Ok(out)
    }
    fn recall(&mut self, key: usize) -> Result<()> {
        let Some(&id) = u32::try_from(key).ok().and_then(|key| self.memo.get(&key)) else {
            bail!("the pickle refers to an object that it does not have");
        };
        self.stack.push(id);
        Ok(())
    }
    fn remember(&mut self, key: usize) -> Result<()> {
        let Ok(key) = u32::try_from(key) else { bail!("the pickle has too many objects") };
        let id = self.top()?;
        self.memo.insert(key, id);
        Ok(())
    }

    // the program

    fn run(&mut self) -> Result<Id> {
        loop {
            let code = self.take(1)?[0];
            match code {
                0x80 => drop(self.take(1)?),
                0x95 => drop(self.take(8)?),
                b'.' => return self.pop(),
                b'N' => self.push(Node::Value(Value::None)),
                0x88 | 0x89 => self.push(Node::Value(Value::Bool(code == 0x88))),
                b'K' | b'M' => {
                    let n = self.number(if code == b'K' { 1 } else { 2 })?;
                    self.push(Node::Value(Value::Int(n as i64)));
                }
                b'J' => {
                    let value = Value::Int(signed(self.take(4)?));
                    self.push(Node::Value(value));
                }
                0x8a | 0x8b => {
                    let n = self.number(if code == 0x8a { 1 } else { 4 })?;
                    let value = self.integer(n)?;
                    self.push(Node::Value(value));
                }
                b'G' => {
                    let bits = self.take(8)?.iter().fold(0u64, |n, &byte| n << 8 | byte as u64);
                    self.push(Node::Value(Value::Float(f64::from_bits(bits))));
                }
                0x8c | b'U' | b'X' | b'T' | 0x8d => {
                    let n = self.number(width(code))?;
                    let value = self.text(n)?;
                    self.push(Node::Value(value));
                }
                b'C' | b'B' | 0x8e | 0x96 => {
                    let n = self.number(width(code))?;
                    let value = Value::Bytes(self.take(n)?.to_vec());
                    self.push(Node::Value(value));
                }
                b'}' => self.push(Node::Dict { ordered: false, entries: Vec::new() }),
                b']' => self.push(Node::List(Vec::new())),
                b')' => self.push(Node::Tuple(Vec::new())),
                0x8f => self.push(Node::Set(Vec::new())),
                b'(' => self.marks.push(self.stack.len()),
                b't' | b'l' | b'd' | 0x91 => {
                    let items = self.since_mark()?;
                    let node = match code {
                        b't' => Node::Tuple(items),
                        b'l' => Node::List(items),
                        0x91 => Node::Set(items),
                        _ => Node::Dict { ordered: false, entries: pairs(&items)? },
                    };
                    self.push(node);
                }
                0x85..=0x87 => {
                    let items = self.last(code as usize - 0x84)?;
                    self.push(Node::Tuple(items));
                }
                b'a' | b'e' | 0x90 => {
                    let items = if code == b'a' { self.last(1)? } else { self.since_mark()? };
                    let target = self.top()?;
                    match (&mut self.nodes[target], code) {
                        (Node::List(list), b'a' | b'e') | (Node::Set(list), 0x90) => list.extend(items),
                        _ => bail!("the pickle appends to something other than a list"),
                    }
                }
                b's' | b'u' => {
                    let items = if code == b's' { self.last(2)? } else { self.since_mark()? };
                    let target = self.top()?;
                    match &mut self.nodes[target] {
                        Node::Dict { entries, .. } => entries.extend(pairs(&items)?),
                        _ => bail!("the pickle sets items of something other than a dictionary"),
                    }
                }
                b'q' | b'r' => {
                    let key = self.number(if code == b'q' { 1 } else { 4 })?;
                    self.remember(key)?;
                }
                0x94 => self.remember(self.memo.len())?,
                b'h' | b'j' => {
                    let key = self.number(if code == b'h' { 1 } else { 4 })?;
                    self.recall(key)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push(rebuild::find(&module, &name)?);
                }
                0x93 => {
                    let names = self.last(2)?;
                    let node = rebuild::find(self.str(names[0])?, self.str(names[1])?)?;
                    self.push(node);
                }
                b'R' | 0x81 => {
                    let (arguments, function) = (self.pop()?, self.pop()?);
                    let node = self.call(function, arguments, code == 0x81)?;
                    self.push(node);
                }
                b'b' => {
                    let (state, target) = (self.pop()?, self.top()?);
                    self.check_attributes(target, state)?;
                }
                b'Q' => {
                    let id = self.pop()?;
                    let node = self.storage(id)?;
                    self.push(node);
                }
                b'0' => match self.marks.last() {
                    Some(&mark) if mark == self.stack.len() => drop(self.marks.pop()),
                    _ => drop(self.pop()?),
                },
                b'1' => drop(self.since_mark()?),
                b'2' => self.stack.push(self.top()?),
                _ => bail!("the pickle has the instruction {code:#04x}, which files of tensors do not need"),
            }
        }
    }

    /// A storage by its persistent id: `("storage", class, key, place, number of elements)`.
    fn storage(&mut self, id: Id) -> Result<Node> {
        let parts = match &self.nodes[id] {
            Node::Tuple(parts) if (5..=6).contains(&parts.len()) => parts.clone(),
            _ => bail!("the pickle refers to something other than a storage"),
        };
        if self.str(parts[0])? != "storage" {
            bail!("the pickle refers to something other than a storage");
        }
        let Node::StorageClass(dtype) = self.nodes[parts[1]] else {
            bail!("the pickle names something else where a class of storages must be");
        };
        let (key, place) = (self.str(parts[2])?.to_string(), self.str(parts[3])?);
        let meta = place == "meta";
        let elements = dtype.unwrap_or(DType::UInt8);
        let impossible = "the pickle gives a storage an impossible size";
        let Ok(count) = usize::try_from(self.int(parts[4])?) else { bail!("{impossible}") };
        let Some(nbytes) = count.checked_mul(elements.size()) else { bail!("{impossible}") };
        let part = match parts.get(5) {
            Some(&part) => self.part(part, count)?,
            None => None,
        };
        let bytes = if meta { None } else { (self.fetch)(&key, nbytes, elements)? };
        Ok(Node::Storage(Memory { bytes, dtype, part }))
    }
    /// The part of a storage that very old files refer to by a name of its own: its first element, how many it has.
    fn part(&self, id: Id, count: usize) -> Result<Option<(usize, usize)>> {
        if matches!(self.nodes[id], Node::Value(Value::None)) {
            return Ok(None);
        }
        let &[_, first, n] = self.tuple(id)? else {
            bail!("the pickle has a malformed view of a storage");
        };
        match (usize::try_from(self.int(first)?), usize::try_from(self.int(n)?)) {
            (Ok(first), Ok(n)) if first.checked_add(n).is_some_and(|end| end <= count) => {
                Ok(Some((first, n)))
            }
            _ => bail!("the pickle has a view that reaches beyond its storage"),
        }
    }

    // what arguments are

    pub(super) fn str(&self, id: Id) -> Result<&str> {
        match &self.nodes[id] {
            Node::Value(Value::Str(text)) => Ok(text),
            _ => bail!("the pickle has something else where a text must be"),
        }
    }
    pub(super) fn int(&self, id: Id) -> Result<i64> {
        match &self.nodes[id] {
            Node::Value(Value::Int(n)) => Ok(*n),
            _ => bail!("the pickle has something else where an integer must be"),
        }
    }
    pub(super) fn bool(&self, id: Id) -> Result<bool> {
        match &self.nodes[id] {
            Node::Value(Value::Bool(on)) => Ok(*on),
            _ => bail!("the pickle has something else where True or False must be"),
        }
    }
    pub(super) fn float(&self, id: Id) -> Result<f64> {
        match &self.nodes[id] {
            Node::Value(value @ (Value::Float(_) | Value::Int(_))) => value.as_f64(),
            _ => bail!("the pickle has something else where a number must be"),
        }
    }
    pub(super) fn tuple(&self, id: Id) -> Result<&[Id]> {
        match &self.nodes[id] {
            Node::Tuple(items) => Ok(items),
            _ => bail!("the pickle has something else where a tuple must be"),
        }
    }
    pub(super) fn ints(&mut self, id: Id) -> Result<Vec<i64>> {
        self.copy(id)?;
        match &self.nodes[id] {
            Node::Value(Value::Size(sizes)) => Ok(sizes.clone()),
            Node::List(items) | Node::Tuple(items) => items.iter().map(|&id| self.int(id)).collect(),
            _ => bail!("the pickle has something else where sizes must be"),
        }
    }

    /// Counts what is about to be copied: a file can name the same large object many times.
    pub(super) fn copy(&mut self, id: Id) -> Result<()> {
        self.copied += match &self.nodes[id] {
            Node::List(items) | Node::Tuple(items) | Node::Set(items) => items.len(),
            Node::Dict { entries, .. } => entries.len(),
            Node::Value(Value::Size(sizes)) => sizes.len(),
            Node::Value(Value::Str(text)) => text.len(),
            Node::Value(Value::Bytes(bytes)) => bytes.len(),
            _ => 0,
        };
        if self.copied > ALWAYS && self.copied / COPIES > self.place {
            bail!("the pickle asks for more copies of its parts than it is long");
        }
        Ok(())
    }

    // the result

    /// An object as a value. `left` is how much there may still be.
    fn value(&self, id: Id, depth: usize, left: &mut usize) -> Result<Value> {
        if depth > DEEPEST {
            bail!("the pickle nests containers more than {DEEPEST} deep, or one within itself");
        }
        let node = &self.nodes[id];
        let weight = match node {
            Node::Value(Value::Str(text)) => 1 + text.len(),
            Node::Value(Value::Bytes(bytes) | Value::BigInt(bytes)) => 1 + bytes.len(),
            Node::Value(Value::Size(sizes)) => 1 + sizes.len(),
            // Keys that come again are gone in the value, but are looked at.
            Node::Dict { entries, .. } => 1 + entries.len(),
            _ => 1,
        };
        match left.checked_sub(weight) {
            Some(rest) => *left = rest,
            None => bail!("the pickle repeats its objects more often than its size allows"),
        }
        let mut all = |ids: &[Id]| -> Result<Vec<Value>> {
            ids.iter().map(|&id| self.value(id, depth + 1, left)).collect()
        };
        Ok(match node {
            Node::Value(value) => value.clone(),
            Node::List(items) => Value::List(all(items)?),
            Node::Tuple(items) => Value::Tuple(all(items)?),
            Node::Set(items) => Value::Set(all(items)?),
            Node::Dict { ordered, entries } => {
                let entries = self
                    .distinct(entries)?
                    .into_iter()
                    .map(|(k, v)| Ok((self.value(k, depth + 1, left)?, self.value(v, depth + 1, left)?)))
                    .collect::<Result<Vec<_>>>()?;
                if *ordered { Value::OrderedDict(entries) } else { Value::Dict(entries) }
            }
            Node::Storage(_) | Node::StorageClass(_) | Node::Call(_) => {
                bail!("the file has a storage, a class or a function where a value must be")
            }
        })
    }
    /// Entries of which each text and each integer is the key of one only, the last given.
    fn distinct(&self, entries: &[(Id, Id)]) -> Result<Vec<(Id, Id)>> {
        #[derive(PartialEq, Eq, Hash)]
        enum Key<'a> {
            Text(&'a str),
            Number(i64),
        }
        let mut places: HashMap<Key, usize> = HashMap::with_capacity(entries.len());
        let mut out: Vec<(Id, Id)> = Vec::with_capacity(entries.len());
        for &(key, value) in entries {
            let known = match &self.nodes[key] {
                Node::Value(Value::Str(text)) => Key::Text(text),
                Node::Value(Value::Int(n)) => Key::Number(*n),
                Node::List(_) | Node::Dict { .. } | Node::Set(_) => {
                    bail!("the pickle has a container for the key of a dictionary")
                }
                _ => {
                    out.push((key, value));
                    continue;
                }
            };
            match places.entry(known) {
                std::collections::hash_map::Entry::Occupied(place) => out[*place.get()].1 = value,
                std::collections::hash_map::Entry::Vacant(place) => {
                    place.insert(out.len());
                    out.push((key, value));
                }
            }
        }
        Ok(out)
    }
}

/// How many bytes the length of a text or of bytes takes.
fn width(code: u8) -> usize {
    match code {
        0x8c | b'U' | b'C' => 1,
        b'X' | b'T' | b'B' => 4,
        _ => 8,
    }
}

fn signed(bytes: &[u8]) -> i64 {
    let Some(&high) = bytes.last() else { return 0 };
    let start = if high & 0x80 == 0 { 0 } else { -1 };
    bytes.iter().rev().fold(start, |n, &byte| n << 8 | byte as i64)
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>> {
    if !items.len().is_multiple_of(2) {
        bail!("the pickle has a key without a value");
    }
    Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

/// The layout that PyTorch calls by this name.
pub(super) fn layout(name: &str) -> Option<Layout> {
    (name == "strided").then_some(Layout::Strided)
}
