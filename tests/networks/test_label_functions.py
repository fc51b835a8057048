"""A function may find the labels in a batch: the network does not get the items that the function reads."""

import collections
import copy
import itertools

import numpy as np
import pandas
import pytest
import torch
from torch import nn
from transformers import BatchEncoding

from layerbits.networks import read_inputs
from layerbits.networks.inputs import trial_passes
from tests.support.networks import tanh_mlp
from tests.support.random_arrays import normal_tensor

INPUTS = normal_tensor(30, 4, seed=3).float()
LABELS = torch.arange(30) % 3
PARITY = (LABELS % 2).tolist()
FRAME = pandas.DataFrame(INPUTS.numpy(), columns=list("abcd")).assign(y=LABELS.numpy())
Pair = collections.namedtuple("Pair", "x y")
NUMBERS = itertools.count()


@pytest.mark.parametrize(
    ("batch", "function"),
    [
        ((INPUTS, LABELS), lambda batch: batch[1] % 2),
        ((INPUTS, LABELS), lambda batch: batch[-1].int() % 2),
        ((INPUTS, LABELS), lambda batch: batch[1].numpy() % 2),
        ((INPUTS, LABELS), lambda batch: [int(label) % 2 for label in batch[1]]),
        (Pair(INPUTS, LABELS), lambda batch: batch.y == 1),
        ((INPUTS, {"labels": LABELS}), lambda batch: batch[1]["labels"] == 1),
        ({"input": INPUTS, "y": LABELS}, lambda batch: batch["y"] == 1),
        ({"input": INPUTS, "y": LABELS}, lambda batch: dict(batch.items())["y"] % 2),
        (BatchEncoding({"input": INPUTS, "y": LABELS}), lambda batch: batch.y == 1),
        (FRAME, lambda batch: batch["y"] % 2),
        (FRAME, lambda batch: batch.y == 1),
        (FRAME, lambda batch: batch.iloc[:, -1].isin([1])),
        (FRAME, lambda batch: batch[["y"]].to_numpy()[:, 0] == 1),
        (FRAME.assign(y=FRAME["y"].where(FRAME["y"] == 1)), lambda batch: batch["y"].notna()),
    ],
    ids=[
        "tuple", "from the end", "array", "list", "named tuple", "nested", "mapping", "items", "attribute",
        "data frame", "column by attribute", "column by position", "columns", "missing values",
    ],
)  # fmt: skip
@pytest.mark.parametrize("as_list", [False, True], ids=["one batch", "batches"])
def test_the_network_does_not_get_what_a_function_reads(batch, function, as_list):
    if as_list and batch is FRAME:
        batch = [FRAME[:12], FRAME[12:]]
    elif as_list:
        batch = [batch]
    data = read_inputs(batch, tanh_mlp(4, 3, 2), function)
    assert len(data.tensors) == 1
    assert data.tensors[0].equal(INPUTS)
    assert data.labels["Y"].tolist() == PARITY


def test_a_function_that_reads_several_items_takes_them_all():
    batch = {"x": INPUTS, "left": LABELS, "right": LABELS % 2, "mask": torch.ones(30)}
    data = read_inputs(batch, tanh_mlp(4, 3, 2), lambda items: items["left"] + items["right"])
    args, kwargs = data.arguments(data.tensors)
    assert not args
    assert list(kwargs) == ["x", "mask"]


def test_a_function_that_reads_no_item_leaves_them():
    assert len(read_inputs((INPUTS, LABELS), tanh_mlp(4, 3, 2), lambda _: PARITY).tensors) == 2
    assert read_inputs(INPUTS, tanh_mlp(4, 3, 2), lambda batch: batch[:, 0] > 0).tensors[0].equal(INPUTS)


def test_a_function_may_return_the_first_item():
    assert read_inputs((LABELS, INPUTS), tanh_mlp(4, 3, 2), lambda batch: batch[0]).tensors[0].equal(INPUTS)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda batch: batch[0][:, 0] > 0, "a function that computes labels from item 0, which .* argument 'input'"),
        (lambda _: np.arange(30) + next(NUMBERS), "a function that returns other labels"),
        (lambda _: 3, r"shape \(\) for a batch of 30 rows"),
        (lambda batch: batch[1][:20], r"shape \(20,\) for a batch of 30 rows"),
    ],
)
def test_other_functions_are_refused(function, message):
    with pytest.raises(ValueError, match=f"^labels: got {message}"):
        read_inputs((INPUTS, LABELS), tanh_mlp(4, 3, 2), function)


def test_a_list_of_samples_is_refused():
    samples = list(zip(INPUTS, LABELS, strict=True))
    with pytest.raises(ValueError, match=r"^labels: got shape \(\) .* pass DataLoader\(samples"):
        read_inputs(samples, tanh_mlp(4, 3, 2), 1)


def test_a_function_for_another_data_frame_is_refused():
    class Frame:
        columns = ("a", "y")

        def __getitem__(self, name):
            return FRAME[name]

        def to_numpy(self):
            return FRAME[["a", "y"]].to_numpy()

    with pytest.raises(TypeError, match=r"^labels: got a function for a data frame of .*, wanted the name"):
        read_inputs(Frame(), tanh_mlp(4, 3, 2), lambda batch: batch["y"] % 2)


class WithMask(nn.Module):
    """A network that takes a mask and labels, both of them optional."""

    def forward(self, x, mask=None, *, labels=None, scale=1):
        return x if mask is None else x * mask


