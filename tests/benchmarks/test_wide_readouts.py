"""The benchmark of slices and of profiles of sigma."""

import pytest

from benchmarks.topics import wide_readouts


@pytest.mark.cpu_only("the grid")
def test_targets_are_seconds_and_a_ratio():
    assert [target.name for target in wide_readouts.targets(quick=True)] == [
        "64 slices of the SZT layers, s",
        "sigma_profile, s",
        "suggest_sigma, profiles",
    ]
