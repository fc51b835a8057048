"""Refusals of batches whose remedies work, and batches whose first item holds all arguments of the network."""

import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import layerbits as lb
from tests.support.networks import tanh_mlp
from tests.support.random_arrays import normal_tensor

INPUTS, LABELS = normal_tensor(30, 4, seed=3).float(), torch.arange(30) % 3
LOADER = DataLoader(TensorDataset(INPUTS, LABELS), batch_size=8)


def measured(model, inputs, labels):
    table = lb.layer_information(model, inputs, labels, sigma=0.3, queries=2)
    return [(row.quantity, row.value, row.lower) for row in table if row.quantity in ("I(X;T)", "I(T;Y)")]


@pytest.mark.parametrize(
    "measure",
    [
        lambda inputs: lb.propagate(lb.noisify(tanh_mlp(4, 3, 2), sigma=0.1, inputs=INPUTS), inputs, draws=1),
        lambda inputs: lb.layer_activations(tanh_mlp(4, 3, 2), inputs),
        lambda inputs: lb.suggest_sigma(tanh_mlp(4, 3, 2), inputs, queries=2),
        lambda inputs: lb.information_between_layers(
            lb.noisify(tanh_mlp(4, 3, 3, 2), sigma=0.1, inputs=INPUTS), inputs, "1", "3", draws=2, queries=2
        ),
        lambda inputs: lb.layers(tanh_mlp(4, 3, 2), inputs),
        lambda inputs: lb.noisify(tanh_mlp(4, 3, 2), sigma=0.1, inputs=inputs),
    ],
    ids=["propagate", "layer_activations", "suggest_sigma", "information_between_layers", "layers", "noisify"],
)
def test_functions_without_labels_name_a_remedy_that_works(measure):
    with pytest.raises(ValueError, match=r"pass the inputs alone, for instance \(batch\[0\] for batch in loader\)$"):
        measure(LOADER)
    measure(batch[0] for batch in LOADER)


