"""The MNIST database of handwritten digits, from a folder with its four files. Nothing is downloaded."""

from __future__ import annotations

import os
from pathlib import Path

from layerbits._base import DataError
from layerbits.data.idx import read_labelled_images
from layerbits.data.images import LabelledImages

SOURCE = "the MNIST database of handwritten digits (yann.lecun.com/exdb/mnist, or any mirror of it)"


def mnist_dataset(folder: str | os.PathLike[str]) -> tuple[LabelledImages, LabelledImages]:
    """Read MNIST.

    Parameters
    ----------
    folder : path
        Holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and
        ``t10k-labels-idx1-ubyte``, each compressed by gzip, as ``.gz``, or not; ``train-images.idx3-ubyte`` and so on
        will do too. Any data set in these files is read, such as Fashion-MNIST.

    Returns
    -------
    train, test : LabelledImages
        Of MNIST itself 60,000 and 10,000 images of 28 x 28 pixels.

    Raises
    ------
    DataError
        If a file is missing, damaged or of another kind, the images of the two parts differ in size, or labels and
        images do not belong together.
    """
    path = Path(folder)
    if not path.is_dir():
        raise DataError(f"{path}: no such folder, wanted one with the four files of {SOURCE}")
    train, test = (
        read_labelled_images(_file(path, f"{part}-images", "idx3"), _file(path, f"{part}-labels", "idx1"))
        for part in ("train", "t10k")
    )
    if train.size != test.size:
        raise DataError(
            f"{path}: got images of {train.size} and {test.size} pixels, wanted one size; "
            "take the four files from one source"
        )
    return train, test


def _file(folder: Path, name: str, kind: str) -> Path:
    names = [f"{name}{joint}{kind}-ubyte{ending}" for joint in "-." for ending in ("", ".gz")]
    found = next((folder / each for each in names if (folder / each).exists()), None)
    if found is None:
        raise DataError(f"{folder}: {names[0]} is missing, with .gz or without; it belongs to {SOURCE}")
    return found
