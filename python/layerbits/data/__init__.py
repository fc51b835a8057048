"""Data sets that the experiments use; each is generated or read from files that the user names, never downloaded."""

from layerbits.data.digits import digits_dataset
from layerbits.data.idx import read_idx, read_labelled_images
from layerbits.data.images import LabelledImages
from layerbits.data.mnist import mnist_dataset
from layerbits.data.szt import SztData, szt_dataset
from layerbits.data.warps import warp

__all__ = [
    "LabelledImages",
    "SztData",
    "digits_dataset",
    "mnist_dataset",
    "read_idx",
    "read_labelled_images",
    "szt_dataset",
    "warp",
]
