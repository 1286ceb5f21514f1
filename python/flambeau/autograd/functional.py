"""Products with Jacobians and Hessians, and the matrices themselves, of functions of tensors.

`func` takes tensors and returns a tensor or a tuple of tensors. Inputs are detached first, unless
`create_graph`. With `strict` an output that doesn't depend on an input raises RuntimeError instead of counting
as zero.
"""

import flambeau as fl
from flambeau.autograd import _passes

__all__ = ["vjp", "jvp", "jacobian", "hessian", "hvp", "vhp"]

_STRICT = "This is not allowed in strict mode"
# What a missing gradient means, by the pass it is missing from.
_INDEPENDENT = {
    "back": "The output of the user-provided function is independent of input {}. {}.",
    "back_trick": "The gradient with respect to the input is independent of entry {} in the grad_outputs when using "
    "the double backward trick to compute forward mode gradients. {}.",
    "double_back": "The jacobian of the user-provided function is independent of input {}. {}.",
    "double_back_trick": "The hessian of the user-provided function is independent of entry {} in the grad_jacobian. "
    "{} as it prevents from using the double backward trick to replace forward mode AD.",
}
_NOT_RECORDED = {
    "hessian": "The hessian of the user-provided function with respect to input {} is independent of the input. {}. "
    "You should ensure that your function is thrice differentiable and that the hessian depends on the inputs.",
    "jacobian": "While computing the hessian, found that the jacobian of the user-provided function with respect to "
    "input {} is independent of the input. {}. You should ensure that your function is twice differentiable and "
    "that the jacobian depends on the inputs (this would be violated by a linear function for example).",
    "grad_inputs": "The gradient with respect to input {} is independent of the inputs of the user-provided function. "
    "{}.",
    "outputs": "Output {} of the user-provided function does not require gradients. The outputs must be computed in "
    "a differentiable manner from the input when running in strict mode.",
}
_NEEDS_V_FOR_OUTPUT = (
    "The vector v can only be None if the user-provided function returns a single Tensor with a single element."
)
_NEEDS_V_FOR_INPUT = (
    "The vector v can only be None if the input to the user-provided function is a single Tensor with a single element."
)


def _as_tuple(value, name, caller):
    """`(value is a tuple, value as a tuple)`; TypeError unless it holds tensors only."""
    is_tuple = isinstance(value, tuple)
    values = value if is_tuple else (value,)
    for index, item in enumerate(values):
        if not isinstance(item, fl.Tensor):
            which = f"the value at index {index}" if is_tuple else f"the given {name}"
            raise TypeError(
                f"The {name} given to {caller} must be either a Tensor or a tuple of Tensors but {which} has type "
                f"{type(item)}."
            )
    return is_tuple, values


def _untuple(values, is_tuple):
    return values if is_tuple else values[0]


def _prepare(values, create_graph, need_graph):
    """Inputs as leaves of their own, or with `create_graph` as views, so that gradients reach the originals too."""
    if not create_graph:
        return tuple(value.detach().requires_grad_(need_graph) for value in values)
    views = tuple(value.view_as(value) for value in values)
    if need_graph:
        for view in views:
            if not view.requires_grad:
                view.requires_grad_()
    return views


def _finish(values, create_graph):
    return values if create_graph else tuple(value.detach() for value in values)


def _validate_v(v, other, is_other_tuple):
    if len(other) != len(v):
        if is_other_tuple:
            raise RuntimeError(f"v is a tuple of invalid length: should be {len(other)} but got {len(v)}.")
        raise RuntimeError("The given v should contain a single Tensor.")
    for index, (entry, like) in enumerate(zip(v, other)):
        if entry.size() != like.size():
            prefix = f"Entry {index} in " if is_other_tuple and index else ""
            raise RuntimeError(f"{prefix}v has invalid size: should be {like.size()} but got {entry.size()}.")


def _check_recorded(values, kind, strict):
    """In strict mode, RuntimeError for values that are missing or can't be differentiated."""
    if not strict:
        return
    for index, value in enumerate(values):
        if value is None:
            raise RuntimeError(_INDEPENDENT["back"].format(index, _STRICT))
        if not value.requires_grad:
            raise RuntimeError(_NOT_RECORDED[kind].format(index, _STRICT))


