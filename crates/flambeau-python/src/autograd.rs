//! Differentiation from Python: modes, the engine, graph nodes, hooks and custom functions.

use crate::errors::{IntoPy, from_py};
use crate::object;
use flambeau::autograd::{self as core, BackwardOptions, Edge, Grads, HookId, Node, Save};
use flambeau::{Shared, Tensor, WeakShared};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use smallvec::SmallVec;
use std::any::Any;
use std::sync::Arc;

/// A node of the graph, `x.grad_fn`.
#[pyclass(name = "Node", module = "flambeau.autograd.graph", frozen, subclass)]
pub struct PyNode {
    pub node: Shared<Node>,
}

/// The object of a node: for a custom function its `ctx`, else a fresh view of the node.
pub fn node_object(py: Python<'_>, node: Shared<Node>) -> PyResult<Py<PyAny>> {
    if let Some(host) = node.host()
        && let Ok(object) = host.downcast::<Py<PyAny>>()
    {
        return Ok(object.clone_ref(py));
    }
    let class = node_class(py, node.name())?;
    // The class is a subclass of Node made for the name, so that `type(x.grad_fn).__name__` tells it.
    let init = Bound::new(py, PyNode { node })?;
    class.call1((init,)).map(|o| o.unbind())
}

fn node_class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("flambeau.autograd.node")?.call_method1("class_of", (name.rsplit("::").next().unwrap_or(name),))
}

#[pymethods]
impl PyNode {
    #[new]
    fn new(other: &Bound<'_, PyNode>) -> Self {
        PyNode { node: other.get().node.clone() }
    }
    /// The name, such as `AddBackward0`.
    fn name(&self) -> String {
        self.node.name().to_string()
    }
    #[getter]
    fn next_functions(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let mut out = Vec::new();
        for edge in self.node.next_edges() {
            out.push(match edge {
                Some(e) => PyTuple::new(
                    py,
                    [node_object(py, e.node.clone())?, e.input.into_pyobject(py)?.into_any().unbind()],
                )?,
                None => PyTuple::new(py, [py.None(), 0i64.into_pyobject(py)?.into_any().unbind()])?,
            });
        }
        Ok(PyTuple::new(py, out)?.into_any().unbind())
    }
    #[getter]
    fn variable(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.node.variable() {
            Some(t) => Ok(object::wrap(py, t.clone())),
            None => Err(pyo3::exceptions::PyAttributeError::new_err(format!(
                "'{}' object has no attribute 'variable'",
                self.node.name()
            ))),
        }
    }
    /// An address that identifies the node while it lives.
    #[getter]
    fn _id(&self) -> usize {
        self.node.id()
    }
    fn _sequence_nr(&self) -> u64 {
        self.node.sequence()
    }
    /// Sizes and dtype of each output of the forward function.
    #[getter]
    fn _output_meta(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let mut out = Vec::new();
        for meta in self.node.outputs() {
            let sizes = PyTuple::new(py, meta.sizes.iter().copied())?.into_any().unbind();
            out.push(PyTuple::new(py, [sizes, crate::types::dtype_object(py, meta.dtype)])?);
        }
        Ok(PyTuple::new(py, out)?.into_any().unbind())
    }
    #[getter]
    fn _saved(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let mut out = Vec::new();
        for i in 0..self.node.saved_len() {
            out.push(object::wrap(py, Node::saved(&self.node, i).py()?));
        }
        Ok(PyTuple::new(py, out)?.into_any().unbind())
    }
    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<PyNode>().is_ok_and(|o| Shared::ptr_eq(&o.get().node, &self.node))
    }
    fn __hash__(&self) -> usize {
        self.node.id() >> 4
    }
    fn _register_hook(&self, hook: Py<PyAny>) -> u64 {
        let id = self.node.register_hook(Arc::new(move |inputs, outputs| {
            Python::attach(|py| {
                let args = (grads_tuple(py, inputs)?, grads_tuple(py, outputs)?);
                let result = hook.bind(py).call1(args)?;
                grads_from(&result)
            })
            .map_err(from_py)
        }));
        id.0
    }
    fn _register_prehook(&self, hook: Py<PyAny>) -> u64 {
        let id = self.node.register_prehook(Arc::new(move |grads| {
            Python::attach(|py| grads_from(&hook.bind(py).call1((grads_tuple(py, grads)?,))?))
                .map_err(from_py)
        }));
        id.0
    }
    fn _remove_hook(&self, id: u64) {
        self.node.remove_hook(HookId(id));
    }
}

