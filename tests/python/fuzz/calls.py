"""Random calls of everything public. A call is made from an integer alone, so that the integer reproduces it."""

import copy
import functools
import inspect
import random

import numpy as np

import flambeau as torch
from flambeau import _C

from . import values

# They change the state of the process, wait, write files or run code: not for random calls.
EXCLUDED = {
    "compile", "install", "load", "save", "manual_seed", "seed", "set_default_dtype", "set_default_device", "set_default_tensor_type",
    "set_deterministic_debug_mode", "set_float32_matmul_precision", "set_flush_denormal", "set_num_interop_threads",
    "set_num_threads", "set_printoptions", "set_rng_state", "set_warn_always", "use_deterministic_algorithms",
    "autocast_decrement_nesting", "autocast_increment_nesting", "set_autocast_cache_enabled", "set_autocast_cpu_dtype",
    "set_autocast_cpu_enabled", "set_autocast_dtype", "set_autocast_enabled",
    "set_anomaly_enabled", "set_grad_enabled", "vmap", "is_storage", "typename", "cond", "while_loop",
    "__class__", "__init_subclass__", "__subclasshook__", "__new__", "__init__", "__del__", "__dict__", "__doc__", "__module__",
    "__getattribute__", "__setattr__", "__delattr__", "__dir__", "__sizeof__", "__torch_function__", "__array_priority__",
    "__setstate__", "__getstate__", "_make_subclass", "_backward_hooks", "__weakref__",
}  # fmt: skip
# They draw random numbers: no two calls agree.
RANDOM = {
    "bernoulli", "multinomial", "normal", "poisson", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like",
    "randperm", "binomial", "dropout", "rrelu", "empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided",
    "empty_permuted", "resize", "resize_as", "alpha_dropout", "feature_alpha_dropout", "feature_dropout", "dropout1d",
    "dropout2d", "dropout3d", "gumbel_softmax", "fractional_max_pool2d", "fractional_max_pool3d", "standard_gamma",
    "sample_dirichlet", "native_dropout", "scaled_dot_product_attention", "random", "uniform", "exponential", "cauchy",
    "geometric", "log_normal", "kaiser_window", "multi_head_attention_forward",
    # Their results name addresses or depend on the layout by definition.
    "data_ptr", "stride", "is_contiguous", "storage_offset", "is_set_to", "set", "dim_order", "as_strided",
    "as_strided_scatter", "as_strided_copy", "view", "is_leaf", "untyped_storage", "storage", "numpy", "T", "output_nr",
    "has_internal_overlap", "is_same_size", "get_rng_state", "initial_seed", "is_non_overlapping_and_dense", "is_pinned",
    # Rows, bases and pivots may be any of several.
    "svd", "eig", "eigh", "qr", "lstsq", "lu", "lu_factor", "lu_factor_ex", "svd_lowrank", "pca_lowrank", "lobpcg", "ldl_factor", "ldl_factor_ex",
    "geqrf", "sort", "argsort", "topk", "msort", "median", "nanmedian", "kthvalue", "mode", "eigvals", "pinverse", "pinv", "unique",
    "matrix_rank", "cond",
}  # fmt: skip
# Functions that change an argument although their name does not say so.
CHANGING = {
    "batch_norm", "instance_norm", "native_batch_norm", "_native_batch_norm_legit", "embedding", "embedding_bag", "__setitem__",
    "backward", "share_memory_", "map_", "apply_", "map2_", "random_",
}  # fmt: skip
# They change a tensor without counting it, as PyTorch does, or hand it other memory.
UNCOUNTED = {"data", "map_", "apply_", "resize_", "resize_as_", "set_"}


@functools.cache
def operators():
    """`(place, name, function, overload)` for every name of every declared overload."""
    out = []
    for op in _C._declarations():
        homes = [(place, op["name"]) for place in op["places"]]
        homes += [tuple(alias.rsplit(".", 1)) for alias in op["aliases"]]
        for place, name in homes:
            function = _C._functions(place).get(name)
            if function is None or name in EXCLUDED:
                continue
            for overload in op["overloads"]:
                if overload["only"] and place not in overload["only"]:
                    continue
                out.append((place, name, function, overload))
                if place == "Tensor" and overload["inplace"]:
                    inplace = _C._functions(place).get(name + "_")
                    if inplace is not None:
                        out.append((place, name + "_", inplace, overload))
    return sorted(out, key=lambda entry: (entry[0], entry[1], entry[3]["name"]))


