"""``assert_close``: whether values agree within tolerances, and a message that says where they don't."""

import math
from collections.abc import Mapping, Sequence

import flambeau as torch

__all__ = ["assert_allclose", "assert_close"]

# dtype -> (rtol, atol); dtypes that are not listed have to agree exactly
_TOLERANCES = {
    torch.float16: (1e-3, 1e-5), torch.bfloat16: (1.6e-2, 1e-5), torch.float32: (1.3e-6, 1e-5),
    torch.float64: (1e-7, 1e-7), torch.complex64: (1.3e-6, 1e-5), torch.complex128: (1e-7, 1e-7),
}  # fmt: skip
_NUMBER_DTYPES = {int: torch.int64, float: torch.float64, complex: torch.complex128}


class _Mismatch(Exception):
    """A message, and the keys that lead to the values it is about."""

    def __init__(self, message, path=()):
        super().__init__(message)
        self.message, self.path = message, path


def _tolerances(*dtypes):
    pairs = [_TOLERANCES.get(dtype, (0.0, 0.0)) for dtype in dtypes]
    return max(rtol for rtol, _ in pairs), max(atol for _, atol in pairs)


def _is_array(value):
    return hasattr(value, "__array_interface__") or isinstance(value, torch.Tensor)


class _Comparison:
    def __init__(self, allow_subclasses, rtol, atol, equal_nan, check_device, check_dtype, check_layout, check_stride):
        self.allow_subclasses = allow_subclasses
        self.rtol, self.atol, self.equal_nan = rtol, atol, equal_nan
        self.check_device, self.check_dtype = check_device, check_dtype
        self.check_layout, self.check_stride = check_layout, check_stride

    def compare(self, actual, expected, path=()):
        """Raises _Mismatch, or TypeError for values that are not compared."""
        both = (actual, expected)
        if all(isinstance(v, Sequence) and not isinstance(v, str) for v in both):
            return self._sequences(actual, expected, path)
        if all(isinstance(v, Mapping) for v in both):
            return self._mappings(actual, expected, path)
        related = self.allow_subclasses and (isinstance(actual, type(expected)) or isinstance(expected, type(actual)))
        if actual is None or expected is None:
            if actual is not expected:
                raise _Mismatch(f"None mismatch: {actual} is not {expected}", path)
        elif all(isinstance(v, bool) for v in both):
            if actual is not expected:
                raise _Mismatch(f"Booleans mismatch: {actual} is not {expected}", path)
        elif all(isinstance(v, (int, float, complex)) and not isinstance(v, bool) for v in both):
            self._numbers(actual, expected, path)
        elif all(_is_array(v) for v in both) and (type(actual) is type(expected) or related):
            self._tensors(*(v if isinstance(v, torch.Tensor) else torch.asarray(v) for v in both), path)
        else:
            where = f"\n\nThe failure occurred for item {_item(path)}" if path else ""
            raise TypeError(
                f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}.{where}"
            )

    def _sequences(self, actual, expected, path):
        if len(actual) != len(expected):
            raise _Mismatch(f"The length of the sequences mismatch: {len(actual)} != {len(expected)}", path)
        for index, pair in enumerate(zip(actual, expected)):
            self.compare(*pair, path + (index,))

    def _mappings(self, actual, expected, path):
        missing = sorted(set(expected) - set(actual), key=str)
        additional = sorted(set(actual) - set(expected), key=str)
        if missing or additional:
            raise _Mismatch(
                "The keys of the mappings do not match:\n"
                f"Missing keys in the actual mapping: {missing}\n"
                f"Additional keys in the actual mapping: {additional}",
                path,
            )
        for key in expected:
            self.compare(actual[key], expected[key], path + (key,))

    def _numbers(self, actual, expected, path):
        if self.check_dtype and type(actual) is not type(expected):
            raise _Mismatch(f"The (d)types do not match: {type(actual)} != {type(expected)}.", path)
        rtol, atol = self.rtol, self.atol
        if rtol is None:
            rtol, atol = _tolerances(_NUMBER_DTYPES[type(actual)], _NUMBER_DTYPES[type(expected)])
        if self._close(actual, expected, rtol, atol):
            return
        difference = abs(actual - expected)
        relative = difference / abs(expected) if expected else math.inf
        _raise_scalars(actual, expected, difference, relative, rtol, atol, path)

    def _close(self, actual, expected, rtol, atol):
        if actual == expected:
            return True
        nan = [value != value for value in (actual, expected)]
        if any(nan):
            return self.equal_nan and all(nan)
        difference = abs(actual - expected)
        return math.isfinite(difference) and difference <= atol + rtol * abs(expected)

    def _tensors(self, actual, expected, path):
        def attribute(name, first, second):
            if first != second:
                raise _Mismatch(f"The values for attribute '{name}' do not match: {first} != {second}.", path)

        attribute("shape", actual.shape, expected.shape)
        if self.check_layout:
            attribute("layout", actual.layout, expected.layout)
        if self.check_device:
            attribute("device", actual.device, expected.device)
        if self.check_dtype:
            attribute("dtype", actual.dtype, expected.dtype)
        if self.check_stride:
            attribute("stride()", actual.stride(), expected.stride())
        if actual.is_meta or expected.is_meta:
            return  # no values
        actual, expected = actual.detach(), expected.detach()
        rtol, atol = self.rtol, self.atol
        if rtol is None:
            rtol, atol = _tolerances(actual.dtype, expected.dtype)
        if actual.dtype != expected.dtype:
            wide = torch.promote_types(actual.dtype, expected.dtype)
            actual, expected = actual.to(wide), expected.to(wide)
        matches = torch.isclose(actual, expected, rtol=rtol, atol=atol, equal_nan=self.equal_nan)
        if bool(matches.all()):
            return
        self._report(actual, expected, matches, rtol, atol, path)

    def _report(self, actual, expected, matches, rtol, atol, path):
        if not (actual.dtype.is_floating_point or actual.dtype.is_complex):
            # Differences of small and unsigned integers overflow.
            actual, expected = actual.to(torch.int64), expected.to(torch.int64)
        difference = (actual - expected).abs()
        relative = difference / expected.abs()
        # Where the values agree the quotient may still be 0 / 0.
        difference = torch.where(matches, torch.zeros_like(difference), difference)
        relative = torch.where(matches, torch.zeros_like(relative), relative)
        if actual.dim() == 0:
            _raise_scalars(actual.item(), expected.item(), difference.item(), relative.item(), rtol, atol, path)
        total = matches.numel()
        wrong = total - int(matches.sum().item())
        exact = rtol == 0 and atol == 0
        lines = [
            f"Tensor-likes are not {'equal' if exact else 'close'}!",
            "",
            f"Mismatched elements: {wrong} / {total} ({wrong / total:.1%})",
        ]
        for name, values, bound in (("absolute", difference, atol), ("relative", relative, rtol)):
            position = int(values.reshape(-1).argmax().item())
            index = tuple(int(i) for i in torch.unravel_index(torch.tensor(position), values.shape))
            text = f"Greatest {name} difference: {values.reshape(-1)[position].item()} at index {index}"
            lines.append(text if exact else f"{text} (up to {bound} allowed)")
        raise _Mismatch("\n".join(lines), path)


