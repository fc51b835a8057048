"""A list of samples is not read as batches, and an iterable that does not end is read in part."""

import collections
import itertools
import random

import numpy as np
import pandas
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import layerbits as lb
from layerbits.networks import read_inputs
from tests.support.networks import tanh_mlp
from tests.support.random_arrays import normal_tensor

TOKENS = normal_tensor(30, 3, 4, seed=3).float()
LABELS = torch.arange(30) % 3


class Items:
    """An object with items, which is no sequence."""

    def __len__(self):
        return 30

    def __getitem__(self, index):
        return {"input": TOKENS[range(30)[index]]}


class ForeignSet(Items):
    """A data set like those of the package datasets, which are no `Dataset` of torch: its items are rows.

    With that package, version 5.2.0, the formats "torch" and "numpy" give the numbers of the arrays.
    """

    def __getitems__(self, indices):
        return [self[index] for index in indices]


EQUAL_SIZES = {
    "tokens": list(TOKENS),
    "arrays": list(TOKENS.double().numpy()),
    "mappings": [{"input": tokens} for tokens in TOKENS],
    "tuples": [(tokens,) for tokens in TOKENS],
}
SAMPLES = {
    "vectors": list(TOKENS[:, 0]),
    "vectors of several lengths": [row[: 1 + index % 3] for index, row in enumerate(TOKENS[:, 0])],
    "sequences of several lengths": [tokens[: 1 + index % 3] for index, tokens in enumerate(TOKENS)],
    "items": Items(),
}
FORMS = EQUAL_SIZES | SAMPLES
MEASURES = pytest.mark.parametrize("measure", [read_inputs, lambda inputs, model: lb.layers(model, inputs)])


@pytest.mark.parametrize("limit", [None, 12])
def test_items_of_a_data_set_that_is_not_of_torch_are_rows(limit):
    model = tanh_mlp(4, 3, 2)
    wanted, got = (read_inputs(inputs, model, LABELS, limit=limit) for inputs in (TOKENS, ForeignSet()))
    assert torch.equal(got.tensors[0], wanted.tensors[0])
    assert [*map(list, got.labels.values())] == [*map(list, wanted.labels.values())]


def test_layers_are_observed_in_rows_of_a_data_set_that_is_not_of_torch():
    model = tanh_mlp(4, 3, 2)
    assert lb.layers(model, ForeignSet())["1"].shape == lb.layers(model, TOKENS)["1"].shape


@pytest.mark.parametrize("samples", SAMPLES.values(), ids=SAMPLES)
@MEASURES
def test_items_that_are_hardly_batches_are_refused(samples, measure):
    with pytest.raises(ValueError, match=r"^inputs: got 30 items, the first of shape \(.*, which may be samples or"):
        measure(samples, tanh_mlp(4, 3, 2))


@pytest.mark.parametrize("items", EQUAL_SIZES.values(), ids=EQUAL_SIZES)
@MEASURES
def test_a_list_of_equal_sizes_holds_batches_with_a_warning(items, measure):
    with pytest.warns(UserWarning, match=r"^inputs: got a list of 30 items of shape \(3, 4\), taken for batches of 3 "):
        measure(items, tanh_mlp(4, 3, 2))


@pytest.mark.parametrize("form", ["tokens", "arrays", "mappings", "tuples", "items"])
def test_a_loader_of_samples_and_an_iterator_of_batches_have_certain_rows(form):
    model = tanh_mlp(4, 3, 2)
    assert read_inputs(DataLoader(FORMS[form], batch_size=100), model).tensors[0].equal(TOKENS)
    assert read_inputs(iter(FORMS[form]), model).tensors[0].equal(TOKENS.flatten(0, 1))


@pytest.mark.parametrize(
    ("batches", "labels"),
    [
        (TOKENS.split(7), None),
        ([TOKENS], None),
        (TOKENS[:, None].unbind(), None),
        (TOKENS.split(10), LABELS),
        ([(TOKENS[:15], LABELS[:15]), (TOKENS[15:], LABELS[15:])], 1),
    ],
    ids=["a smaller last one", "one", "of one row", "labels apart", "labels in the batches"],
)
def test_a_list_that_can_only_hold_batches_is_taken(batches, labels):
    data = read_inputs(list(batches), tanh_mlp(4, 3, 2), labels)
    assert data.tensors[0].reshape(TOKENS.shape).equal(TOKENS)


