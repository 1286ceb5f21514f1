"""Automatic differentiation: gradients of tensors, custom differentiable functions, and checks of both."""

import importlib

import flambeau as fl
from flambeau._levels import state as _levels
from flambeau.autograd import _passes
from flambeau.autograd.anomaly_mode import detect_anomaly, set_detect_anomaly
from flambeau.autograd.gradcheck import gradcheck, gradgradcheck
from flambeau.autograd.variable import Variable

__all__ = [
    "Function",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "grad_mode",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
    "set_multithreading_enabled",
    "variable",
]

_SUBMODULES = ("anomaly_mode", "forward_ad", "function", "functional", "grad_mode", "graph", "profiler")
_HOME = {
    "Function": "function",
    "enable_grad": "grad_mode",
    "inference_mode": "grad_mode",
    "no_grad": "grad_mode",
    "set_grad_enabled": "grad_mode",
    "set_multithreading_enabled": "grad_mode",
    "_disable_profiler": "profiler",
    "_profiler_enabled": "profiler",
}


def __getattr__(name):
    if name in _HOME:
        value = getattr(importlib.import_module(f"{__package__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    if name in _SUBMODULES:
        return importlib.import_module(f"{__package__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_HOME, *_SUBMODULES})


def variable(*args, **kwargs):
    """The forerunner of `tensor`, which it names in the error that it raises."""
    raise RuntimeError("torch.autograd.variable(...) is deprecated, use torch.tensor(...) instead")


def _is_edge(value):
    return not isinstance(value, fl.Tensor) and type(value).__name__ == "GradientEdge"


def _as_sequence(value):
    """One tensor or gradient edge as a tuple of one, a sequence of them as a tuple."""
    if isinstance(value, fl.Tensor) or _is_edge(value):
        return (value,)
    return tuple(value)


def _gradients_to_tuple(gradients, count):
    if gradients is None:
        return (None,) * count
    if isinstance(gradients, fl.Tensor):
        return (gradients,)
    return tuple(gradients)


def _shape_and_dtype(output):
    if isinstance(output, fl.Tensor):
        return output.shape, output.dtype
    if not _is_edge(output):
        raise AssertionError("Expected output to be a torch.Tensor")
    metadata = output.node._input_metadata[output.output_nr]
    return fl.Size(metadata.shape), metadata.dtype


def _implicit_gradient(output):
    """The gradient 1 of a scalar output; None for an output that the engine will reject."""
    if isinstance(output, fl.Tensor):
        if not output.requires_grad:
            return None
        if output.numel() != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        if not output.dtype.is_floating_point:
            raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {output.dtype}")
        return fl.ones_like(output)
    shape, dtype = _shape_and_dtype(output)
    if shape.numel() != 1:
        raise RuntimeError("grad can be implicitly created only for scalar outputs")
    return fl.ones(shape, dtype=dtype)


def _make_grads(outputs, grads, is_grads_batched):
    """Gradients to start from: those given, checked, and 1 for scalars without one."""
    complete = []
    for index, (output, grad) in enumerate(zip(outputs, grads)):
        if grad is None:
            complete.append(_implicit_gradient(output))
            continue
        if not isinstance(grad, fl.Tensor):
            raise TypeError(f"gradients can be either Tensors or None, but got {type(grad).__name__}")
        shape, dtype = _shape_and_dtype(output)
        found = grad.shape[1:] if is_grads_batched and grad.dim() else grad.shape
        if found != shape:
            sizes = f"grad_output[{index}] has a shape of {found} and output[{index}] has a shape of {shape}."
            if is_grads_batched:
                raise RuntimeError(
                    "If `is_grads_batched=True`, we interpret the first dimension of each grad_output as the batch "
                    "dimension. The sizes of the remaining dimensions are expected to match the shape of "
                    f"corresponding output, but a mismatch was detected: {sizes} If you only want some tensors in "
                    "`grad_output` to be considered batched, consider using vmap."
                )
            raise RuntimeError(f"Mismatch in shape: {sizes}")
        if dtype.is_complex != grad.dtype.is_complex:
            raise RuntimeError(
                "For complex Tensors, both grad_output and output are required to have the same dtype. Mismatch in "
                f"dtype: grad_output[{index}] has a dtype of {grad.dtype} and output[{index}] has a dtype of {dtype}."
            )
        complete.append(grad)
    if len(complete) != len(outputs):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(grads)} gradients")
    return tuple(complete)


def _checked_inputs(inputs):
    for value in inputs:
        if not isinstance(value, fl.Tensor) and not _is_edge(value):
            raise RuntimeError(f"all inputs have to be Tensors or GradientEdges, but got {type(value).__name__}")
    return inputs


def backward(tensors, grad_tensors=None, retain_graph=None, create_graph=False, grad_variables=None, inputs=None):
    """Adds the gradients of `tensors` to the `.grad` of the leaves that they were computed from.

    `grad_tensors` holds the gradient with respect to each of `tensors`, which scalars don't need. With `inputs`
    only those are served. The graph is freed unless `retain_graph`; with `create_graph` the gradients can be
    differentiated again.
    """
    if grad_variables is not None:
        import warnings

        warnings.warn("`grad_variables` is deprecated. Use `grad_tensors` instead.", FutureWarning, stacklevel=2)
        if grad_tensors is not None:
            raise RuntimeError(
                "`grad_tensors` and `grad_variables` (deprecated) arguments both passed to `backward()`. "
                "Please only use `grad_tensors`."
            )
        grad_tensors = grad_variables
    if inputs is not None:
        inputs = tuple(inputs.values()) if isinstance(inputs, dict) else _as_sequence(inputs)
        if not inputs:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
        _checked_inputs(inputs)
    tensors = _as_sequence(tensors)
    gradients = _make_grads(tensors, _gradients_to_tuple(grad_tensors, len(tensors)), False)
    if retain_graph is None:
        retain_graph = create_graph
    _passes.run(tensors, gradients, retain_graph, create_graph, inputs, True, True)


def grad(
    outputs,
    inputs,
    grad_outputs=None,
    retain_graph=None,
    create_graph=False,
    only_inputs=True,
    allow_unused=None,
    is_grads_batched=False,
    materialize_grads=False,
):
    """The sum of the gradients of `outputs` with respect to each of `inputs`, as a tuple (or dict, as `inputs`).

    `grad_outputs` holds the gradient with respect to each output, which scalars don't need; with
    `is_grads_batched` they have one more dimension in front, and so have the results. An input that the outputs
    don't depend on raises RuntimeError, unless `allow_unused` (None for it) or `materialize_grads` (zeros for it).
    """
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    if allow_unused is None:
        allow_unused = materialize_grads
    outputs = _as_sequence(outputs)
    names = None
    if isinstance(inputs, dict):
        names, inputs = tuple(inputs), tuple(inputs.values())
    else:
        inputs = _as_sequence(inputs)
    if not only_inputs:
        import warnings

        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True). To accumulate gradient for "
            "other parts of the graph, please use torch.autograd.backward.",
            FutureWarning,
            stacklevel=2,
        )
    gradients = _make_grads(outputs, _gradients_to_tuple(grad_outputs, len(outputs)), is_grads_batched)
    if retain_graph is None:
        retain_graph = create_graph
    if not inputs:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    _checked_inputs(inputs)
    if is_grads_batched:
        results = _batched_grad(outputs, inputs, gradients, retain_graph, create_graph)
    else:
        results = _run(outputs, gradients, retain_graph, create_graph, inputs)
    if not allow_unused:
        for index, result in enumerate(results):
            if result is None:
                raise RuntimeError(
                    f"The differentiated Tensor at index {index} appears to not have been used in the graph. "
                    "Set allow_unused=True if this is the desired behavior."
                )
    if materialize_grads:
        if any(result is None and _is_edge(value) for result, value in zip(results, inputs)):
            raise RuntimeError("materialize_grads cannot be used when the given input is a GradientEdge")
        results = tuple(
            fl.zeros_like(value, requires_grad=create_graph) if result is None else result
            for result, value in zip(results, inputs)
        )
    return results if names is None else dict(zip(names, results))


