"""Progress bars: in a notebook, and the time at which they appear."""

import importlib.util
import sys
import types
import warnings

import tqdm.notebook

from layerbits._base import progress_bars


def test_notebook_without_widgets_imports_bars_without_a_warning(monkeypatch):
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = object
    monkeypatch.setitem(sys.modules, "ipykernel.zmqshell", ipython)  # the sign of a notebook, for tqdm
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setattr(tqdm.notebook, "IProgress", None)
    for name in ("tqdm.auto", "tqdm.autonotebook"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    spec = importlib.util.spec_from_file_location("bars_of_a_notebook", progress_bars.__file__)
    bars = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings(record=True) as caught:  # tqdm ignores a warning that is an error
        warnings.simplefilter("always")
        spec.loader.exec_module(bars)
    assert not caught
    assert list(bars.progress([1, 2], name="epochs", total=2)) == [1, 2]


def test_text_of_a_bar_appears_after_the_delay(monkeypatch, capsys):
    monkeypatch.setattr(progress_bars, "_DISABLED", False)
    bar = progress_bars.progress_bar([1], name="epochs", total=1)
    progress_bars.show_text(bar, "early")
    assert capsys.readouterr().err == ""
    bar.start_t -= 3
    progress_bars.show_text(bar, "late")
    assert "late" in capsys.readouterr().err
    bar.close()
