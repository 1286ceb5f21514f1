"""Checkpoints: activations are computed again in the backward pass instead of being kept."""

import contextlib
import functools
import weakref

import flambeau as torch

__all__ = [
    "CheckpointError", "CheckpointFunction", "GraphExecGroup", "check_backward_validity", "checkpoint",
    "checkpoint_sequential", "detach_variable", "get_device_states", "noop_context_fn", "set_checkpoint_early_stop",
    "set_device_states",
]  # fmt: skip


class CheckpointError(RuntimeError):
    """The second computation of a checkpointed function differs from the first."""


def noop_context_fn():
    """A pair of contexts that do nothing, for the first and the second computation."""
    return contextlib.nullcontext(), contextlib.nullcontext()


_early_stop = None


@contextlib.contextmanager
def set_checkpoint_early_stop(enable):
    """Within the block decides for all checkpoints whether their second run ends with the last tensor needed."""
    global _early_stop
    previous, _early_stop = _early_stop, enable
    try:
        yield
    finally:
        _early_stop = previous


def get_device_states(*args):
    """The devices of the arguments that have a generator of their own, beside the CPU's, and their states."""
    devices = sorted({t.device.index or 0 for t in args if isinstance(t, torch.Tensor) and t.device.type == "cuda"})
    return devices, [torch.cuda.get_rng_state(device) for device in devices]


def set_device_states(devices, states, *, device_type=None):
    """Gives the generators of devices their states back."""
    for device, state in zip(devices, states):
        torch.cuda.set_rng_state(state, device)


class GraphExecGroup:
    """A block whose backward passes compute each checkpointed call again at most once.

    They must not use the same saved tensor twice, even with `retain_graph=True`.
    """

    _current = None

    def __enter__(self):
        if GraphExecGroup._current is not None:
            raise RuntimeError(
                f"GraphExecGroup contexts cannot be nested. Already inside group {GraphExecGroup._current}"
            )
        GraphExecGroup._current = self
        return self

    def __exit__(self, *error):
        GraphExecGroup._current = None


def detach_variable(inputs):
    """A tuple of the inputs without their history, `requires_grad` as before."""
    if not isinstance(inputs, tuple):
        raise RuntimeError("Only tuple of tensors is supported. Got Unsupported input type: ", type(inputs).__name__)
    return tuple(
        value.detach().requires_grad_(value.requires_grad) if isinstance(value, torch.Tensor) else value
        for value in inputs
    )


def check_backward_validity(inputs):
    """Warns if no input requires a gradient."""
    if not any(isinstance(value, torch.Tensor) and value.requires_grad for value in inputs):
        import warnings

        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", UserWarning, stacklevel=2)


@contextlib.contextmanager
def _random_state(state):
    """The generator as it was at the first computation, if that was asked for."""
    if state is None:
        yield
        return
    with torch.random.fork_rng():
        torch.set_rng_state(state)
        yield


def _casting_now():
    """A function that gives the region of `autocast`, or of none, that this thread is in, to be entered again."""
    enabled, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def region():
        if enabled == torch.is_autocast_enabled("cpu") and not enabled:
            return contextlib.nullcontext()
        return torch.autocast("cpu", dtype=dtype, enabled=enabled)

    return region


class CheckpointFunction(torch.autograd.Function):
    """The reentrant form: one node, whose backward runs the function again and a backward pass through it."""

    @staticmethod
    def forward(ctx, run_function, preserve_rng_state, *args):
        """Runs the function without recording."""
        check_backward_validity(args)
        ctx.run_function, ctx.region = run_function, _casting_now()
        ctx.state = torch.get_rng_state() if preserve_rng_state else None
        ctx.positions = [i for i, value in enumerate(args) if isinstance(value, torch.Tensor)]
        ctx.others = [None if isinstance(value, torch.Tensor) else value for value in args]
        ctx.save_for_backward(*(args[i] for i in ctx.positions))
        return run_function(*args)

    @staticmethod
    def backward(ctx, *grads):
        """Runs the function again and differentiates it."""
        args = list(ctx.others)
        for position, tensor in zip(ctx.positions, ctx.saved_tensors):
            args[position] = tensor
        with _random_state(ctx.state), ctx.region(), torch.enable_grad():
            inputs = detach_variable(tuple(args))
            outputs = ctx.run_function(*inputs)
        if isinstance(outputs, torch.Tensor):
            outputs = (outputs,)
        pairs = [(out, g) for out, g in zip(outputs, grads) if isinstance(out, torch.Tensor) and out.requires_grad]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        torch.autograd.backward([out for out, _ in pairs], [g for _, g in pairs])
        return (None, None) + tuple(value.grad if isinstance(value, torch.Tensor) else None for value in inputs)


class _Enough(Exception):
    """Ends a second run that has made all the tensors that were kept in the first."""


