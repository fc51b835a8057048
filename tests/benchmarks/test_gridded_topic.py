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
