"""Bad arguments are refused by name, most of them before the first measured pass.

Passes of two and three rows find the layers and their rows; the measured passes here have more rows.
"""

import math

import numpy as np
import pytest
import torch
from torch import nn

from layerbits import LayerSelectionError, NoNoiseError, information_between_layers, layer_information, noise_off
from layerbits.estimators import Problem
from layerbits.networks import read_inputs
from tests.support.networks import INPUTS, LABELS, tanh_network


def network_for(rows):
    """Make a noisy network that fails in a pass of more than `rows` rows."""

    def check(_, inputs):
        if len(inputs[0]) > rows:
            raise AssertionError(f"a pass of {len(inputs[0])} rows was run")

    noisy = tanh_network()
    noisy.register_forward_pre_hook(check)
    return noisy


@pytest.fixture
def network():
    """A network that fails in measured passes, of 20 rows or more; probing passes have 16 at most."""
    return network_for(rows=16)


@pytest.fixture
def network_without_passes():
    return network_for(rows=0)


def test_networks_of_these_tests_fail_in_their_passes(network, network_without_passes):
    for rows, failing_network in ((20, network), (3, network_without_passes)):
        with pytest.raises(AssertionError, match=f"a pass of {rows} rows was run"):
            failing_network(INPUTS[:rows])
    with pytest.raises(AssertionError, match=r"a pass of \d+ rows was run"):
        layer_information(network, INPUTS)


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        (LABELS + 0.5, ValueError),
        (LABELS.double() / 0, ValueError),
        (LABELS.to(torch.complex64), TypeError),
        ([None] * 20, ValueError),
        (LABELS[:5], ValueError),
        (LABELS[:, None].expand(-1, 3), ValueError),
        (LABELS.to("meta"), ValueError),
    ],
)
def test_bad_labels_are_named(network, labels, error):
    with pytest.raises(error, match=r"^labels: got .*, wanted "):
        layer_information(network, INPUTS, labels)


@pytest.mark.parametrize(
    ("inputs", "error"),
    [
        (None, TypeError),
        (3, TypeError),
        ([[1.0] * 4] * 20, TypeError),
        ((), TypeError),
        (INPUTS[:0], ValueError),
        (INPUTS[0, 0], ValueError),
        (torch.full((20, 4), math.nan).double(), ValueError),
    ],
)
@pytest.mark.parametrize("labels", [None, LABELS], ids=["no labels", "labels"])
def test_bad_inputs_are_named_whatever_the_labels(network_without_passes, inputs, error, labels):
    with pytest.raises(error, match=r"^inputs: got .*, wanted "):
        layer_information(network_without_passes, inputs, labels)


@pytest.mark.parametrize(
    ("layers", "message"), [("2", "'2' matches no layer"), ([], "got an empty sequence, wanted at least one layer")]
)
def test_unknown_layers_are_named_with_the_noisy_layers(network, layers, message):
    with pytest.raises(LayerSelectionError, match=f"^layers: {message}.*; available: 1, 3$"):
        layer_information(network, INPUTS, layers=layers)


def test_layers_that_are_no_names_are_refused(network):
    with pytest.raises(TypeError, match=r"^layers: got int"):
        layer_information(network, INPUTS, layers=5)


@pytest.mark.parametrize(
    ("devices", "error", "message"),
    [
        ("cuda:0", TypeError, "sequence"),
        (np.array(2), TypeError, "sequence"),
        pytest.param(-(10**5000), TypeError, "sequence", id="int without a text"),
        ([0.5], TypeError, "CUDA devices"),
        (["cuda:0"], ValueError, "on the cpu"),
    ],
)
def test_bad_devices_are_named(network, devices, error, message):
    with pytest.raises(error, match=f"^devices: got .*{message}"):
        layer_information(network, INPUTS, devices=devices)


def test_network_without_noise_is_refused_with_the_remedy():
    with pytest.raises(NoNoiseError, match=r"layerbits\.noisify\(model, sigma="):
        layer_information(nn.Linear(4, 2), INPUTS)


def test_network_with_its_noise_off_is_refused(network):
    with noise_off(network), pytest.raises(NoNoiseError, match="noise_off"):
        layer_information(network, INPUTS)


@pytest.mark.parametrize(
    ("first", "second", "error", "message"),
    [
        ("3", "3", ValueError, "second: got '3', as for `first`, wanted a later layer"),
        ("3", "1", ValueError, "first: got '3', wanted a layer before '1'; swap them"),
        ("1", "2", LayerSelectionError, "second: got '2', wanted the name of a noisy layer: 1, 3"),
        ("*", "3", LayerSelectionError, r"first: got '\*', wanted the name of a noisy layer"),
        (0, "1", LayerSelectionError, "first: got 0, wanted the name of a noisy layer"),
    ],
)
def test_bad_pairs_of_layers_are_named(network, first, second, error, message):
    with pytest.raises(error, match=message):
        information_between_layers(network, INPUTS, first, second)


def problem(inputs, labels=None):
    network = tanh_network()
    return Problem.of(network, read_inputs(inputs, network, labels))


def test_ceilings_and_largest_terms_follow_from_the_numbers_of_inputs_and_classes():
    classes = problem(INPUTS, torch.arange(20) < 5).classes
    entropy = -0.25 * math.log(0.25) - 0.75 * math.log(0.75)
    assert classes.ceilings == pytest.approx(
        {"I(X;T)": math.log(20), "I(T;Y)": entropy, "I(X;T|Y)": math.log(20) - entropy}
    )
    assert classes.largest_terms == pytest.approx(
        {"I(X;T)": math.log(20), "I(T;Y)": math.log(4), "I(X;T|Y)": math.log(15)}
    )


def test_members_of_the_classes_keep_the_order_of_the_inputs():
    classes = problem(INPUTS[:6], np.array([7, 3, 7, 9, 3, 7])).classes
    assert [members.tolist() for members in classes.members] == [[1, 4], [0, 2, 5], [3]]
    assert classes.sizes(np.array([0, 3])).tolist() == [[3], [1]]


def test_without_labels_no_quantity_involves_the_class():
    names = [quantity.name for quantity in problem(INPUTS).classes.quantities]
    assert names == ["I(X;T)", "h(T)", "h(T|X)"]


def test_single_draw_behind_noise_is_refused(network):
    with pytest.raises(ValueError, match=r"^draws: got 1, wanted at least 2, because '3' lies behind noise"):
        layer_information(network, INPUTS, draws=1)


def test_limit_of_a_single_draw_behind_noise_is_refused(network):
    with pytest.raises(ValueError, match=r"^max_draws: got 1, wanted at least 2, because '3' lies behind noise"):
        layer_information(network, INPUTS, tolerance=0.1, max_draws=1)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"draws": 2**31}, MemoryError, "draws: got "),
        ({"draws": 10**12}, ValueError, "draws: got 1000000000000, wanted at most "),
        ({"layers": "1", "queries": 10**12}, ValueError, "queries: got 1000000000000, wanted at most "),
    ],
)
def test_option_that_needs_too_much_memory_is_named(options, error, message):
    with pytest.raises(error, match=f"^{message}"):
        layer_information(tanh_network(), INPUTS, **options)


def test_sigma_beyond_the_range_of_the_arrays_is_named():
    with pytest.raises(ValueError, match=r"^sigma: got"):
        layer_information(tanh_network(sigma=1e-310), INPUTS, draws=2)


def test_wrong_number_of_inputs_is_named():
    with pytest.raises(ValueError, match=r"^inputs: got .* which the network cannot take"):
        layer_information(tanh_network(), (INPUTS, INPUTS))
