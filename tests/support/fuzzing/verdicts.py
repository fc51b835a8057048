"""Run a call, and check that it ends as promised and changes nothing that it should not."""

import contextlib
import inspect
import os
import random
import re
import resource
import signal
import types
import warnings
from pathlib import Path

import numpy as np
import sklearn.datasets  # noqa: F401  # sets environment variables when it is imported
import torch
from matplotlib import pyplot
from torch import nn

import layerbits as lb

SECONDS = 2.0  # of processor time
BYTES = 2**30

# A name in an annotation, and the types of its values.
ALIASES = {
    "Array": (torch.Tensor, np.ndarray),
    "Points": (torch.Tensor, np.ndarray),
    "Bits": np.ndarray,
    "Channel": types.FunctionType,
    "Doubles": np.ndarray,
    "Iterator": contextlib.AbstractContextManager,
    "LayerNoise": object,
    "Model": nn.Module,
    "None": type(None),
    "Tensor": torch.Tensor,
    "Truths": dict,
}


class TooSlowError(BaseException):
    """A call took too long; no handler of Exception catches this."""


@contextlib.contextmanager
def limits():
    """Raise TooSlowError after `SECONDS` of processor time or a minute, and give `BYTES` more memory at most."""

    def stop(signum, _):
        raise TooSlowError(f"more than {SECONDS} s of processor time" if signum == signal.SIGPROF else "a minute")

    handlers = {number: signal.signal(number, stop) for number in (signal.SIGPROF, signal.SIGALRM)}
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + BYTES, hard))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, 60)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        for number, handler in handlers.items():
            signal.signal(number, handler)


def global_state():
    """Return the state of the process that no call may change."""
    return {
        "generator of torch": torch.get_rng_state().numpy().tobytes(),
        "generator of numpy": np.random.get_state()[1].tobytes(),  # noqa: NPY002
        "generator of random": random.getstate(),
        "default dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "grad mode": torch.is_grad_enabled(),
        "errors of numpy": str(np.geterr()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "folder": os.getcwd(),
        "environment": dict(os.environ),
    }


def fingerprint(value, depth=0):
    """Return a value that differs if `value` has been changed; generators and iterators are meant to change."""
    if depth > 4:  # the value may contain itself
        return type(value)
    if isinstance(value, nn.Module):
        parts = [*value.named_parameters(), *value.named_buffers()]
        return value.training, [(name, fingerprint(part)) for name, part in parts]
    if isinstance(value, torch.Tensor):
        plain = type(value) in (torch.Tensor, nn.Parameter) and value.layout == torch.strided and not value.is_quantized
        if not plain or value.device.type != "cpu" or value.numel() > 1000:
            return type(value), value.requires_grad
        gradient = value.is_leaf and value.grad
        return str(value.dtype), value.requires_grad, repr(gradient), repr(value.detach().tolist())
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.flags.writeable, repr(value.tolist()) if value.size <= 1000 else ""
    if isinstance(value, (list, tuple)):
        return [fingerprint(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {key: fingerprint(item, depth + 1) for key, item in value.items()}
    return type(value)


def is_right_type(function, result):
    """Return whether a class of `result` stands in the annotation of what `function` returns."""
    if inspect.isclass(function):
        return isinstance(result, function)
    names = set(re.findall(r"\w+", str(inspect.signature(function).return_annotation)))
    classes = {base.__name__ for base in type(result).__mro__}
    return bool(names & classes) or any(isinstance(result, ALIASES[name]) for name in names & set(ALIASES))


def _names_an_argument(message, values):
    """Return whether a message begins with the name of an argument, or with a path or text that was an argument."""
    texts = [str(value) for value in values.values() if isinstance(value, str | os.PathLike) and value]
    texts += [os.path.normpath(text) for text in texts]
    texts += [repr(text)[:80] for text in values.values() if isinstance(text, str)]
    # The arrays that `sigma_profile` takes in place of a model have a name of their own.
    return re.match(r"\w*", message).group() in {*values, "activations"} or message.startswith(tuple(texts))


def judge(function, arguments):
    """Call `function`, and return "result", or the name of the error's type; fail if a promise is broken."""
    parameters = inspect.signature(function).parameters
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of prototypes
        values = {argument.parameter: argument.make() for argument in arguments}
    before, state = {name: fingerprint(value) for name, value in values.items()}, global_state()
    positional = [name for name, item in parameters.items() if item.kind == item.POSITIONAL_ONLY]
    keywords = {name: value for name, value in values.items() if name not in positional}
    verdict, result = "result", None
    with warnings.catch_warnings(record=True) as caught, limits():
        warnings.simplefilter("always")
        try:
            result = function(*(values[name] for name in positional), **keywords)
            if inspect.isfunction(function):
                repr(result)
            if isinstance(result, contextlib.AbstractContextManager):
                with result:
                    pass
        except (TypeError, ValueError, lb.LayerbitsError) as error:
            verdict = type(error).__name__
            if not _names_an_argument(str(error), values):
                raise AssertionError(f"the message begins with no argument: {str(error)[:300]!r}") from error
        except TooSlowError as error:
            raise TooSlowError(f"{error}: {arguments}") from None
    pyplot.close("all")
    assert verdict != "result" or is_right_type(function, result), f"got a result of type {type(result)}"
    changed = [key for key, value in global_state().items() if state[key] != value]
    assert not changed, f"changed: {changed}"
    changed = [name for name, value in values.items() if fingerprint(value) != before[name]]
    assert not changed, f"changed arguments: {changed}"
    foreign = [str(warning.message) for warning in caught if not str(warning.message).startswith(tuple(parameters))]
    assert not foreign, f"warnings: {foreign}"
    return verdict
