"""Names of version 0.1 that have changed: errors say the present name."""

import pytest

import layerbits as lb

ESTIMATE = lb.Estimate(value=1.0, standard_error=0.1, lower=0.5, upper=1.5, confidence=0.95, draws=10)

ATTRIBUTES = {
    (lb, "NoisyModule"): "noisify, noise_of and noise_off",
    (lb, "tasks"): "layerbits.calibration",
    (lb.theory, "least_bias"): "worst_case_bias",
    (lb.theory, "log_least_samples"): "log_necessary_samples",
    (lb.data, "encode"): "reed_muller_signals",
    (lb.data, "generator_matrix"): "reed_muller_matrix",
    (ESTIMATE, "low"): "lower",
    (ESTIMATE, "high"): "upper",
}
PARAMETERS = {
    (lb.noisify, "seed"): "torch.manual_seed before a pass",
    (lb.propagate, "noisy"): "model",
    (lb.layer_information, "noisy"): "model",
    (lb.information_between_layers, "noisy"): "model",
    (lb.sigma_profile, "activations"): "the first argument by position",
    (lb.Monitor, "noisy"): "model",
    (lb.Monitor, "draws"): r"settings=MeasurementSettings\(\.\.\.\)",
    (lb.Monitor, "seed"): r"settings=MeasurementSettings\(\.\.\.\)",
}


@pytest.mark.parametrize(("place", "name"), ATTRIBUTES, ids=[name for _, name in ATTRIBUTES])
def test_earlier_attribute_is_refused_with_its_present_name(place, name):
    with pytest.raises(AttributeError, match=rf"has no attribute '{name}', .* use {ATTRIBUTES[place, name]}$"):
        getattr(place, name)


@pytest.mark.parametrize(
    ("function", "name"), PARAMETERS, ids=[f"{function.__name__}-{name}" for function, name in PARAMETERS]
)
def test_earlier_parameter_is_refused_with_its_present_name(function, name):
    present = PARAMETERS[function, name]
    with pytest.raises(TypeError, match=rf"^{name}: got a parameter of version 0\.1, .* use {present}$"):
        function(**{name: 3})


@pytest.mark.parametrize("place", [lb, lb.theory, lb.data, ESTIMATE], ids=["layerbits", "theory", "data", "Estimate"])
def test_attribute_that_never_was_is_refused_without_a_remedy(place):
    with pytest.raises(AttributeError, match=r"has no attribute 'absent'$"):
        getattr(place, "absent")  # noqa: B009
