"""Decoders of the caller: they compete with the built-in ones, get no query in `fit`, and are refused if they fail."""

import copy
import math
import random
import re

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

import layerbits as lb
from layerbits.estimators.classes import Classes
from layerbits.estimators.fitted_decoder import CallerDecoder
from layerbits.estimators.log_densities import Queries, terms
from layerbits.statistics import QUANTITIES
from tests.support.early_ends import allowed_misses, excess_misses
from tests.support.input_decoders import BROKEN, IsotropicGaussians
from tests.support.random_arrays import normal_tensor

SIGMA, SPREAD, INPUTS, DIM, DRAWS = 0.8, 0.6, 32, 100, 12
MEANS = 0.3 * normal_tensor(INPUTS, DIM)
LABELS = np.arange(INPUTS) % 4


def signals(seed=0, draws=DRAWS):
    """Return draws of S = mean of the input + isotropic noise: T has the variance SIGMA^2 + SPREAD^2 on every axis."""
    return MEANS[:, None] + SPREAD * normal_tensor(INPUTS, draws, DIM, seed=100 + seed)


def measure(decoders, seed=0, **options):
    return lb.information(signals(seed), SIGMA, LABELS, queries=4, seed=seed, decoders=decoders, **options)


def numbers(table):
    return [(row.quantity, row.lower, row.upper, row.decoder) for row in table]


def test_better_decoder_of_the_caller_raises_the_decoder_bound():
    """The built-in decoders estimate 100 x 100 covariances from 32 x 7 deviations; the caller's estimates one."""
    builtin, own = (measure(decoders)["signals", "I(X;T)"] for decoders in (None, [IsotropicGaussians()]))
    assert own.decoder == "decoders[0]: IsotropicGaussians"
    assert own.decoded > builtin.decoded + 0.1


def test_entropies_keep_the_decoders_that_are_densities():
    builtin, own = measure(None), measure([IsotropicGaussians()])
    for quantity in ("h(T)", "h(T|X)"):
        assert own["signals", quantity].decoder == builtin["signals", quantity].decoder
        assert own["signals", quantity].upper == builtin["signals", quantity].upper


def test_decoder_that_processes_cannot_share_is_refused():
    class Local(IsotropicGaussians):
        pass

    with pytest.raises(ValueError, match=r"^decoders\[0\]: pickle raised .* define its class in a module"):
        CallerDecoder("decoders[0]", Local(), 0)._pickled()


def test_worse_decoder_of_the_caller_is_not_chosen():
    class Nothing(IsotropicGaussians):
        def scores(self, queries):
            return torch.zeros(len(queries), INPUTS, dtype=queries.dtype)

    assert numbers(measure([Nothing()])) == numbers(measure(None))


def test_lower_ends_hold_over_seeds():
    """Lower ends at a risk of 2.5 % miss too often with a probability below 1e-4."""
    truth, rows = lb.mixture_information(MEANS, math.hypot(SIGMA, SPREAD), tolerance=0.01), []

    def misses_of(seeds):
        for seed in seeds:
            rows.append(measure([IsotropicGaussians()], seed)["signals", "I(X;T)"])
            if rows[-1].lower > truth.upper:
                yield "lower"

    assert excess_misses(misses_of, allowed_misses(30, 0.05, 1e-4)) == {}
    assert np.mean([row.decoded for row in rows]) < truth.upper


def test_terms_are_those_of_posteriors_summed_over_classes():
    classes = Classes(LABELS, labelled=True)
    bases = signals(1, 3)
    queries = Queries.around(bases, SIGMA, normal_tensor(*bases.shape, seed=7))
    fitted = CallerDecoder("decoders[0]", IsotropicGaussians(), 0).fitted(signals(), SIGMA, classes)
    oracle = IsotropicGaussians()
    oracle.fit((signals() / SIGMA).flatten(0, 1), torch.arange(INPUTS).repeat_interleave(DRAWS))
    scores = oracle.scores((queries.points / SIGMA).flatten(0, 1)).numpy()
    posterior = np.exp(log_softmax(scores, axis=1)).reshape(INPUTS, 3, INPUTS)
    own = posterior[np.arange(INPUTS), :, np.arange(INPUTS)]
    of_class = np.stack([posterior[x][:, LABELS[x] == LABELS].sum(1) for x in range(INPUTS)])
    expected = {
        "I(X;T)": np.log(own * INPUTS),
        "I(T;Y)": np.log(of_class * 4),
        "I(X;T|Y)": np.log(own / of_class * (INPUTS / 4)),
    }
    log_densities = fitted.log_densities(queries)
    for quantity in QUANTITIES:
        if quantity.name in expected:
            # 100 terms in float64, of scores below 1000.
            np.testing.assert_allclose(terms(quantity, log_densities), expected[quantity.name], atol=1e-9)