@functools.cache
def functions():
    """`(place, name, function)` for everything callable that users can name, written in Python or not."""
    out = []
    for place, module in [
        ("torch", torch),
        ("nn.functional", torch.nn.functional),
        ("linalg", torch.linalg),
        ("fft", torch.fft),
        ("special", torch.special),
        ("Tensor", torch.Tensor),
    ]:
        for name in sorted(dir(module)):
            if name in EXCLUDED or name.startswith("_") and not name.startswith("__"):
                continue
            try:
                function = getattr(module, name)
            except AttributeError:
                continue
            if name.startswith("__") and place != "Tensor" or isinstance(function, type):
                continue
            if callable(function) and getattr(function, "__module__", "flambeau") not in ("typing", "importlib"):
                out.append((place, name, function))
    return out


@functools.cache
def modules():
    """Classes of layers."""
    out = []
    for name in sorted(dir(torch.nn)):
        kind = getattr(torch.nn, name)
        if isinstance(kind, type) and issubclass(kind, torch.nn.Module) and name not in ("Module", "LazyModuleMixin"):
            out.append((name, kind))
    return out


class Call:
    """One call: `target(*args, **kwargs)`."""

    def __init__(self, text, target, args=(), kwargs=None, name="", changing=False, comparable=False):
        self.text = text
        self.target = target
        self.args = list(args)
        self.kwargs = dict(kwargs or {})
        self.name = name
        # Some functions take a flag `inplace`, by position too.
        flagged = text.startswith("nn.functional") and (
            self.kwargs.get("inplace", False) is not False
            or any(v is True for v in [*self.args, *self.kwargs.values()])
        )
        self.changing = changing or "out" in self.kwargs or flagged
        self.comparable = comparable and not flagged

    def tensors(self):
        """All tensors among the arguments."""
        found = []
        stack = [*self.args, *self.kwargs.values()]
        while stack:
            item = stack.pop()
            if isinstance(item, torch.Tensor):
                found.append(item)
            elif isinstance(item, (list, tuple)) and len(item) < 8 and not (item and item[0] is item):
                stack.extend(item)
        return found

    def __str__(self):
        parts = [values.describe(a) for a in self.args]
        parts += [f"{key}={values.describe(value)}" for key, value in self.kwargs.items()]
        return f"{self.text}({', '.join(parts)})"


