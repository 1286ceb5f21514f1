"""Loss scaling, which keeps small gradients of half precision from vanishing."""

import flambeau as torch

__all__ = ["GradScaler"]


class GradScaler:
    """Scales losses by a factor that shrinks when gradients overflow and grows after steps without overflow.

    Source: Micikevicius et al., Mixed Precision Training, 2018. Disabled, or for a device that is absent (with a
    warning), its methods hand everything through.
    """

    def __init__(
        self, device="cuda", init_scale=2.0**16, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000,
        enabled=True,
    ):  # fmt: skip
        if enabled and device != "cpu":
            import warnings

            warnings.warn(
                f"torch.{device}.amp.GradScaler is enabled, but {device.upper()} is not available.  Disabling.",
                UserWarning,
                stacklevel=2,
            )
            enabled = False
        if enabled and growth_factor <= 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if enabled and backoff_factor >= 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._device, self._enabled = device, enabled
        self._scale = float(init_scale)
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval, self._growth_tracker = growth_interval, 0
        self._found = {}  # id of an optimizer -> whether its gradients overflow, None once it has stepped
        self._used = self._overflow = False

    def scale(self, outputs):
        """The tensor, or the tensors of a sequence, times the scale."""
        if not self._enabled:
            return outputs
        self._used = True
        if isinstance(outputs, torch.Tensor):
            return outputs * self._scale
        if isinstance(outputs, (tuple, list)):
            return type(outputs)(self.scale(item) for item in outputs)
        if hasattr(outputs, "__iter__"):
            return map(self.scale, outputs)
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def _check_used(self, caller):
        if not self._used:
            raise AssertionError(
                f"Attempted {caller} but _scale is None.  This may indicate your script did not use scaler.scale(loss or "
                "outputs) earlier in the iteration."
            )

    def unscale_(self, optimizer):
        """Divides the gradients of an optimizer by the scale; at most once between updates."""
        if not self._enabled:
            return
        self._check_used("unscale_")
        if id(optimizer) in self._found:
            if self._found[id(optimizer)] is None:
                raise RuntimeError("unscale_() is being called after step().")
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        overflow = False
        with torch.no_grad():
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    gradient = parameter.grad
                    if gradient is None:
                        continue
                    if gradient.dtype == torch.float16:
                        raise ValueError("Attempting to unscale FP16 gradients.")
                    overflow = overflow or not bool(torch.isfinite(gradient).all())
                    gradient.mul_(1.0 / self._scale)
        self._found[id(optimizer)] = overflow

    def step(self, optimizer, *args, **kwargs):
        """Steps the optimizer, unless its gradients overflow; its result, or None if it was left out."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._check_used("step")
        if id(optimizer) not in self._found:
            self.unscale_(optimizer)
        overflow = self._found[id(optimizer)]
        if overflow is None:
            raise RuntimeError("step() has already been called since the last update().")
        result = None if overflow else optimizer.step(*args, **kwargs)
        self._found[id(optimizer)] = None
        self._overflow = self._overflow or overflow
        return result

    def update(self, new_scale=None):
        """Adapts the scale to what the steps since the last update found, or sets it."""
        if not self._enabled:
            return
        self._check_used("update")
        pending = [found for found in self._found.values() if found is not None]
        if new_scale is not None:
            self._scale = float(new_scale)
        else:
            if not self._found:
                raise AssertionError("No inf checks were recorded prior to update.")
            if self._overflow or any(pending):
                self._scale *= self._backoff_factor
                self._growth_tracker = 0
            else:
                self._growth_tracker += 1
                if self._growth_tracker == self._growth_interval:
                    self._scale *= self._growth_factor
                    self._growth_tracker = 0
        self._found, self._overflow = {}, False

    def get_scale(self):
        """The scale, 1 when disabled."""
        return self._scale if self._enabled else 1.0

    def is_enabled(self):
        """Whether losses are scaled."""
        return self._enabled

    def get_growth_factor(self):
        """The factor by which the scale grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor):
        """Sets the factor by which the scale grows."""
        self._growth_factor = new_factor

    def get_backoff_factor(self):
        """The factor by which the scale shrinks."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor):
        """Sets the factor by which the scale shrinks."""
        self._backoff_factor = new_factor

    def get_growth_interval(self):
        """The number of steps without overflow before the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval):
        """Sets the number of steps without overflow before the scale grows."""
        self._growth_interval = new_interval

    def state_dict(self):
        """The state, empty when disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict):
        """Takes over a state."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        self._scale = float(state_dict["scale"])
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval, self._growth_tracker = state_dict["growth_interval"], state_dict["_growth_tracker"]
