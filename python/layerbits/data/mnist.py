"""Reader of the MNIST database of handwritten digits from a folder with its four files."""

from __future__ import annotations

import os
from pathlib import Path

from layerbits._base import DataError, check_path, shown_path
from layerbits.data.idx import read_labelled_images
from layerbits.data.images import LabelledImages

MNIST_SOURCE = "the MNIST database of handwritten digits (yann.lecun.com/exdb/mnist, or any mirror of it)"


def mnist_dataset(folder: str | os.PathLike[str]) -> tuple[LabelledImages, LabelledImages]:
    """Read MNIST, or a data set in files of the same format such as Fashion-MNIST.

    Parameters
    ----------
    folder : path
        The folder with the files ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte``
        and ``t10k-labels-idx1-ubyte``. The files may be compressed by gzip, with the ending ``.gz``, and spelled with a
        dot in place of the second hyphen (``train-images.idx3-ubyte``).

    Returns
    -------
    train, test : LabelledImages
        For MNIST, 60,000 and 10,000 images of 28 x 28 pixels.

    Raises
    ------
    DataError
        A file is missing, damaged or of a different kind, the images of the two parts differ in size, the number of
        labels is not the number of images, or a label is larger than 9.
    TypeError, ValueError
        `folder` is not a path.

    Examples
    --------
    >>> import layerbits as lb
    >>> train, test = lb.data.mnist_dataset("data/mnist")  # doctest: +SKIP
    """
    check_path("folder", folder)
    path = Path(folder)
    if not os.path.isdir(path):  # Path.is_dir raises an error for a path that is too long
        raise DataError(f"{shown_path(path)}: no such folder, wanted a folder with the four files of {MNIST_SOURCE}")
    train, test = (
        read_labelled_images(_file(path, f"{part}-images", "idx3"), _file(path, f"{part}-labels", "idx1"))
        for part in ("train", "t10k")
    )
    if train.size != test.size:
        raise DataError(
            f"{shown_path(path)}: got images of {train.size} and {test.size} pixels, wanted equal sizes; "
            "take all four files from the same source"
        )
    return train, test


def _file(folder: Path, name: str, kind: str) -> Path:
    paths = [folder / f"{name}{separator}{kind}-ubyte{ending}" for separator in "-." for ending in ("", ".gz")]
    for path in paths:
        if os.path.exists(path):
            return path
    raise DataError(
        f"{shown_path(folder)}: {paths[0].name} is missing, with and without .gz; it belongs to {MNIST_SOURCE}"
    )
