"""Reader of the handwritten digits of scikit-learn, a small data set that needs no download."""

from __future__ import annotations

import importlib.util

import torch

from layerbits._base import DataError
from layerbits.data.images import LabelledImages
from layerbits.data.train_test_split import split


def digits_dataset(*, test_fraction: float = 0.5, seed: int = 0) -> tuple[LabelledImages, LabelledImages]:
    """Load scikit-learn's 1797 images of digits, 8 x 8 pixels, and split them at random.

    Parameters
    ----------
    test_fraction, seed
        As for `split`.

    Returns
    -------
    train, test : LabelledImages

    Raises
    ------
    DataError
        scikit-learn is not installed.
    TypeError, ValueError
        `seed` is not an integer, or an argument is out of range.

    References
    ----------
    Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998 (test part).

    Examples
    --------
    >>> import layerbits as lb
    >>> train, test = lb.data.digits_dataset()
    >>> len(train), len(test), tuple(train.inputs.shape[1:])
    (899, 898, (1, 8, 8))
    """
    if importlib.util.find_spec("sklearn") is None:
        raise DataError("scikit-learn: not installed, and the digits need it; pip install 'layerbits[experiments]'")
    from sklearn.datasets import load_digits

    digits = load_digits()
    inputs = torch.from_numpy(digits.images).float()[:, None] / 16
    labels = torch.from_numpy(digits.target).long()
    train, test = (
        LabelledImages(inputs[rows], labels[rows])
        for rows in split(len(labels), test_fraction=test_fraction, seed=seed)
    )
    return train, test