def _gradients(outputs, inputs, grad_outputs, create_graph):
    """Gradients with None for what doesn't depend; outputs that aren't recorded are passed over."""
    if grad_outputs is None:
        grad_outputs = (None,) * len(outputs)
    pairs = [(out, g) for out, g in zip(outputs, grad_outputs) if out is not None and out.requires_grad]
    if not pairs:
        return (None,) * len(inputs)
    return fl.autograd.grad(
        [out for out, _ in pairs],
        inputs,
        [g for _, g in pairs],
        allow_unused=True,
        create_graph=create_graph,
        retain_graph=True,
    )


def _fill_in_zeros(gradients, like, strict, create_graph, stage):
    filled = []
    for index, gradient in enumerate(gradients):
        if gradient is None:
            if strict:
                raise RuntimeError(_INDEPENDENT[stage].format(index, _STRICT))
            gradient = fl.zeros_like(like[index])
        elif strict and create_graph and not gradient.requires_grad:
            matrix = "hessian" if "double" in stage else "jacobian"
            raise RuntimeError(
                f"The {matrix} of the user-provided function is independent of input {index}. {_STRICT} when "
                "create_graph=True."
            )
        filled.append(gradient)
    return tuple(filled)


def _single_element(values):
    return len(values) == 1 and values[0].nelement() == 1


def _prepare_v(v, other, is_other_tuple, caller, create_graph, missing):
    """The vector v as a tuple; without one, `other` must have a single element."""
    if v is None:
        if not _single_element(other):
            raise RuntimeError(missing)
        return None
    v = _prepare(_as_tuple(v, "v", caller)[1], create_graph, False)
    _validate_v(v, other, is_other_tuple)
    return v


def vjp(func, inputs, v=None, create_graph=False, strict=False):
    """`(func(*inputs), v^T J)` for the Jacobian J: v is like the outputs, the product like the inputs."""
    with fl.enable_grad():
        is_inputs_tuple, inputs = _as_tuple(inputs, "inputs", "vjp")
        inputs = _prepare(inputs, create_graph, True)
        is_outputs_tuple, outputs = _as_tuple(func(*inputs), "outputs of the user-provided function", "vjp")
        _check_recorded(outputs, "outputs", strict)
        v = _prepare_v(v, outputs, is_outputs_tuple, "vjp", create_graph, _NEEDS_V_FOR_OUTPUT)
    with fl.set_grad_enabled(create_graph or fl.is_grad_enabled()):
        product = _gradients(outputs, inputs, v, create_graph)
        product = _fill_in_zeros(product, inputs, strict, create_graph, "back")
    outputs, product = _finish(outputs, create_graph), _finish(product, create_graph)
    return _untuple(outputs, is_outputs_tuple), _untuple(product, is_inputs_tuple)


def _ones_like(values):
    return tuple(fl.ones_like(value) for value in values)


def jvp(func, inputs, v=None, create_graph=False, strict=False):
    """`(func(*inputs), J v)` for the Jacobian J: v is like the inputs, the product like the outputs.

    Two backward passes: `v^T J` is linear in v, and its derivative with respect to v is J.
    """
    with fl.enable_grad():
        is_inputs_tuple, inputs = _as_tuple(inputs, "inputs", "jvp")
        inputs = _prepare(inputs, create_graph, True)
        v = _prepare_v(v, inputs, is_inputs_tuple, "jvp", create_graph, _NEEDS_V_FOR_INPUT)
        is_outputs_tuple, outputs = _as_tuple(func(*inputs), "outputs of the user-provided function", "jvp")
        _check_recorded(outputs, "outputs", strict)
        probes = tuple(fl.zeros_like(out, requires_grad=True) for out in outputs)
        products = _gradients(outputs, inputs, probes, True)
        _check_recorded(products, "grad_inputs", strict)
        v = _ones_like(inputs) if v is None else v
    with fl.set_grad_enabled(create_graph or fl.is_grad_enabled()):
        product = _gradients(products, probes, v, create_graph)
        product = _fill_in_zeros(product, outputs, strict, create_graph, "back_trick")
    outputs, product = _finish(outputs, create_graph), _finish(product, create_graph)
    return _untuple(outputs, is_outputs_tuple), _untuple(product, is_outputs_tuple)


