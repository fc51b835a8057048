"""Reader of IDX files, the format of the MNIST database: a header that tells type and shape, then the values.

Whatever is wrong with a file is one DataError that names it.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from layerbits._base import DataError
from layerbits.data.images import LabelledImages

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"
_MOST_DIMENSIONS = 32  # of an older NumPy
_PART = 2**20


def read_idx(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Read an IDX file, compressed by gzip or not, whatever its name.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    array
        Of the shape and type that the file tells: uint8, int8, int16, int32, float32 or float64.

    Raises
    ------
    DataError
        If the file cannot be read, is of another kind, or holds fewer or more values than its header tells.

    References
    ----------
    LeCun, Cortes and Burges, The MNIST database of handwritten digits: the section on file formats.
    """
    try:
        with Path(path).open("rb") as file:
            # As far as it goes: a gzip file of some bytes may hold any number of them.
            return _values(path, gzip.open(file) if file.peek(2).startswith(_GZIP) else file)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip file ({error}); take it from its source again") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); name an IDX file that can") from error
    except DataError:
        raise
    except ValueError as error:  # a null byte in its name
        raise DataError(f"{os.fspath(path)!r}: cannot be read ({error}); name an IDX file that can") from error


def read_labelled_images(
    images: str | os.PathLike[str], labels: str | os.PathLike[str], *, classes: int = 10
) -> LabelledImages:
    """Read a pair of IDX files: images of one byte a pixel, and the number of the class of each.

    Parameters
    ----------
    images, labels : path
        The files, of shapes (n, h, w) and (n,), n >= 1.
    classes : int
        Labels are from 0 to ``classes - 1``.

    Returns
    -------
    LabelledImages
        Pixels divided by 255.

    Raises
    ------
    DataError
        As `read_idx`; if a file holds something else, or the two do not belong together.
    """
    pixels = _bytes(images, ndim=3, wanted="images, of shape (n, height, width)")
    numbers = _bytes(labels, ndim=1, wanted="labels, of shape (n,)")
    if len(pixels) != len(numbers):
        raise DataError(
            f"{images}: got {len(pixels)} images, wanted {len(numbers)}, one for each label in {labels}; "
            "take both files from one source"
        )
    if numbers.max() >= classes:
        raise DataError(f"{labels}: got the label {numbers.max()}, wanted 0 to {classes - 1}; take labels of such data")
    return LabelledImages(
        inputs=torch.from_numpy(pixels[:, None].astype(np.float32)).div_(255),
        labels=torch.from_numpy(numbers.astype(np.int64)),
    )


def _bytes(path: str | os.PathLike[str], *, ndim: int, wanted: str) -> npt.NDArray[np.uint8]:
    values = read_idx(path)
    if values.dtype != np.uint8 or values.ndim != ndim or 0 in values.shape:
        raise DataError(
            f"{path}: got {values.dtype} of shape {values.shape}, wanted {wanted}, of uint8; name that file"
        )
    return values


def _values(path: str | os.PathLike[str], file: io.BufferedReader | gzip.GzipFile) -> npt.NDArray[Any]:
    begin = file.read(4)
    if len(begin) < 4 or begin[:2] != b"\0\0" or begin[2] not in _TYPES or not 1 <= begin[3] <= _MOST_DIMENSIONS:
        raise DataError(
            f"{path}: begins with {begin.hex(' ') or 'nothing'}, wanted an IDX file, which begins with 00 00, "
            "the type and the number of dimensions; take the file from its source again"
        )
    dtype, sides = np.dtype(_TYPES[begin[2]]), file.read(4 * begin[3])
    if len(sides) < 4 * begin[3]:
        raise DataError(f"{path}: ends within its header, after {4 + len(sides)} bytes; take it from its source again")
    shape = struct.unpack(f">{begin[3]}I", sides)
    wanted = math.prod(shape) * dtype.itemsize
    content = bytearray()
    # In parts, for the header may tell of more than memory holds.
    while part := file.read(min(_PART, wanted + 1 - len(content))):
        content += part
    if len(content) != wanted:
        got = f"more than {wanted}" if len(content) > wanted else len(content)
        raise DataError(
            f"{path}: got {got} bytes of values, wanted {wanted} for the shape {shape} that its header tells; "
            "take the file from its source again"
        )
    try:
        return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="))
    except ValueError as error:  # no values, for one side is 0, and others beyond what NumPy counts to
        raise DataError(f"{path}: tells the shape {shape}, which no array has; take another file") from error
