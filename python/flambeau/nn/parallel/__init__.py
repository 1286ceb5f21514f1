"""Running a module on several devices of one process."""

import flambeau as torch

from ..modules.module import Module

__all__ = [
    "DataParallel",
    "DistributedDataParallel",
    "data_parallel",
    "gather",
    "parallel_apply",
    "replicate",
    "scatter",
]


def _devices(ids):
    """Devices from indices of CUDA devices, or from anything that names a device."""
    return [torch.device("cuda", item) if isinstance(item, int) else torch.device(item) for item in ids]


def _visible(device_ids):
    return list(range(torch.cuda.device_count())) if device_ids is None else list(device_ids)


def scatter(inputs, target_gpus, dim=0):
    """Nested inputs for each device: tensors are split along `dim`, other values are given to all."""
    devices = _devices(target_gpus)

    def split(value):
        if isinstance(value, torch.Tensor):
            return [part.to(device) for part, device in zip(value.chunk(len(devices), dim), devices)]
        if isinstance(value, (list, tuple)) and value:
            parts = zip(*map(split, value))
            named = hasattr(value, "_fields")
            return [type(value)(*part) if named else type(value)(part) for part in parts]
        if isinstance(value, dict) and value:
            return [type(value)(part) for part in zip(*map(split, value.items()))]
        return [value for _ in devices]

    return split(inputs)


def gather(outputs, target_device, dim=0):
    """Nested outputs of several devices as one on `target_device`, tensors joined along `dim`."""
    (device,) = _devices([target_device])

    def join(values):
        first = values[0]
        if isinstance(first, torch.Tensor):
            if all(value.dim() == 0 for value in values):
                values = [value.unsqueeze(0) for value in values]
            return torch.cat([value.to(device) for value in values], dim)
        if first is None:
            return None
        if isinstance(first, dict):
            if not all(len(value) == len(first) for value in values):
                raise ValueError("All dicts must have the same number of keys")
            return type(first)((key, join([value[key] for value in values])) for key in first)
        if hasattr(first, "_fields"):
            return type(first)(*map(join, zip(*values)))
        return type(first)(map(join, zip(*values)))

    return join(outputs)


def replicate(network, devices, detach=False):
    """Copies of a module on several devices, through which gradients reach the original's parameters."""
    replicas = []
    for device in _devices(devices):
        moved = {}

        def move(tensor, device=device, moved=moved):
            if tensor is not None and tensor not in moved:
                moved[tensor] = (tensor.detach() if detach else tensor).to(device)
            return None if tensor is None else moved[tensor]

        copies = {}
        for module in network.modules():
            copy = copies[module] = module._replicate_for_data_parallel()
            # Not leaves, so not parameters: plain attributes, which forward finds just as well.
            for name, parameter in module._parameters.items():
                if parameter is None:
                    copy._parameters[name] = None
                else:
                    copy.__dict__[name] = move(parameter)
            for name, buffer in module._buffers.items():
                copy._buffers[name] = move(buffer)
        for copy in copies.values():
            for name, child in copy._modules.items():
                copy._modules[name] = None if child is None else copies[child]
        replicas.append(copies[network])
    return replicas


def parallel_apply(modules, inputs, kwargs_tup=None, devices=None):
    """The outputs of modules for their own inputs; devices work at the same time because they work asynchronously."""
    if len(modules) != len(inputs):
        raise AssertionError(f"The number of modules {len(modules)} is not equal to the number of inputs {len(inputs)}")
    kwargs_tup = kwargs_tup if kwargs_tup is not None else [{}] * len(modules)
    outputs = []
    for module, args, kwargs in zip(modules, inputs, kwargs_tup):
        outputs.append(module(*(args if isinstance(args, (list, tuple)) else (args,)), **kwargs))
    return outputs


def data_parallel(module, inputs, device_ids=None, output_device=None, dim=0, module_kwargs=None):
    """Calls a module on several devices, each with a part of the inputs."""
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    device_ids = _visible(device_ids)
    if not device_ids:
        raise RuntimeError("no available devices were found")
    return _spread(module, inputs, module_kwargs or {}, device_ids, output_device, dim)


def _spread(module, inputs, kwargs, device_ids, output_device, dim):
    parts = scatter((inputs, kwargs), device_ids, dim)
    used = device_ids[: len(parts)]
    if len(used) == 1:
        return module(*parts[0][0], **parts[0][1])
    replicas = replicate(module, used, not torch.is_grad_enabled())
    outputs = parallel_apply(replicas, [part[0] for part in parts], [part[1] for part in parts])
    return gather(outputs, device_ids[0] if output_device is None else output_device, dim)


class DataParallel(Module):
    """Calls `module` on several CUDA devices, each with a part of the batch; without any, just calls it."""

    def __init__(self, module, device_ids=None, output_device=None, dim=0):
        super().__init__()
        self.dim = dim
        self.module = module
        self.device_ids = _visible(device_ids) if torch.cuda.is_available() else []
        if self.device_ids:
            self.output_device = self.device_ids[0] if output_device is None else output_device
            if len(self.device_ids) == 1:
                self.module.to(_devices(self.device_ids)[0])

    def forward(self, *inputs, **kwargs):
        if not self.device_ids:
            return self.module(*inputs, **kwargs)
        return _spread(self.module, inputs, kwargs, self.device_ids, self.output_device, self.dim)


class DistributedDataParallel(Module):
    """Keeps copies of a module in several processes alike. There is no process group to do so in: an error says it."""

    def __init__(
        self, module, device_ids=None, output_device=None, dim=0, broadcast_buffers=None, init_sync=True,
        process_group=None, bucket_cap_mb=None, find_unused_parameters=False, check_reduction=False,
        gradient_as_bucket_view=False, static_graph=False, delay_all_reduce_named_params=None,
        param_to_hook_all_reduce=None, mixed_precision=None, device_mesh=None, skip_all_reduce_unused_params=False,
        bucket_cap_mb_list=None, batched_grad_copy=False, forward_sync_buffers=None, lazy_bucket_allocation=False,
    ):  # fmt: skip
        super().__init__()
        torch.distributed.get_rank(process_group)
