"""Where storages go when they are loaded."""

from .. import _C
from .._untyped_storage import UntypedStorage, _Common

_packages = []


def register_package(priority, tagger, deserializer):
    """Adds a kind of place: `tagger` names the place of a storage or returns None, `deserializer` brings a storage to
    the place of a tag or returns None. Lower numbers are asked first."""
    _packages.append((priority, tagger, deserializer))
    _packages.sort(key=lambda entry: entry[0])


def location_tag(storage):
    """The name of a storage's place, as files have it: ``cpu``, ``cuda:0``."""
    for _, tagger, _ in _packages:
        tag = tagger(storage)
        if tag:
            return tag
    raise RuntimeError("don't know how to determine data location of " + _typename(storage))


def default_restore_location(storage, location):
    """Brings a storage to the place of a tag."""
    for _, _, deserializer in _packages:
        found = deserializer(storage, location)
        if found is not None:
            return found
    raise RuntimeError(f"don't know how to restore data location of {_typename(storage)} (tagged with {location})")


def _typename(obj):
    from .._untyped_storage import _named

    return _named(type(obj))


def _absent(name, available):
    raise RuntimeError(
        f"Attempting to deserialize object on a {name} device but {available} is False. If you are running on a "
        "CPU-only machine, please use torch.load with map_location=torch.device('cpu') to map your storages to the CPU."
    )


def validate_cuda_device(location):
    """The index of the CUDA device that a tag names; there is none."""
    _absent("CUDA", "torch.cuda.is_available()")


def validate_hpu_device(location):
    """The index of the HPU that a tag names; there is none."""
    raise RuntimeError(
        "The HPU device module is not registered. If you are running on a CPU-only machine, please use torch.load with "
        "map_location=torch.device('cpu') to map your storages to the CPU."
    )


def _cpu_tag(storage):
    return "cpu" if storage.device.type == "cpu" else None


def _to_cpu(storage, location):
    return storage if location == "cpu" else None


def _meta_tag(storage):
    return "meta" if storage.device.type == "meta" else None


def _to_meta(storage, location):
    return UntypedStorage(storage.nbytes(), device="meta") if location == "meta" else None


def _no_tag(storage):
    return None


def _to_cuda(storage, location):
    if location == "cuda" or location.startswith("cuda:"):
        validate_cuda_device(location)


def _to_mps(storage, location):
    if location == "mps" or location.startswith("mps:"):
        _absent("MPS", "torch.backends.mps.is_available()")


def _to_hpu(storage, location):
    if location == "hpu" or location.startswith("hpu:"):
        validate_hpu_device(location)


register_package(10, _cpu_tag, _to_cpu)
register_package(20, _no_tag, _to_cuda)
register_package(21, _no_tag, _to_mps)
register_package(22, _meta_tag, _to_meta)
register_package(24, _no_tag, _to_hpu)


def restorer(map_location):
    """The function of a storage and its tag that `map_location` stands for."""
    if map_location is None:
        return default_restore_location
    if isinstance(map_location, dict):

        def restore(storage, location):
            return default_restore_location(storage, str(map_location.get(location, location)))

        return restore
    if isinstance(map_location, (str, _C.device)):
        place = str(map_location)
        if isinstance(map_location, int):
            place = str(_C.device(map_location))

        def restore(storage, location):
            return default_restore_location(storage, place)

        return restore

    def restore(storage, location):
        found = map_location(storage, location)
        found = default_restore_location(storage, location) if found is None else found
        if not isinstance(found, _Common):
            raise TypeError(f"map_location must return a storage or None, but got {type(found)}")
        return found

    return restore
