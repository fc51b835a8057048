"""The exceptions of layerbits; each except the base class is also a ValueError or a RuntimeError."""


class LayerbitsError(Exception):
    """Base class of the errors that layerbits raises on purpose.

    Examples
    --------
    >>> import layerbits as lb
    >>> try:
    ...     lb.read_history("nowhere")
    ... except lb.LayerbitsError as error:
    ...     print(error)
    nowhere/information.csv: cannot be read: ...
    """


class NoNoiseError(LayerbitsError, ValueError):
    """The network has no noise, or its noise is off: I(X;T) would be log N for N inputs with different activations.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> lb.layer_information(model, torch.eye(2))
    Traceback (most recent call last):
    layerbits._base.errors.NoNoiseError: model: got ...
    """


class LayerSelectionError(LayerbitsError, ValueError):
    """An argument selects no layer of the network, or a layer that cannot carry noise or be measured.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
    >>> lb.layer_information(model, torch.eye(2), sigma=0.5, layers="fc1")
    Traceback (most recent call last):
    layerbits._base.errors.LayerSelectionError: layers: ...
    """


class DataError(LayerbitsError, ValueError):
    """A data set cannot be read, or its content differs from its description.

    Examples
    --------
    >>> import layerbits as lb
    >>> lb.data.mnist_dataset("nowhere")
    Traceback (most recent call last):
    layerbits._base.errors.DataError: nowhere: no such folder...
    """


class UsageError(LayerbitsError, ValueError):
    """A command line, a configuration, an environment variable or a file of a run cannot be used as it is.

    Examples
    --------
    >>> import layerbits as lb
    >>> lb.read_history("nowhere")
    Traceback (most recent call last):
    layerbits._base.errors.UsageError: nowhere...
    """


class BackendError(LayerbitsError, RuntimeError):
    """A compiled back end is not built or cannot be loaded.

    Examples
    --------
    >>> import layerbits as lb
    >>> issubclass(lb.BackendError, RuntimeError)
    True
    """


class GroupError(LayerbitsError, RuntimeError):
    """A process of a group failed, did not take part, or made another call than the other processes.

    Examples
    --------
    >>> import layerbits as lb
    >>> issubclass(lb.GroupError, RuntimeError)
    True
    """
