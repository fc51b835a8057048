"""The folder of a run and its run.json."""

import dataclasses
import json
import time

import pytest

from layerbits import plots
from layerbits._base import UsageError
from layerbits.experiments import Configuration, RunFolder
from layerbits.experiments.framework.run_folder import save_figure


@dataclasses.dataclass(frozen=True)
class Settings(Configuration):
    widths: tuple[int, ...] = (3, 2)


def folder(path, *, experiment="szt-tanh", config=None, resume=False):
    return RunFolder(path, experiment=experiment, config=config or Settings(), resume=resume)


def record(path):
    return json.loads((path / "run.json").read_text())


def test_run_json_describes_the_run_from_its_start(tmp_path):
    folder(tmp_path / "new" / "run")
    content = record(tmp_path / "new" / "run")
    assert content["status"] == "running"
    assert content["experiment"] == "szt-tanh"
    assert content["configuration"] == {"seed": 0, "widths": [3, 2]}
    assert content["seeds"] == {"seed": 0}
    assert {"python", "layerbits", "torch", "numpy", "scipy"} <= content["versions"].keys()
    assert {"platform", "processor", "cores", "threads", "backends"} <= content["machine"].keys()


def test_run_that_ends_is_recorded_as_finished_with_summary_and_timings(tmp_path):
    run = folder(tmp_path)
    with run.running(), run.phase("training"):
        run.summary["test_accuracy"] = 0.97
    content = record(tmp_path)
    assert content["status"] == "finished"
    assert content["summary"] == {"test_accuracy": 0.97}
    assert content["timings"]["training"] > 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_run_that_raises_is_recorded_as_interrupted(tmp_path, error):
    run = folder(tmp_path)
    with pytest.raises(error), run.running(), run.phase("training"):
        raise error
    assert record(tmp_path)["status"] == "interrupted"
    assert record(tmp_path)["timings"]["training"] > 0


def test_timings_add_up_over_resumed_parts(tmp_path):
    run = folder(tmp_path)
    with run.running(), run.phase("training"):
        pass
    before = record(tmp_path)["timings"]["training"]
    resumed_run = folder(tmp_path, resume=True)
    with resumed_run.running(), resumed_run.phase("training"):
        pass
    assert record(tmp_path)["timings"]["training"] > before


def test_time_of_an_inner_phase_is_not_added_to_the_outer_phase(tmp_path, monkeypatch):
    run = folder(tmp_path)
    clock = iter([0.0, 1.0, 3.0, 7.0])  # the outer phase begins, the inner phase begins and ends, the outer phase ends
    with monkeypatch.context() as patch:
        patch.setattr(time, "perf_counter", lambda: next(clock))
        with run.phase("training"), run.phase("measurements"):
            pass
    assert record(tmp_path)["timings"] == {"training": 5.0, "measurements": 2.0}


def test_folder_that_is_not_empty_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(UsageError, match="not empty"):
        folder(tmp_path)


def test_file_with_the_path_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("text")
    with pytest.raises(UsageError, match="cannot be written to"):
        folder(tmp_path / "file")


def test_folder_that_cannot_be_made_is_refused():
    with pytest.raises(UsageError, match="cannot be written to"):
        folder("/proc/layerbits")


def test_folder_without_a_run_cannot_be_resumed(tmp_path):
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(UsageError, match="no run to resume"):
        folder(tmp_path, resume=True)


def test_run_killed_while_writing_its_first_file_can_be_resumed(tmp_path):
    (tmp_path / ".draft-run.json").write_text("{")
    folder(tmp_path, resume=True)
    assert record(tmp_path)["status"] == "running"


def test_run_of_another_experiment_is_not_resumed(tmp_path):
    folder(tmp_path)
    with pytest.raises(UsageError, match="experiment: the run to resume has 'szt-tanh', got 'single-neuron'"):
        folder(tmp_path, experiment="single-neuron", resume=True)


def test_run_with_other_settings_is_not_resumed(tmp_path):
    folder(tmp_path)
    with pytest.raises(UsageError, match=r"widths: the run to resume has \[3, 2\], got \[4, 2\]"):
        folder(tmp_path, config=Settings(widths=(4, 2)), resume=True)


def test_refused_run_does_not_change_the_record_of_the_earlier_one(tmp_path):
    folder(tmp_path)
    before = (tmp_path / "run.json").read_text()
    with pytest.raises(UsageError):
        folder(tmp_path, config=Settings(seed=1), resume=True)
    assert (tmp_path / "run.json").read_text() == before


@pytest.mark.parametrize("logarithmic", ["x", "y"])
def test_figure_without_data_can_be_saved(logarithmic, tmp_path):
    figure = plots.new_figure(width=2, height=2)
    axes = figure.add_subplot()
    axes.plot([], [])
    if logarithmic == "x":
        plots.reference_line(axes, 1, "one")
    plots.curve_panel(axes, ylabel="y")
    if logarithmic == "y":
        axes.set_yscale("log")
    save_figure(figure, tmp_path / "empty.png")
    assert (tmp_path / "empty.png").read_bytes().startswith(b"\x89PNG")