def test_excluded_input_has_finite_terms():
    """An input at -infinity has the log posterior -700; in a class of its own the class has the same."""

    class ExcludeTheFirst(IsotropicGaussians):
        def scores(self, queries):
            scores = super().scores(queries)
            scores[:, 0] = -torch.inf
            return scores

    labels = np.minimum(np.arange(INPUTS), 1)
    bases = signals(1, 3)
    queries = Queries.around(bases, SIGMA, normal_tensor(*bases.shape, seed=7))
    caller = CallerDecoder("decoders[0]", ExcludeTheFirst(), 0)
    log_densities = caller.fitted(signals(), SIGMA, Classes(labels, labelled=True)).log_densities(queries)
    by_name = {quantity.name: terms(quantity, log_densities) for quantity in QUANTITIES}
    np.testing.assert_allclose(by_name["I(X;T)"][0], math.log(INPUTS) - 700)
    np.testing.assert_allclose(by_name["I(X;T|Y)"][0], 0, atol=1e-9)
    assert np.isfinite(by_name["I(T;Y)"]).all()


def test_fit_gets_the_draws_without_queries_in_units_of_the_noise():
    arguments = {}

    class Recorder(IsotropicGaussians):
        def fit(self, signals, inputs):
            arguments["signals"], arguments["inputs"] = signals, inputs
            super().fit(signals, inputs)

    measure([Recorder()])
    expected = signals()[:, : DRAWS - 4].flatten(0, 1) / SIGMA
    assert arguments["inputs"].tolist() == np.repeat(np.arange(INPUTS), DRAWS - 4).tolist()
    # Coordinates may have another origin and other axes; distances are kept but for dimensions of 1e-3 nats together.
    np.testing.assert_allclose(torch.pdist(arguments["signals"]), torch.pdist(expected), atol=0.1)


def test_queries_have_standard_normal_noise():
    scored = []

    class Recorder(IsotropicGaussians):
        def scores(self, queries):
            scored.append(queries)
            return super().scores(queries)

    lb.information(MEANS[:, None].repeat(1, DRAWS, 1), SIGMA, queries=4, decoders=[Recorder()])
    means = (MEANS - MEANS.mean(0)) / SIGMA
    largest = max(scored, key=len)
    # The dimensions that are kept hold all differences of 32 means; noise has one unit of variance on each axis.
    assert largest.shape[1] == INPUTS - 1
    total = float((largest - largest.mean(0)).square().sum(1).mean())
    expected = float(means.square().sum(1).mean()) + INPUTS - 1
    # 64 queries: a chi-square variable of 31 degrees has the standard deviation sqrt(62) / 8 = 1 as a mean of 64.
    assert total == pytest.approx(expected, abs=6)


def test_decoder_that_overwrites_its_arguments_changes_no_other_row():
    class Overwrite(IsotropicGaussians):
        def fit(self, signals, inputs):
            super().fit(signals, inputs)
            signals.zero_()

        def scores(self, queries):
            scores = super().scores(queries)
            queries.zero_()
            return scores

    ends = [[row[:3] for row in numbers(measure([decoder()]))] for decoder in (Overwrite, IsotropicGaussians)]
    assert ends[0] == ends[1]


def test_measurement_does_not_change_the_decoder_and_repeats():
    decoder = IsotropicGaussians()
    assert numbers(measure([decoder])) == numbers(measure([decoder]))
    assert vars(decoder) == {}


def test_random_fit_has_the_seed_of_the_measurement_and_leaves_generators_alone():
    class RandomFit(IsotropicGaussians):
        def fit(self, signals, inputs):
            super().fit(signals, inputs)
            shift = torch.randn(1) + np.random.standard_normal() + random.gauss(0, 1)  # noqa: NPY002
            self.means = self.means * (1 + 1e-3 * shift)

    def states():
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002

    before = states()
    first = numbers(measure([RandomFit()]))
    assert states() == before
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    assert numbers(measure([RandomFit()])) == first
    assert numbers(measure([IsotropicGaussians()])) != first


