"""The exceptions of layerbits. Each is also the builtin error that it refines; imports nothing of ours."""


class LayerbitsError(Exception):
    """Base of the errors that layerbits raises on purpose."""


class NoNoiseError(LayerbitsError, ValueError):
    """I(X;T) was asked of a network without noise, where it is log N or infinite whatever the network does."""


class LayerSelectionError(LayerbitsError, ValueError):
    """`layers` names no layer of the network, or one whose output cannot carry noise."""


class DataError(LayerbitsError, ValueError):
    """A data set does not have the content that it is known to have."""


class UsageError(LayerbitsError, ValueError):
    """A command line or configuration that cannot be carried out as written."""


class BackendError(LayerbitsError, RuntimeError):
    """A compiled back end that was asked for is not built or cannot run here."""