class Rows(Dataset):
    """A data set of arrays."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


@pytest.mark.parametrize(
    ("dtype", "inputs", "remedy", "converted"),
    [
        (torch.bfloat16, INPUTS, "inputs.to(torch.bfloat16)", INPUTS.to(torch.bfloat16)),
        (torch.float32, INPUTS.byte().numpy(), 'inputs.astype("float32")', INPUTS.byte().numpy().astype("float32")),
        (
            torch.bfloat16,
            INPUTS.byte().numpy(),
            'inputs.astype("float32"), which layerbits converts to bfloat16, the rows',
            INPUTS.byte().numpy().astype("float32"),
        ),
        (
            torch.float32,
            Rows(INPUTS.byte().numpy()),
            "the rows of a Dataset where it returns them, scaled as in training: images often by 1 / 255",
            Rows(INPUTS.byte().numpy().astype("float32") / 255),
        ),
    ],
    ids=["bfloat16 network", "array of bytes", "bytes for a bfloat16 network", "Dataset of bytes"],
)
def test_inputs_of_another_dtype_have_a_remedy_that_works(dtype, inputs, remedy, converted):
    model = tanh_mlp(4, 3, 2).to(dtype)
    with pytest.raises(ValueError, match="; convert the inputs to the dtype of the network, ") as refusal:
        lb.layer_activations(model, inputs)
    assert remedy in str(refusal.value)
    lb.layer_activations(model, converted)


@pytest.mark.parametrize(
    ("dtype", "inputs"),
    [
        (torch.float64, INPUTS),
        (torch.float32, INPUTS.double()),
        (torch.float32, Rows(INPUTS.double().numpy())),
        (torch.float32, DataLoader(TensorDataset(INPUTS.double()), batch_size=7)),
    ],
    ids=["float64 network", "tensor", "Dataset", "loader"],
)
def test_floats_get_the_dtype_of_a_network_that_takes_no_others(dtype, inputs):
    model = tanh_mlp(4, 3, 2).to(dtype)
    activations = lb.layer_activations(model, inputs)["1"]
    assert activations.equal(lb.layer_activations(model, INPUTS.to(dtype))["1"])


def test_a_network_that_takes_floats_of_another_dtype_gets_them_as_they_are():
    class Sums(nn.Linear):
        def forward(self, x):
            assert x.dtype == torch.float64
            return super().forward(x.float())

    lb.layer_activations(nn.Sequential(Sums(4, 3), nn.Tanh(), nn.Linear(3, 2)), INPUTS.double())


def test_rows_of_which_torch_makes_no_batch_are_refused():
    images = [Image.new("RGB", (4, 4)) for _ in range(3)]
    with pytest.raises(TypeError, match=r"^inputs: got rows of which torch makes no batch .*PIL.*ToTensor"):
        lb.layer_activations(tanh_mlp(4, 3, 2), Rows(images))
    with pytest.raises(ValueError, match=r"^inputs: got rows of different shapes .*; pad all rows to one length"):
        lb.layer_activations(tanh_mlp(4, 3, 2), Rows([INPUTS[0], INPUTS[0, :3]]))


def test_a_key_that_the_network_does_not_take_has_remedies_that_work():
    batches = [{"input": INPUTS[:20], "idx": LABELS[:20]}, {"input": INPUTS[20:], "idx": LABELS[20:]}]
    with pytest.raises(ValueError, match=r"'idx'; if 'idx' holds labels, pass labels='idx'; otherwise") as refusal:
        lb.layer_activations(tanh_mlp(4, 3, 2), batches)
    _, _, remedy = str(refusal.value).partition("for instance ")
    expected = lb.layer_activations(tanh_mlp(4, 3, 2), INPUTS)["1"]
    assert lb.layer_activations(tanh_mlp(4, 3, 2), eval(remedy, {"loader": batches}))["1"].equal(expected)
    assert measured(tanh_mlp(4, 3, 2), batches, "idx")


def test_names_of_arguments_have_remedies_that_work():
    class Named(nn.Sequential):
        def forward(self, *, x):
            return super().forward(x)

    model = tanh_mlp(4, 3, 2)
    with pytest.raises(ValueError, match=r"; pass the arguments by their names, for instance {name: inputs}$"):
        lb.layer_activations(Named(*model), INPUTS)
    named = lb.layer_activations(Named(*model), {"x": INPUTS})["1"]
    with pytest.raises(ValueError, match=r"; pass the inputs alone, or by the name of an argument of the network$"):
        lb.layer_activations(model, {"x": INPUTS})
    assert lb.layer_activations(model, {"input": INPUTS})["1"].equal(named)


def test_an_attribute_error_of_the_network_names_the_inputs_and_labels_among_them():
    class Summed(nn.Linear):
        def forward(self, x, other=None):
            return torch.tanh(super().forward(x)) if other is None else other.missing

    with pytest.raises(ValueError, match=r"^inputs: got .* no attribute 'missing'; if batches hold labels, .*labels=1"):
        lb.layer_activations(Summed(4, 3), (INPUTS, LABELS), layers="tanh")


def test_a_network_of_two_dtypes_has_a_remedy_that_works():
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2).double())
    with pytest.raises(ValueError, match=r"; convert the network and the inputs to one dtype, .* model\.float\(\)$"):
        lb.layer_activations(model, INPUTS)
    lb.layer_activations(model.float(), INPUTS)


class Two(nn.Module):
    """A network with two arguments."""

    def __init__(self):
        super().__init__()
        self.mlp = tanh_mlp(4, 3, 2)

    def forward(self, left, right):
        return self.mlp(left - right)


class OptionalSecond(Two):
    def forward(self, left, right=None):
        return super().forward(left, torch.zeros_like(left) if right is None else right)


class OneItem(Two):
    """A network whose argument is a pair or a mapping of tensors."""

    def forward(self, both, scale=1.0):
        return super().forward(*(both.values() if isinstance(both, dict) else both))


RIGHT = INPUTS.flip(0)
NAMED = [({"left": x, "right": r}, int(y)) for x, r, y in zip(INPUTS, RIGHT, LABELS, strict=True)]
PAIRS = [((x, r), int(y)) for x, r, y in zip(INPUTS, RIGHT, LABELS, strict=True)]


@pytest.mark.parametrize(
    ("network", "rows"), [(Two, NAMED), (OptionalSecond, NAMED), (Two, PAIRS), (OneItem, NAMED), (OneItem, PAIRS)]
)
def test_the_first_item_of_a_batch_may_hold_all_arguments(network, rows):
    torch.manual_seed(0)
    model = network()
    reference = Two()
    reference.load_state_dict(model.state_dict())
    expected = measured(reference, (INPUTS, RIGHT, LABELS), 2)
    assert len(expected) == 2
    assert measured(model, DataLoader(rows, batch_size=8), 1) == expected


def test_a_pair_that_may_be_one_argument_is_refused_with_a_remedy_that_works():
    class Plain(Two):
        def forward(self, left, right=None):
            return self.mlp(left)

    with pytest.raises(ValueError, match=r"; if an item .* into one tuple, for instance \(a, b, y\) with labels=2$"):
        measured(Plain(), DataLoader(PAIRS, batch_size=8), 1)
    flat = [(*pair, label) for pair, label in PAIRS]
    assert measured(Plain(), DataLoader(flat, batch_size=8), 2)


def test_a_network_of_tokens_that_mixes_dtypes_has_a_remedy_that_works():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.linear, self.act = nn.Embedding(5, 3), nn.Linear(3, 2), nn.Tanh()

        def forward(self, ids):
            return self.act(self.linear(self.embedding(ids) * (ids > 0).float()[..., None])) + 0

    ids = torch.arange(20).reshape(5, 4) % 5
    model = Masked().bfloat16()
    with pytest.raises(ValueError, match=r"; forward mixes dtypes: .* or the network by model.float\(\)$"):
        lb.layer_activations(model, ids)
    lb.layer_activations(model.float(), ids)
