//! Views and their history: an in-place change of a view is seen by its base and by its sister views.

use super::node::{Body, next_sequence};
use super::record::node_with_edges;
use super::{AutogradMeta, Context, Grads, Node, OutputMeta, grad_enabled};
use crate::Tensor;
use crate::ops::{convert, shape};
use flambeau_core::{Array, Dims, MemoryFormat, Result, Shared, bail};
use smallvec::smallvec;

/// How a view came about, which decides whether it may be changed in place while recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Creation {
    Default,
    /// One of several outputs (`unbind`, `split`, `chunk`).
    Multiple,
    /// Made without recording.
    NoGrad,
    Inference,
    /// Returned by a custom function.
    Custom,
}

/// What a view knows of its base.
#[derive(Clone, Debug)]
pub struct ViewMeta {
    pub base: Tensor,
    pub creation: Creation,
    /// The version at which the view's own `grad_fn` was made.
    pub(crate) version: u64,
    /// Whether gradients pass between base and view (`detach` does not track).
    pub tracks: bool,
}

/// A tensor over `array` (which shares the storage of `source`) that is a view of it, without history yet.
pub fn as_view(source: &Tensor, array: Array, creation: Creation) -> Tensor {
    let dtype = array.dtype;
    let creation = if super::inference_enabled() {
        Creation::Inference
    } else if !grad_enabled() {
        if creation == Creation::Multiple { creation } else { Creation::NoGrad }
    } else {
        creation
    };
    let version = if source.is_inference() { 0 } else { source.version() };
    let mut tracks = dtype.is_differentiable() && source.dtype().is_differentiable();
    // The base is never itself a view, so that a chain of views holds (and drops) no chain of tensors.
    let (base, creation) = match source.view_meta() {
        Some(v) => {
            tracks &= v.tracks;
            (v.base, if v.creation == Creation::Default { creation } else { v.creation })
        }
        None => (source.clone(), creation),
    };
    let view = Some(ViewMeta { base, creation, version, tracks });
    source.alias_with(array, Box::new(AutogradMeta { view, ..AutogradMeta::default() }))
}

/// Says that a view came out of a custom function, alone or with others.
pub fn made_by_custom_function(tensor: &Tensor, alone: bool) {
    tensor.meta_mut(|m| {
        if let Some(view) = m.view.as_mut() {
            view.creation = if alone { Creation::Custom } else { Creation::Multiple };
        }
    });
}

/// The usual view operator: another geometry over the same elements, with a backward formula.
/// `backward` maps the gradient of the view to that of `source`.
pub fn view_of<F>(
    source: &Tensor,
    name: &'static str,
    sizes: Dims,
    strides: Dims,
    offset: i64,
    backward: F,
) -> Result<Tensor>
where
    F: Fn(&Context, &Tensor) -> Result<Tensor> + Send + Sync + 'static,
{
    let (storage, dtype) = source.with_array(|a| (a.storage.clone(), a.dtype));
    view_with(source, name, Array { storage, dtype, sizes, strides, offset }, backward)
}

/// As [`view_of`], for an array over the source's storage.
pub fn view_with<F>(source: &Tensor, name: &'static str, array: Array, backward: F) -> Result<Tensor>
where
    F: Fn(&Context, &Tensor) -> Result<Tensor> + Send + Sync + 'static,
{
    let out = as_view(source, array, Creation::Default);
    if super::needs_grad(&[source]) {
        super::record(&[&out], name, &[source], &[], move |ctx| match ctx.grad(0) {
            Some(grad) => Ok(smallvec![Some(backward(ctx, grad)?)]),
            None => Ok(smallvec![None]),
        })?;
    }
    Ok(out)
}

/// The history of a tensor; for a view whose base was changed in place since, made anew.
pub(crate) fn grad_fn(tensor: &Tensor) -> Option<Shared<Node>> {
    let (node, view) = tensor.meta(|m| (m.grad_fn.clone(), m.view.clone()))?;
    let Some(view) = view else { return node };
    // The gradient of a custom function's view is the function's, whatever became of the base.
    let custom = matches!(view.creation, Creation::Custom) && node.is_some();
    if !view.tracks || custom {
        return node;
    }
    let version = tensor.version();
    if version == view.version || (node.is_none() && !view.base.requires_grad()) {
        return node;
    }
    // The base's history now contains the change; the view is a window on the base.
    let (array, base_array) = (tensor.array(), view.base.array());
    let backward = as_strided_backward(base_array, array.clone());
    let fresh = Shared::new(Node::new(
        "AsStridedBackward0".into(),
        smallvec![view.base.gradient_edge()],
        smallvec![OutputMeta { sizes: array.sizes.clone(), dtype: array.dtype }],
        Body::Apply(Box::new(backward)),
        Default::default(),
        next_sequence(),
    ));
    tensor.meta_mut(|m| {
        m.grad_fn = Some(fresh.clone());
        m.output_nr = 0;
        if let Some(v) = m.view.as_mut() {
            v.version = version;
        }
    });
    Some(fresh)
}

/// A base and its view in one dtype: as pairs where one of them is real and the other complex.
fn in_common_units(base: &Array, view: &Array) -> (Array, Array) {
    let pairs = |a: &Array| if a.dtype.is_complex() { a.as_pairs() } else { a.clone() };
    if base.dtype == view.dtype { (base.clone(), view.clone()) } else { (pairs(base), pairs(view)) }
}

fn as_strided_backward(
    base: Array,
    view: Array,
) -> impl Fn(&Context) -> Result<Grads> + Send + Sync + 'static {
    let (b, v) = in_common_units(&base, &view);
    let (view_pairs, base_pairs) = (v.dtype != view.dtype, b.dtype != base.dtype);
    let (b, v) = ((b.sizes, b.strides, b.offset), (v.sizes, v.strides, v.offset));
    move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        let grad = if view_pairs { convert::view_as_real(grad)? } else { grad.clone() };
        let out = shape::as_strided_backward(&grad, (&b.0, &b.1, b.2), (&v.0, &v.1, v.2))?;
        Ok(smallvec![Some(if base_pairs { convert::view_as_complex(&out)? } else { out })])
    }
}

