"""Settings of experiments: values given as text, and checks of the values."""

import dataclasses

import pytest
import torch

from layerbits._base import UsageError
from layerbits.experiments import EXPERIMENTS, require_needed, require_usable_device, with_settings
from layerbits.experiments.framework import configuration
from layerbits.experiments.framework.configuration import (
    Configuration,
    DeviceConfiguration,
    needed,
    require,
    require_distinct,
    require_positive,
    require_tolerance,
    require_within,
)
from layerbits.kernels import Backend


@dataclasses.dataclass(frozen=True)
class Settings(Configuration):
    sigma: float = 0.005
    name: str = "tanh"
    widths: tuple[int, ...] = (3, 2)
    queries: int | None = 4


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("seed", "1_000", 1000),
        ("sigma", "1e-2", 0.01),
        ("sigma", "2", 2.0),
        ("name", "relu", "relu"),
        ("widths", "5", (5,)),
        ("queries", "5", 5),
        ("queries", "None", None),
    ],
)
def test_text_is_parsed_by_the_type_of_the_field(name, text, value):
    changed = getattr(with_settings(Settings(), {name: text}), name)
    assert (changed, type(changed)) == (value, type(value))


@pytest.mark.parametrize("text", ["10,7,5", "10, 7, 5,"])
def test_tuple_is_written_with_commas(text):
    assert with_settings(Settings(), {"widths": text}).widths == (10, 7, 5)


def test_other_fields_do_not_change():
    assert with_settings(Settings(sigma=0.1), {"seed": "3"}) == Settings(seed=3, sigma=0.1)


def test_unknown_name_is_refused_with_the_valid_names():
    with pytest.raises(UsageError, match="beta: no such setting; there are seed, sigma, name, widths, queries"):
        with_settings(Settings(), {"beta": "1"})


@pytest.mark.parametrize(
    ("name", "text"), [("seed", "1.5"), ("seed", ""), ("sigma", "small"), ("queries", "none"), ("widths", "3,x")]
)
def test_text_of_another_type_is_refused(name, text):
    with pytest.raises(UsageError, match=f"{name}: got"):
        with_settings(Settings(), {name: text})


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf")])
def test_number_that_is_not_positive_and_finite_is_refused(sigma):
    with pytest.raises(UsageError, match=r"^sigma: got .*, wanted a positive, finite number$"):
        require_positive(Settings(sigma=sigma), "sigma")


def test_none_is_accepted_in_place_of_a_positive_number():
    require_positive(Settings(queries=None), "queries")


def test_tuple_with_an_item_that_is_not_positive_is_refused():
    with pytest.raises(UsageError, match=r"^widths: got \(3, 0\), wanted an integer >= 1 for each item$"):
        require_positive(Settings(widths=(3, 0)), "widths")


def test_count_of_zero_is_refused():
    with pytest.raises(UsageError, match=r"^queries: got 0, wanted an integer >= 1$"):
        require_positive(Settings(queries=0), "queries")


def test_empty_tuple_is_refused():
    message = r"^widths: got \(\), wanted at least one number$"
    with pytest.raises(UsageError, match=message):
        require_positive(Settings(widths=()), "widths")
    with pytest.raises(UsageError, match=message):
        require_within(Settings(widths=()), widths=(1, 2))


@pytest.mark.parametrize(("widths", "wanted"), [((3, 2, 3), "distinct items"), ((0.1, 0.1000000001), ".*six digits")])
def test_tuple_with_equal_items_is_refused(widths, wanted):
    with pytest.raises(UsageError, match=rf"^widths: got \(.*\), wanted {wanted}$"):
        require_distinct(Settings(widths=widths), "widths")


def test_large_whole_numbers_are_compared_by_all_their_digits():
    require_distinct(Settings(widths=(1_000_000, 1_000_001)), "widths")


@pytest.mark.parametrize("change", [{"sigma": float("nan")}, {"sigma": 2.1}, {"widths": (3, 0)}])
def test_value_or_item_out_of_its_limits_is_refused(change):
    with pytest.raises(UsageError, match=rf"^{next(iter(change))}: got .*, wanted from 1 to 2$"):
        require_within(Settings(**change), **dict.fromkeys(change, (1, 2)))


def test_limits_are_included_and_none_is_accepted():
    require_within(Settings(sigma=2.0, widths=(1, 2), queries=None), sigma=(1, 2), widths=(1, 2), queries=(1, 2))


