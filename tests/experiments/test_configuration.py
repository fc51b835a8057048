"""Settings of experiments given as text."""

import dataclasses

import pytest
import torch

from layerbits._base import UsageError
from layerbits.experiments import EXPERIMENTS, require_needed, require_usable_device, with_settings
from layerbits.experiments.framework import configuration
from layerbits.experiments.framework.configuration import (
    needed,
    require,
    require_device,
    require_distinct,
    require_positive,
    require_tolerance,
    require_within,
)
from layerbits.kernels import Backend


@dataclasses.dataclass(frozen=True)
class Config:
    seed: int = 0
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
def test_text_becomes_a_value_of_the_type_of_the_field(name, text, value):
    changed = getattr(with_settings(Config(), {name: text}), name)
    assert (changed, type(changed)) == (value, type(value))


@pytest.mark.parametrize("text", ["10,7,5", "10, 7, 5,"])
def test_tuple_is_written_with_commas(text):
    assert with_settings(Config(), {"widths": text}).widths == (10, 7, 5)


def test_other_fields_stay_as_they_are():
    assert with_settings(Config(sigma=0.1), {"seed": "3"}) == Config(seed=3, sigma=0.1)


def test_unknown_name_is_refused_with_the_names_there_are():
    with pytest.raises(UsageError, match="beta: no such setting; there are seed, sigma, name, widths, queries"):
        with_settings(Config(), {"beta": "1"})


@pytest.mark.parametrize(
    ("name", "text"), [("seed", "1.5"), ("seed", ""), ("sigma", "small"), ("queries", "none"), ("widths", "3,x")]
)
def test_text_of_another_type_is_refused(name, text):
    with pytest.raises(UsageError, match=f"{name}: got"):
        with_settings(Config(), {name: text})


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf")])
def test_number_that_is_not_positive_and_finite_is_refused(sigma):
    with pytest.raises(UsageError, match="sigma: got"):
        require_positive(Config(sigma=sigma), "sigma")


def test_setting_that_is_left_open_is_not_out_of_range():
    require_positive(Config(queries=None), "queries")


@pytest.mark.parametrize("widths", [(), (3, 0)])
def test_tuple_without_items_or_with_one_that_is_not_positive_is_refused(widths):
    with pytest.raises(UsageError, match="widths: got"):
        require_positive(Config(widths=widths), "widths")


@pytest.mark.parametrize(("widths", "wanted"), [((3, 2, 3), "each once"), ((0.1, 0.1000000001), ".*in six digits")])
def test_tuple_with_an_item_twice_is_refused(widths, wanted):
    with pytest.raises(UsageError, match=rf"^widths: got \(.*\), wanted {wanted}$"):
        require_distinct(Config(widths=widths), "widths")


def test_large_whole_numbers_are_told_apart_by_all_their_digits():
    require_distinct(Config(widths=(1_000_000, 1_000_001)), "widths")


@pytest.mark.parametrize("change", [{"sigma": float("nan")}, {"sigma": 2.1}, {"widths": (3, 0)}, {"widths": ()}])
def test_value_or_item_out_of_its_limits_is_refused_with_them(change):
    with pytest.raises(UsageError, match=rf"^{next(iter(change))}: got .*, wanted from 1 to 2$"):
        require_within(Config(**change), **dict.fromkeys(change, (1, 2)))


def test_limits_are_within_and_hold_for_no_setting_that_is_left_open():
    require_within(Config(sigma=2.0, widths=(1, 2), queries=None), sigma=(1, 2), widths=(1, 2), queries=(1, 2))


@dataclasses.dataclass(frozen=True)
class WithTolerance:
    tolerance: float | None


def test_tolerance_that_sampling_cannot_meet_is_refused():
    for tolerance in (None, 1e-6):
        require_tolerance(WithTolerance(tolerance))
    with pytest.raises(UsageError, match=r"^tolerance: got 9e-07"):
        require_tolerance(WithTolerance(9e-7))


def test_broken_condition_names_value_and_wish():
    with pytest.raises(UsageError, match="seed: got -1, wanted at least 0"):
        require(Config(seed=-1), "seed", False, "at least 0")


@dataclasses.dataclass(frozen=True)
class WithData:
    seed: int = 0
    data: str = needed("a folder with files")


def test_setting_that_is_needed_may_be_left_out_until_a_run():
    assert WithData().data == ""
    with pytest.raises(UsageError, match=r"^data: not given, wanted a folder with files; add --set data=\.\.\.$"):
        require_needed(WithData())
    require_needed(WithData(data="here"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_setting_of_every_experiment_can_be_given_as_text(name):
    config = EXPERIMENTS[name].Config()
    texts = {
        key: ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        for key, value in dataclasses.asdict(config).items()
    }
    assert with_settings(config, texts) == config


@dataclasses.dataclass(frozen=True)
class OnDevice:
    device: str


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:12"])
def test_name_of_a_device_is_taken(name):
    require_device(OnDevice(name))


@pytest.mark.parametrize("name", ["", "gpu", "cpu:0", "CUDA", "cuda:", "cuda:-1", "cuda:1234", "cuda:0 ", "mps"])
def test_what_is_no_device_is_refused(name):
    with pytest.raises(UsageError, match=f"^device: got {name}, wanted cpu, cuda, or cuda:N with N from 0$"):
        require_device(OnDevice(name))


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if hasattr(EXPERIMENTS[name].Config(), "device")])
def test_studies_that_have_a_device_check_its_name(name):
    with pytest.raises(UsageError, match=r"^device: got gpu"):
        with_settings(EXPERIMENTS[name].Config(), {"device": "gpu"})


def found_by(monkeypatch, *, backend, torch_finds=True, devices=()):
    class Module:
        @staticmethod
        def devices():
            return list(devices)

    monkeypatch.setattr(configuration, "backends", lambda: (None, backend))
    monkeypatch.setattr(configuration, "cuda", lambda: Module)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: torch_finds)


USABLE = Backend("cuda", built=True, usable=True)
TWO = (("first", ""), ("second", "it is older than the architectures of this build"))


@pytest.mark.parametrize(
    ("name", "backend", "torch_finds", "reason"),
    [
        ("cuda", Backend("cuda", built=False, usable=False, reason="not built, build it"), True, "not built, build it"),
        ("cuda", Backend("cuda", built=True, usable=False, reason="no NVIDIA driver"), False, "no NVIDIA driver"),
        ("cuda", USABLE, False, f"torch {torch.__version__} finds no device, or was built without CUDA"),
        ("cuda:1", USABLE, True, "it is older than the architectures of this build"),
        ("cuda:2", USABLE, True, "there are 2, counted from 0"),
    ],
)
def test_device_that_is_not_usable_is_refused_with_the_reason(name, backend, torch_finds, reason, monkeypatch):
    found_by(monkeypatch, backend=backend, torch_finds=torch_finds, devices=TWO)
    with pytest.raises(UsageError) as caught:
        require_usable_device(OnDevice(name))
    message = f"device: got {name}, which is not usable here: {reason}; leave it out, to run on the CPU"
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
def test_device_that_is_usable_is_taken(name, monkeypatch):
    found_by(monkeypatch, backend=USABLE, devices=TWO)
    require_usable_device(OnDevice(name))


def test_no_device_is_looked_for_where_none_is_asked_for(monkeypatch):
    monkeypatch.setattr(configuration, "backends", lambda: pytest.fail("CUDA was started"))
    require_usable_device(OnDevice("cpu"))
    require_usable_device(Config())
