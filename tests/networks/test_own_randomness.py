"""In a measurement, random numbers of the network itself come from the seed; torch's generators keep their states."""

import contextlib
import threading

import pytest
import torch
from torch import nn
from torch.nn import functional

import layerbits as lb
from layerbits.networks import check_rows, global_states_restored, noisy_network, read_inputs
from tests.support.random_arrays import normal_tensor

INPUTS = normal_tensor(40, 4, seed=3).float()


class Variational(nn.Module):
    """Samples a latent value for each row, as a variational autoencoder does."""

    def __init__(self):
        super().__init__()
        self.encoder, self.tanh, self.decoder = nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)

    def forward(self, x):
        latent = self.encoder(x)
        return self.decoder(self.tanh(latent + torch.randn_like(latent)))


class AlwaysDropout(Variational):
    def forward(self, x):
        return self.decoder(self.tanh(functional.dropout(self.encoder(x), 0.5)))


def rows(table):
    return [(row.quantity, row.lower, row.upper) for row in table]


@pytest.fixture(params=[Variational, AlwaysDropout])
def network(request):
    return lb.noisify(request.param(), sigma=0.3, inputs=INPUTS)


def test_one_seed_gives_one_result(network):
    tables = []
    for state in (1, 2, 3):
        torch.manual_seed(state)
        tables.append(rows(lb.layer_information(network, INPUTS, draws=8, seed=state // 3)))
    assert tables[0] == tables[1] != tables[2]


def test_signals_and_activations_repeat(network):
    plain = type(network)()
    for call in (
        lambda: lb.propagate(network, INPUTS, draws=3)["tanh"],
        lambda: lb.layer_activations(plain, INPUTS)["tanh"],
    ):
        torch.manual_seed(1)
        first = call()
        torch.manual_seed(2)
        assert torch.equal(call(), first)


def test_draws_and_passes_have_random_numbers_of_their_own(network):
    signals = lb.propagate(network, INPUTS[:1].expand(30, 4), draws=4, chunk=10)["tanh"]
    assert not torch.equal(signals[:, 0], signals[:, 1])
    assert not torch.equal(signals[:10, 0], signals[10:20, 0])


def test_generators_keep_their_states(network):
    plain = type(network)()
    before = torch.get_rng_state()
    lb.propagate(network, INPUTS, draws=2, chunk=7)
    lb.layer_information(network, INPUTS, draws=4)
    lb.layer_information(plain, INPUTS, sigma=lb.RelativeSigma(0.1), draws=4)
    lb.layer_activations(plain, INPUTS, layers="tanh")
    assert torch.equal(torch.get_rng_state(), before)


def test_random_numbers_of_another_thread_are_not_taken_back():
    """The network has no random numbers of its own, so the generator keeps the state that the other thread reached."""

    class Interrupted(nn.Module):
        def forward(self, x):
            thread = threading.Thread(target=torch.rand, args=(1,))
            thread.start()
            thread.join()
            return x

    noisy = lb.noisify(nn.Sequential(Interrupted(), nn.Tanh(), nn.Linear(4, 2)), sigma=0.3, inputs=INPUTS)
    before = torch.get_rng_state()
    lb.propagate(noisy, INPUTS, draws=2)
    assert not torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_attention_uses_random_numbers_only_with_dropout(dropout):
    """The tag of its operator says that the operator may use a generator."""

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.tanh, self.head = nn.Tanh(), nn.Linear(4, 2)

        def forward(self, x):
            query = x[:, None, None].expand(-1, 1, 3, -1)
            attended = functional.scaled_dot_product_attention(query, query, query, dropout_p=dropout)
            return self.head(self.tanh(attended.mean((1, 2))))

    model = lb.noisify(Attention(), sigma=0.3, inputs=INPUTS)
    network = noisy_network(model, read_inputs(INPUTS, model))
    check_rows(network, (INPUTS,), ("tanh",))
    assert network.uses_random_numbers is (dropout > 0)


class BesideATraining(nn.Module):
    """Attends to the tokens of each input; in each pass another thread draws one number, as a training would."""

    def __init__(self):
        super().__init__()
        self.attention, self.tanh = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.5, batch_first=True), nn.Tanh()
        self.n_passes = 0

    def forward(self, x):
        self.n_passes += 1
        thread = threading.Thread(target=torch.rand, args=(1,))
        thread.start()
        thread.join()
        return self.tanh(self.attention(x)) + 0


def test_numbers_that_another_thread_draws_do_not_repeat():
    """The operator of attention may draw random numbers, but does not without dropout."""
    counts = []
    model = BesideATraining()
    model.register_forward_pre_hook(lambda *_: counts.append(1))
    torch.manual_seed(1)
    lb.layer_information(model, INPUTS.reshape(10, 4, 4), sigma=0.5, layers="tanh")
    state = torch.get_rng_state()
    torch.manual_seed(1)
    for _ in counts:
        torch.rand(1)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("is_alone", [True, False])
def test_failed_call_restores_the_generators_unless_another_thread_may_use_them(is_alone):
    ended = threading.Event()
    thread = threading.Thread(target=lambda: ended.wait())
    if not is_alone:
        thread.start()
    state = torch.get_rng_state()
    with contextlib.suppress(ZeroDivisionError), global_states_restored(after_success=False):
        torch.rand(1)
        1 / 0  # noqa: B018
    ended.set()
    assert torch.equal(torch.get_rng_state(), state) == is_alone
