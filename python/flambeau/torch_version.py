"""Versions that compare as versions: ``torch.__version__ >= "1.13"``."""

import re

__all__ = ["TorchVersion"]

_FORM = re.compile(
    r"\s*v?(?:(\d+)!)?(\d+(?:\.\d+)*)"  # epoch and release
    r"(?:[-_.]?(a|b|c|rc|alpha|beta|pre|preview)[-_.]?(\d*))?"
    r"(?:-(\d+)|[-_.]?(post|rev|r)[-_.]?(\d*))?"
    r"(?:[-_.]?(dev)[-_.]?(\d*))?"
    r"(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?\s*",
    re.IGNORECASE,
)
_PHASES = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}
_LOW, _HIGH = -1, 1


def _key(text):
    """What orders versions as PEP 440 does; None for a text that is no version."""
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    epoch, release, phase, number, post_number, post, post_text, dev, dev_number, local = match.groups()
    numbers = [int(part) for part in release.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    has_post = post is not None or post_number is not None
    if phase is not None:
        phase = _PHASES.get(phase.lower(), phase.lower())
        before = (0, phase, int(number or 0))
    else:  # a development release without a phase comes before all phases, any other release after them
        before = (_LOW,) if dev is not None and not has_post else (_HIGH,)
    after = (0, int(post_number or post_text or 0)) if has_post else (_LOW,)
    development = (0, int(dev_number or 0)) if dev is not None else (_HIGH,)
    parts = re.split(r"[-_.]", local.lower()) if local else []
    local = tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts)
    return int(epoch or 0), tuple(numbers), before, after, development, bool(local), local


class TorchVersion(str):
    """A string that compares with strings and tuples as a version, and as text where they are no versions."""

    __slots__ = ()
    __hash__ = str.__hash__

    def _compared(self, other, way):
        if isinstance(other, (tuple, list)):
            text = ".".join(str(part) for part in other)
        elif isinstance(other, str):
            text = str(other)
        else:
            return NotImplemented
        mine, theirs = _key(self), _key(text)
        if mine is None or theirs is None:
            return getattr(str, way)(str(self), text)
        return getattr(tuple, way)(mine, theirs)

    def __eq__(self, other):
        return self._compared(other, "__eq__")

    def __ne__(self, other):
        return self._compared(other, "__ne__")

    def __lt__(self, other):
        return self._compared(other, "__lt__")

    def __le__(self, other):
        return self._compared(other, "__le__")

    def __gt__(self, other):
        return self._compared(other, "__gt__")

    def __ge__(self, other):
        return self._compared(other, "__ge__")