class Maker:
    """Draws the arguments of one call: most tensors of a call have related shapes and one dtype."""

    def __init__(self, rng):
        self.rng = rng
        self.shape = values.some_shape(rng)
        self.dtype = rng.choice(values.FLOATS) if rng.random() < 0.7 else rng.choice(values.DTYPES)

    def tensor(self, name=""):
        rng = self.rng
        shape = values.related(rng, self.shape) if rng.random() < 0.85 else values.some_shape(rng)
        roll = rng.random()
        if name in (
            "index",
            "indices",
            "target",
            "offsets",
            "repeats",
            "lengths",
            "input_lengths",
            "target_lengths",
            "pivots",
        ):
            return values.tensor(rng, shape, torch.int64 if roll < 0.8 else rng.choice(values.DTYPES))
        if name in ("mask", "condition", "attn_mask", "where"):
            return values.tensor(rng, shape, torch.bool if roll < 0.8 else rng.choice(values.DTYPES))
        return values.tensor(rng, shape, self.dtype if roll < 0.8 else rng.choice(values.DTYPES))

    def value(self, param):
        """A value for a declared parameter."""
        rng, kind, name = self.rng, param["kind"], param["name"]
        if rng.random() < 0.06:
            return values.junk(rng)
        if kind.startswith("Opt") and kind != "OptTensors":
            if rng.random() < 0.4:
                return None
            kind = kind[3:]
        if kind == "Tensor":
            return self.tensor(name) if rng.random() < 0.9 else values.scalar(rng)
        if kind in ("Tensors", "OptTensors"):
            items = [self.tensor("index" if kind == "OptTensors" else name) for _ in range(rng.randrange(4))]
            if kind == "OptTensors":
                items = [None if rng.random() < 0.3 else item for item in items]
            return items if rng.random() < 0.5 else tuple(items)
        if kind == "Int":
            return values.dimension(rng) if "dim" in name or name in ("axis", "axis0", "axis1") else values.integer(rng)
        if kind.startswith("Ints"):
            return values.integer(rng) if rng.random() < 0.35 else values.integers(rng, name)
        if kind == "Scalar":
            return values.scalar(rng)
        if kind == "Scalars":
            return [values.scalar(rng) for _ in range(rng.randrange(4))]
        if kind == "Float":
            return rng.choice(values.FLOAT_VALUES)
        if kind == "Floats":
            return [rng.choice(values.FLOAT_VALUES) for _ in range(rng.randrange(4))]
        if kind == "Bool":
            return rng.random() < 0.5
        if kind == "Bools":
            return [rng.random() < 0.5 for _ in range(rng.randrange(4))]
        if kind == "Str":
            return (
                rng.choice(values.WORDS_OF.get(name, values.WORDS)) if rng.random() < 0.9 else rng.choice(values.WORDS)
            )
        if kind == "DType":
            return rng.choice(values.DTYPES + values.WIDE)
        if kind == "Device":
            return rng.choice(["cpu", "cpu", "meta", "cuda", "cpu:1"])
        if kind == "Layout":
            return torch.strided
        if kind == "MemoryFormat":
            return rng.choice(
                [torch.contiguous_format, torch.preserve_format, torch.channels_last, torch.channels_last_3d]
            )
        if kind == "Generator":
            return torch.Generator()
        raise AssertionError(f"no value for {kind}")

    def named(self, name, default):
        """A value for a parameter of a Python function, by its name."""
        rng = self.rng
        if name in values.WORDS_OF and rng.random() < 0.8:
            return rng.choice(values.WORDS_OF[name])
        if "dim" in name or name == "axis":
            return values.dimension(rng)
        if isinstance(default, bool):
            return rng.random() < 0.5
        if name == "niter":  # every round takes its time and its share of the graph
            return rng.randrange(-1, 4)
        if isinstance(default, int):
            return values.integer(rng)
        if isinstance(default, float):
            return rng.choice(values.FLOAT_VALUES)
        if name in (
            "kernel_size",
            "stride",
            "padding",
            "dilation",
            "output_size",
            "normalized_shape",
            "size",
            "groups",
        ):
            return values.integer(rng) if rng.random() < 0.5 else values.integers(rng, name)
        if name in (
            "input",
            "other",
            "target",
            "weight",
            "bias",
            "x",
            "self",
            "tensor",
            "query",
            "key",
            "value",
            "index",
        ):
            return self.tensor(name)
        return self.tensor(name) if rng.random() < 0.5 else values.junk(rng)


def operator_call(rng):
    """A declared operator with arguments that fit its schema, mostly."""
    place, name, function, overload = rng.choice(operators())
    maker = Maker(rng)
    args, kwargs, positional = [], {}, True
    for i, param in enumerate(overload["params"]):
        if param["keyword_only"]:
            positional = False
        if place == "Tensor" and i == 0:
            args.append(maker.tensor(param["name"]))
            continue
        if "default" in param and rng.random() < 0.5:
            positional = False
            continue
        value = maker.value(param)
        if positional and rng.random() < 0.9:
            args.append(value)
        else:
            positional = False
            kwargs[param["name"]] = value
    if rng.random() < 0.02:
        kwargs[rng.choice(["dim", "x", "out", "dtype"])] = values.junk(rng)
    if rng.random() < 0.02 and len(args) > 1:
        args.pop()
    out = ()
    if overload["out"] and not name.endswith("_") and rng.random() < 0.25 and place != "Tensor":
        tensors = [a for a in args if isinstance(a, torch.Tensor)]

        def target():
            if tensors and rng.random() < 0.25:
                return rng.choice(tensors)
            if rng.random() < 0.3:
                return values.tensor(rng, (0,), maker.dtype, plain=True)
            return maker.tensor()

        out = tuple(target() for _ in range(overload["out"]))
        kwargs["out"] = out[0] if len(out) == 1 else out
    plain = name.strip("_")
    comparable = plain not in RANDOM and not name.endswith("_") and not out
    changing = name.endswith("_") and not name.endswith("__") or name in CHANGING
    return Call(f"{place}.{name}", function, args, kwargs, name, changing, comparable)