def test_as_many_labels_as_items_do_not_make_batches():
    with (
        pytest.warns(UserWarning, match=r"^inputs: got a list of 30 items"),
        pytest.raises(ValueError, match=r"^labels: got shape \(30,\), wanted \(90,\)"),
    ):
        read_inputs(list(TOKENS), tanh_mlp(4, 3, 2), LABELS)


@pytest.mark.parametrize("make", [collections.UserDict, pandas.DataFrame], ids=["mappings", "data frames"])
def test_an_iterable_of_the_same_batches_may_have_labels_apart(make):
    class Batches:
        def __iter__(self):
            return (
                make({"first": part[:, 0].numpy(), "second": part[:, 1].numpy()}) for part in TOKENS[:, 0].split(10)
            )

    class Sum(torch.nn.Sequential):
        def forward(self, first, second=None):
            columns = first if second is None else torch.stack([first, second], 1)
            return super().forward(columns)

    data = read_inputs(Batches(), Sum(torch.nn.Linear(2, 2), torch.nn.Tanh()), LABELS)
    assert len(data) == 30


def test_an_endless_iterable_gives_a_subset_of_its_first_rows():
    with pytest.warns(UserWarning, match=r"^limit: got 2 for inputs of unknown length, .* first 210 rows"):
        data = read_inputs(itertools.repeat(TOKENS), tanh_mlp(4, 3, 2), limit=2)
    assert len(data) == 2


def states():
    return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002


class Failing(Dataset):
    """Rows that use all global generators; the row 20 cannot be read."""

    def __len__(self):
        return 30

    def __getitem__(self, index):
        if index == 20:
            raise KeyError("row 20")
        return torch.rand(4) + random.random() + np.random.rand()  # noqa: NPY002


class Random(torch.nn.Tanh):
    """Uses all global generators."""

    def forward(self, x):
        return super().forward(x + torch.rand(4) + random.random() + np.random.rand())  # noqa: NPY002


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (tanh_mlp(4, 3, 2), DataLoader(Failing(), batch_size=5, shuffle=True)),
        (torch.nn.Sequential(Random(), torch.nn.Linear(4, 2)), TOKENS[:, 0]),
        (torch.nn.Sequential(Random(), torch.nn.Linear(3, 2)), TOKENS[:, 0]),
    ],
    ids=["data set", "refused network", "network that fails"],
)
@pytest.mark.parametrize(
    "measure",
    [
        lambda model, inputs: lb.layer_information(model, inputs, sigma=0.2),
        lb.layer_activations,
        lambda model, inputs: lb.Monitor(model, inputs, at=[0], directory="unused", sigma=0.2),
        lb.suggest_sigma,
    ],
    ids=["layer_information", "layer_activations", "Monitor", "suggest_sigma"],
)
def test_the_global_generators_are_those_of_before_a_refusal(model, inputs, measure):
    """The error is kept, as by an interactive session, with all frames of its traceback."""
    before = states()
    with pytest.raises((ValueError, KeyError)) as error:
        measure(model, inputs)
    assert states() == before
    del error


@pytest.mark.parametrize("loads", [False, True], ids=["data set", "loader that shuffles"])
def test_labels_that_share_one_memory_are_refused(loads):
    class Shared(Dataset):
        label = torch.zeros(1, dtype=torch.long)

        def __len__(self):
            return 30

        def __getitem__(self, index):
            self.label[0] = index % 3
            return TOKENS[index, 0], self.label[0]

    data = DataLoader(Shared(), batch_size=10, shuffle=True) if loads else Shared()
    with pytest.raises(ValueError, match=r"^inputs: got Shared, whose rows share the memory of one tensor"):
        read_inputs(data, tanh_mlp(4, 3, 2), 1)


def test_numbers_are_refused_at_the_first_item():
    with pytest.raises(TypeError, match=r"^inputs: got int, wanted a tensor or an array"):
        read_inputs(range(10**12), tanh_mlp(4, 3, 2))  # reading all items would not end
