//! How graphs are freed: in a loop, however long they are.

use super::{Body, Edge, Grads, Hooks, Node, SavedTensor};
use crate::autograd::AutogradMeta;
use smallvec::SmallVec;
use std::any::Any;
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::sync::Arc;

thread_local! {
    /// What dropped nodes held, freed in a loop: a graph of a million nodes must not drop recursively.
    /// Without a destructor of its own (it is empty between drops), it also serves while the thread ends.
    static GRAVEYARD: RefCell<ManuallyDrop<Option<Vec<Remains>>>> = const { RefCell::new(ManuallyDrop::new(None)) };
}

#[allow(dead_code)]
enum Remains {
    Node {
        edges: SmallVec<[Option<Edge>; 2]>,
        saved: SmallVec<[SavedTensor; 2]>,
        body: Body,
        host: Option<Arc<dyn Any + Send + Sync>>,
        hooks: Option<Box<Hooks>>,
    },
    Tensor(Box<AutogradMeta>),
}

impl Drop for Node {
    fn drop(&mut self) {
        let hooks = self.hooks.get_mut();
        let bare = self.edges.is_empty() && self.saved.get_mut().is_empty() && hooks.is_none();
        if bare && matches!(self.body, Body::Accumulate(_)) {
            // An accumulator holds a leaf, and a leaf no node but by its gradient, which goes to the yard: it is the end.
            return;
        }
        match Yard::enter() {
            Yard::Gone => {}
            Yard::Outermost => {
                // What it holds is dropped where it is; the nodes among that add to the yard.
                self.edges.clear();
                self.saved.get_mut().clear();
                self.body = Body::Apply(Box::new(|_| Ok(Grads::new())));
                *self.host.get_mut() = None;
                *self.hooks.get_mut() = None;
                Yard::leave();
            }
            Yard::Within => Yard::add(Remains::Node {
                edges: std::mem::take(&mut self.edges),
                saved: std::mem::take(self.saved.get_mut()),
                body: std::mem::replace(&mut self.body, Body::Apply(Box::new(|_| Ok(Grads::new())))),
                host: self.host.get_mut().take(),
                hooks: self.hooks.get_mut().take(),
            }),
        }
    }
}

/// Frees what a tensor knows about differentiation; its gradient or a hook may hold the next of many tensors.
pub(crate) fn bury_meta(meta: Box<AutogradMeta>) {
    if meta.grad.is_some() || !meta.hooks.is_empty() || !meta.post_accumulate.is_empty() {
        match Yard::enter() {
            Yard::Gone => drop(meta),
            Yard::Outermost => {
                drop(meta);
                Yard::leave();
            }
            Yard::Within => Yard::add(Remains::Tensor(meta)),
        }
    }
}

/// Where a drop stands.
enum Yard {
    /// The thread is ending.
    Gone,
    /// It is the one that empties the yard.
    Outermost,
    /// It adds to the yard.
    Within,
}

impl Yard {
    #[inline]
    fn enter() -> Yard {
        let entered = GRAVEYARD.try_with(|yard| match &mut **yard.borrow_mut() {
            Some(_) => Yard::Within,
            none => {
                *none = Some(Vec::new());
                Yard::Outermost
            }
        });
        entered.unwrap_or(Yard::Gone)
    }
    fn add(remains: Remains) {
        let mut remains = Some(remains);
        let _ = GRAVEYARD.try_with(|yard| {
            if let Some(list) = yard.borrow_mut().as_mut() {
                list.extend(remains.take());
            }
        });
        drop(remains);
    }
    /// Frees what was added, and what is added meanwhile.
    #[inline]
    fn leave() {
        while let Ok(Some(next)) =
            GRAVEYARD.try_with(|yard| yard.borrow_mut().as_mut().and_then(|list| list.pop()))
        {
            drop(next);
        }
        let _ = GRAVEYARD.try_with(|yard| yard.borrow_mut().take());
    }
}
