"""`discrete_information`: counts of equal rows, in every dtype."""

import math

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import layerbits as lb

ROWS = np.array([[0, 1], [0, 1], [3, 1], [1, 0], [3, 1], [0, 1]])  # counts 3, 2, 1
LABELS = np.array([0, 1, 1, 0, 1, 0])
ENTROPY = math.log(6) - (3 * math.log(3) + 2 * math.log(2)) / 6
# H(T) + H(Y) - H(T,Y), with the pairs' counts 2, 1, 2, 1.
LABEL_INFORMATION = ENTROPY + math.log(2) - (math.log(6) - (4 * math.log(2)) / 6)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.float32, np.float64])
def test_value_is_the_entropy_of_the_counts(dtype):
    for rows in (ROWS.astype(dtype), torch.from_numpy(ROWS.astype(dtype))):
        estimate = lb.discrete_information(rows, labels=LABELS)
        assert estimate.quantity == "I(X;T)"
        assert estimate.value == pytest.approx(ENTROPY, abs=1e-14)
        assert estimate.label_information == pytest.approx(LABEL_INFORMATION, abs=1e-14)
        assert estimate.note == "3 of 6 rows are distinct"


@pytest.mark.parametrize("dtype", [torch.bool, torch.bfloat16, torch.float16, torch.float8_e4m3fn])
def test_small_dtypes_are_compared_by_value(dtype):
    rows = torch.tensor([[0.0, 1.0], [-0.0, 1.0], [1.0, 1.0]]).to(dtype)
    assert lb.discrete_information(rows).value == pytest.approx(math.log(3) - 2 * math.log(2) / 3, abs=1e-14)


def test_distinct_rows_have_log_n_and_a_note():
    estimate = lb.discrete_information(np.random.default_rng(0).standard_normal((50, 3)), labels=np.arange(50) % 2)
    assert estimate.value == math.log(50)
    assert estimate.label_information == pytest.approx(math.log(2), abs=1e-14)
    assert estimate.note == "all 50 rows are distinct, so I(X;T) is log n = 3.9120 nats, whatever the layer does"
    assert estimate.bits.note == estimate.note


def test_narrow_quantized_layers_have_less_information_than_wide_ones():
    """A layer of one bit a unit: 2^d rows at most."""
    signals = np.random.default_rng(0).standard_normal((500, 64)) > 0
    values = [lb.discrete_information(signals[:, :d]).value for d in (1, 2, 4, 64)]
    assert all(value <= d * math.log(2) for value, d in zip(values, (1, 2, 4), strict=False))
    assert values == sorted(values)
    assert values[3] == math.log(500)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (ROWS.tolist(), TypeError, "got list"),
        (ROWS.astype(complex), TypeError, "got dtype complex128"),
        (ROWS.astype(str), TypeError, "got dtype"),
        (ROWS[0], ValueError, "wanted \\(n, d\\)"),
        (ROWS[:0], ValueError, "wanted \\(n, d\\)"),
        (np.array([[np.nan]]), ValueError, "got NaN or infinity"),
        (torch.eye(2).to_sparse(), ValueError, "wanted a torch.strided tensor"),
        (torch.eye(2, device="meta"), ValueError, "wanted a tensor that holds values"),
        (FakeTensorMode().from_tensor(torch.eye(2)), ValueError, "wanted a tensor that holds values"),
        (np.ma.masked_array(np.eye(2), mask=np.eye(2) > 0), ValueError, "got masked values"),
    ],
)
def test_other_activations_are_refused(rows, error, message):
    with pytest.raises(error, match=f"^activations: .*{message}"):
        lb.discrete_information(rows)


@pytest.mark.filterwarnings("ignore:.*quantized tensor creation functions:UserWarning")  # what is refused here
def test_quantized_tensors_are_refused():
    quantized = torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.quint8)
    with pytest.raises(TypeError, match=r"^activations: got a quantized tensor, .* pass .int_repr\(\)"):
        lb.discrete_information(quantized)
    assert lb.discrete_information(quantized.int_repr()).value == 0


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")
def test_nested_tensors_are_refused():
    with pytest.raises(ValueError, match=r"^activations: got a nested .* tensor, wanted a dense one"):
        lb.discrete_information(torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]))


def test_labels_are_checked():
    with pytest.raises(ValueError, match=r"^labels: got shape"):
        lb.discrete_information(ROWS, labels=LABELS[1:])
