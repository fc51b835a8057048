"""The benchmark of log densities on the line."""

import re

import pytest
import torch

from benchmarks.topics import gridded


@pytest.mark.cpu_only("the grid")
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
def test_line_has_the_difference_from_all_pairs_and_from_each_rival(dtype, rounding):
    line = gridded.measure(3000, 0.1, dtype)
    differences = dict(re.findall(r"([\w-]+(?: \(FFT\))?) [\d.e+]+ \(([\d.e+-]+)\)", line))
    assert float(differences["dense"]) <= rounding
    assert set(differences) >= {"dense", *gridded.installed_rivals()}
    assert float(differences["scipy"]) < 1e-3


@pytest.mark.cpu_only("the grid")
def test_line_of_the_plane_has_the_difference_from_all_pairs():
    line = gridded.measure(3000, 0.1, torch.float32, dimensions=2)
    assert float(dict(re.findall(r"(dense) [\d.e+]+ \(([\d.e+-]+)\)", line))["dense"]) <= 1e-5


@pytest.mark.cpu_only("the grid")
def test_targets_name_every_sigma():
    assert len(list(gridded.targets(100))) == 3 * len(gridded.SIGMAS)
