"""What `gradcheck` does: analytical and numerical Jacobians, their comparison, and checks of backward passes."""

import itertools
import warnings

import flambeau as fl
from flambeau.autograd import grad
from flambeau.autograd.function import Function
from flambeau.autograd.gradcheck import GradcheckError

_NOTES = 'Please look at "Notes about undefined output gradients" in "tools/autograd/derivatives.yaml"'


def _as_tuple(value):
    if isinstance(value, tuple):
        return value
    return tuple(value) if isinstance(value, list) else (value,)


def _differentiable(values):
    return tuple(value for value in _as_tuple(values) if value.requires_grad)


def _is_differentiable(value):
    return isinstance(value, fl.Tensor) and value.requires_grad


def _check_inputs(inputs):
    any_grad = False
    for index, value in enumerate(inputs):
        if not _is_differentiable(value):
            continue
        any_grad = True
        if value.dtype not in (fl.float64, fl.complex128):
            warnings.warn(
                f"Input #{index} requires gradient and is not a double precision floating point or complex. This "
                "check will likely fail if all the inputs are not of double precision floating point or complex. ",
                stacklevel=4,
            )
        if not all(stride > 0 or size <= 1 for stride, size in zip(value.stride(), value.size())):
            raise RuntimeError(
                f"The {index}th input has a dimension with stride 0. gradcheck only supports inputs that are "
                "non-overlapping to be able to compute the numerical gradients correctly. You should call "
                ".contiguous on the input before passing it to gradcheck."
            )
    if not any_grad:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of them have requires_grad=True."
        )


def _allclose(a, b, rtol, atol):
    """`allclose` after promotion; exceptions of a GPU-less kind don't arise here."""
    dtype = fl.promote_types(a.dtype, b.dtype)
    return fl.allclose(a.to(dtype), b.to(dtype), rtol, atol)


# Numerical derivatives


def _outputs(function, inputs):
    return tuple(out.detach().clone() for out in _as_tuple(function(*inputs)))


def _central_differences(function, inputs, perturb, eps):
    """`(f(x + d) - f(x - d)) / (2 eps)` of all outputs, where `perturb(sign)` moves x by sign * d in place."""
    perturb(1)
    try:
        above = _outputs(function, inputs)
    finally:
        perturb(0)
    perturb(-1)
    try:
        below = _outputs(function, inputs)
    finally:
        perturb(0)
    for a, b in zip(above, below):
        if a.shape != b.shape or a.dtype != b.dtype:
            raise AssertionError("Expected outputs to have the same dtype and shape when inputs are perturbed")
    return [(a - b) / (2 * eps) for a, b in zip(above, below)]


def _entry_mover(data, index, step):
    original = data[index].item()

    def perturb(sign):
        data[index] = original + sign * step

    return perturb


def _vector_mover(data, vector, eps):
    original = data.clone()

    def perturb(sign):
        data.copy_(original + sign * eps * vector if sign else original)

    return perturb


def numerical_jacobian(function, inputs, value, eps):
    """For each output the matrix of derivatives (elements of `value`, elements of the output).

    Of a complex `value = x + iy` it is `d/dx + i d/dy`, as gradients are.
    """
    data = value.detach() if not value.requires_grad else value.data
    columns = []
    for index in itertools.product(*(range(size) for size in value.shape)):
        derivatives = _central_differences(function, inputs, _entry_mover(data, index, eps), eps)
        if value.is_complex():
            imaginary = _central_differences(function, inputs, _entry_mover(data, index, eps * 1j), eps)
            derivatives = [re + 1j * im for re, im in zip(derivatives, imaginary)]
        columns.append([derivative.reshape(-1) for derivative in derivatives])
    if not columns:
        return [out.new_zeros((0, out.numel())) for out in _outputs(function, inputs)]
    return [fl.stack(rows) for rows in zip(*columns)]


# Analytical derivatives


def _gradients(output, inputs, grad_output):
    return grad(output, inputs, grad_output, retain_graph=True, allow_unused=True)


