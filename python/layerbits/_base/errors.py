"""The exceptions of layerbits; each except the base class is also a ValueError or a RuntimeError."""


class LayerbitsError(Exception):
    """Base class of the errors that layerbits raises on purpose."""


class NoNoiseError(LayerbitsError, ValueError):
    """The network has no noise, or its noise is off: I(X;T) would be log N for N inputs with different activations."""


class LayerSelectionError(LayerbitsError, ValueError):
    """An argument selects no layer of the network, or a layer that cannot carry noise or be measured."""


class DataError(LayerbitsError, ValueError):
    """A data set cannot be read, or its content differs from its description."""


class UsageError(LayerbitsError, ValueError):
    """A command line, a configuration, an environment variable or a file of a run cannot be used as it is."""


class BackendError(LayerbitsError, RuntimeError):
    """A compiled back end is not built or cannot be loaded."""


class GroupError(LayerbitsError, RuntimeError):
    """A process of a group failed, did not take part, or made another call than the other processes."""