/// `name` of a graph edge's receiver for messages; its tuple of gradients for hooks.
fn grads_tuple<'py>(py: Python<'py>, grads: &[Option<Tensor>]) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(
        py,
        grads.iter().map(|g| match g {
            Some(t) => object::wrap(py, t.clone()),
            None => py.None(),
        }),
    )
}

fn grads_from(result: &Bound<'_, PyAny>) -> PyResult<Option<Grads>> {
    if result.is_none() {
        return Ok(None);
    }
    let one = |o: &Bound<'_, PyAny>| -> PyResult<Option<Tensor>> {
        if o.is_none() {
            return Ok(None);
        }
        object::extract(o).map(Some).ok_or_else(|| {
            PyTypeError::new_err(format!("expected Variable or None, but got {}", crate::types::type_name(o)))
        })
    };
    if let Some(t) = object::extract(result) {
        return Ok(Some(smallvec::smallvec![Some(t)]));
    }
    let mut out = Grads::new();
    for item in result.try_iter()? {
        out.push(one(&item?)?);
    }
    Ok(Some(out))
}

#[pyfunction]
pub fn is_grad_enabled() -> bool {
    core::grad_enabled()
}
#[pyfunction]
pub fn _set_grad_enabled(on: bool) -> bool {
    core::set_grad_enabled(on)
}
#[pyfunction]
pub fn is_inference_mode_enabled() -> bool {
    core::inference_enabled()
}
#[pyfunction]
pub fn _set_inference_mode(on: bool) -> bool {
    core::set_inference_enabled(on)
}
#[pyfunction]
#[pyo3(signature = (on, check_nan=true))]
pub fn _set_anomaly_enabled(on: bool, check_nan: bool) {
    core::set_anomaly(on, check_nan);
}
#[pyfunction]
pub fn _is_anomaly_enabled() -> bool {
    core::anomaly_enabled()
}
#[pyfunction]
pub fn _is_anomaly_check_nan_enabled() -> bool {
    core::anomaly_check_nan()
}

/// The edge that a tensor or a `GradientEdge` stands for: None for anything else, an empty one for a tensor without
/// gradient.
fn edge_of(object: &Bound<'_, PyAny>) -> Option<Option<Edge>> {
    if let Some(t) = object::extract(object) {
        return Some(t.gradient_edge());
    }
    let input: u32 = object.getattr("output_nr").ok()?.extract().ok()?;
    let mut node = object.getattr("node").ok()?;
    if let Ok(weak) = node.getattr("_node").and_then(|n| n.call_method0("get")) {
        node = weak; // the node of a custom function, whose object is its `ctx`
    }
    let node = node.cast::<PyNode>().ok()?.get().node.clone();
    ((input as usize) < node.outputs().len().max(1)).then_some(Some(Edge { node, input }))
}