def analytical_jacobians(output, inputs):
    """For each input the matrix of derivatives (elements of the input, elements of `output`)."""
    jacobians = [value.new_zeros((value.numel(), output.numel())) for value in inputs]
    grad_output = fl.zeros(output.shape, dtype=output.dtype, device=output.device)
    flat = grad_output.view(-1)
    for j in range(output.numel()):
        flat[j] = 1
        for jacobian, gradient in zip(jacobians, _gradients(output, inputs, grad_output.clone())):
            if gradient is not None:
                jacobian[:, j] = gradient.detach().reshape(-1)
        flat[j] = 0
    return jacobians


def _check_attributes(output, inputs, index, check_dtypes):
    """Gradients have their inputs' sizes, and dtypes if asked for."""
    for value, gradient in zip(inputs, _gradients(output, inputs, fl.zeros_like(output))):
        if gradient is None:
            continue
        if gradient.size() != value.size():
            raise GradcheckError("Analytical gradient has incorrect size")
        if check_dtypes and gradient.dtype != value.dtype:
            raise GradcheckError("Analytical gradient has incorrect dtype")


def _raise_nondeterministic(tolerance):
    raise GradcheckError(
        "Backward is not reentrant, i.e., running backward with same input and grad_output multiple times gives "
        "different values, although analytical gradient matches numerical gradient.The tolerance for nondeterminism "
        f"was {tolerance}.\n\nA backward pass that is known to be nondeterministic can be checked with "
        "`nondet_tol=<tol>`."
    )


def _mismatch(analytical, numerical, output_index, input_index, part):
    prefix = f"While considering the {part} part of complex outputs only, " if part else ""
    return (
        f"{prefix}Jacobian mismatch for output {output_index} with respect to input {input_index},\n"
        f"numerical:{numerical}\nanalytical:{analytical}\n"
    )


# Comparison


def _slow(function, inputs, outputs, part, options):
    """Compares whole Jacobians of the differentiable `outputs`."""
    positions = [i for i, value in enumerate(inputs) if _is_differentiable(value)]
    diff_inputs = tuple(inputs[i] for i in positions)
    numerical = [numerical_jacobian(function, inputs, value, options["eps"]) for value in diff_inputs]
    for o, output in enumerate(outputs):
        _check_attributes(output, diff_inputs, o, options["check_grad_dtypes"])
        analytical = analytical_jacobians(output, diff_inputs)
        again = analytical_jacobians(output, diff_inputs)
        for i, jacobian in enumerate(analytical):
            expected = numerical[i][o]
            if jacobian.numel() and not _allclose(jacobian, expected, options["rtol"], options["atol"]):
                raise GradcheckError(_mismatch(jacobian, expected, o, positions[i], part))
        for first, second in zip(analytical, again):
            if first.numel() and not _allclose(first, second, 0.0, options["nondet_tol"]):
                _raise_nondeterministic(options["nondet_tol"])


def _random_unit(like, generator):
    vector = fl.rand(like.numel(), dtype=fl.float64, generator=generator)
    length = vector.norm()
    return (vector / length if like.numel() else vector).view(like.shape).to(like.device)


def _real_dot(a, b):
    return (a.to(fl.float64) * b).sum()


def _dot(vector, directions):
    """Product of a gradient with `directions`, of which a complex input has two."""
    if vector.is_complex():
        return fl.complex(_real_dot(vector.real, directions[0]), _real_dot(vector.imag, directions[1]))
    return _real_dot(vector, directions[0])


