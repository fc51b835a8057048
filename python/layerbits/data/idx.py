"""Reader of IDX files, the format of the MNIST database: a header with type and shape, then the values.

Every fault of a file is a DataError that names the file.
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

from layerbits._base import DataError, check_count, check_type, shown_path
from layerbits.data.images import LabelledImages

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"
_MAX_DIMENSIONS = 32  # the limit of NumPy 1
_CHUNK = 2**20


def read_idx(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Read an IDX file, plain or compressed by gzip, whatever its name.

    Parameters
    ----------
    path : path
        Path of the file.

    Returns
    -------
    array
        The values, in the shape and type of the header: uint8, int8, int16, int32, float32 or float64.

    Raises
    ------
    DataError
        The file cannot be read, has a different format, or has fewer or more values than its header says.
    TypeError
        `path` is not a path.

    References
    ----------
    LeCun, Cortes and Burges, The MNIST database of handwritten digits: the section on file formats.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import layerbits as lb
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "labels-idx1-ubyte")
    ...     size = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]))
    ...     lb.data.read_idx(path).tolist()
    [5, 0, 4]
    """
    check_type("path", path, (str, os.PathLike), wanted="a path")
    if path == "":
        raise DataError("path: got empty text, wanted the path of an IDX file")
    try:
        with Path(path).open("rb") as file:
            # The parser gets a stream, because a small gzip file may expand to any size.
            return _parse(shown_path(path), gzip.open(file) if file.peek(2).startswith(_GZIP) else file)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{shown_path(path)}: damaged gzip file ({error}); get it from its source again") from error
    except OSError as error:
        raise DataError(f"{shown_path(path)}: cannot be read ({error.strerror}); name a readable IDX file") from error
    except DataError:
        raise
    except ValueError as error:  # a null byte in the path
        raise DataError(f"{shown_path(path)}: cannot be read ({error}); name a readable IDX file") from error


def read_labelled_images(
    images: str | os.PathLike[str], labels: str | os.PathLike[str], *, classes: int = 10
) -> LabelledImages:
    """Read a pair of IDX files: images with one byte for each pixel, and their class numbers.

    Parameters
    ----------
    images, labels : path
        Paths of the files, whose arrays have shapes (n, h, w) and (n,), n >= 1.
    classes : int
        Number of classes; labels lie between 0 and ``classes - 1``.

    Returns
    -------
    LabelledImages
        Images with pixels divided by 255, and labels.

    Raises
    ------
    DataError
        A file cannot be read, an array has a wrong type, shape or value, or the numbers of images and labels differ.
    TypeError, ValueError
        A path or `classes` has a wrong type or value.

    Examples
    --------
    >>> import layerbits as lb
    >>> images = lb.data.read_labelled_images(
    ...     "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
    ... )  # doctest: +SKIP
    """
    check_count("classes", classes, minimum=1)
    for name, path in (("images", images), ("labels", labels)):
        check_type(name, path, (str, os.PathLike), wanted="a path")
        if path == "":
            raise DataError(f"{name}: got empty text, wanted the path of an IDX file")
    pixels = _read_bytes(images, ndim=3, wanted="images, of shape (n, height, width)")
    class_numbers = _read_bytes(labels, ndim=1, wanted="labels, of shape (n,)")
    if len(pixels) != len(class_numbers):
        raise DataError(
            f"{shown_path(images)}: got {len(pixels)} images, wanted {len(class_numbers)}, one for each label in "
            f"{shown_path(labels)}; take both files from the same source"
        )
    if class_numbers.max() >= classes:
        raise DataError(
            f"{shown_path(labels)}: got the label {class_numbers.max()}, wanted 0 to {classes - 1}; check `classes`"
        )
    return LabelledImages(
        inputs=torch.from_numpy(pixels[:, None].astype(np.float32)).div_(255),
        labels=torch.from_numpy(class_numbers.astype(np.int64)),
    )


def _read_bytes(path: str | os.PathLike[str], *, ndim: int, wanted: str) -> npt.NDArray[np.uint8]:
    values = read_idx(path)
    if values.dtype != np.uint8 or values.ndim != ndim or 0 in values.shape:
        raise DataError(
            f"{shown_path(path)}: got {values.dtype} of shape {values.shape}, wanted {wanted}, of uint8; name a "
            "different file"
        )
    return values


def _parse(name: str, file: io.BufferedReader | gzip.GzipFile) -> npt.NDArray[Any]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or not 1 <= magic[3] <= _MAX_DIMENSIONS:
        raise DataError(
            f"{name}: begins with {magic.hex(' ') or 'nothing'}, wanted an IDX file, which begins with 00 00, "
            "the type and the number of dimensions; get the file from its source again"
        )
    dtype, lengths = np.dtype(_TYPES[magic[2]]), file.read(4 * magic[3])
    if len(lengths) < 4 * magic[3]:
        raise DataError(f"{name}: ends within its header, after {4 + len(lengths)} bytes; get it from its source again")
    shape = struct.unpack(f">{magic[3]}I", lengths)
    size = math.prod(shape) * dtype.itemsize
    content = bytearray()
    # The size in a damaged header may exceed the memory, so values are read in chunks.
    while chunk := file.read(min(_CHUNK, size + 1 - len(content))):
        content += chunk
    if len(content) != size:
        got = f"more than {size}" if len(content) > size else len(content)
        raise DataError(
            f"{name}: got {got} bytes of values, wanted {size} for the shape {shape} in the header; "
            "get the file from its source again"
        )
    try:
        return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="))
    except ValueError as error:  # an axis of length 0, and other axes whose product overflows
        raise DataError(f"{name}: got the shape {shape}, which is too large; name a different file") from error