/// Runs the engine. `grad_tensors` has one gradient for each root; with `inputs` their gradients are returned.
#[pyfunction]
#[pyo3(signature = (tensors, grad_tensors, keep_graph, create_graph, inputs=None, allow_unreachable=false, accumulate_grad=false))]
pub fn _run_backward(
    py: Python<'_>,
    tensors: Vec<Bound<'_, PyAny>>,
    grad_tensors: Vec<Bound<'_, PyAny>>,
    keep_graph: bool,
    create_graph: bool,
    inputs: Option<Vec<Bound<'_, PyAny>>>,
    allow_unreachable: bool,
    accumulate_grad: bool,
) -> PyResult<Py<PyAny>> {
    let mut roots: Vec<(Edge, Tensor)> = Vec::with_capacity(tensors.len());
    for (i, (t, g)) in tensors.iter().zip(&grad_tensors).enumerate() {
        let Some(edge) = edge_of(t) else {
            return Err(PyTypeError::new_err(format!("element {i} of tensors is not a tensor")));
        };
        let Some(edge) = edge else {
            return Err(PyRuntimeError::new_err(format!(
                "element {i} of tensors does not require grad and does not have a grad_fn"
            )));
        };
        let Some(g) = object::extract(g) else {
            return Err(PyTypeError::new_err(format!(
                "element {i} of gradients tuple is not a Tensor or None"
            )));
        };
        roots.push((edge, g));
    }
    drop(grad_tensors);
    let options = BackwardOptions { keep_graph, create_graph, accumulate: accumulate_grad };
    let edges = match &inputs {
        None => None,
        Some(list) => {
            let mut edges = Vec::with_capacity(list.len());
            for t in list {
                let Some(edge) = edge_of(t) else {
                    return Err(PyTypeError::new_err("all inputs have to be Tensors"));
                };
                match edge {
                    Some(e) => edges.push(e),
                    None => {
                        return Err(PyRuntimeError::new_err(
                            "One of the differentiated Tensors does not require grad",
                        ));
                    }
                }
            }
            Some(edges)
        }
    };
    let results = core::run_backward(&roots, edges.as_deref(), options).py()?;
    if let Some(error) = crate::warnings::pending(py) {
        return Err(error);
    }
    if inputs.is_none() || accumulate_grad {
        return Ok(py.None());
    }
    let mut out = Vec::with_capacity(results.len());
    for r in results {
        out.push(match r {
            Some(t) => object::wrap(py, t),
            None if allow_unreachable => py.None(),
            None => {
                return Err(PyRuntimeError::new_err(
                    "One of the differentiated Tensors appears to not have been used in the graph. Set allow_unused=True if this is the desired behavior.",
                ));
            }
        });
    }
    Ok(PyTuple::new(py, out)?.into_any().unbind())
}

/// `backward()` of a tensor with one element and history, which is what nearly every call is; false, with nothing
/// done, for any other tensor.
#[pyfunction]
pub fn _backward(object: &Bound<'_, PyAny>, keep_graph: bool, create_graph: bool) -> PyResult<bool> {
    let t = tensor_arg(object)?;
    let (sizes, dtype, device) = t.with_array(|a| (a.sizes.clone(), a.dtype, a.device()));
    if !dtype.is_floating_point() || !device.is_cpu() || sizes.iter().product::<i64>() != 1 {
        return Ok(false);
    }
    let Some(edge) = t.gradient_edge() else { return Ok(false) };
    let one = Tensor::empty_raw(&sizes, dtype, device).py()?;
    flambeau::ops::creation::fill_data(&one, flambeau::Scalar::Int(1)).py()?;
    let options = BackwardOptions { keep_graph, create_graph, accumulate: true };
    core::run_backward(&[(edge, one)], None, options).py()?;
    match crate::warnings::pending(object.py()) {
        Some(error) => Err(error),
        None => Ok(true),
    }
}

fn tensor_arg(t: &Bound<'_, PyAny>) -> PyResult<Tensor> {
    object::extract(t).ok_or_else(|| PyTypeError::new_err("expected a Tensor"))
}

fn check_hook_result(
    hook: &Bound<'_, PyAny>,
    grad: &Tensor,
    result: &Bound<'_, PyAny>,
) -> PyResult<Option<Tensor>> {
    if result.is_none() {
        return Ok(None);
    }
    let Some(t) = object::extract(result) else {
        return Err(PyTypeError::new_err(format!(
            "expected Variable, but hook returned '{}'",
            crate::types::type_name(result)
        )));
    };
    let name = || hook.getattr("__name__").map_or("<unknown>".to_string(), |name| name.to_string());
    if t.sizes() != grad.sizes() {
        return Err(PyRuntimeError::new_err(format!("hook '{}' has changed the size of value", name())));
    }
    if t.dtype() != grad.dtype() || t.visible_device().kind != grad.visible_device().kind {
        let kind = |t: &Tensor| match t.is_meta() {
            true => format!("Meta{}Type", t.dtype().cpp_name()),
            false => format!("torch.{}Tensor", t.dtype().cpp_name()),
        };
        return Err(PyRuntimeError::new_err(format!(
            "hook '{}' has changed the type of value (was {} got {})",
            name(),
            kind(grad),
            kind(&t)
        )));
    }
    Ok(Some(t))
}

