"""Hashes of tensors depend on their values alone, in each layout."""

import pytest
import torch

from layerbits.estimators import data_digest
from layerbits.kernels import digest


def quantized(matrix):
    return torch.quantize_per_tensor(matrix, 0.5, 0, torch.qint8)


LAYOUTS = [
    torch.clone,
    torch.Tensor.to_sparse,
    torch.Tensor.to_sparse_csr,
    torch.Tensor.to_sparse_csc,
    lambda matrix: matrix.to_sparse_bsr((1, 1)),
    quantized,
]


# torch warns that its sparse formats are new, and its quantized tensors old.
@pytest.mark.filterwarnings("ignore:Sparse|.*[Qq]uanti")
@pytest.mark.parametrize("hash_of", [digest, data_digest])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_tensors_have_equal_hashes_if_and_only_if_they_are_equal(hash_of, layout):
    matrix = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    assert hash_of(layout(matrix)) == hash_of(layout(matrix.clone()))
    assert hash_of(layout(matrix)) != hash_of(layout(2 * matrix))
    assert hash_of(layout(matrix)) != hash_of(layout(matrix.flip(0)))


def test_hash_of_a_sparse_tensor_does_not_depend_on_the_order_of_its_entries():
    indices, values = torch.tensor([[1, 0], [1, 0]]), torch.tensor([2.0, 1.0])
    matrix = torch.sparse_coo_tensor(indices, values, (2, 2), check_invariants=True)
    assert data_digest(matrix) == data_digest(matrix.coalesce()) == data_digest(torch.diag(values.flip(0)).to_sparse())


@pytest.mark.parametrize("hash_of", [digest, data_digest])
def test_views_of_conjugate_or_negative_values_have_the_hash_of_their_copy(hash_of):
    values = torch.tensor([1 + 2j, 3 - 1j])
    for view in (values.conj(), values.conj().imag):
        assert view.is_conj() or view.is_neg()
        assert hash_of(view) == hash_of(view.resolve_conj().resolve_neg().clone())


def test_hash_of_a_plain_tensor_is_that_of_earlier_versions():
    """A folder of a monitor holds such hashes, and would be refused with others."""
    assert data_digest(torch.tensor([[1.0, 2.0]])) == "b1d56dc8d7c307005423f9fb238a7a4044e01b1de5e324737ddb82017f34dbcc"


def test_memory_of_a_hashed_tensor_can_be_resized():
    """`fully_shard` resizes the memory between passes; Tensor.numpy would forbid this for ever."""
    values = torch.ones(3)
    digest(values)
    values.resize_(5)
    assert values.untyped_storage().resizable()
