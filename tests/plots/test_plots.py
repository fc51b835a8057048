"""Parts of figures: imports, missing matplotlib, colours, tick labels and bands."""

import importlib.util
from importlib import resources
from itertools import combinations, pairwise

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from layerbits import plots
from layerbits._base import UsageError


def test_error_without_matplotlib_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"^matplotlib: not installed.* pip install"):
        plots.new_figure(width=2, height=2)


def test_colours_of_a_sequence_become_darker():
    luminances = [0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue, _ in plots.sequence_colors(6)]
    assert all(after < before for before, after in pairwise(luminances))


@pytest.mark.parametrize("ends", [(2, 8), (0.3, 4), (1, 9), (1, 60), (20, 45), (3e-3, 8e-3)])
def test_tick_labels_of_a_short_logarithmic_axis_do_not_overlap(ends):
    figure = plots.new_figure(width=3, height=2)
    axes = figure.add_subplot()
    plots.curve_panel(axes, ylabel="y")
    axes.plot(ends, ends)
    figure.canvas.draw()
    lower, upper = axes.get_xlim()
    ticks = [*axes.xaxis.get_major_ticks(), *axes.xaxis.get_minor_ticks()]
    labels = [tick.label1 for tick in ticks if lower <= tick.get_loc() <= upper and tick.label1.get_text()]
    boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.x0)
    assert len(boxes) >= 3
    assert all(before.x1 < after.x0 for before, after in pairwise(boxes))


def test_tick_labels_of_a_long_logarithmic_axis_have_no_powers_of_ten():
    figure = plots.new_figure(width=4, height=2)
    axes = figure.add_subplot()
    plots.curve_panel(axes, ylabel="y")
    axes.plot([1, 10_000], [0, 1])
    figure.canvas.draw()
    labels = [tick.label1.get_text() for tick in axes.xaxis.get_major_ticks() if 1 <= tick.get_loc() <= 10_000]
    assert labels == ["1", "10", "100", "1000", "10000"]


def test_band_is_bounded_by_the_ends_of_the_intervals():
    axes = plots.new_figure(width=2, height=2).add_subplot()
    curves = [0, 1, 0], [1, 2, 2], [2, 5, 4]
    plots.band(axes, [1, 2, 3], curves, plots.CurveStyle(color=(0, 0, 0, 1), label="a"))
    (edge,) = axes.collections[0].get_paths()
    corners = {tuple(point) for point in edge.vertices.tolist()}
    assert corners == {(1, 0), (2, 1), (3, 0), (1, 2), (2, 5), (3, 4)}
    assert axes.lines[0].get_ydata().tolist() == [1, 2, 2]


def linear(color):
    """Return the linear intensities of a colour in sRGB."""
    return np.array([part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(color)])


def luminance(color):
    """Return the relative luminance of a colour as WCAG 2.2 defines it."""
    return linear(color) @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize(("paper", "dark"), [("#ffffff", False), ("#16191c", True)])
def test_colours_have_a_contrast_to_the_paper_of_a_page(paper, dark):
    style = resources.files("layerbits.report").joinpath("page.css").read_text()
    assert f"--paper: {paper};" in style
    for color in (*plots.sequence_colors(9, dark=dark), *plots.class_colors(8, dark=dark)):
        lighter, darker = sorted((luminance(color), luminance(paper)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 3


# Machado, Oliveira and Fernandes, A Physiologically-based Model for Simulation of Color Vision Deficiency (2009).
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def oklab(intensities):
    """Return the coordinates of a colour in Oklab (Ottosson, 2020), where equal distances look equal."""
    cones = [[0.412221, 0.536333, 0.051446], [0.211903, 0.680700, 0.107397], [0.088302, 0.281719, 0.629979]]
    axes = [[0.210454, 0.793618, -0.004072], [1.977998, -2.428592, 0.450594], [0.025904, 0.782772, -0.808676]]
    return np.array(axes) @ np.cbrt(np.array(cones) @ intensities)


@pytest.mark.parametrize("vision", VISION)
def test_colours_of_eight_classes_are_as_far_apart_as_those_of_okabe_and_ito(vision):
    def least_distance(colors):
        seen = [oklab(np.clip(np.array(VISION[vision]) @ linear(color), 0, 1)) for color in colors]
        return min(np.linalg.norm(a - b) for a, b in combinations(seen, 2))

    okabe_ito = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#F0E442"]
    assert least_distance(plots.class_colors(8)) >= least_distance(okabe_ito)


@pytest.mark.parametrize("middle", [".attention.output.dense", ".a"])
def test_long_names_are_cut_to_different_ones(middle):
    names = ["fc", *(f"bert.encoder.with.a.long.name.layer.{number}{middle}{'.x' * 9}" for number in range(12))]
    shorter = plots.cut_names(names, 32)
    assert shorter[0] == "fc"
    assert len(set(shorter)) == len(names)
    assert max(map(len, shorter)) <= 32
    assert all(f".{number}." in name for number, name in enumerate(shorter[1:]))


def test_names_that_differ_in_distant_parts_are_not_cut():
    names = [f"{first}{'x' * 80}{last}" for first in "ab" for last in "ab"] + [f"a{'x' * 40}c{'x' * 40}a"]
    assert plots.cut_names(names) == names


def test_markers_of_many_layers_differ():
    assert len({plots.marker(number) for number in range(40)}) == 40