#[pyfunction]
pub fn _register_tensor_hook(t: &Bound<'_, PyAny>, hook: Py<PyAny>) -> PyResult<u64> {
    let tensor = tensor_arg(t)?;
    let id = core::register_hook(
        &tensor,
        Arc::new(move |grad| {
            Python::attach(|py| {
                let result = hook.bind(py).call1((object::wrap(py, grad.clone()),))?;
                check_hook_result(hook.bind(py), grad, &result)
            })
            .map_err(from_py)
        }),
    )
    .py()?;
    Ok(id.0)
}
#[pyfunction]
pub fn _register_post_accumulate_hook(t: &Bound<'_, PyAny>, hook: Py<PyAny>) -> PyResult<u64> {
    let id = core::register_post_accumulate_hook(
        &tensor_arg(t)?,
        Arc::new(move |tensor| {
            Python::attach(|py| hook.bind(py).call1((object::wrap(py, tensor.clone()),)).map(|_| ()))
                .map_err(from_py)
        }),
    )
    .py()?;
    Ok(id.0)
}
#[pyfunction]
pub fn _remove_tensor_hook(t: &Bound<'_, PyAny>, id: u64) -> PyResult<()> {
    core::remove_hook(&tensor_arg(t)?, HookId(id));
    Ok(())
}
#[pyfunction]
pub fn _retain_grad(t: &Bound<'_, PyAny>) -> PyResult<()> {
    core::retain_grad(&tensor_arg(t)?).py()
}
/// The accumulator of a leaf, or the node of any other tensor.
#[pyfunction]
pub fn _gradient_edge(py: Python<'_>, t: &Bound<'_, PyAny>) -> PyResult<Option<(Py<PyAny>, u32)>> {
    match tensor_arg(t)?.gradient_edge() {
        Some(e) => Ok(Some((node_object(py, e.node)?, e.input))),
        None => Ok(None),
    }
}

/// Functions applied to every tensor that the graph saves.
#[pyfunction]
pub fn _push_saved_tensors_hooks(pack: Py<PyAny>, unpack: Py<PyAny>) {
    core::push_saved_hooks(core::SavedHooks {
        pack: Arc::new(move |t| {
            Python::attach(|py| -> PyResult<Arc<dyn Any + Send + Sync>> {
                Ok(Arc::new(pack.bind(py).call1((object::wrap(py, t.clone()),))?.unbind()))
            })
            .map_err(from_py)
        }),
        unpack: Arc::new(move |packed| {
            Python::attach(|py| {
                let packed = packed.downcast_ref::<Py<PyAny>>().ok_or_else(|| PyTypeError::new_err("unpack of nothing"))?;
                let out = unpack.bind(py).call1((packed,))?;
                object::extract(&out).ok_or_else(|| {
                    PyTypeError::new_err(format!(
                        "Output of saved tensor unpack_hook expected to be a Tensor but got result of type {}",
                        crate::types::type_name(&out)
                    ))
                })
            })
            .map_err(from_py)
        }),
    });
}
#[pyfunction]
pub fn _pop_saved_tensors_hooks() -> bool {
    core::pop_saved_hooks()
}

