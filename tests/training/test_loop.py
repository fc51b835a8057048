"""The training loop."""

import pytest
import torch
from torch import nn

from layerbits.training import single_threaded, train

GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(50, 4, generator=GENERATOR)
LABELS = (INPUTS[:, 0] > 0).long()


def run(epochs, *, seed=0, batch_size=16, state=None):
    """Train a linear classifier from zero weights, or from the states of model and optimizer."""
    model = nn.Linear(4, 2)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    if state:
        model.load_state_dict(state[0])
        optimizer.load_state_dict(state[1])
    yielded = list(train(model, optimizer, INPUTS, LABELS, epochs=epochs, batch_size=batch_size, seed=seed))
    return yielded, model, optimizer


def test_every_epoch_is_yielded_once_in_order():
    assert run(range(3, 7))[0] == [3, 4, 5, 6]


def test_training_in_two_parts_equals_training_in_one():
    _, whole, _ = run(range(1, 7))
    _, first, optimizer = run(range(1, 4))
    _, second, _ = run(range(4, 7), state=(first.state_dict(), optimizer.state_dict()))
    assert second.weight.equal(whole.weight)


def test_order_of_rows_differs_between_epochs():
    # Starting from the same weights, with the same seed: all that differs is the number of the epoch.
    assert not run([1])[1].weight.equal(run([2])[1].weight)


def test_order_of_rows_differs_between_seeds():
    assert not run([1], seed=0)[1].weight.equal(run([1], seed=1)[1].weight)


def test_batch_of_all_rows_is_a_step_of_gradient_descent():
    model = nn.Linear(4, 2)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    list(train(model, torch.optim.SGD(model.parameters(), lr=1.0), INPUTS, LABELS, epochs=[1], batch_size=50, seed=0))
    # At zero weights both classes have probability 1/2, so the gradient of the loss is mean((1/2 - onehot) x).
    gradient = (0.5 - nn.functional.one_hot(LABELS, 2)).T.float() @ INPUTS / 50
    # Sums of 50 float32 terms of size 1/50 * |x| / 2, |x| < 4: error below 50 eps * 0.04 = 3e-7 in any order.
    torch.testing.assert_close(model.weight.detach(), -gradient, atol=6e-7, rtol=0)


def test_training_lowers_the_loss():
    _, model, _ = run(range(1, 51))
    assert nn.functional.cross_entropy(model(INPUTS), LABELS) < 0.6  # log 2 = 0.69 at zero weights


def test_global_generators_are_left_alone():
    before = torch.get_rng_state()
    model = nn.Linear(4, 2)
    after_model = torch.get_rng_state()
    list(train(model, torch.optim.SGD(model.parameters()), INPUTS, LABELS, epochs=[1], batch_size=8, seed=0))
    assert not before.equal(after_model)
    assert torch.get_rng_state().equal(after_model)


def test_each_epoch_starts_in_training_mode():
    model = nn.Linear(4, 2).eval()
    for _ in train(model, torch.optim.SGD(model.parameters()), INPUTS, LABELS, epochs=[1, 2], batch_size=8, seed=0):
        assert model.training
        model.eval()


def test_single_threaded_items_are_made_with_one_thread_and_the_setting_is_given_back():
    def counts():
        yield torch.get_num_threads()
        raise KeyboardInterrupt

    before = torch.get_num_threads()
    items = single_threaded(counts())
    assert next(items) == 1
    assert torch.get_num_threads() == before
    with pytest.raises(KeyboardInterrupt):
        next(items)
    assert torch.get_num_threads() == before


def test_transform_makes_what_the_network_sees_of_each_batch():
    def doubled(inputs, random):
        sizes.append(len(inputs))
        return 2 * inputs

    sizes = []
    model, twin = nn.Linear(4, 2), nn.Linear(4, 2)
    twin.load_state_dict(model.state_dict())
    for network, inputs, transform in ((model, INPUTS, doubled), (twin, 2 * INPUTS, None)):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        list(train(network, optimizer, inputs, LABELS, epochs=[1], batch_size=16, seed=0, transform=transform))
    assert torch.equal(model.weight, twin.weight)
    assert sizes == [16, 16, 16, 2]


def test_draws_of_a_transform_depend_on_seed_and_epoch_alone():
    def draws(epochs, seed):
        found = []

        def transform(inputs, random):
            found.append(random.random())
            return inputs

        model = nn.Linear(4, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        list(train(model, optimizer, INPUTS, LABELS, epochs=epochs, batch_size=25, seed=seed, transform=transform))
        return found

    whole = draws([1, 2], 0)
    assert len(set(whole)) == 4
    assert draws([2], 0) == whole[2:]
    assert not set(draws([2], 1)) & set(whole)