def _raise_scalars(actual, expected, difference, relative, rtol, atol, path):
    exact = rtol == 0 and atol == 0
    bounds = ("", "") if exact else (f" (up to {atol} allowed)", f" (up to {rtol} allowed)")
    raise _Mismatch(
        f"Scalars are not {'equal' if exact else 'close'}!\n\nExpected {expected} but got {actual}.\n"
        f"Absolute difference: {difference}{bounds[0]}\nRelative difference: {relative}{bounds[1]}",
        path,
    )


def _item(path):
    return "".join(f"[{key!r}]" for key in path)


def assert_close(
    actual,
    expected,
    *,
    allow_subclasses=True,
    rtol=None,
    atol=None,
    equal_nan=False,
    check_device=True,
    check_dtype=True,
    check_layout=True,
    check_stride=False,
    msg=None,
):
    """Raises AssertionError unless ``|actual - expected| <= atol + rtol * |expected|`` everywhere.

    Tensors, arrays, numbers, booleans, None, and sequences and mappings of them are compared. Tolerances depend on
    the dtypes unless both are given; shapes have to agree, and so do devices, dtypes, layouts and strides as far as
    they are checked. `msg` replaces the message, or makes one of it if it is a function.
    """
    __tracebackhide__ = True
    if (rtol is None) != (atol is None):
        raise ValueError(
            "Both 'rtol' and 'atol' must be either specified or omitted, but got no "
            f"{'rtol' if rtol is None else 'atol'}."
        )
    comparison = _Comparison(
        allow_subclasses, rtol, atol, equal_nan, check_device, check_dtype, check_layout, check_stride
    )
    try:
        comparison.compare(actual, expected)
        return
    except _Mismatch as mismatch:
        message = mismatch.message
        if mismatch.path:
            message += f"\n\nThe failure occurred for item {_item(mismatch.path)}"
    if msg is not None:
        message = msg(message) if callable(msg) else msg
    raise AssertionError(message)


def assert_allclose(actual, expected, rtol=None, atol=None, equal_nan=True, msg=""):
    """The forerunner of `assert_close`, which does not compare dtypes, devices and strides."""
    actual = actual if isinstance(actual, torch.Tensor) else torch.tensor(actual)
    expected = expected if isinstance(expected, torch.Tensor) else torch.tensor(expected, dtype=actual.dtype)
    if rtol is None and atol is None:
        rtol, atol = _tolerances(actual.dtype, expected.dtype)
    assert_close(
        actual, expected, rtol=rtol, atol=atol, equal_nan=equal_nan, check_device=True, check_dtype=False,
        check_stride=False, msg=msg or None,
    )  # fmt: skip