def function_call(rng):
    """Any public function with arguments guessed from its signature, or none of that."""
    place, name, function = rng.choice(functions())
    maker = Maker(rng)
    args, kwargs = [], {}
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = None
    if place == "Tensor":
        args.append(maker.tensor())
        parameters = parameters and parameters[1:]
    if parameters is None or rng.random() < 0.2:
        args += [maker.tensor() if rng.random() < 0.4 else values.junk(rng) for _ in range(rng.randrange(4))]
    else:
        positional = True
        for p in parameters:
            if p.kind is p.VAR_POSITIONAL:
                args += [maker.named(p.name, None) for _ in range(rng.randrange(3))]
                positional = False
                continue
            if p.kind is p.VAR_KEYWORD:
                continue
            if p.default is not p.empty and rng.random() < 0.5:
                positional = False
                continue
            default = None if p.default is p.empty else p.default
            value = maker.named(p.name, default) if rng.random() < 0.9 else values.junk(rng)
            if positional and p.kind is not p.KEYWORD_ONLY:
                args.append(value)
            else:
                kwargs[p.name] = value
    changing = name.endswith("_") and not name.endswith("__") or name in CHANGING
    changing |= name.startswith("__i") and name not in ("__index__", "__int__", "__invert__", "__iter__")
    try:  # a tensor to write to may come by its place
        changing |= inspect.signature(function).bind(*args, **kwargs).arguments.get("out") is not None
    except (TypeError, ValueError):
        pass
    if name == "requires_grad_":
        changing = True
    return Call(f"{place}.{name}", function, args, kwargs, name, changing)


def property_call(rng):
    """Reads and sets an attribute of a tensor."""
    t = values.tensor(rng)
    names = [n for n in dir(torch.Tensor) if not n.startswith("_") and not callable(getattr(torch.Tensor, n, None))]
    name = rng.choice(names + ["grad", "data", "requires_grad"])

    def run(t, value):
        if value is None:
            return getattr(t, name)
        setattr(t, name, value[0])
        return t

    value = None if rng.random() < 0.4 else (values.junk(rng),)
    return Call(f"Tensor.{name} (attribute)", run, [t, value], name=name, changing=True)


def index_item(rng, size):
    return rng.choice(
        [
            lambda: rng.choice([0, -1, 1, 2, -3, 7, *values.HUGE]) if rng.random() < 0.3 else rng.choice([0, -1]),
            lambda: slice(None),
            lambda: slice(*(rng.choice([None, 0, 1, 2, -1, 5, 2**62, -(2**63), 2**70]) for _ in range(3))),
            lambda: slice(rng.choice([None, 0, 1]), rng.choice([None, 2, -1]), rng.choice([None, 1, 2])),
            lambda: None,
            lambda: ...,
            lambda: rng.random() < 0.5,
            lambda: values.tensor(rng, rng.choice([(), (2,), (3,), (0,), (2, 1)]), torch.int64),
            lambda: values.tensor(rng, (size,), torch.bool, plain=True),
            lambda: values.tensor(rng, None, rng.choice([torch.bool, torch.uint8, torch.int32, torch.float32])),
            lambda: [0, 1],
            lambda: [],
            lambda: [True, False],
            lambda: np.array([0, -1]),
            lambda: np.array([True, False, True]),
            lambda: range(2),
            lambda: values.junk(rng),
        ]
    )()


def indexing_call(rng):
    """`x[...]`, `x[...] = value` and `del x[...]`."""
    t = values.tensor(rng)
    count = rng.choice([1, 1, 1, 2, 2, 3, 4])
    items = [index_item(rng, t.shape[min(i, t.dim() - 1)] if t.dim() else 1) for i in range(count)]
    index = items[0] if count == 1 and rng.random() < 0.7 else tuple(items)
    if rng.random() < 0.5:
        return Call("getitem", lambda x, i: x[i], [t, index], name="getitem", comparable=True)

    def assign(x, i, value):
        x[i] = value
        return x

    value = values.tensor(rng) if rng.random() < 0.5 else values.scalar(rng) if rng.random() < 0.7 else values.junk(rng)
    if rng.random() < 0.1:
        value = t
    return Call("setitem", assign, [t, index, value], name="setitem", changing=True)