def _run(outputs, gradients, retain_graph, create_graph, inputs):
    """A backward pass that gives gradients; under `vmap` tensors may be batched."""
    if _levels.stack:
        from flambeau._vmap import _gradients

        return _gradients.run(outputs, gradients, retain_graph, create_graph, inputs)
    return _passes.run(outputs, gradients, retain_graph, create_graph, inputs, True, False)


def _batched_grad(outputs, inputs, gradients, retain_graph, create_graph):
    """`grad` for each index of the first dimension of `gradients`, the results stacked."""
    sizes = []
    for gradient in gradients:
        if gradient.dim() == 0:
            raise ValueError(
                "vmap(vjp, in_dims=0, ...)(<inputs>): Got in_dim=0 for some input, but that input is a Tensor of "
                "dimensionality 0 so expected in_dim to satisfy 0 <= in_dim < 0."
            )
        sizes.append(gradient.shape[0])
    if len(set(sizes)) > 1:
        raise ValueError(
            "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
            f"{sizes} for the mapped dimension"
        )
    if not sizes[0]:
        # no gradient to run with, but the shapes are known
        return tuple(value.new_zeros((0,) + tuple(value.shape)) for value in inputs)
    rows = []
    for index in range(sizes[0]):
        row = tuple(gradient[index] for gradient in gradients)
        keep = retain_graph or index + 1 < sizes[0]
        rows.append(_run(outputs, row, keep, create_graph, inputs))
    return tuple(None if column[0] is None else fl.stack(column) for column in zip(*rows))
