"""The messages of TensorBoard's page of hyperparameters: the experiment, the start of a session and its end."""

from ._messages import _bytes, _double, _int, _plugin, _value

_STRING, _FLOAT64 = 1, 3
_SUCCESS = 1


_WRONG = "parameter: hparam_domain_discrete[{name}] should be a list of same type as hparam_dict[{name}]."


def _kind(value):
    """The type of a hyperparameter as TensorBoard counts types, and the value as a `google.protobuf.Value`."""
    import flambeau as torch

    if isinstance(value, str):
        return _STRING, _bytes(3, value)
    if isinstance(value, torch.Tensor):
        value = value.detach().reshape(-1)[0].item()
    if isinstance(value, (int, float)):
        return _FLOAT64, _double(2, float(value))
    raise ValueError("value should be one of int, float, str, bool, or torch.Tensor")


def _domain(name, kind, values):
    allowed = str if kind == _STRING else (int, float)
    if not all(isinstance(value, allowed) for value in values):
        raise TypeError(_WRONG.format(name=name))
    return _bytes(5, b"".join(_bytes(1, _kind(value)[1]) for value in values))


def summaries(hparams, metrics, domains=None):
    """The three summaries that describe a session."""
    if not isinstance(hparams, dict) or not isinstance(metrics, dict):
        raise TypeError("hparam_dict and metric_dict should be dictionary.")
    domains = domains or {}
    if not isinstance(domains, dict):
        raise TypeError("hparam_domain_discrete should be dictionary.")
    for name, values in domains.items():
        if name not in hparams or not isinstance(values, list):
            raise TypeError(_WRONG.format(name=name))
    infos, started = b"", b""
    for name, value in hparams.items():
        if value is None:
            continue
        kind, written = _kind(value)
        started += _bytes(1, _bytes(1, name) + _bytes(2, written))
        infos += _bytes(
            4, _bytes(1, name) + _int(4, kind) + (_domain(name, kind, domains[name]) if name in domains else b"")
        )
    infos += b"".join(_bytes(5, _bytes(1, _bytes(2, name))) for name in metrics)
    parts = {
        "experiment": _bytes(2, infos),
        "session_start_info": _bytes(3, started),
        "session_end_info": _bytes(4, _int(1, _SUCCESS)),
    }
    return [_value(f"_hparams_/{name}", b"", _plugin("hparams", content)) for name, content in parts.items()]
