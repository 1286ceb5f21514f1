"""Function transforms: derivatives of functions as functions, mapping over a dimension, modules as functions."""

import functools
import sys

import flambeau as torch
from flambeau import _func_checks as _check
from flambeau._levels import state as _levels
from flambeau._vmap import vmap
from flambeau._vmap._batched import first_part as _first_part
from flambeau._vmap._batched import physical as _physical
from flambeau._vmap._gradients import leaf as _leaf
from flambeau._vmap._gradients import lift as _lift
from flambeau._vmap._gradients import rows as _rows

__all__ = [
    "functional_call", "functionalize", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "linearize",
    "replace_all_batch_norm_modules_", "stack_module_state", "vjp", "vmap",
]  # fmt: skip


def _map(function, tree):
    """`function` of each tensor in nested tuples, lists and dicts; other leaves stay."""
    if isinstance(tree, torch.Tensor):
        return function(tree)
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(_map(function, item) for item in tree))
    if isinstance(tree, (tuple, list)):
        return type(tree)(_map(function, item) for item in tree)
    if isinstance(tree, dict):
        return type(tree)((key, _map(function, item)) for key, item in tree.items())
    return tree


def _tensors(tree):
    found = []
    _map(lambda tensor: found.append(tensor) or tensor, tree)
    return found


def _fill(tree, values):
    """`tree` with its tensors replaced by `values` in order."""
    values = iter(values)
    return _map(lambda _: next(values), tree)


class _Variables:
    """Stand-ins of input tensors that a transform differentiates by.

    The stand-in of a tensor that requires a gradient is a view, so that an enclosing transform or backward pass sees
    through it; that of another one is a fresh leaf.
    """

    _running = []

    def __init__(self):
        self.fresh = {}  # by identity

    def __enter__(self):
        """Records what follows; leaves made in it by other transforms count as this one's too."""
        self._recording = torch.is_grad_enabled()
        self._running.append(self)
        self._mode = torch.enable_grad()
        self._mode.__enter__()
        return self

    def __exit__(self, *error):
        self._mode.__exit__(*error)
        self._running.pop()

    def own(self, leaf):
        for variables in {id(v): v for v in (self, *self._running)}.values():
            variables.fresh[id(leaf)] = leaf
        return leaf

    def stand_in(self, tensor):
        """A tensor in the place of `tensor`; under `vmap` with a part for each sample."""
        if _levels.stack:
            tensor = _lift(tensor)
        if tensor.requires_grad:
            return tensor.view_as(tensor)
        if tensor.dtype.is_floating_point or tensor.dtype.is_complex:
            return self.leaf(tensor)
        return tensor.detach()

    def leaf(self, tensor):
        """A fresh leaf with the value of `tensor`."""
        if _levels.stack:
            leaf, plain = _leaf(tensor)
            self.own(plain)
            return leaf
        return self.own(tensor.detach().requires_grad_(True))

    def call(self, func, args, kwargs, argnums, has_aux, check=_check.variables):
        """Stand-ins of the arguments `argnums`, what the function makes of them, and what it returns besides."""
        chosen = _select(args, argnums)
        check(chosen)
        chosen = _map(self.stand_in, chosen)
        return chosen, *_split_aux(func(*_replace(args, argnums, chosen), **kwargs), has_aux)

    def release(self, tree):
        """The results, without history if nothing but the fresh leaves is behind them or none was recorded before."""
        return _map(lambda t: t if self._recording and self._has_outer(t) else t.detach(), tree)

    def lasting(self, *tensors):
        """Whether derivatives of these must be differentiable: by what an enclosing transform or pass asks for."""
        return self._recording and (_dual_level() >= 0 or any(self._has_outer(tensor) for tensor in tensors))

    def _has_outer(self, tensor):
        tensor = _physical(tensor)
        if not tensor.requires_grad:
            return False
        if tensor.grad_fn is None:
            return id(tensor) not in self.fresh
        queue, seen = [tensor.grad_fn], set()
        while queue:
            node = queue.pop()
            if node in seen:
                continue
            seen.add(node)
            leaf = getattr(node, "variable", None)
            if leaf is not None and id(leaf) not in self.fresh:
                return True
            queue.extend(source for source, _ in node.next_functions if source is not None)
        return False