def _scalar_output(func, inputs, caller, strict):
    is_tuple, outputs = _as_tuple(func(*inputs), "outputs of the user-provided function", caller)
    _check_recorded(outputs, "outputs", strict)
    if is_tuple or not isinstance(outputs[0], fl.Tensor):
        raise RuntimeError(f"The function given to {caller} should return a single Tensor")
    if outputs[0].nelement() != 1:
        raise RuntimeError(f"The Tensor returned by the function given to {caller} should contain a single element")
    return outputs


def vhp(func, inputs, v=None, create_graph=False, strict=False):
    """`(func(*inputs), v^T H)` for the Hessian H of a scalar function; v and the product are like the inputs."""
    with fl.enable_grad():
        is_inputs_tuple, inputs = _as_tuple(inputs, "inputs", "vhp")
        inputs = _prepare(inputs, create_graph, True)
        v = _prepare_v(v, inputs, is_inputs_tuple, "vhp", create_graph, _NEEDS_V_FOR_INPUT)
        outputs = _scalar_output(func, inputs, "vhp", strict)
        jacobians = _gradients(outputs, inputs, None, True)
        _check_recorded(jacobians, "jacobian", strict)
        v = _ones_like(inputs) if v is None else v
    with fl.set_grad_enabled(create_graph or fl.is_grad_enabled()):
        product = _gradients(jacobians, inputs, v, create_graph)
        product = _fill_in_zeros(product, inputs, strict, create_graph, "double_back")
    outputs, product = _finish(outputs, create_graph), _finish(product, create_graph)
    return outputs[0], _untuple(product, is_inputs_tuple)


def hvp(func, inputs, v=None, create_graph=False, strict=False):
    """`(func(*inputs), H v)` for the Hessian H of a scalar function. H is symmetric, so `vhp` is the faster way."""
    with fl.enable_grad():
        is_inputs_tuple, inputs = _as_tuple(inputs, "inputs", "hvp")
        inputs = _prepare(inputs, create_graph, True)
        v = _prepare_v(v, inputs, is_inputs_tuple, "hvp", create_graph, _NEEDS_V_FOR_INPUT)
        outputs = _scalar_output(func, inputs, "hvp", strict)
        jacobians = _gradients(outputs, inputs, None, True)
        _check_recorded(jacobians, "jacobian", strict)
        probes = tuple(fl.zeros_like(value, requires_grad=True) for value in inputs)
        products = _gradients(jacobians, inputs, probes, True)
        _check_recorded(products, "hessian", strict)
        v = _ones_like(inputs) if v is None else v
    with fl.set_grad_enabled(create_graph or fl.is_grad_enabled()):
        product = _gradients(products, probes, v, create_graph)
        product = _fill_in_zeros(product, inputs, strict, create_graph, "double_back_trick")
    outputs, product = _finish(outputs, create_graph), _finish(product, create_graph)
    return outputs[0], _untuple(product, is_inputs_tuple)


def _check_strategy(strategy, vectorize, create_graph, hint=True):
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(
            'Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your function has more '
            'outputs than inputs, "forward-mode" tends to be more performant. Otherwise, prefer to use '
            '"reverse-mode".'
        )
    if strategy == "forward-mode":
        if create_graph:
            raise NotImplementedError(
                'torch.autograd.functional.jacobian: `create_graph=True` and `strategy="forward-mode"` are not '
                'supported together (yet). Please either set `create_graph=False` or `strategy="reverse-mode"`.'
            )
        if not vectorize:
            raise NotImplementedError(
                "Computing Jacobian using forward-AD or forward-over-reverse Hessian isonly implemented for "
                "`vectorize=True`."
            )


def _basis(output):
    """Gradients that pick each element of `output`, in order."""
    if not output.dtype.is_floating_point:
        raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {output.dtype}")
    if output.nelement() == 1:
        return (fl.ones_like(output),)
    size = output.nelement()
    return fl.eye(size, dtype=output.dtype, device=output.device).view((size,) + tuple(output.shape)).unbind(0)


