"""Experts that get some of the rows or tokens of a pass: the default leaves their layers out and measures the rest."""

import pytest
import torch
from torch import nn

import layerbits as lb
from tests.support.random_arrays import normal_tensor
from tests.support.vision import import_transformers

INPUTS = 2 * normal_tensor(60, 4, seed=7).float()
TOKENS = 2 * normal_tensor(20, 5, 4, seed=8).float()
LEFT_OUT = r"^layers: None leaves out .*experts\.\d\.1.*, whose rows in a pass are not those of the inputs"


class Experts(nn.Module):
    """The best of several experts for each row or token. If `calls_all`, experts without rows run too."""

    def __init__(self, calls_all):
        super().__init__()
        torch.manual_seed(0)
        self.calls_all = calls_all
        self.stem, self.act, self.gate, self.out = nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 4), nn.Tanh()
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 6)) for _ in range(4))
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        hidden = self.act(self.stem(x)).reshape(-1, 6)
        weights = self.gate(hidden).softmax(1)
        total = torch.zeros_like(hidden)
        for index, expert in enumerate(self.experts):
            rows = (weights.argmax(1) == index).nonzero()[:, 0]
            if len(rows) or self.calls_all:
                total = total.index_add(0, rows, expert(hidden[rows]) * weights[rows, index, None])
        return self.head(self.out((hidden + total).reshape(*x.shape[:-1], 6)))

    def reference(self, x):
        """Return the values of `act` and `out`, with every expert on every row."""
        with torch.no_grad():
            hidden = self.act(self.stem(x))
            weights = self.gate(hidden).softmax(-1)
            best = torch.nn.functional.one_hot(weights.argmax(-1), 4)
            outputs = torch.stack([expert(hidden) for expert in self.experts], -1)
            return {"act": hidden, "out": torch.tanh(hidden + (outputs * (best * weights)[..., None, :]).sum(-1))}


# Layers of experts that do not run in the observed pass have a warning of their own.
pytestmark = pytest.mark.filterwarnings("ignore:.*(did not run|was not called) in the observed pass")
networks = pytest.mark.parametrize("calls_all", [True, False])


@networks
@pytest.mark.parametrize("inputs", [INPUTS, TOKENS], ids=["rows", "tokens"])
def test_activations_are_those_of_the_other_layers(calls_all, inputs):
    model = Experts(calls_all)
    with pytest.warns(UserWarning, match=LEFT_OUT):
        activations = lb.layer_activations(model, inputs)
    expected = model.reference(inputs)
    assert list(activations) == ["act", "out"]
    for layer, values in activations.items():
        # Fewer than 100 operations on values below 10, in two orders.
        rounding = 1000 * torch.finfo(torch.float32).eps
        assert torch.allclose(values, expected[layer].flatten(1), rtol=0, atol=rounding)


@networks
def test_measurement_without_names_measures_the_rest(calls_all):
    model, expected = Experts(calls_all), Experts(calls_all).reference(INPUTS)
    with pytest.warns(UserWarning, match=LEFT_OUT):
        table = lb.layer_information(model, INPUTS, sigma=0.3)
    assert {row.layer for row in table} == {"act", "out"}
    for layer in ("act", "out"):
        truth = lb.information(expected[layer], 0.3)["signals", "I(X;T)"]
        # Both intervals hold with their confidence, so they overlap.
        assert table[layer, "I(X;T)"].lower <= truth.upper
        assert truth.lower <= table[layer, "I(X;T)"].upper


@networks
@pytest.mark.parametrize(
    "measure",
    [
        lambda model, folder: lb.layer_information(model, INPUTS, sigma=lb.RelativeSigma(0.3), queries=20),
        lambda model, folder: lb.layer_information(model, INPUTS, sigma={"act": 0.3, "*": 0.2}, queries=20),
        lambda model, folder: lb.sigma_profile(model, INPUTS, sigmas=[0.3]),
        lambda model, folder: lb.suggest_sigma(model, INPUTS),
        lambda model, folder: lb.Monitor(model, INPUTS, at=[0], directory=folder, sigma=0.3).step(0),
    ],
    ids=["relative", "mapping", "profile", "suggestion", "monitor"],
)
def test_every_measurement_without_names_leaves_experts_out(calls_all, measure, tmp_path):
    with pytest.warns(UserWarning, match=LEFT_OUT):
        measure(Experts(calls_all), tmp_path)


def test_expert_that_is_named_is_refused():
    with pytest.raises(lb.LayerSelectionError, match=r"^layers: got 'experts\.\d\.1', which .*; choose other layers"):
        lb.layer_information(Experts(calls_all=True), INPUTS, sigma=0.3, layers="experts.*.1")
    with (
        pytest.warns(UserWarning, match=LEFT_OUT),
        pytest.raises(lb.LayerSelectionError, match=r"^layers: got 'experts\.0\.1', which"),
    ):
        lb.layer_information(Experts(calls_all=True), INPUTS, sigma={"**": 0.3, "experts.0.1": 0.2})