@pytest.mark.parametrize(
    ("batch", "function", "argument"),
    [
        ({"x": INPUTS, "mask": INPUTS > 0, "y": LABELS}, lambda batch: batch["y"] * batch["mask"][:, 0], "mask"),
        ({"x": INPUTS, "mask": INPUTS > 0, "y": LABELS}, lambda batch: batch["x"][:, 0] > 0, "x"),
        ({"x": INPUTS, "scale": INPUTS}, lambda batch: batch["scale"][:, 0] > 0, "scale"),
        ((INPUTS, INPUTS > 0, LABELS), lambda batch: batch[2] * batch[1][:, 0], "mask"),
        ((INPUTS, LABELS[:, None]), lambda batch: batch[1] > 1, "mask"),
    ],
    ids=["mask", "the first", "keyword", "position", "last position"],
)
@pytest.mark.parametrize("wrapped", [False, True], ids=["network", "data parallel"])
def test_a_function_that_takes_an_argument_from_the_network_is_refused(batch, function, argument, wrapped):
    model = nn.DataParallel(WithMask()) if wrapped else WithMask()
    with pytest.raises(ValueError, match=rf"^labels: got a function that .* argument '{argument}', .* pass them apart"):
        read_inputs(batch, model, function)


def test_a_function_may_read_an_item_with_which_the_network_fails():
    """Labels of shape (n,) cannot be the mask, although the network has an optional argument at their position."""
    data = read_inputs((INPUTS, LABELS), WithMask(), lambda batch: batch[1] % 2)
    assert len(data.tensors) == 1
    assert data.labels["Y"].tolist() == PARITY


def test_a_function_reads_batches_of_a_loader_on_their_own_device(monkeypatch):
    """The network is on another device than the batches: a network of meta tensors, which are refused otherwise."""
    monkeypatch.setattr(trial_passes, "shadow", lambda model, **_: copy.deepcopy(model))
    devices = set()

    def parity(batch):
        devices.add(batch[1].device.type)
        return batch[1] % 2

    class Scaled(WithMask):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(4, device="meta"))

        def forward(self, x, mask=None):
            return super().forward(x * self.scale, mask)

    data = read_inputs([(INPUTS, LABELS)], Scaled(), parity)
    assert (len(data.tensors), data.device.type, devices) == (1, "meta", {"cpu"})
    assert data.labels["Y"].tolist() == PARITY


def test_a_function_may_read_the_labels_that_a_network_takes_for_a_loss():
    batch = {"x": INPUTS, "mask": torch.ones(30, 4), "labels": LABELS}
    data = read_inputs(batch, WithMask(), lambda items: items["labels"] % 2)
    assert list(data.arguments(data.tensors)[1]) == ["x", "mask"]
    assert data.labels["Y"].tolist() == PARITY


@pytest.mark.parametrize(
    ("batch", "function"),
    [
        ({"input": INPUTS, "y": LABELS}, lambda batch: batch.pop("y") % 2),
        ({"input": INPUTS, "y": LABELS % 2}, lambda batch: batch.pop("y")),
        (BatchEncoding({"input": INPUTS, "y": LABELS}), lambda batch: batch.pop("y") % 2),
        ([[INPUTS, LABELS]], lambda batch: batch.pop() % 2),
        (FRAME, lambda batch: batch.pop("y") % 2),
    ],
    ids=["computed", "as they are", "encoding", "list", "data frame"],
)
def test_a_function_may_remove_the_labels_from_a_batch(batch, function):
    for _ in range(2):  # the batch keeps its items
        data = read_inputs(batch, tanh_mlp(4, 3, 2), function)
        assert data.tensors[0].equal(INPUTS)
        assert data.labels["Y"].tolist() == PARITY


@pytest.mark.parametrize("labels", ["y", 1, -1])
@pytest.mark.parametrize("batch", [Pair(INPUTS, LABELS), [Pair(INPUTS, LABELS)]], ids=["batch", "batches"])
def test_labels_of_a_named_tuple_have_a_name_and_a_position(batch, labels):
    data = read_inputs(batch, tanh_mlp(4, 3, 2), labels)
    assert len(data.tensors) == 1
    assert data.labels["Y"].tolist() == LABELS.tolist()


@pytest.mark.parametrize("labels", ["z", 2, -3])
def test_labels_that_a_named_tuple_does_not_have_are_refused(labels):
    with pytest.raises(ValueError, match=rf"^labels: got {labels!r}, wanted the key or position .*: 0, 1"):
        read_inputs(Pair(INPUTS, LABELS), tanh_mlp(4, 3, 2), labels)


@pytest.mark.parametrize("inputs", [INPUTS, INPUTS.numpy()], ids=["tensor", "array"])
@pytest.mark.parametrize(
    "function",
    [
        lambda batch: (batch[0].__imul__(0), batch[1])[1],
        lambda batch: (batch[0][:, 1:].__setitem__(0, 7.0), batch[1] % 2)[1],
    ],
    ids=["all values", "some values"],
)
def test_a_function_that_writes_into_the_inputs_is_refused(inputs, function):
    """Without the error, the network would get the new values without a word."""
    batch = (copy.deepcopy(inputs), LABELS)
    with pytest.raises(ValueError, match=r"^labels: got a function that changes the values of item 0 of a batch"):
        read_inputs(batch, tanh_mlp(4, 3, 2), function)


@pytest.mark.parametrize("dtype", ["U4", "S4", "float16", "datetime64[D]", "object"])
def test_a_function_may_read_labels_of_any_dtype(dtype):
    labels = LABELS.numpy().astype(dtype)
    data = read_inputs((INPUTS, labels), tanh_mlp(4, 3, 2), lambda batch: [str(label) for label in batch[1]])
    assert data.labels["Y"].tolist() == LABELS.tolist()