@pytest.mark.parametrize(("broken", "words"), BROKEN.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_broken_decoder_is_refused_by_name(broken, words):
    with pytest.raises((TypeError, ValueError), match=re.escape("decoders[1]: ")) as refusal:
        measure([IsotropicGaussians(), broken()])
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_size_of_the_scored_batches_changes_ends_by_rounding_alone(monkeypatch):
    expected = numbers(measure([IsotropicGaussians()]))
    monkeypatch.setattr("layerbits.estimators.fitted_decoder._BLOCK_VALUES", 5 * INPUTS)
    for row, other in zip(numbers(measure([IsotropicGaussians()])), expected, strict=True):
        assert row[1:3] == pytest.approx(other[1:3], abs=1e-9)


@pytest.mark.parametrize(
    ("decoders", "words"),
    [
        (IsotropicGaussians(), "decoders: got IsotropicGaussians, wanted a list"),
        ("fit", "decoders: got str"),
        ([IsotropicGaussians(), IsotropicGaussians], "decoders[1]: got the class IsotropicGaussians"),
        ([torch.nn.Linear(2, 2)], "decoders[0]: got Linear without the method fit"),
    ],
    ids=["no list", "str", "class", "no method"],
)
def test_argument_that_is_no_list_of_decoders_is_refused(decoders, words):
    with pytest.raises(TypeError, match=re.escape(words)):
        measure(decoders)


def network():
    torch.manual_seed(0)
    layers = [torch.nn.Linear(3, 40), torch.nn.Tanh(), torch.nn.Linear(40, 40), torch.nn.Tanh(), torch.nn.Linear(40, 2)]
    return lb.noisify(torch.nn.Sequential(*layers), sigma=0.5), torch.randn(16, 3)


def test_layers_behind_noise_use_decoders_of_the_caller():
    fits = []

    class Recorder(IsotropicGaussians):
        def fit(self, signals, inputs):
            fits.append(signals.shape)
            super().fit(signals, inputs)

        def __deepcopy__(self, memo):
            return copy.copy(self)

    model, inputs = network()
    table = lb.layer_information(
        model,
        inputs,
        {"Y": np.arange(16) % 2, "Z": np.arange(16) % 3},
        draws=16,
        decoders=[Recorder()],
        estimator="draws",
    )
    # A fit for each label set, at the second layer alone: the channel of the first one is known.
    assert [shape[0] for shape in fits] == [16 * 12, 16 * 12]
    assert table["1", "I(X;T)"].decoder == "exact"


def test_layer_information_refuses_a_broken_decoder_by_name():
    model, inputs = network()
    with pytest.raises(ValueError, match=re.escape("decoders[0]: ")):
        lb.layer_information(model, inputs, draws=16, decoders=[next(iter(BROKEN))()])


def test_known_network_refuses_decoders(tmp_path):
    model, inputs = network()
    settings = lb.MeasurementSettings(estimator="known")
    with pytest.raises(ValueError, match=r"^decoders: got 1 with estimator='known', wanted none"):
        lb.layer_information(model, inputs, decoders=[IsotropicGaussians()], estimator="known")
    with pytest.raises(ValueError, match=r"^decoders: got 1 with estimator='known', wanted none"):
        lb.Monitor(model, inputs, at=[0], decoders=[IsotropicGaussians()], settings=settings, directory=tmp_path)
    with pytest.raises(ValueError, match=r"^decoders: got 1 with estimator='known', wanted none"):
        lb.information_between_layers(model, inputs, "1", "3", decoders=[IsotropicGaussians()], estimator="known")


def test_monitor_records_decoders_and_refuses_to_continue_with_others(tmp_path):
    model, inputs = network()

    class Named(IsotropicGaussians):
        def __repr__(self):
            return "Named()"

    options = {"at": [0, 1], "directory": tmp_path, "settings": lb.MeasurementSettings(draws=16)}
    table = lb.Monitor(model, inputs, decoders=[Named()], **options).step(0)
    assert len(table) == 6
    assert '"decoders": [\n  "Named()"' in (tmp_path / "information.json").read_text().replace("    ", "  ")
    with pytest.raises(lb.UsageError, match="decoders"):
        lb.Monitor(model, inputs, **options)
