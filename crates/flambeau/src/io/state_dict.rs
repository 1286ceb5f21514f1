//! Tensors by name, in order.

use crate::Tensor;
use std::collections::HashMap;
use std::ops::Index;

/// Tensors by name, in the order in which they were inserted.
///
/// ```
/// use flambeau::{io::StateDict, ones, zeros};
/// let mut state = StateDict::new();
/// state.insert("weight", ones([2], ())?);
/// state.insert("bias", zeros([1], ())?);
/// assert_eq!(state.names().collect::<Vec<_>>(), ["weight", "bias"]);
/// assert_eq!(state["weight"].sizes()[..], [2]);
/// assert!(state.get("scale").is_none());
/// # Ok::<(), flambeau::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct StateDict {
    entries: Vec<(String, Tensor)>,
    places: HashMap<String, usize>,
}

impl StateDict {
    pub fn new() -> StateDict {
        StateDict::default()
    }
    pub fn len(&self) -> usize {
        self.entries.len()
    }
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.places.get(name).map(|&i| &self.entries[i].1)
    }
    /// Adds a tensor, or replaces the one of that name.
    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) {
        let name = name.into();
        match self.places.get(&name) {
            Some(&i) => self.entries[i].1 = tensor,
            None => {
                self.places.insert(name.clone(), self.entries.len());
                self.entries.push((name, tensor));
            }
        }
    }
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.entries.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }
    /// The tensors whose names start with a prefix, under the rest of their names.
    pub fn below(&self, prefix: &str) -> StateDict {
        self.iter()
            .filter_map(|(name, t)| Some((name.strip_prefix(prefix)?.to_string(), t.clone())))
            .collect()
    }
}

impl FromIterator<(String, Tensor)> for StateDict {
    fn from_iter<I: IntoIterator<Item = (String, Tensor)>>(entries: I) -> Self {
        let mut out = StateDict::new();
        entries.into_iter().for_each(|(name, tensor)| out.insert(name, tensor));
        out
    }
}
impl IntoIterator for StateDict {
    type Item = (String, Tensor);
    type IntoIter = std::vec::IntoIter<(String, Tensor)>;
    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}
/// Panics if there is no tensor of that name.
impl Index<&str> for StateDict {
    type Output = Tensor;
    fn index(&self, name: &str) -> &Tensor {
        match self.get(name) {
            Some(tensor) => tensor,
            None => panic!("no tensor {name:?} in the state dict"),
        }
    }
}
