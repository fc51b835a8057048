"""The keys of a mapping of noise: names of layers and globs."""

import pytest
import torch

from layerbits import LayerSelectionError, noise_of, noisify
from tests.support.networks import tanh_mlp
from tests.support.selectable_networks import INPUTS, Reusing, mlp, with_names


def scales(model, sigma):
    noisify(model, sigma=sigma, inputs=INPUTS)
    return {name: noise.scale for name, noise in noise_of(model).items()}


def test_key_is_a_name():
    assert scales(mlp(), {"3": 0.2, "1": 0.1}) == {"1": 0.1, "3": 0.2}


def test_key_is_a_glob():
    assert scales(mlp(), {"[12]": 0.1, "3": 0.2}) == {"1": 0.1, "3": 0.2}


def test_exact_key_wins_over_a_glob():
    assert scales(mlp(), {"**": 0.1, "3": 0.2}) == {"1": 0.1, "3": 0.2}


def test_glob_that_exact_keys_replace_everywhere_is_accepted():
    assert scales(mlp(), {"*": 0.3, "1": 0.1, "3": 0.2}) == {"1": 0.1, "3": 0.2}


def test_key_is_the_name_of_one_call():
    assert scales(Reusing(), {"act@1": 0.1, "act@2": 0.2}) == {"act": 0.1, "act@2": 0.2}


def test_glob_of_calls_applies_to_all_noisy_calls():
    assert scales(Reusing(), {"act@*": 0.1}) == {"act": 0.1, "act@2": 0.1}


def test_mapping_adds_the_layers_that_it_names_to_the_default():
    assert scales(mlp(), {"0": 0.3, "**": 0.1}) == {"0": 0.3, "1": 0.1, "3": 0.1}


def test_glob_in_a_mapping_does_not_change_the_default():
    assert scales(mlp(), {"**": 0.1}) == {"1": 0.1, "3": 0.1}


def test_key_of_a_module_whose_name_has_brackets_is_no_glob():
    with pytest.raises(LayerSelectionError, match="sigma: got no key for 'act1'"):
        scales(with_names("act1", "act[1]"), {"act[1]": 0.1})


@pytest.mark.parametrize(
    ("sigma", "message"),
    [
        ({"1": 0.1}, "sigma: got no key for '3'"),
        ({"[13]": 0.1, "*": 0.2}, r"sigma: got '\[13\]' and '\*' for '1'"),
        ({"1": 0.1, "1@1": 0.1, "*": 0.2}, "sigma: got '1' and '1@1' for '1'"),
        ({"*": 0.1, "7": 0.2}, "sigma: got the key '7', which matches no noisy layer, wanted keys for 1, 3"),
        ({"*": 0.1, "[3-1]": 0.2}, r"^sigma: got '\[3-1\]', wanted a name or a glob"),
    ],
)
def test_keys_that_do_not_match_the_layers_are_refused(sigma, message):
    with pytest.raises(LayerSelectionError, match=message):
        scales(mlp(), sigma)


def test_key_that_is_no_text_is_refused():
    with pytest.raises(TypeError, match=r"^sigma: got a key of int"):
        noisify(tanh_mlp(4, 3, 2), sigma={1: 0.1})


def test_deviations_that_are_read_are_a_copy():
    """In-place changes of the tensor itself would miss its copies in other dtypes, and every check."""
    model = noisify(tanh_mlp(4, 3, 2), sigma=torch.tensor([0.1, 0.2, 0.3]), inputs=INPUTS)
    noise_of(model)["1"].sigma.fill_(-1)
    assert noise_of(model)["1"].sigma.tolist() == pytest.approx([0.1, 0.2, 0.3])