/// Whether a view may be changed in place while recording.
pub(crate) fn check_inplace(tensor: &Tensor, view: &ViewMeta) -> Result<()> {
    if !view.tracks {
        return Ok(());
    }
    let who = match (tensor.grad_fn(), view.creation) {
        (Some(f), _) => {
            let name = f.name().trim_end_matches(|c: char| c.is_ascii_digit());
            let name = name.strip_suffix("Backward").unwrap_or(f.name());
            format!("Output {} of {name} is a view and is being modified inplace", tensor.output_nr())
        }
        (None, Creation::Inference) => {
            "A view was created in inference mode and is being modified inplace".to_string()
        }
        (None, _) => "A view was created in no_grad mode and is being modified inplace".to_string(),
    };
    let ambiguous = |mode: &str| {
        format!(
            " Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your code by moving both the view and the inplace either both inside the {mode} block (if you don't want the inplace to be tracked) or both outside (if you want the inplace to be tracked)."
        )
    };
    match view.creation {
        Creation::Default if view.base.leaf_requires_grad() && view.base.is_leaf() => {
            bail!("a view of a leaf Variable that requires grad is being used in an in-place operation.")
        }
        Creation::Default => Ok(()),
        Creation::Multiple => bail!(
            "{who}. This view is the output of a function that returns multiple views. Such functions do not allow the output views to be modified inplace. You should replace the inplace operation by an out-of-place one."
        ),
        Creation::NoGrad => bail!("{who} with grad mode enabled.{}", ambiguous("no_grad")),
        Creation::Inference => bail!("{who} in normal mode.{}", ambiguous("inference_mode")),
        Creation::Custom => bail!(
            "{who}. This view was created inside a custom Function (or because an input was returned as-is) and the autograd logic to handle view+inplace would override the custom backward associated with the custom Function, leading to incorrect gradients. This behavior is forbidden. You can fix this by cloning the output of the custom Function."
        ),
    }
}

/// After an in-place change of a view by `node`: the base gets a node that applies `node` to the window,
/// and the view's own history is made anew when next asked for.
pub(crate) fn rebase(tensor: &Tensor, view: &ViewMeta, node: Shared<Node>) -> Result<()> {
    if !view.tracks {
        tensor.meta_mut(|m| {
            m.grad_fn = Some(node);
            m.output_nr = 0;
        });
        return Ok(());
    }
    let base = &view.base;
    let (b, v) = base.with_array(|b| tensor.with_array(|v| (b.clone(), v.clone())));
    let inner = node.clone();
    let (common_b, common_v) = in_common_units(&b, &v);
    let (view_pairs, base_pairs) = (common_v.dtype != v.dtype, common_b.dtype != b.dtype);
    let at = common_v.offset - common_b.offset;
    // Edges: the base's own history first, then those of the in-place node but its first, which is the window.
    let mut edges: smallvec::SmallVec<[Option<super::Edge>; 2]> = smallvec![base.gradient_edge()];
    edges.extend(node.next_edges().iter().skip(1).cloned());
    let backward = move |ctx: &Context| -> Result<Grads> {
        let mut out: Grads = smallvec![None; inner.next_edges().len().max(1)];
        let Some(grad) = ctx.grad(0) else { return Ok(out) };
        // A copy of the base's gradient, laid out as the base, whose window is handed to the in-place node.
        let whole = shape::to_geometry(grad, &b.sizes, &b.strides)?;
        let whole = if base_pairs { convert::view_as_real(&whole)? } else { whole };
        let window = shape::as_strided(&whole, &common_v.sizes, &common_v.strides, Some(at))?;
        let window = shape::clone(&window, Some(MemoryFormat::Contiguous))?;
        let window = if view_pairs { convert::view_as_complex(&window)? } else { window };
        let needs: smallvec::SmallVec<[bool; 4]> =
            (0..inner.next_edges().len()).map(|i| if i == 0 { true } else { ctx.needs(i) }).collect();
        let outputs = [Some(window)];
        let grads = super::engine::call_node(&inner, &outputs, &needs)?;
        for (i, g) in grads.into_iter().enumerate() {
            if i == 0 {
                let part = match g {
                    Some(g) if view_pairs => convert::view_as_real(&g)?,
                    Some(g) => g,
                    None => Tensor::zeros_raw(&common_v.sizes, common_v.dtype, whole.device())?,
                };
                let replaced =
                    shape::as_strided_scatter(&whole, &part, &common_v.sizes, &common_v.strides, Some(at))?;
                out[0] = Some(if base_pairs { convert::view_as_complex(&replaced)? } else { replaced });
            } else if i < out.len() {
                out[i] = g;
            }
        }
        Ok(out)
    };
    let copy = node_with_edges(&[base], "CopySlices".into(), edges, &[], Box::new(backward))?;
    base.meta_mut(|m| {
        m.grad_fn = Some(copy);
        m.output_nr = 0;
    });
    // Forces the view to regenerate its history.
    tensor.meta_mut(|m| {
        m.grad_fn = None;
        if let Some(v) = m.view.as_mut() {
            v.version = u64::MAX;
            // From now on it is an ordinary window on a base with history.
            v.creation = Creation::Default;
        }
    });
    Ok(())
}