def _dual_level():
    """The level of forward mode, -1 for none."""
    module = sys.modules.get("flambeau.autograd.forward_ad")
    return -1 if module is None else module._current_level


def _derivatives(outputs, inputs, directions=None, create=True):
    """Gradients, with `create` such that can be differentiated again; zeros where an input is not used."""
    pairs = [
        (out, None if directions is None else direction)
        for out, direction in zip(outputs, directions or outputs)
        if out.requires_grad
    ]
    if not pairs or not inputs:
        return tuple(torch.zeros_like(value) for value in inputs)
    outs, given = zip(*pairs)
    used = [index for index, value in enumerate(inputs) if value.requires_grad]
    found = torch.autograd.grad(
        outs, [inputs[i] for i in used], None if directions is None else given, True, create, allow_unused=True
    )
    table = dict(zip(used, found))
    return tuple(
        torch.zeros_like(value) if table.get(index) is None else table[index] for index, value in enumerate(inputs)
    )


def _positions(argnums, count):
    single = isinstance(argnums, int)
    numbers = (argnums,) if single else tuple(argnums)
    for number in numbers:
        if not -count <= number < count:
            raise RuntimeError(f"Got argnum={number}, but only {count} positional inputs")
    numbers = tuple(number % count for number in numbers)
    if len(set(numbers)) != len(numbers):
        raise RuntimeError(f"argnums elements must be unique, got {argnums}")
    return single, numbers


def _select(args, argnums):
    single, numbers = _positions(argnums, len(args))
    return args[numbers[0]] if single else tuple(args[number] for number in numbers)


def _replace(args, argnums, chosen):
    single, numbers = _positions(argnums, len(args))
    args = list(args)
    for number, value in zip(numbers, (chosen,) if single else chosen):
        args[number] = value
    return args


def _split_aux(result, has_aux):
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise RuntimeError("Expected output of the function to be a tuple (output, aux) with has_aux=True")
    return result


def grad_and_value(func, argnums=0, has_aux=False):
    """A function of the gradient of `func` and its value: ``(grad, value)``, or ``(grad, (value, aux))``."""

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        with _Variables() as variables:
            chosen, value, aux = variables.call(func, args, kwargs, argnums, has_aux)
            if not isinstance(value, torch.Tensor):
                raise RuntimeError(f"grad_and_value(f)(*args): Expected f(*args) to return a Tensor, got {type(value)}")
            if value.dim():
                raise RuntimeError(
                    "grad_and_value(f)(*args): Expected f(*args) to return a scalar Tensor, "
                    f"got tensor with {value.dim()} dims. Maybe you wanted to use the vjp or jacrev APIs instead?"
                )
            lasting = variables.lasting(value)
            gradients = _fill(chosen, _derivatives([value], _tensors(chosen), None, lasting))
        gradients, value = variables.release((gradients, value)) if lasting else (gradients, value.detach())
        aux = variables.release(aux)
        return gradients, ((value, aux) if has_aux else value)

    return wrapper


def grad(func, argnums=0, has_aux=False):
    """A function of the gradient of the scalar function `func` by the arguments `argnums`; or ``(grad, aux)``."""
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        gradients, value = both(*args, **kwargs)
        return (gradients, value[1]) if has_aux else gradients

    return wrapper