def _fast(function, inputs, outputs, part, options):
    """Compares `v^T J u` for random v and u."""
    generator = fl.Generator()
    generator.manual_seed(1)
    positions = [i for i, value in enumerate(inputs) if _is_differentiable(value)]
    diff_inputs = tuple(inputs[i] for i in positions)
    all_u = [[_random_unit(value, generator) for _ in range(1 + value.is_complex())] for value in diff_inputs]
    all_v = [_random_unit(out, generator) for out in outputs]
    eps = options["eps"]
    numerical = []
    for value, u in zip(diff_inputs, all_u):
        parts = []
        for direction, unit in zip(u, (1, 1j)):
            vector = direction.to(value.dtype) * unit
            derivatives = _central_differences(function, inputs, _vector_mover(value.data, vector, eps), eps)
            parts.append([_real_dot(d, v) for d, v in zip(derivatives, all_v)])
        numerical.append([fl.complex(a, b) for a, b in zip(*parts)] if len(parts) == 2 else parts[0])
    for o, (output, v) in enumerate(zip(outputs, all_v)):
        _check_attributes(output, diff_inputs, o, options["check_grad_dtypes"])
        v = v.to(output.dtype)
        first, second = (_gradients(output, diff_inputs, v) for _ in range(2))
        for i, (gradient, again, u) in enumerate(zip(first, second, all_u)):
            expected = numerical[i][o]
            zero = fl.zeros_like(diff_inputs[i])
            gradient = zero if gradient is None else gradient.detach()
            found = _dot(gradient, u)
            # a projection adds up the deviations of all the entries
            atol = options["atol"] * float(all_v[o].sum()) * sum(float(d.sum()) for d in u)
            if not _allclose(found, expected, options["rtol"], atol):
                _raise_fast(function, inputs, output, diff_inputs[i], (o, i, positions[i]), found, expected, part, eps)
            if again is not None and not _allclose(gradient, again, 0.0, options["nondet_tol"]):
                _raise_nondeterministic(options["nondet_tol"])


def _raise_fast(function, inputs, output, value, where, found, expected, part, eps):
    o, _, position = where
    numerical = numerical_jacobian(function, inputs, value, eps)[o]
    (analytical,) = analytical_jacobians(output, (value,))
    raise GradcheckError(
        _mismatch(found, expected, o, position, part)
        + "\nThe above are random projections of the jacobians (fast mode). In full they are:\n"
        + f"\nNumerical:\n {numerical}\nAnalytical:\n{analytical}\n"
        + f"\nThe max per-element difference (slow mode) is: {(numerical - analytical).abs().max()}.\n"
    )


def _part_function(func, part):
    """`func`, with only the differentiable outputs, and of complex ones only their real or imaginary part."""

    def function(*arguments):
        outputs = _differentiable(func(*arguments))
        if part is None:
            return outputs
        return tuple(
            getattr(out, "imag" if part == "imaginary" else "real") if out.is_complex() else out for out in outputs
        )

    return function


def _check_no_outputs(func, inputs, eps):
    """Outputs that don't require gradients must not depend on the inputs."""
    for value in inputs:
        if not _is_differentiable(value):
            continue
        for jacobian in numerical_jacobian(func, inputs, value, eps):
            if jacobian.numel() and not jacobian.eq(0).all():
                raise GradcheckError("Numerical gradient for function expected to be zero")


def _check_multiplied_by_grad_output(outputs, inputs):
    """A zero gradient gives zero gradients, of the inputs' types and sizes."""
    inputs = tuple(value for value in inputs if _is_differentiable(value))
    zeros = [fl.zeros_like(out) for out in outputs]
    for gradient, value in zip(grad(outputs, inputs, zeros, retain_graph=True, allow_unused=True), inputs):
        if gradient is None:
            continue
        if not gradient.eq(0).all():
            raise GradcheckError("backward not multiplied by grad_output")
        if gradient.dtype != value.dtype:
            raise GradcheckError("grad is incorrect type")
        if gradient.device != value.device:
            raise GradcheckError("grad is incorrect device")
        if gradient.size() != value.size():
            raise GradcheckError("grad is incorrect size")


class _UndefinedGrad(Function):
    """The identity, with a gradient that stays undefined."""

    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad_output):
        return None


