"""The exceptions of layerbits; each is also the builtin exception that it refines."""


class LayerbitsError(Exception):
    """Base class of the errors that layerbits raises on purpose."""


class NoNoiseError(LayerbitsError, ValueError):
    """I(X;T) of a network without noise is log N or infinite for any weights, so it is not estimated."""


class LayerSelectionError(LayerbitsError, ValueError):
    """The argument `layers` names no layer of the network, or a layer whose output cannot carry noise."""


class DataError(LayerbitsError, ValueError):
    """The content of a data set differs from its published description."""


class UsageError(LayerbitsError, ValueError):
    """A command line, a configuration or a file of a run cannot be used as it is."""


class BackendError(LayerbitsError, RuntimeError):
    """A requested compiled back end is not built or not usable on this machine."""