def vjp(func, *primals, has_aux=False):
    """``(output, vjp_fn)``, or with aux as third; `vjp_fn(cotangents)` is the tuple of products with the Jacobians."""
    with _Variables() as variables:
        inputs, output, aux = variables.call(func, primals, {}, range(len(primals)), has_aux)
        _check.outputs(output, "vjp(f, *primals)")

    def vjp_fn(*cotangents):
        given = cotangents[0] if len(cotangents) == 1 else cotangents
        _check.cotangents(output, given)
        outs, directions = _tensors(output), _tensors(given)
        with variables:
            create = variables.lasting(*outs, *directions)
            products = _fill(inputs, _derivatives(outs, _tensors(inputs), directions, create))
        # The cotangents may themselves be variables of an enclosing transform.
        return variables.release(products)

    released, aux = variables.release((output, aux))
    return (released, vjp_fn, aux) if has_aux else (released, vjp_fn)


def _tangent_map(variables, outs, sources):
    """The function that takes tangents of `sources` to those of `outs`.

    The backward pass is linear in its cotangents; its own derivative by them, in a direction, is what is wanted.
    """
    weights = [variables.leaf(torch.zeros_like(out)) for out in outs]
    products = _derivatives(outs, sources, weights)
    return lambda directions: _derivatives(products, weights, directions)


def jvp(func, primals, tangents, *, strict=False, has_aux=False):
    """``(output, product of the Jacobian with tangents)``; a derivative of the reverse pass by its direction."""
    if not isinstance(primals, tuple):
        raise RuntimeError(
            "jvp(f, primals, tangents): Expected primals to be a tuple. E.g. it should be valid to call f(*primals)."
        )
    _check.primals(primals)
    _check.tangents(primals, tangents)
    with _Variables() as variables:
        inputs, output, aux = variables.call(func, primals, {}, range(len(primals)), has_aux, _check.primals)
        _check.outputs(output, "jvp(f, primals, tangents)")
        sources, directions = _tensors(inputs), _tensors(tangents)
        outs = _tensors(output)
        derivatives = _tangent_map(variables, outs, sources)(directions)
        if strict and any(not out.requires_grad for out in outs):
            raise RuntimeError("jvp(f, primals, tangents, strict=True): an output does not depend on the inputs")
        result = _fill(output, derivatives)
    output, result, aux = variables.release((output, result, aux))
    return (output, result, aux) if has_aux else (output, result)


def linearize(func, *primals):
    """``(output, jvp_fn)``: the value at `primals`, and the products of the Jacobian there with tangents.

    The function runs once, whatever number of tangents its derivative is then given.
    """
    variables = _Variables()
    with variables:
        inputs = _map(variables.stand_in, primals)
        output = func(*inputs)
        sources = _tensors(inputs)
        push = _tangent_map(variables, _tensors(output), sources)

    def jvp_fn(*tangents):
        directions = _tensors(tangents)
        if len(directions) != len(sources):
            raise RuntimeError(
                f"Expected the tangents to have the same structure as the primals: {len(directions)} tensors for "
                f"{len(sources)}"
            )
        for place, (tangent, source) in enumerate(zip(directions, sources)):
            for what in ("shape", "dtype"):
                have, want = getattr(tangent, what), getattr(source, what)
                if have != want:
                    raise RuntimeError(
                        f"tangent:{place} with {what} {have} in flattened pytree doesn't match the {what} {want} of the "
                        "corresponding primal."
                    )
        with variables:
            result = _fill(output, push(directions))
        return variables.release(result)

    return variables.release(output), jvp_fn


def functionalize(func, *, remove="mutations"):
    """A function with the results of `func`, which may change tensors in place: nothing records its operators here."""
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(
            f"functionalize(f, remove='mutations'): received invalid argument for remove={remove}. Valid options are:\n"
            "     remove='mutations': all inplace and out= operators will be removed from the program, and replaced with "
            "their out-of-place equivalents.\n"
            "     remove='mutations_and_views': In addition to the above, all aliasing operators {view} will be replaced "
            "with their non-aliasing counterparts, {view}_copy.\n"
        )

    @functools.wraps(func)
    def wrapped(*args, **kwargs):
        return func(*args, **kwargs)

    return wrapped


