"""Data frames as inputs: whole numbers become what the network takes; other columns are refused by name."""

import numpy as np
import pandas
import pytest
import torch
from torch import nn

import layerbits as lb
from layerbits.networks import read_inputs
from tests.support.networks import tanh_mlp

AGES, YEARS = np.arange(20) % 7, np.arange(20) % 5
WHOLE = pandas.DataFrame({"age": AGES, "years": YEARS})


class Table(nn.Module):
    """A network of an embedding of one column, and of a linear layer of others."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 3)
        self.linear = nn.Linear(2, 3)
        self.activation = nn.Tanh()

    def forward(self, age, others):
        return self.activation(self.embedding(age) + self.linear(others))


class Counting(Table):
    """A network whose forward method uses the embedding alone, and counts its calls."""

    def __init__(self):
        super().__init__()
        self.n_calls = 0

    def forward(self, ages):
        self.n_calls += 1
        return self.activation(self.embedding(ages).sum(1))


def activations(network, inputs):
    return torch.as_tensor(lb.layer_activations(network, inputs, layers="activation")["activation"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    "frame",
    [
        WHOLE, WHOLE.astype("int8"), WHOLE.astype("Int64"), WHOLE > 3, (WHOLE > 3).astype("boolean"),
        WHOLE.assign(age=0.5),
    ],
    ids=["int64", "int8", "nullable", "boolean", "nullable boolean", "mixed"],
)  # fmt: skip
def test_columns_get_the_dtype_of_a_floating_point_network(frame, dtype):
    network = tanh_mlp(2, 3, 2).to(dtype)
    (rows,) = read_inputs(frame, network).tensors
    assert rows.dtype == dtype
    assert torch.equal(rows, torch.tensor(frame.to_numpy(dtype=float)).to(dtype))


def test_booleans_may_stand_beside_numbers():
    frame = pandas.DataFrame({"x": np.linspace(0, 1, 20), "is_old": AGES > 3})
    (rows,) = read_inputs(frame, tanh_mlp(2, 3, 2)).tensors
    assert torch.equal(rows[:, 1], torch.tensor(AGES > 3).float())


def test_whole_numbers_of_an_embedding_stay_whole():
    network = Counting()
    (rows,) = read_inputs(WHOLE, network).tensors
    assert rows.dtype == torch.int64
    expected = network.activation(network.embedding(torch.tensor(WHOLE.to_numpy())).sum(1)).detach()
    assert torch.equal(activations(network, WHOLE), expected)
    assert network.n_calls == 0


def test_each_argument_gets_the_dtype_that_it_needs():
    network = Table()
    expected = activations(network, (torch.tensor(AGES), torch.tensor(WHOLE.to_numpy()).float()))
    assert torch.equal(activations(network, (WHOLE["age"], WHOLE)), expected)
    assert torch.equal(activations(network, [(WHOLE["age"][:7], WHOLE[:7]), (WHOLE["age"][7:], WHOLE[7:])]), expected)
    named = {"others": WHOLE, "age": WHOLE["age"]}
    assert torch.equal(activations(network, named), expected)


def test_arrays_and_tensors_are_not_converted():
    for inputs in (WHOLE.to_numpy(), torch.tensor(WHOLE.to_numpy())):
        with pytest.raises(ValueError, match=r"^inputs: got torch.int64 of shape .*dtype"):
            lb.layer_activations(tanh_mlp(2, 3, 2), inputs)


def test_error_of_whole_numbers_beyond_an_embedding_stays():
    with pytest.raises(ValueError, match=r"^inputs: got torch.int64 .*index out of range"):
        activations(Counting(), WHOLE + 10)


def test_error_of_the_shape_is_reported_where_the_dtype_is_wrong_too():
    with pytest.raises(ValueError, match=r"^inputs: got torch.float32 .*shapes cannot be multiplied"):
        lb.layer_activations(tanh_mlp(3, 3, 2), WHOLE)


def test_noise_that_waits_for_the_first_call_is_installed_with_converted_columns():
    noisy = lb.noisify(tanh_mlp(2, 3, 2), sigma=0.1)
    assert {row.layer for row in lb.layer_information(noisy, WHOLE, draws=4)} == {"1"}


@pytest.mark.parametrize(
    ("column", "error", "words"),
    [
        (pandas.Series(["a", "b"] * 10), TypeError, "^inputs: got column 'bad' of str, wanted numbers or booleans"),
        (pandas.Series([1, "b"] * 10), TypeError, "^inputs: got column 'bad' of object, wanted numbers or booleans"),
        (pandas.Series(["a", "b"] * 10, dtype="category"), TypeError, "column 'bad' of categories.*get_dummies"),
        (pandas.Series([1, 2] * 10, dtype="category"), TypeError, "column 'bad' of categories.*cat.codes"),
        (pandas.date_range("2020", periods=20), TypeError, "column 'bad' of datetime64"),
        (pandas.Series([1 + 1j] * 20), TypeError, "column 'bad' of complex128"),
        (pandas.Series([1.0, None] * 10), ValueError, "column 'bad' with missing values in 10 of 20 rows"),
        (pandas.Series([1, None] * 10, dtype="Int64"), ValueError, "column 'bad' with missing values in 10 of 20"),
        (pandas.Series(["a", None] * 10), ValueError, "column 'bad' with missing values in 10 of 20"),
        (pandas.Series([1.0, np.inf] * 10), ValueError, "column 'bad' with infinite values"),
    ],
    ids=[
        "str", "object", "categories", "categories of numbers", "dates", "complex", "NaN", "NA", "None", "infinity",
    ],
)  # fmt: skip
def test_column_that_is_no_number_is_refused_by_name(column, error, words):
    frame = WHOLE.assign(bad=column)
    with pytest.raises(error, match=words):
        lb.layer_information(tanh_mlp(3, 3, 2), frame, sigma=0.1)
    with pytest.raises(error, match=words):
        lb.layer_information(tanh_mlp(3, 3, 2), [frame], sigma=0.1)


def test_label_column_may_be_of_any_type():
    frame = WHOLE.assign(label=pandas.Categorical(["a", "b"] * 10))
    table = lb.layer_information(tanh_mlp(2, 3, 2), frame, "label", sigma=0.1)
    assert table["1", "I(T;Y)"].upper <= np.log(2) + 1e-9


def test_columns_may_have_equal_names():
    frame = pandas.DataFrame(np.stack([AGES, YEARS], 1), columns=["a", "a"])
    (rows,) = read_inputs(frame, tanh_mlp(2, 3, 2)).tensors
    assert torch.equal(rows, torch.tensor(WHOLE.to_numpy()).float())


def test_nan_of_a_series_without_a_method_that_finds_it_is_named():
    class Series:
        """A series of a library whose missing values are no NaN, as those of polars."""

        name, dtype = "bad", np.dtype(float)

        def to_numpy(self):
            return np.array([1.0, np.nan])

        def null_count(self):
            return 0

    with pytest.raises(ValueError, match=r"^inputs: got column 'bad' with NaN, wanted finite numbers"):
        read_inputs(Series(), tanh_mlp(1, 3, 2))


def test_hook_that_writes_on_the_network_is_refused_where_columns_may_be_converted():
    network = tanh_mlp(2, 3, 2)
    network[0].register_forward_pre_hook(lambda module, args: setattr(network, "n_calls", 1))
    with pytest.raises(lb.LayerSelectionError, match=r"that writes the attribute 'n_calls' of"):
        read_inputs(WHOLE, network)
    assert not hasattr(network, "n_calls")


def test_frame_without_columns_is_refused():
    with pytest.raises(ValueError, match=r"^inputs: got a data frame without columns, wanted at least one$"):
        lb.layer_information(tanh_mlp(2, 3, 2), WHOLE[[]], sigma=0.1)


def test_a_column_may_have_the_name_of_an_attribute_of_arrays():
    frame = pandas.DataFrame({"dims": AGES * 0.5, "shape": YEARS * 0.5})
    assert read_inputs(frame, nn.Linear(2, 3)).tensors[0].tolist() == frame.to_numpy().tolist()
