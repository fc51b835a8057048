"""Convert labels to class numbers 0, 1, ..."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from layerbits._base import Integers, has_no_values, refuse_sparse

# Default of `ignore_index` of torch's cross entropy.
_IGNORED = -100

# A range of more labels is refused before it becomes an array of more than 2 GiB.
_MOST_LABELS = 2**28


def class_numbers(labels: object, n_inputs: int) -> Integers:
    """Return labels as class numbers 0, 1, ... without gaps; arguments and errors are those of `class_labels`."""
    numbers: Integers = np.unique(class_labels(labels, n_inputs), return_inverse=True)[1]
    return numbers


def class_labels(labels: object, n_inputs: int) -> npt.NDArray[Any]:
    """Return the label of each input, for one-hot rows the number of the class.

    Parameters
    ----------
    labels : array-like of shape (n_inputs,), (n_inputs, 1) or (n_inputs, classes)
        Integers, booleans, whole floats or strings, or one-hot rows of two or more classes. A tensor, an array, a list,
        or a pandas Series, whose categories may also be objects with a text of their own, such as intervals.
    n_inputs : int
        Number of inputs.

    Returns
    -------
    array of shape (n_inputs,)

    Raises
    ------
    TypeError, ValueError
        `labels` has another type, dtype or shape; a label is missing, or is -100; numbers are not whole.
    """
    if isinstance(labels, range) and len(labels[: n_inputs + 1]) != n_inputs:  # it may be too long for an array
        raise ValueError(f"labels: got {labels}, wanted one label for each of {n_inputs} inputs")
    values = label_array(labels)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    elif values.ndim == 2 and _are_one_hot(values):
        values = values.argmax(axis=1)
    if values.shape != (n_inputs,):
        raise ValueError(
            f"labels: got shape {values.shape}, wanted ({n_inputs},), one label for each input, or one-hot rows "
            f"({n_inputs}, classes); for several label sets, pass a mapping of their names to them"
        )
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError("labels: got NaN or infinity, wanted the class of every input; remove inputs without a class")
    if values.dtype.kind == "f" and (values != np.rint(values)).any():
        raise ValueError(
            "labels: got numbers that are not whole, wanted classes; for a continuous Y, bin it, for instance "
            "numpy.digitize(y, numpy.quantile(y, [.25, .5, .75]))"
        )
    if values.dtype.kind == "O" and not all(isinstance(value, str) for value in values):
        got = next(type(value).__name__ for value in values if not isinstance(value, str))
        raise TypeError(
            f"labels: got objects that are not all strings, such as {got}, wanted integers, booleans, whole floats or "
            "strings; convert other classes to strings, [str(label) for label in labels]"
        )
    if values.dtype.kind in "if" and (values == _IGNORED).any():
        raise ValueError(
            f"labels: got {_IGNORED}, which torch's cross entropy ignores, wanted the class of every input; remove "
            "inputs without a class"
        )
    return values


def label_array(labels: Any) -> npt.NDArray[Any]:
    """Return labels as an array.

    Raises
    ------
    TypeError
        The dtype is not integer, boolean, real, string or object; a list has strings and other values; `labels` is a
        generator, a set or another object that is no array.
    ValueError
        `labels` is a tensor that is sparse, nested, quantized or on the meta device, an array with masked values, or a
        list of lists of different lengths; or a label is missing.
    """
    refuse_sparse("labels", labels)
    if isinstance(labels, Tensor) and labels.is_nested:
        raise ValueError("labels: got a nested tensor, wanted a dense one with the class of every input")
    if np.ma.is_masked(labels) or torch.masked.is_masked_tensor(labels):
        raise ValueError("labels: got masked values, wanted the class of every input; remove inputs without a class")
    if isinstance(labels, list | tuple) and len({isinstance(label, str) for label in labels}) > 1:
        # NumPy would convert the others, for instance a NaN, to strings.
        raise TypeError("labels: got strings and other values, wanted strings alone; remove inputs without a class")
    if isinstance(labels, range) and labels[_MOST_LABELS:]:
        raise ValueError(f"labels: got a range of more than {_MOST_LABELS} labels, wanted one label for each input")
    if isinstance(labels, Tensor):
        if labels.layout != torch.strided or labels.is_meta or labels.is_quantized or has_no_values(labels):
            got = "a tensor that is sparse, quantized, fake, lazy or on the meta device"
            raise ValueError(f"labels: got {got}, wanted a dense tensor that holds values")
        # NumPy has no bfloat16 and no floats of 8 bits.
        is_small = labels.is_floating_point() and labels.element_size() < 4
        values = (labels.float() if is_small else labels).numpy(force=True)
    else:
        try:
            values = np.asarray(labels.to_numpy() if hasattr(labels, "to_numpy") else labels)
            categories = getattr(getattr(labels, "dtype", None), "categories", None)
        except ValueError as error:  # raised by NumPy for lists of different lengths
            raise ValueError(
                f"labels: got lists of different lengths, wanted one label for each input: {error}"
            ) from error
        if values.dtype.kind == "O" and not values.ndim:
            raise TypeError(
                f"labels: got {type(labels).__name__}, wanted a tensor, an array, a list or a Series; convert a "
                "generator, in the order of the inputs, with list()"
            )
        if values.dtype.kind == "O":
            values = _of_plain_values(values, is_categorical=categories is not None)
    if values.dtype.kind not in "iubfUOS":
        raise TypeError(
            f"labels: got dtype {values.dtype}, wanted integers, booleans, whole floats or strings; convert other "
            "classes to strings, [str(label) for label in labels]"
        )
    return values


def _of_plain_values(values: npt.NDArray[Any], *, is_categorical: bool) -> npt.NDArray[Any]:
    """Return objects that are numbers as an array of numbers, and categories, such as intervals, as strings.

    Other objects are returned unchanged.

    Raises
    ------
    ValueError
        A value is missing: None, NaN, or pandas' NA or NaT.
    """
    n_missing = sum(map(_is_missing, values.flat))
    if n_missing:
        raise ValueError(
            f"labels: got missing values in {n_missing} of {len(values)} rows, wanted the class of every input; remove "
            "inputs without a class"
        )
    if all(isinstance(value, numbers.Real | np.bool_) for value in values.flat):
        return np.array(values.tolist())
    if not is_categorical:
        return values
    texts = values.astype(str)
    return texts if len({*texts.flat}) == len({*values.flat}) else values


def _is_missing(value: object) -> bool:
    is_nan = isinstance(value, float) and math.isnan(value)
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")  # those of pandas


def _are_one_hot(values: npt.NDArray[Any]) -> bool:
    """Return whether every row has zeros and a single one, in at least two columns."""
    if values.dtype.kind not in "iubf" or values.shape[1] < 2:
        return False
    return bool(((values == 0) | (values == 1)).all() and ((values == 1).sum(axis=1) == 1).all())
