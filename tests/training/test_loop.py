"""The training loop."""

import pytest
import torch
from torch import nn

from layerbits.training import Batches, single_threaded, train

GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(50, 4, generator=GENERATOR)
LABELS = (INPUTS[:, 0] > 0).long()


def batches(*, batch_size=16, seed=0, transform=None, inputs=INPUTS):
    return Batches(inputs, LABELS, batch_size=batch_size, seed=seed, transform=transform)


def zero_classifier():
    model = nn.Linear(4, 2)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    return model


def train_classifier(epochs, *, data=None, state=None):
    """Train a linear classifier from zero weights, or from `state`, the states of model and optimizer; return both."""
    model = zero_classifier()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    if state:
        model.load_state_dict(state[0])
        optimizer.load_state_dict(state[1])
    assert list(train(model, optimizer, data or batches(), epochs)) == list(epochs)
    return model, optimizer


def test_training_in_two_parts_equals_training_in_one():
    uninterrupted, _ = train_classifier(range(1, 7))
    model, optimizer = train_classifier(range(1, 4))
    resumed, _ = train_classifier(range(4, 7), state=(model.state_dict(), optimizer.state_dict()))
    assert resumed.weight.equal(uninterrupted.weight)


def test_order_of_rows_differs_between_epochs():
    # Weights and seed at the start are equal, so that only the number of the epoch differs.
    assert not train_classifier([1])[0].weight.equal(train_classifier([2])[0].weight)


def test_order_of_rows_differs_between_seeds():
    assert not train_classifier([1], data=batches(seed=0))[0].weight.equal(
        train_classifier([1], data=batches(seed=1))[0].weight
    )


def test_batch_of_all_rows_is_a_step_of_gradient_descent():
    model = zero_classifier()
    list(train(model, torch.optim.SGD(model.parameters(), lr=1.0), batches(batch_size=50), [1]))
    # Both classes have probability 1/2 at zero weights, so the gradient of the loss is mean((1/2 - onehot) x).
    gradient = (0.5 - nn.functional.one_hot(LABELS, 2)).T.float() @ INPUTS / 50
    # Partial sums are below 1: in two orders, each of at most 50 additions of float32 rounds by at most 2^-25.
    torch.testing.assert_close(model.weight.detach(), -gradient, atol=100 * 2**-25, rtol=0)


def test_training_lowers_the_loss():
    model, _ = train_classifier(range(1, 51))
    assert nn.functional.cross_entropy(model(INPUTS), LABELS) < 0.6  # log 2 = 0.69 at zero weights


def test_global_generator_is_not_used():
    before = torch.get_rng_state()
    model = nn.Linear(4, 2)
    after_model = torch.get_rng_state()
    list(train(model, torch.optim.SGD(model.parameters()), batches(), [1]))
    assert not before.equal(after_model)
    assert torch.get_rng_state().equal(after_model)


def test_each_epoch_starts_in_training_mode():
    model = nn.Linear(4, 2).eval()
    for _ in train(model, torch.optim.SGD(model.parameters()), batches(), [1, 2]):
        assert model.training
        model.eval()


def test_single_threaded_items_are_computed_with_one_thread_and_the_setting_is_restored():
    def thread_counts():
        yield torch.get_num_threads()
        raise KeyboardInterrupt

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        items = single_threaded(thread_counts())
        assert next(items) == 1
        assert torch.get_num_threads() == 2
        with pytest.raises(KeyboardInterrupt):
            next(items)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_network_is_trained_on_the_transformed_inputs_of_each_batch():
    sizes = []

    def double(inputs, random):
        sizes.append(len(inputs))
        return 2 * inputs

    transformed, _ = train_classifier([1], data=batches(transform=double))
    reference, _ = train_classifier([1], data=batches(inputs=2 * INPUTS))
    assert transformed.weight.equal(reference.weight)
    assert sizes == [16, 16, 16, 2]


def test_random_numbers_of_a_transform_depend_on_seed_and_epoch_alone():
    def numbers(epochs, seed):
        values = []

        def transform(inputs, random):
            values.append(random.random())
            return inputs

        train_classifier(epochs, data=batches(batch_size=25, seed=seed, transform=transform))
        return values

    both_epochs = numbers([1, 2], 0)
    assert len(set(both_epochs)) == 4
    assert numbers([2], 0) == both_epochs[2:]
    assert not set(numbers([2], 1)) & set(both_epochs)
