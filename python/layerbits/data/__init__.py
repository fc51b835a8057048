"""Data sets that the experiments use; each is generated or read from files that the user names, never downloaded."""

from layerbits.data.digits import digits_dataset
from layerbits.data.idx import read_idx, read_labelled_images
from layerbits.data.images import LabelledImages
from layerbits.data.mnist import SOURCE, mnist_dataset
from layerbits.data.reed_muller import dimension, encode, generator_matrix
from layerbits.data.spiral import SpiralData, spiral_dataset
from layerbits.data.szt import SztData, szt_dataset
from layerbits.data.train_test_split import split
from layerbits.data.warps import warp

__all__ = [
    "SOURCE",
    "LabelledImages",
    "SpiralData",
    "SztData",
    "digits_dataset",
    "dimension",
    "encode",
    "generator_matrix",
    "mnist_dataset",
    "read_idx",
    "read_labelled_images",
    "spiral_dataset",
    "split",
    "szt_dataset",
    "warp",
]