def _check_undefined(func, inputs):
    """Backward passes cope with undefined gradients of some or all outputs."""
    diff_inputs = tuple(value for value in inputs if _is_differentiable(value))

    def check(chosen):
        outputs = _differentiable(func(*inputs))
        undefined = [_UndefinedGrad.apply(outputs[i]) for i in chosen]
        try:
            gradients = grad(undefined, diff_inputs, [fl.zeros_like(out) for out in undefined], allow_unused=True)
        except RuntimeError as error:
            raise GradcheckError(f"Expected backward function to handle undefined output grads. {_NOTES}") from error
        for gradient in gradients:
            if gradient is not None and not gradient.eq(0).all():
                raise GradcheckError(
                    "Expected all input grads to be undefined or zero when all output grads are undefined or zero. "
                    f"{_NOTES}"
                )

    count = len(_differentiable(func(*inputs)))
    check(range(count))
    if count > 1:
        for index in range(count):
            check([index])


def _check_batched(outputs, inputs):
    """Gradients of a batch are the gradients of its entries."""
    diff_inputs = tuple(value for value in inputs if _is_differentiable(value))
    for output in outputs:
        batch = fl.stack([fl.rand_like(output), fl.rand_like(output)])
        together = grad(output, diff_inputs, batch, retain_graph=True, allow_unused=True, is_grads_batched=True)
        apart = [_gradients(output, diff_inputs, entry) for entry in batch]
        for i, gradient in enumerate(together):
            if gradient is not None and not fl.allclose(gradient, fl.stack([entry[i] for entry in apart])):
                raise GradcheckError("gradcheck or gradgradcheck failed while testing batched gradient computation.")


def check_gradients(func, inputs, **options):
    """`gradcheck`, with its failures as GradcheckError; returns True."""
    if options["check_forward_ad"]:
        raise NotImplementedError("gradcheck: forward-mode differentiation, which check_forward_ad checks, is missing")
    inputs = _as_tuple(inputs)
    _check_inputs(inputs)
    all_outputs = _as_tuple(func(*inputs))
    outputs = _differentiable(all_outputs)
    if not outputs:
        _check_no_outputs(func, inputs, options["eps"])
        return True
    compare = _fast if options["fast_mode"] else _slow
    parts = ("imaginary", "real") if any(out.is_complex() for out in outputs) else (None,)
    for part in parts:
        function = _part_function(func, part)
        compare(function, inputs, function(*inputs), part, options)
    if options["check_batched_grad"]:
        _check_batched(outputs, inputs)
    _check_multiplied_by_grad_output(outputs, inputs)
    if options["check_undefined_grad"]:
        _check_undefined(func, inputs)
    return True


# Second derivatives


def _random_gradient(output, non_contiguous):
    dtype = output.dtype if output.is_floating_point() or output.is_complex() else fl.float64
    if non_contiguous and output.numel() > 1:
        size = tuple(output.shape[:-1]) + (2 * output.shape[-1],) if output.dim() else ()
        return (fl.rand(size, dtype=dtype, device=output.device) * 2 - 1)[..., ::2].detach().requires_grad_()
    return (fl.rand(output.shape, dtype=dtype, device=output.device) * 2 - 1).requires_grad_()


def gradients_function(func, inputs, grad_outputs, non_contiguous):
    """A function of `inputs` and gradients of the outputs that gives the gradients of the inputs, and arguments."""
    inputs = _as_tuple(inputs)
    if grad_outputs is None:
        outputs = _differentiable(func(*inputs))
        gradients = tuple(_random_gradient(out, non_contiguous) for out in outputs)
        count = len(outputs)
    else:
        gradients = _as_tuple(grad_outputs)
        count = len(gradients)

    def function(*arguments):
        arguments, gradients = arguments[: len(arguments) - count], arguments[len(arguments) - count :]
        outputs = _differentiable(func(*arguments))
        wanted = tuple(value for value in arguments if _is_differentiable(value))
        results = grad(outputs, wanted, gradients, create_graph=True, allow_unused=True)
        return tuple(result for result in results if result is not None)

    return function, inputs + gradients
