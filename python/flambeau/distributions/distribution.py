"""The base class of all distributions."""

import warnings

import flambeau as fl
from flambeau._levels import all_true
from flambeau.distributions import constraints
from flambeau.distributions.utils import _LazyClassProperty

__all__ = ["Distribution"]


class Distribution:
    """A probability distribution, or a batch of them.

    A draw has shape `sample_shape + batch_shape + event_shape`: events are drawn together, batch entries are
    separate distributions. With `validate_args` (the default, unless Python runs with -O) wrong parameters and
    values outside the support raise ValueError.
    """

    has_rsample = False
    has_enumerate_support = False
    _validate_args = __debug__

    @staticmethod
    def set_default_validate_args(value):
        """Turns validation on or off for distributions built from now on."""
        if value not in [True, False]:
            raise ValueError
        Distribution._validate_args = value

    def __init__(self, batch_shape=fl.Size(), event_shape=fl.Size(), validate_args=None):
        self._batch_shape = batch_shape
        self._event_shape = event_shape
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()
        super().__init__()

    def _check_parameters(self):
        cls = type(self)
        try:
            arg_constraints = self.arg_constraints
        except NotImplementedError:
            warnings.warn(
                f"{cls} does not define `arg_constraints`. Please set `arg_constraints = {{}}` or initialize the "
                "distribution with `validate_args=False` to turn off validation.",
                stacklevel=3,
            )
            return
        own = self.__dict__
        for name, constraint in arg_constraints.items():
            if isinstance(constraint, constraints._Dependent):
                continue
            if name in own:
                value = own[name]
            elif isinstance(getattr(cls, name, None), _LazyClassProperty):
                continue  # derived from the parameters given
            else:
                value = getattr(self, name)
            if not all_true(constraint.check(value)):
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of "
                    f"distribution {self!r} to satisfy the constraint {constraint!r}, but found invalid "
                    f"values:\n{value}"
                )

    def expand(self, batch_shape, _instance=None):
        """The distribution with parameters expanded to a larger `batch_shape`.

        `_instance` is the new object when a subclass has already made it.
        """
        raise NotImplementedError

    @property
    def batch_shape(self):
        """Shape over which parameters are batched."""
        return self._batch_shape

    @property
    def event_shape(self):
        """Shape of one event, without batch dimensions."""
        return self._event_shape

    @property
    def arg_constraints(self):
        """Constraint of each parameter, by name."""
        raise NotImplementedError

    @property
    def support(self):
        """Constraint that draws satisfy."""
        raise NotImplementedError

    @property
    def mean(self):
        """Mean, of the shape of a draw."""
        raise NotImplementedError

    @property
    def mode(self):
        """Mode, of the shape of a draw."""
        raise NotImplementedError(f"{type(self)} does not implement mode")

    @property
    def variance(self):
        """Variance, of the shape of a draw."""
        raise NotImplementedError

    @property
    def stddev(self):
        """Standard deviation, of the shape of a draw."""
        return self.variance.sqrt()

    def sample(self, sample_shape=fl.Size()):
        """Draws of shape `sample_shape + batch_shape + event_shape`, without gradients."""
        with fl.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape=fl.Size()):
        """Draws as a differentiable function of the parameters, where `has_rsample`."""
        raise NotImplementedError

    def sample_n(self, n):
        """`n` draws, or batches of draws; the old form of `sample((n,))`."""
        warnings.warn("`sample_n(n)` will be deprecated. Use `sample((n,))` instead.", FutureWarning, stacklevel=2)
        return self.sample(fl.Size((n,)))

    def log_prob(self, value):
        """Logarithm of the density or of the probability of `value`, of shape `value.shape` less the event's."""
        raise NotImplementedError

    def cdf(self, value):
        """Probability of at most `value`."""
        raise NotImplementedError

    def icdf(self, value):
        """The quantile at probability `value`: the inverse of `cdf`."""
        raise NotImplementedError

    def enumerate_support(self, expand=True):
        """All values of a discrete distribution along a new first dimension.

        The batch dimensions are expanded, or of size 1 with `expand=False`.
        """
        raise NotImplementedError

    def entropy(self):
        """Entropy in nats, of shape `batch_shape`."""
        raise NotImplementedError

    def perplexity(self):
        """Exponential of the entropy, of shape `batch_shape`."""
        return fl.exp(self.entropy())

    def _extended_shape(self, sample_shape=fl.Size()):
        """Shape of a draw."""
        if not isinstance(sample_shape, fl.Size):
            sample_shape = fl.Size(sample_shape)
        return fl.Size(sample_shape + self._batch_shape + self._event_shape)

    def _validate_sample(self, value):
        """Raises ValueError unless `value` is a tensor that `log_prob` can take."""
        if not isinstance(value, fl.Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        shape = value.shape
        event_shape = self._event_shape
        if event_shape and shape[len(shape) - len(event_shape) :] != event_shape:
            raise ValueError(f"The right-most size of value must match event_shape: {shape} vs {event_shape}.")
        expected = self._batch_shape + event_shape
        if expected and shape != expected:
            for i, j in zip(reversed(shape), reversed(expected)):
                if i != 1 and j != 1 and i != j:
                    raise ValueError(
                        f"Value is not broadcastable with batch_shape+event_shape: {shape} vs {fl.Size(expected)}."
                    )
        try:
            support = self.support
        except NotImplementedError:
            warnings.warn(
                f"{type(self)} does not define `support` to enable sample validation. Please initialize the "
                "distribution with `validate_args=False` to turn off validation.",
                stacklevel=2,
            )
            return
        if not all_true(support.check(value)):
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(shape)}) to be within the "
                f"support ({support!r}) of the distribution {self!r}, but found invalid values:\n{value}"
            )

    def _get_checked_instance(self, cls, _instance=None):
        """A new object for `expand`; a subclass with an initialiser of its own must have made it itself."""
        if _instance is None and type(self).__init__ != cls.__init__:
            raise NotImplementedError(
                f"Subclass {type(self).__name__} of {cls.__name__} that defines a custom __init__ method must "
                "also define a custom .expand() method."
            )
        return type(self).__new__(type(self)) if _instance is None else _instance

    def _expand_own(self, cls, batch_shape, _instance, *names):
        """`expand` for a class whose state is its parameters: those of `names` that are set are expanded."""
        new = self._get_checked_instance(cls, _instance)
        batch_shape = fl.Size(batch_shape)
        for name in names:
            if name in self.__dict__:
                setattr(new, name, self.__dict__[name].expand(batch_shape + self._event_suffix(name)))
        super(cls, new).__init__(batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _event_suffix(self, name):
        """Trailing dimensions of parameter `name` that aren't batch dimensions."""
        return self._event_shape

    def __repr__(self):
        own = self.__dict__
        parts = []
        for name in self.arg_constraints:
            if name in own:
                value = own[name]
                parts.append(f"{name}: {value if value.numel() == 1 else value.size()}")
        return f"{type(self).__name__}({', '.join(parts)})"
