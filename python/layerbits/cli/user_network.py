"""A network of the user: the function in a script that makes it, and files with its parameters."""

from __future__ import annotations

import importlib.util
import inspect
import pickle
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from layerbits._base import UsageError, counted, listed, require_package

_NEEDED = ("model", "inputs")
_OPTIONS = ("labels", "sigma", "layers", "readout", "limit", "decoders")
_WANTED = f"wanted (model, inputs), (model, inputs, labels), or a mapping with some of {', '.join(_NEEDED + _OPTIONS)}"
# Keys under which trainers save the parameters: Lightning, loops after torch's tutorial, and layerbits.
_STATE_KEYS = ("state_dict", "model_state_dict", "model")


def network_arguments(script: str, data: Path | None) -> dict[str, Any]:
    """Return the arguments of `Monitor` that a function of a script returns.

    Parameters
    ----------
    script : str
        ``SCRIPT.py`` or ``SCRIPT.py:FUNCTION``; without a name, the function is called ``make``.
    data : path, optional
        A folder, the argument of the function; None calls the function without an argument.

    Raises
    ------
    UsageError
        The script, the function or the folder is missing, or the function has other arguments, raises an exception, or
        returns something else.
    """
    file, _, name = script.partition(":")
    path, name = Path(file), name or "make"
    if not path.is_file():
        raise UsageError(f"{path}: no such script; wanted SCRIPT.py or SCRIPT.py:FUNCTION")
    function = getattr(_imported(path), name, None)
    if not callable(function):
        raise UsageError(f"{path}: got no function {name!r}; define it, or name another as {path}:FUNCTION")
    if data is not None and not data.is_dir():
        raise UsageError(f"--data: {data}: no such folder")
    arguments = () if data is None else (data,)
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError as error:
        wanted = "a function without required arguments, or with --data DIR of one argument, the folder"
        raise UsageError(f"{path}:{name}: {error}; wanted {wanted}") from error
    return _arguments(f"{path}:{name}", _called(path, lambda: function(*arguments)))


def load_parameters(model: nn.Module, path: Path) -> None:
    """Load a file with the parameters of a network: a state dict, or a checkpoint of a trainer that contains one.

    Raises
    ------
    UsageError
        The file is missing, is no checkpoint, or is of another network.
    """
    if not path.is_file():
        raise UsageError(f"--checkpoint: {path}: no such file")
    state: Any = None
    try:
        if path.suffix == ".safetensors":
            require_package("safetensors", extra="transformers", purpose="files of this name")
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        for key in _STATE_KEYS:
            if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
                state = state[key]
        model.load_state_dict(state)
    except UsageError:
        raise
    except Exception as error:  # zip, pickle and torch raise many types for a file of another kind
        reason = " ".join(_reason(error).split())
        reason = f" ({reason[:200]})" if " " in reason else ""  # for a text file, the error may be a number alone
        names, known = list(model.state_dict()), set(state) if isinstance(state, Mapping) else set()
        missing = [name for name in names if name not in known]
        problem = f"cannot be read{reason}" if state is None else f"has no parameters of this network{reason}"
        if 0 < len(missing) < len(names):
            problem = f"lacks {len(missing)} of {counted(len(names), 'tensor')} of this network: {listed(missing)}"
        raise UsageError(
            f"--checkpoint: {path} {problem}; wanted a file that torch.save wrote from model.state_dict()"
        ) from error


def _reason(error: Exception) -> str:
    """Return the text of an error; for a refused pickle, name its object, without torch's advice to skip the check."""
    refused = re.search(r"[Uu]nsupported (?:global: )?GLOBAL (\S+)", str(error))
    if isinstance(error, pickle.UnpicklingError):
        return f"it has {refused[1]}, which is no tensor" if refused else ""
    return str(error)


def epoch_and_path(text: str) -> tuple[int | None, Path]:
    """Split ``[EPOCH=]FILE``; without EPOCH, the epoch is a number after "epoch" in the name of the file, or None."""
    epoch, equals, file = text.partition("=")
    if equals and epoch.isdecimal():
        return int(epoch), Path(file)
    number = re.search(r"epoch\D?(\d+)", Path(text).name)
    return (int(number[1]) if number else None), Path(text)


def _imported(path: Path) -> object:
    name = path.stem if path.stem not in sys.modules else f"{path.stem}_script"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: got no Python script, wanted a file whose name ends in .py")
    module = importlib.util.module_from_spec(spec)
    # Like `python SCRIPT.py`, so that the script can import modules beside it.
    sys.path.insert(0, str(path.resolve().parent))
    sys.modules[name] = module  # dataclasses and pickle look modules up
    loader = spec.loader
    _called(path, lambda: loader.exec_module(module))
    return module


def _called(path: Path, function: Callable[[], object]) -> object:
    """Call code of a script; if it raises an exception, raise a UsageError with the line of the script."""
    try:
        return function()
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename) == path.absolute()]
        line = f", line {lines[-1]}" if lines else ""
        raise UsageError(f"{path}{line}: {type(error).__name__}: {error}") from error


def _arguments(function: str, result: object) -> dict[str, Any]:
    if isinstance(result, tuple) and 2 <= len(result) <= 3:
        result = dict(zip((*_NEEDED, "labels"), result, strict=False))
    if not isinstance(result, Mapping):
        raise UsageError(f"{function}: got a result of type {type(result).__name__}, {_WANTED}")
    unknown = [key for key in result if key not in _NEEDED + _OPTIONS]
    missing = [key for key in _NEEDED if key not in result]
    if unknown or missing:
        problem = f"the key {unknown[0]!r}" if unknown else f"no key {missing[0]!r}"
        raise UsageError(f"{function}: returned a mapping with {problem}, {_WANTED}")
    if not isinstance(result["model"], nn.Module):
        raise UsageError(f"{function}: model: got {type(result['model']).__name__}, wanted a torch.nn.Module")
    return dict(result)