def _basis(shape, dtype):
    """The unit tensors of a shape, stacked."""
    size = shape.numel()
    return torch.eye(size, dtype=dtype).reshape(size, *shape)


def _jacobian_columns(variables, out, inputs):
    """For each input the gradients of all elements of an output, stacked."""
    used = [value for value in inputs if value.requires_grad]
    found = ()
    if out.requires_grad and used:
        found = _rows((out,), (_basis(out.shape, out.dtype),), True, variables.lasting(out), used)
    found = iter(found)
    columns = [next(found, None) if value.requires_grad else None for value in inputs]
    return [
        torch.zeros((out.numel(), *value.shape), dtype=value.dtype) if column is None else column
        for column, value in zip(columns, inputs)
    ]


def jacrev(func, argnums=0, *, has_aux=False, chunk_size=None, _preallocate_and_copy=False):
    """A function of the Jacobian of `func`: shape of the output followed by that of the input, one row at a time.

    Nested outputs and arguments give nested Jacobians, the output's structure outside.
    """

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        with _Variables() as variables:
            chosen, output, aux = variables.call(func, args, kwargs, argnums, has_aux)
            _check.outputs(output, "vjp(f, *primals)")
            inputs = _tensors(chosen)

            def blocks(out):
                columns = _jacobian_columns(variables, out, inputs)
                shaped = [c.reshape(tuple(out.shape) + tuple(v.shape)) for c, v in zip(columns, inputs)]
                return _fill(chosen, shaped)

            jacobian = _map(blocks, output)
        jacobian, aux = variables.release((jacobian, aux))
        return (jacobian, aux) if has_aux else jacobian

    return wrapper


def jacfwd(func, argnums=0, has_aux=False, *, randomness="error"):
    """The Jacobian as `jacrev` gives it, computed a column at a time, or all columns at once where there are many."""

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        chosen = _select(args, argnums)
        _check.primals(chosen)
        inputs = _tensors(chosen)
        if _pays(inputs):
            try:
                return _columns_at_once(func, args, kwargs, argnums, has_aux, randomness)
            except (RuntimeError, NotImplementedError):
                # Branches that depend on elements, say: the function is then run on plain tensors.
                pass
        return _column_by_column(func, args, kwargs, argnums, has_aux)

    return wrapper


def _pays(inputs):
    """Whether so many derivatives are asked for that they are worth a run on batched tensors, and fit into memory."""
    count = sum(value.numel() for value in inputs)
    for level in _levels.stack:
        count *= level.size
    return 32 <= count <= 4096


def _columns_at_once(func, args, kwargs, argnums, has_aux, randomness):
    """`jvp` mapped over all unit tensors: one run of the function, with a part for each of them."""
    chosen = _select(args, argnums)
    inputs = tuple(_tensors(chosen))
    counts = [value.numel() for value in inputs]
    results = []

    def restricted(*values):
        return func(*_replace(args, argnums, _fill(chosen, values)), **kwargs)

    def push(*directions):
        output, tangents, *aux = jvp(restricted, inputs, directions, has_aux=has_aux)
        results.append((output, aux))
        return _tensors(tangents)

    directions = []
    for place, value in enumerate(inputs):
        blocks = [torch.zeros((count, *value.shape), dtype=value.dtype) for count in counts]
        blocks[place] = _basis(value.shape, value.dtype)
        directions.append(torch.cat(blocks))
    columns = vmap(push, randomness=randomness)(*directions)
    (output, aux), blocks = results[0], []
    for out, column in zip(_tensors(output), columns):
        parts = column.movedim(0, -1).split(counts, -1)
        blocks.append(_fill(chosen, [p.reshape(tuple(out.shape) + tuple(v.shape)) for p, v in zip(parts, inputs)]))
    place = iter(blocks)
    jacobian = _map(lambda _: next(place), output)
    # All parts of what else the function returned are the same.
    return (jacobian, _map(_first_part, aux[0])) if has_aux else jacobian