/// Records a custom function. `ctx` stands for the node (`y.grad_fn`), `backward(grads)` returns a gradient for
/// each input tensor; `saved` tensors are kept by the node and read back with `_saved_of(ctx)`.
#[pyfunction]
#[pyo3(signature = (name, ctx, inputs, outputs, backward, saved, dirty))]
pub fn _record_function(
    py: Python<'_>,
    name: String,
    ctx: Py<PyAny>,
    inputs: Vec<Bound<'_, PyAny>>,
    outputs: &Bound<'_, PyList>,
    backward: Py<PyAny>,
    saved: Vec<Bound<'_, PyAny>>,
    dirty: Vec<Bound<'_, PyAny>>,
) -> PyResult<Option<Py<PyWeakNode>>> {
    let inputs: Vec<Tensor> = inputs.iter().map(tensor_arg).collect::<PyResult<_>>()?;
    let outs: Vec<Tensor> = outputs.iter().map(|o| tensor_arg(&o)).collect::<PyResult<_>>()?;
    let dirty: Vec<Tensor> = dirty.iter().map(tensor_arg).collect::<PyResult<_>>()?;
    let input_refs: SmallVec<[&Tensor; 4]> = inputs.iter().collect();
    if !core::needs_grad(&input_refs) {
        return Ok(None);
    }
    let out_refs: SmallVec<[&Tensor; 4]> = outs.iter().collect();
    let saved: Vec<Option<Tensor>> = saved
        .iter()
        .map(|s| if s.is_none() { Ok(None) } else { tensor_arg(s).map(Some) })
        .collect::<PyResult<_>>()?;
    let saves: Vec<Save> = saved
        .iter()
        .map(|s| match s {
            None => Save::Opt(None),
            Some(t) => match outs.iter().position(|o| o.is_same(t)) {
                Some(i) => Save::Output(i),
                None => Save::Input(t),
            },
        })
        .collect();
    let for_backward = backward;
    let node = core::record_node(
        &out_refs,
        name.into(),
        &input_refs,
        &saves,
        Box::new(move |c| {
            Python::attach(|py| {
                let grads = grads_tuple(py, c.grads())?;
                let needs = PyTuple::new(py, c.needs_all().iter().copied())?;
                let result = for_backward.bind(py).call1((grads, needs))?;
                Ok(grads_from(&result)?.unwrap_or_default())
            })
            .map_err(from_py)
        }),
    )
    .py()?;
    for out in &outs {
        if dirty.iter().any(|d| d.is_same(out)) {
            core::rebase_history(out, node.clone()).py()?;
        }
    }
    let fresh: SmallVec<[&Tensor; 4]> = out_refs;
    // Keeps the numbering of outputs: those changed in place were rebased to the same node.
    core::set_history(&fresh, &node);
    for out in outs.iter().filter(|out| !dirty.iter().any(|d| d.is_same(out))) {
        core::made_by_custom_function(out, outs.len() == 1);
    }
    node.set_host(Some(Arc::new(ctx) as Arc<dyn Any + Send + Sync>));
    Ok(Some(Py::new(py, PyWeakNode { node: Shared::downgrade(&node) })?))
}

/// A node seen from its own `ctx`, which must not keep it alive.
#[pyclass(name = "_WeakNode", module = "flambeau._C", frozen)]
pub struct PyWeakNode {
    node: WeakShared<Node>,
}

#[pymethods]
impl PyWeakNode {
    /// The node, while its graph exists.
    fn get(&self) -> Option<PyNode> {
        self.node.upgrade().map(|node| PyNode { node })
    }
}

/// The tensors that a custom function saved.
#[pyfunction]
pub fn _saved_of(py: Python<'_>, node: &Bound<'_, PyNode>, count: usize) -> PyResult<Py<PyAny>> {
    let node = node.get().node.clone();
    if node.is_released() {
        return Err(PyRuntimeError::new_err(
            "Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second time or if you need to access saved tensors after calling backward.",
        ));
    }
    let mut out = Vec::new();
    for i in 0..count {
        out.push(match Node::saved_opt(&node, i).py()? {
            Some(t) => object::wrap(py, t),
            None => py.None(),
        });
    }
    Ok(PyTuple::new(py, out)?.into_any().unbind())
}

/// `forward_ad.enter_dual_level`
#[pyfunction]
pub fn _enter_dual_level() -> PyResult<()> {
    core::forward::enter_dual_level().py()
}

/// `forward_ad.exit_dual_level`
#[pyfunction]
pub fn _exit_dual_level() {
    core::forward::exit_dual_level();
}

/// `forward_ad.make_dual`
#[pyfunction]
pub fn _make_dual(
    py: Python<'_>,
    primal: &Bound<'_, PyAny>,
    tangent: &Bound<'_, PyAny>,
) -> PyResult<Py<PyAny>> {
    let dual = core::forward::make_dual(&tensor_arg(primal)?, &tensor_arg(tangent)?).py()?;
    Ok(object::wrap(py, dual))
}

/// The tangent that `forward_ad.unpack_dual` shows, or None.
#[pyfunction]
pub fn _tangent(py: Python<'_>, tensor: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
    Ok(core::forward::tangent(&tensor_arg(tensor)?).py()?.map(|t| object::wrap(py, t)))
}