class _Frame:
    """One checkpointed call: what to run again, and what the first run would have kept."""

    def __init__(self, run, determinism_check, early_stop):
        self.run = run
        self.checked = determinism_check == "default"
        self.early_stop = early_stop
        self.facts = []
        self.again = {}
        self.groups = weakref.WeakSet()

    def pack(self, tensor):
        self.facts.append((tensor.shape, tensor.dtype, tensor.device))
        return len(self.facts) - 1

    def unpack(self, index):
        if index not in self.again:
            group = GraphExecGroup._current
            if group is not None:
                if group in self.groups:
                    raise CheckpointError(
                        "torch.utils.checkpoint: Unpack is being triggered for a tensor that was already unpacked once. "
                        "Performing two backward calls that overlap (i.e. require the same saved activation in order to "
                        "compute gradients) is not allowed while under the torch.utils.checkpoint.GraphExecGroup context."
                    )
                self.groups.add(group)
            self._compute()
        # A second backward pass (retain_graph) finds nothing and computes once more.
        return self.again.pop(index)

    def _compute(self):
        found = []

        def keep(tensor):
            found.append(tensor.detach())
            if self.early_stop and len(found) == len(self.facts):
                raise _Enough
            return len(found) - 1

        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda index: found[index]):
            with contextlib.suppress(_Enough):
                self.run()
        if len(found) != len(self.facts):
            raise CheckpointError(
                "torch.utils.checkpoint: A different number of tensors was saved during the original forward and "
                f"recomputation.\nNumber of tensors saved during forward: {len(self.facts)}\n"
                f"Number of tensors saved during recomputation: {len(found)}."
            )
        if self.checked:
            for index, (tensor, fact) in enumerate(zip(found, self.facts)):
                if (tensor.shape, tensor.dtype, tensor.device) != fact:
                    raise CheckpointError(
                        "torch.utils.checkpoint: Recomputed values for the following tensors have different metadata "
                        f"than during the forward pass.\ntensor at position {index}: saved {fact}, recomputed "
                        f"{(tensor.shape, tensor.dtype, tensor.device)}"
                    )
        self.again = dict(enumerate(found))


def checkpoint(
    function=None,
    *args,
    use_reentrant=None,
    preserve_rng_state=True,
    context_fn=noop_context_fn,
    determinism_check="default",
    debug=False,
    early_stop=True,
    respect_saved_tensors_hooks=None,
    **kwargs,
):
    """``function(*args, **kwargs)``, whose activations are computed again in the backward pass.

    `use_reentrant` picks the form: False (advised) keeps the recorded graph but not its tensors; True makes one
    node of the call. `preserve_rng_state` repeats the random numbers of the first run. With `early_stop` the second
    run ends as soon as it has made what the first would have kept. Without a function a decorator is returned.
    `respect_saved_tensors_hooks` concerns selective checkpoints only, which this one is not.
    """
    if function is None:
        settings = {
            "use_reentrant": use_reentrant, "preserve_rng_state": preserve_rng_state, "context_fn": context_fn,
            "determinism_check": determinism_check, "debug": debug, "early_stop": early_stop,
            "respect_saved_tensors_hooks": respect_saved_tensors_hooks,
        }  # fmt: skip
        if args or kwargs:
            raise TypeError("checkpoint() without a function takes its own keyword arguments only")

        def decorate(function):
            @functools.wraps(function)
            def wrapped(*args, **kwargs):
                return checkpoint(function, *args, **settings, **kwargs)

            return wrapped

        return decorate
    if use_reentrant is None:
        import warnings

        warnings.warn(
            "torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. use_reentrant=False is "
            "recommended.",
            UserWarning,
            stacklevel=2,
        )
        use_reentrant = True
    if use_reentrant:
        if kwargs:
            raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
        if context_fn is not noop_context_fn or debug is not False:
            raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
        return CheckpointFunction.apply(function, preserve_rng_state, *args)
    if determinism_check not in ("default", "none"):
        raise ValueError(f"determinism_check should be one of ['default', 'none'], but got '{determinism_check}'")
    first, second = context_fn()
    if not torch.is_grad_enabled():
        return function(*args, **kwargs)
    state = torch.get_rng_state() if preserve_rng_state else None
    region = _casting_now()

    def run():
        with _random_state(state), region(), second:
            function(*args, **kwargs)

    frame = _Frame(run, determinism_check, early_stop if _early_stop is None else _early_stop)
    with first, torch.autograd.graph.saved_tensors_hooks(frame.pack, frame.unpack):
        return function(*args, **kwargs)


def checkpoint_sequential(functions, segments, input, use_reentrant=None, **kwargs):
    """Runs a sequence of layers in `segments` parts, each a checkpoint but the last."""
    if use_reentrant is None:
        import warnings

        warnings.warn(
            "torch.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter should be passed explicitly. "
            "use_reentrant=False is recommended.",
            UserWarning,
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    layers = list(functions.children()) if isinstance(functions, torch.nn.Sequential) else list(functions)

    def part(start, stop):
        def run(value):
            for layer in layers[start:stop]:
                value = layer(value)
            return value

        return run

    size, start = len(layers) // segments, 0
    for _ in range(segments - 1):
        input = checkpoint(part(start, start + size), input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
        start += size
    return part(start, len(layers))(input)