@pytest.mark.filterwarnings("error")
def test_network_without_layers_beside_its_experts_is_refused():
    class Only(Experts):
        def forward(self, x):
            self.act, self.out = nn.Identity(), nn.Identity()
            return super().forward(x)

    with pytest.raises(
        lb.LayerSelectionError, match=r"^layers: got None, .* has only experts\.0\.1, .*name layers behind them"
    ):
        lb.layer_information(Only(calls_all=True), INPUTS, sigma=0.3)


@pytest.mark.filterwarnings("error")
def test_network_without_experts_has_no_warning():
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    assert list(lb.layer_activations(model, INPUTS)) == ["1", "3"]


class DenseExperts(Experts):
    """Computes the values of `Experts` with every expert on every row."""

    def forward(self, x):
        hidden = self.act(self.stem(x)).reshape(-1, 6)
        weights = self.gate(hidden).softmax(1)
        best = torch.nn.functional.one_hot(weights.argmax(1), 4)
        total = (torch.stack([expert(hidden) for expert in self.experts], -1) * (best * weights)[:, None]).sum(-1)
        return self.head(self.out((hidden + total).reshape(*x.shape[:-1], 6)))


@networks
@pytest.mark.parametrize("inputs", [INPUTS, TOKENS], ids=["rows", "tokens"])
def test_layers_behind_noisy_experts_have_the_signals_of_dense_experts(calls_all, inputs):
    sigma, inputs = {"experts.*.1": 0.8, "out": 0.3}, inputs[:10]
    model = lb.noisify(Experts(calls_all), sigma=sigma, layers=["experts.*.1", "out"], inputs=TOKENS)
    dense = lb.noisify(DenseExperts(True), sigma=sigma, layers=["experts.*.1", "out"], inputs=TOKENS)
    with pytest.warns(UserWarning, match=r"None leaves out experts\.\d\.1, .*; their noise acts on the layers behind"):
        signals = lb.propagate(model, inputs, draws=1000)["out"]
    expected = lb.propagate(dense, inputs, draws=1000, layers="out")["out"]
    deviations, expected_deviations = (values.std(1) for values in (signals, expected))
    assert expected_deviations.min() > 0.01
    # Differences of means and of standard deviations have at most sqrt(2 / 1000) times the deviation as standard error,
    # for kurtoses up to 5; 6 standard errors are exceeded with a probability of 1e-6 for all values together.
    bound = 6 * (2 / 1000) ** 0.5 * expected_deviations
    assert ((signals.mean(1) - expected.mean(1)).abs() < bound).all()
    assert ((deviations - expected_deviations).abs() < bound).all()
    # The noises of two rows are independent: the correlation of 1000 pairs has a standard error of 1000^-1/2.
    values = (signals - signals.mean(1, keepdim=True)) / deviations[:, None]
    correlations = (values[0] * values[1:]).mean(1)
    assert correlations.abs().max() < 6 / 1000**0.5
    with pytest.warns(UserWarning, match="None leaves out"):
        assert lb.propagate(model, inputs, draws=1000)["out"].equal(signals)


@networks
@pytest.mark.parametrize("inputs", [INPUTS, TOKENS], ids=["rows", "tokens"])
def test_layers_before_and_behind_noisy_experts_are_measured(calls_all, inputs):
    model = lb.noisify(Experts(calls_all), sigma=0.3, inputs=inputs)
    model(inputs).sum().backward()
    with pytest.warns(UserWarning, match=r"None leaves out experts\.\d\.1, .*; their noise acts on the layers behind"):
        table = lb.layer_information(model, inputs, draws=8, queries=500)
    assert table.layers == ("act", "out")
    truth = lb.information(Experts(calls_all).reference(inputs)["act"].flatten(1), 0.3)["signals", "I(X;T)"]
    dense = lb.noisify(DenseExperts(True), sigma=0.3, inputs=inputs)
    expected = lb.layer_information(dense, inputs, draws=8, queries=500, layers="out")["out", "I(X;T)"]
    # All intervals hold with their confidence, so they overlap.
    for layer, interval in (("act", truth), ("out", expected)):
        assert table[layer, "I(X;T)"].lower <= interval.upper
        assert interval.lower <= table[layer, "I(X;T)"].upper
    assert lb.layer_information(model, inputs, draws=8, queries=500, layers="out")["out", "I(X;T)"].upper > 0