def _column_by_column(func, args, kwargs, argnums, has_aux):
    """The function runs once; its derivative, linear in the tangents, is then given one unit tensor after another."""
    with _Variables() as variables:
        chosen, output, aux = variables.call(func, args, kwargs, argnums, has_aux, _check.primals)
        _check.outputs(output, "jvp(f, primals, tangents)")
        inputs, outs = _tensors(chosen), _tensors(output)
        weights = [variables.leaf(torch.zeros_like(out)) for out in outs]
        blocks = [[] for _ in outs]
        # What one input contributes: the derivative of its part of the backward pass by the cotangents.
        products = _derivatives(outs, inputs, weights)
        for value, product in zip(inputs, products):
            columns = _pushed(variables, value, product, weights)
            for found, column, out in zip(blocks, columns, outs):
                found.append(column.movedim(0, -1).reshape(tuple(out.shape) + tuple(value.shape)))
        place = iter([_fill(chosen, found) for found in blocks])
        jacobian = _map(lambda _: next(place), output)
    jacobian, aux = variables.release((jacobian, aux))
    return (jacobian, aux) if has_aux else jacobian


def _pushed(variables, value, product, weights):
    """For each output the derivatives by all elements of an input, stacked."""
    found = (None,) * len(weights)
    if product.requires_grad:
        seeds = (_basis(value.shape, value.dtype),)
        found = _rows((product,), seeds, True, variables.lasting(product, *weights), weights)
    return [
        torch.zeros((value.numel(), *weight.shape), dtype=weight.dtype) if column is None else column
        for column, weight in zip(found, weights)
    ]


def hessian(func, argnums=0):
    """A function of the second derivatives of `func`."""
    by_rows, at_once = jacrev(jacrev(func, argnums), argnums), jacfwd(jacrev(func, argnums), argnums)

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        return (at_once if _pays(_tensors(_select(args, argnums))) else by_rows)(*args, **kwargs)

    return wrapper


def functional_call(module, parameter_and_buffer_dicts, args=None, kwargs=None, *, tie_weights=True, strict=False):
    """Calls `module` with the tensors of a dict, or of several, in place of its parameters and buffers."""
    tensors = parameter_and_buffer_dicts
    if isinstance(tensors, (list, tuple)):
        tensors = {}
        for part in parameter_and_buffer_dicts:
            for name, tensor in part.items():
                if name in tensors:
                    raise ValueError(
                        f"['{name}'] appeared in multiple dictionaries; behavior of functional call is ambiguous"
                    )
                tensors[name] = tensor
    elif not isinstance(tensors, dict):
        raise ValueError(
            "Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, "
            f"but got {type(parameter_and_buffer_dicts)}"
        )
    from flambeau.nn.utils import stateless

    return stateless.functional_call(module, tensors, args, kwargs, tie_weights=tie_weights, strict=strict)


def replace_all_batch_norm_modules_(root):
    """Takes the running averages from all batch normalisations of a module, which then use those of the batch."""
    for module in root.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean = None
            module.running_var = None
            module.num_batches_tracked = None
            module.track_running_stats = False
    return root


def stack_module_state(models):
    """``(parameters, buffers)`` of modules of one kind: dicts of their tensors stacked along a new first dimension."""
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if not (all(m.training for m in models) or all(not m.training for m in models)):
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if not all(type(m) is type(models[0]) for m in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")

    def stacked(kind, name, tensors):
        flags = {t.requires_grad for t in tensors}
        if kind == "parameter" and len(flags) > 1:
            raise RuntimeError(f"Expected {kind} {name} from each model to have the same .requires_grad")
        return torch.stack([t.detach() for t in tensors]).requires_grad_(flags.pop() if kind == "parameter" else False)

    def gather(kind, listings):
        listings = [dict(listing) for listing in listings]
        return {name: stacked(kind, name, [listing[name] for listing in listings]) for name in listings[0]}

    return (
        gather("parameter", [m.named_parameters() for m in models]),
        gather("buffer", [m.named_buffers() for m in models]),
    )
