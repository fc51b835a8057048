"""The experiment szt-tanh-orthonormal: what its quick run shows, and trainings of a few epochs."""

import dataclasses
import json
import math

import pytest
from layerbits.experiments.szt.szt_tanh_orthonormal import VARIANTS, Clustering, Config, Distances, SingularValue

from layerbits._base import UsageError
from layerbits.experiments import RunFolder
from layerbits.experiments.framework.tables import read_table
from layerbits.experiments.szt import study as szt
from layerbits.experiments.szt import szt_tanh_orthonormal
from layerbits.training import read_information, read_training

NAME = "szt-tanh-orthonormal"
TINY = Config(epochs=6, evaluations=3, measurements=2, draws=2, queries=2, learning_rate=0.01)
TABLES = ("singular_values.csv", "distances.csv", "clustering.csv", *(f"{one}/training.csv" for one in VARIANTS))


def run(path, config, *, resume=False):
    folder = RunFolder(path, experiment=NAME, config=config, resume=resume)
    with folder.running():
        szt_tanh_orthonormal.run(config, folder)
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return run(tmp_path_factory.mktemp("run"), TINY)


@pytest.fixture(scope="module")
def last_epoch(quick_run):
    """The last rows of a table of the quick run, by variant."""

    def rows(name, kind):
        table = read_table(quick_run(NAME) / name, kind)
        last = max(row.epoch for row in table)
        return {one: [row for row in table if (row.variant, row.epoch) == (one, last)] for one in VARIANTS}

    return rows


def test_information_of_the_last_layer_stays_higher_with_orthonormal_weights(quick_run):
    plain, orthonormal = (read_information(quick_run(NAME) / one / "information.csv") for one in VARIANTS)
    last = max(plain)
    # One nat, the mark that the study is held to, from interval to interval. With four seeds it was 1.9 or more.
    assert orthonormal[last]["tanh5", "I(X;T)"].lower > plain[last]["tanh5", "I(X;T)"].upper + 1


def test_compression_is_taken_away(quick_run):
    falls = []
    for one in VARIANTS:
        rows = [
            table["tanh5", "I(X;T)"] for table in read_information(quick_run(NAME) / one / "information.csv").values()
        ]
        falls.append((max(row.lower for row in rows) - rows[-1].upper, max(row.upper for row in rows) - rows[-1].lower))
    (plain_least, _), (_, orthonormal_most) = falls
    # The most that it can have fallen with the step is below the least without.
    assert orthonormal_most < plain_least


def test_accuracy_is_not_lower_with_orthonormal_weights(quick_run):
    plain, orthonormal = (szt.final_accuracy(quick_run(NAME) / one) for one in VARIANTS)
    # The standard error of the difference of two shares of 819 test inputs each. In so short a run the difference is
    # mostly chance: of four seeds one has it 1.5 standard errors below zero, two 1.3 and 2.3 above.
    spread = math.sqrt((plain * (1 - plain) + orthonormal * (1 - orthonormal)) / 819)
    assert orthonormal > plain - 2 * spread


def test_clusters_are_taken_away(last_epoch):
    near = {}
    for one, rows in last_epoch("distances.csv", Distances).items():
        within = [row for row in rows if row.kind == "within"]
        near[one] = within[0].pairs / sum(row.pairs for row in within)
        # Noise parts two copies of a point by sqrt(6) sigma = 0.012, so the first bin holds what is one cluster.
        assert within[0].upper > 4 * math.sqrt(6) * 0.005
    # Half of the pairs would show a change. With three seeds it was at most 0.26.
    assert near["orthonormal"] < near["plain"] / 2
    plain, orthonormal = (rows[0] for rows in last_epoch("clustering.csv", Clustering).values())
    assert orthonormal.binned_entropy > plain.binned_entropy + 1  # nats, as the information that it follows


def test_weights_are_nearer_to_orthonormal_ones(last_epoch):
    largest = {
        one: max(row.value for row in rows) for one, rows in last_epoch("singular_values.csv", SingularValue).items()
    }
    # Where it balances strength (s^3 - s), the pull of the loss on s is at most a step of Adam on each of the entries,
    # 0.001 sqrt(120) = 0.011 at the largest layer, so s < 2.6; without, nothing holds the weights.
    assert largest["orthonormal"] < 2.6 < largest["plain"]


def test_run_leaves_all_its_files(finished):
    assert {path.name for path in finished.iterdir()} == {
        "run.json", "plain", "orthonormal", "singular_values.csv", "distances.csv", "clustering.csv",
        "szt-tanh-orthonormal.png", "szt-tanh-orthonormal-weights.png",
    }  # fmt: skip
    for variant in VARIANTS:
        names = {path.name for path in (finished / variant).iterdir()}
        assert names == {"training.csv", "information.csv", "information.json", "scatter.csv", "checkpoints"}


def test_distances_are_those_of_every_pair_of_inputs(last_epoch):
    for rows in last_epoch("distances.csv", Distances).values():
        assert sum(row.pairs for row in rows if row.kind == "within") == (2118 * 2117 + 1978 * 1977) // 2
        assert sum(row.pairs for row in rows if row.kind == "between") == 2118 * 1978


def test_every_singular_value_is_in_the_table(finished):
    values = read_table(finished / "singular_values.csv", SingularValue)
    assert len(values) == len(VARIANTS) * 2 * (10 + 7 + 5 + 4 + 3 + 2)  # 2 epochs


def test_without_a_step_both_networks_are_one(tmp_path):
    # Beside weights of float32 this strength is nothing: what is left to differ is where they start, data and noise.
    path = run(tmp_path, dataclasses.replace(TINY, strength=1e-12))
    assert read_training(path / "plain/training.csv") == read_training(path / "orthonormal/training.csv")


@pytest.mark.parametrize(("regularized", "output_changes"), [("hidden", False), ("all", True)])
def test_output_layer_can_be_left_out(regularized, output_changes):
    config = dataclasses.replace(TINY, regularized=regularized)
    noisy = szt_tanh_orthonormal.network(config)
    before = {name: value.clone() for name, value in noisy.model.named_parameters()}
    szt_tanh_orthonormal.parseval(config, noisy).step()
    changed = {name for name, value in noisy.model.named_parameters() if not value.equal(before[name])}
    assert changed == {f"linear{place}.weight" for place in range(1, 7 if output_changes else 6)}


def test_run_that_was_broken_off_goes_on_to_the_same_numbers(finished, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(szt_tanh_orthonormal, "parseval", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, TINY)
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "interrupted"
    run(tmp_path, TINY, resume=True)
    for name in TABLES:
        assert (tmp_path / name).read_bytes() == (finished / name).read_bytes()


def test_figures_are_drawn_of_a_run_that_has_just_begun(finished, tmp_path):
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/training.csv").write_bytes((finished / "plain/training.csv").read_bytes())
    szt_tanh_orthonormal.draw(TINY, tmp_path)
    assert (tmp_path / "szt-tanh-orthonormal.png").stat().st_size > 0


@pytest.mark.parametrize(
    "change", [{"strength": 0.0}, {"strength": 0.6}, {"regularized": "output"}, {"sigma": 0.0}, {"seed": -1}]
)
def test_setting_out_of_range_is_refused_by_name(change):
    with pytest.raises(UsageError, match=next(iter(change))):
        Config(**change)