def _jacobian_rows(index, output, inputs, create_graph, strict):
    """For each input the gradients of all elements of `output`."""
    if strict and create_graph:
        _check_recorded((output,), "outputs", strict)
    columns = tuple([] for _ in inputs)
    recorded = output.requires_grad
    missing = (None,) * len(inputs)
    for grad_output in _basis(output) if recorded else range(output.nelement()):
        if recorded:
            gradients = _passes.run((output,), (grad_output,), True, create_graph, inputs, True, False)
        else:
            gradients = missing
        for i, (column, gradient, value) in enumerate(zip(columns, gradients, inputs)):
            if gradient is None:
                if strict:
                    raise RuntimeError(
                        f"Output {index} of the user-provided function is independent of input {i}. {_STRICT}."
                    )
                gradient = fl.zeros_like(value)
            elif strict and create_graph and not gradient.requires_grad:
                raise RuntimeError(
                    f"The jacobian of the user-provided function is independent of input {i}. {_STRICT} when "
                    "create_graph=True."
                )
            column.append(gradient)
    return columns


def jacobian(func, inputs, create_graph=False, strict=False, vectorize=False, strategy="reverse-mode"):
    """The Jacobian of `func`: for one output and one input a tensor of shape `output.shape + input.shape`.

    A tuple of inputs or outputs gives a tuple, of both a tuple of tuples: `result[output][input]`. `vectorize`
    and `strategy` don't change the values.
    """
    _check_strategy(strategy, vectorize, create_graph)
    if vectorize and strict:
        raise RuntimeError(
            "torch.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not supported together. "
            "Please either set `strict=False` or `vectorize=False`."
        )
    is_inputs_tuple, inputs = _as_tuple(inputs, "inputs", "jacobian")
    if vectorize and strategy == "forward-mode":
        return _forward_jacobian(func, inputs, is_inputs_tuple)
    with fl.enable_grad():
        inputs = _prepare(inputs, create_graph, True)
        is_outputs_tuple, outputs = _as_tuple(func(*inputs), "outputs of the user-provided function", "jacobian")
        _check_recorded(outputs, "outputs", strict)
        result = []
        for index, output in enumerate(outputs):
            columns = _jacobian_rows(index, output, inputs, create_graph, strict)
            row = []
            for column, value in zip(columns, inputs):
                shape = output.shape + value.shape
                if len(column) == 1:
                    row.append(column[0].view(shape))
                else:
                    row.append(fl.stack(column, dim=0).view(shape))
            result.append(_finish(tuple(row), create_graph))
    result = tuple(result)
    if not is_inputs_tuple:
        result = tuple(row[0] for row in result)
    return _untuple(result, is_outputs_tuple)


def _forward_jacobian(func, inputs, is_inputs_tuple):
    """The Jacobian by columns, many of them at a time."""
    from flambeau.func import jacfwd

    tuples = []

    def checked(*values):
        is_tuple, outputs = _as_tuple(func(*values), "outputs of the user-provided function", "jacobian")
        tuples.append(is_tuple)
        return outputs

    rows = jacfwd(checked, tuple(range(len(inputs))))(*(value.detach() for value in inputs))
    result = tuple(_finish(row, False) for row in rows)
    if not is_inputs_tuple:
        result = tuple(row[0] for row in result)
    return _untuple(result, tuples[-1])


def hessian(
    func,
    inputs,
    create_graph=False,
    strict=False,
    vectorize=False,
    outer_jacobian_strategy="reverse-mode",
):
    """The Hessian of a scalar `func`: for one input a tensor of shape `input.shape * 2`.

    A tuple of inputs gives a tuple of tuples, one block for each pair. `vectorize` and `outer_jacobian_strategy`
    don't change the values.
    """
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')
    is_inputs_tuple, inputs = _as_tuple(inputs, "inputs", "hessian")

    def gradient(*inputs):
        outputs = _scalar_output(func, inputs, "hessian", strict)
        result = _gradients(outputs, inputs, None, True)
        result = tuple(fl.zeros_like(value) if g is None else g for g, value in zip(result, inputs))
        _check_recorded(result, "jacobian", strict)
        return result

    result = jacobian(
        gradient,
        inputs,
        create_graph=create_graph,
        strict=strict,
        vectorize=vectorize,
        strategy=outer_jacobian_strategy,
    )
    return result if is_inputs_tuple else result[0][0]