class Sorted(nn.Module):
    """Runs a layer on all tokens in an order that depends on their values, as grouped experts do."""

    def __init__(self, is_sorted):
        super().__init__()
        torch.manual_seed(0)
        self.is_sorted, self.act, self.mix, self.out = is_sorted, nn.Tanh(), nn.Linear(4, 3), nn.Sigmoid()

    def forward(self, x):
        tokens = x.reshape(-1, 4)
        order = tokens.sum(1).argsort() if self.is_sorted else torch.arange(len(tokens))
        tokens = self.act(tokens[order])[order.argsort()]
        return self.out(self.mix(tokens.reshape(x.shape))).sum(1)


def test_noise_of_sorted_tokens_counts_as_random_numbers_of_the_network():
    signals = {}
    for is_sorted in (True, False):
        model = lb.noisify(Sorted(is_sorted), sigma=0.5, inputs=TOKENS)
        signals[is_sorted] = lb.propagate(model, TOKENS, draws=1000, layers="out")["out"].std(1)
        if is_sorted:
            with pytest.warns(UserWarning, match="None leaves out act, whose rows"):
                table = lb.layer_information(model, TOKENS, draws=4, queries=50)
            assert table["out", "h(T|X)"].lower < table["out", "h(T|X)"].upper
            with pytest.raises(ValueError, match="'out' on which random numbers of the network itself act"):
                lb.layer_information(model, TOKENS, layers="out", estimator="known")
    # A standard deviation of 1000 values, of kurtosis up to 5, has a standard error of 1 / 1000^0.5 of its value.
    assert ((signals[True] / signals[False] - 1).abs() < 6 * (2 / 1000) ** 0.5).all()


def test_noisy_expert_without_rows_in_the_first_pass_has_noise():
    sigma = {"experts.*.1": 0.8, "out": 0.3}
    model = lb.noisify(Experts(calls_all=False), sigma=sigma, layers=["experts.*.1", "out"], inputs=INPUTS)
    # The first two rows, which show the layers of a measurement, go to expert 2 alone.
    best = model.gate(model.reference(INPUTS)["act"]).argmax(1)
    inputs = torch.cat([INPUTS[best == 2][:2], INPUTS])
    with pytest.warns(UserWarning, match=r"None leaves out experts\.2\.1, whose"):
        signals = lb.propagate(model, inputs, draws=20)["out"]
    assert signals.std(1).min() > 0.01


def test_noisy_experts_that_are_named_are_refused_with_a_remedy_that_works():
    model = lb.noisify(Experts(calls_all=True), sigma=0.3, inputs=INPUTS)
    for layers in ("experts.*.1", ["out", "experts.2.1"]):
        with pytest.raises(lb.LayerSelectionError, match=r"noisify the network with `layers` that leave it out"):
            lb.layer_information(model, INPUTS, draws=4, layers=layers)
    with pytest.raises(lb.LayerSelectionError, match=r"^given: got 'experts\.0\.1', wanted names among .*: act, out$"):
        lb.propagate(model, INPUTS, draws=2, layers="out", given={"experts.0.1": INPUTS})
    lb.noisify(model, sigma=0.3, layers=["act", "out"], inputs=INPUTS)
    assert lb.layer_information(model, INPUTS, draws=4)["out", "I(X;T)"].upper > 0


def mixtral():
    transformers = import_transformers()
    torch.manual_seed(0)
    small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "num_local_experts": 4}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 8}
    return transformers.MixtralModel(transformers.MixtralConfig(vocab_size=20, **small, **heads))


def test_noise_within_experts_alone_is_refused_with_remedies_that_work():
    """The experts of Mixtral get all tokens of a pass, ordered by expert."""
    inputs = torch.randint(20, (30, 5))
    model = lb.noisify(mixtral(), sigma=0.1, inputs=inputs)
    act = r"layers\.0\.mlp\.experts\.act_fn"
    with pytest.raises(lb.LayerSelectionError, match=rf"^layers: got noise at '{act}', whose .* \(20, 8\)") as error:
        lb.layer_information(model, inputs, draws=2)
    around = ["layers.0.mlp", "layers.1.mlp"]
    assert f"call layerbits.noisify(model, sigma=..., layers={around}), or layerbits.remove_noise" in str(error.value)
    lb.noisify(model, sigma=0.1, layers=around, inputs=inputs)
    assert lb.layer_information(model, inputs, draws=4, queries=100).layers == tuple(around)
    lb.remove_noise(model)
    with pytest.raises(lb.LayerSelectionError, match=r"^layers: got None, .*; pass layers=\['layers\.0\.mlp', 'layers"):
        lb.layer_information(model, inputs, sigma=0.1)
    assert lb.layer_information(model, inputs, sigma=0.1, layers=around).layers == tuple(around)
