"""Data sets of the experiments, generated or read from local files. Nothing is downloaded."""

from typing import TYPE_CHECKING, NoReturn

from layerbits._base import missing_attribute
from layerbits.data.digits import digits_dataset
from layerbits.data.idx import read_idx, read_labelled_images
from layerbits.data.images import LabelledImages
from layerbits.data.mnist import MNIST_SOURCE, mnist_dataset
from layerbits.data.reed_muller import reed_muller_dimension, reed_muller_matrix, reed_muller_signals
from layerbits.data.spiral import SpiralData, spiral_dataset
from layerbits.data.szt import SztData, szt_dataset
from layerbits.data.train_test_split import split
from layerbits.data.warps import warp

__all__ = [
    "MNIST_SOURCE",
    "LabelledImages",
    "SpiralData",
    "SztData",
    "digits_dataset",
    "mnist_dataset",
    "read_idx",
    "read_labelled_images",
    "reed_muller_dimension",
    "reed_muller_matrix",
    "reed_muller_signals",
    "spiral_dataset",
    "split",
    "szt_dataset",
    "warp",
]

if not TYPE_CHECKING:  # mypy would accept all names

    def __getattr__(name: str) -> NoReturn:
        present_names = {"encode": "reed_muller_signals", "generator_matrix": "reed_muller_matrix"}
        raise missing_attribute(f"module {__name__!r}", name, present_names)