@dataclasses.dataclass(frozen=True)
class WithTolerance(Configuration):
    tolerance: float | None = None


def test_tolerance_that_sampling_cannot_reach_is_refused():
    for tolerance in (None, 1e-6):
        require_tolerance(WithTolerance(tolerance=tolerance))
    with pytest.raises(UsageError, match=r"^tolerance: got 9e-07"):
        require_tolerance(WithTolerance(tolerance=9e-7))


def test_message_of_a_false_condition_has_the_value_and_the_wanted_text():
    with pytest.raises(UsageError, match=r"sigma: got -1\.0, wanted at least 0"):
        require(Settings(sigma=-1.0), "sigma", False, "at least 0")


@dataclasses.dataclass(frozen=True)
class WithData(Configuration):
    data: str = needed("a folder with files")


def test_needed_setting_can_be_omitted_until_a_run():
    assert WithData().data == ""
    with pytest.raises(UsageError, match=r"^data: not given, wanted a folder with files; add --set data=\.\.\.$"):
        require_needed(WithData())
    require_needed(WithData(data="here"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_setting_of_every_experiment_can_be_given_as_text(name):
    config = EXPERIMENTS[name].config_type()
    texts = {
        key: ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        for key, value in dataclasses.asdict(config).items()
    }
    assert with_settings(config, texts) == config


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:12"])
def test_name_of_a_device_is_accepted(name):
    assert DeviceConfiguration(device=name).device == name


@pytest.mark.parametrize("name", ["", "gpu", "cpu:0", "CUDA", "cuda:", "cuda:-1", "cuda:1234", "cuda:0 ", "mps"])
def test_other_text_is_refused_as_a_device(name):
    with pytest.raises(UsageError, match=f"^device: got {name}, wanted cpu, cuda, or cuda:N with N from 0$"):
        DeviceConfiguration(device=name)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_checks_seed_and_device(name):
    config_type = EXPERIMENTS[name].config_type
    with pytest.raises(UsageError, match=r"^seed: got -1, wanted an integer >= 0"):
        config_type(seed=-1)
    if hasattr(config_type(), "device"):
        with pytest.raises(UsageError, match=r"^device: got gpu"):
            config_type(device="gpu")


def replace_cuda(monkeypatch, *, backend, torch_available=True, devices=()):
    """Replace the information about CUDA on this machine."""
    monkeypatch.setattr(configuration, "backends", lambda: (None, backend))
    monkeypatch.setattr(configuration, "cuda_devices", lambda: list(devices))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: torch_available)


USABLE_BACKEND = Backend("cuda", built=True, usable=True)
TWO_DEVICES = (("first", ""), ("second", "it is older than the architectures of this build"))


@pytest.mark.parametrize(
    ("name", "backend", "torch_available", "reason"),
    [
        ("cuda", Backend("cuda", built=False, usable=False, reason="not built, build it"), True, "not built, build it"),
        ("cuda", Backend("cuda", built=True, usable=False, reason="no NVIDIA driver"), False, "no NVIDIA driver"),
        ("cuda", USABLE_BACKEND, False, f"torch {torch.__version__} finds no device, or was built without CUDA"),
        ("cuda:1", USABLE_BACKEND, True, "it is older than the architectures of this build"),
        ("cuda:2", USABLE_BACKEND, True, "there are 2 devices, counted from 0"),
    ],
)
def test_device_that_is_not_usable_is_refused_with_the_reason(name, backend, torch_available, reason, monkeypatch):
    replace_cuda(monkeypatch, backend=backend, torch_available=torch_available, devices=TWO_DEVICES)
    with pytest.raises(UsageError) as caught:
        require_usable_device(DeviceConfiguration(device=name))
    message = f"device: got {name}, which is not usable here: {reason}; leave it out to run on the CPU"
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
def test_usable_device_is_accepted(name, monkeypatch):
    replace_cuda(monkeypatch, backend=USABLE_BACKEND, devices=TWO_DEVICES)
    require_usable_device(DeviceConfiguration(device=name))


def test_cuda_is_not_started_for_a_run_on_the_cpu(monkeypatch):
    monkeypatch.setattr(configuration, "backends", lambda: pytest.fail("CUDA was started"))
    require_usable_device(DeviceConfiguration(device="cpu"))
    require_usable_device(Settings())