def constructor_call(rng):
    """Tensors from data that others made."""
    array = values.odd_array(rng)
    name, function = rng.choice(
        [
            ("tensor", torch.tensor),
            ("as_tensor", torch.as_tensor),
            ("asarray", torch.asarray),
            ("from_numpy", torch.from_numpy),
            ("Tensor", torch.Tensor),
            ("LongTensor", torch.LongTensor),
            ("frombuffer", torch.frombuffer),
            ("add", lambda a: torch.ones(3, 4) + a),
            ("numpy", lambda a: torch.as_tensor(a).numpy()),
            ("copy", lambda a: torch.zeros(3, 4).copy_(torch.as_tensor(a))),
            ("round trip", lambda a: np.asarray(torch.as_tensor(a)) * 1),
        ]
    )
    data = array if rng.random() < 0.6 else values.junk(rng)
    kwargs = {}
    if rng.random() < 0.3 and name in ("tensor", "as_tensor", "asarray", "frombuffer"):
        kwargs["dtype"] = rng.choice(values.DTYPES + values.WIDE)
    if name == "frombuffer":
        data = rng.choice([b"", b"12345678", bytearray(b"1234567890"), memoryview(b"123456789")[::2], "text", data])
        kwargs.setdefault("dtype", rng.choice(values.DTYPES))
        for key in ("count", "offset"):
            if rng.random() < 0.4:
                kwargs[key] = values.integer(rng)
    return Call(name, function, [data], kwargs, name=name)


def module_call(rng):
    """A layer made with odd parameters and applied."""
    name, kind = rng.choice(modules())
    maker = Maker(rng)
    kwargs = {}
    for p in list(inspect.signature(kind).parameters.values()):
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) or p.name in ("device", "dtype"):
            continue
        if p.default is not p.empty and rng.random() < 0.7:
            continue
        required = p.default is p.empty and not isinstance(p.default, float)
        value = rng.choice([1, 2, 3, 4]) if required and rng.random() < 0.85 else maker.named(p.name, p.default)
        kwargs[p.name] = value

    def run(*inputs, **options):
        layer = kind(**options)
        return layer(*inputs)

    inputs = [maker.tensor("input") for _ in range(rng.choice([1, 1, 1, 2]))]
    return Call(f"nn.{name}", run, inputs, kwargs, name=name, changing=True)


def copy_call(rng):
    """Copies, pickles, prints and rebuilds."""
    t = values.tensor(rng)
    name, function = rng.choice(
        [
            ("deepcopy", copy.deepcopy),
            ("repr", repr),
            ("format", lambda x: f"{x}"),
            ("tolist", lambda x: x.tolist()),
            ("numpy", lambda x: x.numpy()),
            ("array", np.asarray),
            ("iter", list),
            ("hash", hash),
            ("len", len),
            ("contains", lambda x: 1.5 in x),
            ("bool", bool),
            ("int", int),
            ("item", lambda x: x.item()),
            ("reduce", lambda x: [f(*a) for f, a in [x.__reduce_ex__(2)[:2]]]),
            ("backward", lambda x: (x * x).sum().backward()),
            ("from_bytes", lambda x: _C._from_bytes(b"12345678", (2,), torch.float32)),
            ("from_bytes", lambda x: _C._from_bytes(b"1", (rng.choice(values.HUGE[:7]), 2), torch.float64)),
        ]
    )
    return Call(name, function, [t], name=name, changing=name == "backward")


KINDS = [
    (0.56, operator_call), (0.70, function_call), (0.73, property_call), (0.86, indexing_call), (0.91, constructor_call),
    (0.95, module_call), (1.0, copy_call),
]  # fmt: skip


def make(seed):
    """The call that a seed stands for."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    roll = rng.random()
    for bound, kind in KINDS:
        if roll < bound:
            return kind(rng)
    raise AssertionError
