"""The experiment reed-muller: its quick run against what is known of the codes and of the channel."""

import dataclasses
import math

import pytest

from layerbits._base import UsageError
from layerbits.experiments import RunFolder
from layerbits.experiments.entropy import reed_muller
from layerbits.experiments.entropy.reed_muller import Config, Point, Truth
from layerbits.experiments.framework.tables import read_table, write_table
from tests.support import answers as known_answers

QUICK = dataclasses.replace(Config(), **reed_muller.QUICK)


@pytest.fixture(scope="module")
def points(quick_run):
    rows = read_table(quick_run("reed-muller") / "plug_ins.csv", Point)
    return {(point.order, point.variables, point.sigma, point.samples): point for point in rows}


@pytest.fixture(scope="module")
def truths(quick_run):
    return {truth[:3]: truth for truth in read_table(quick_run("reed-muller") / "truth.csv", Truth)}


def measured_truth(path, **settings):
    config = Config(samples=(2,), **settings)
    reed_muller.measure(config, RunFolder(path, experiment="reed-muller", config=config, resume=False))
    (truth,) = read_table(path / "truth.csv", Truth)
    return truth


def test_run_leaves_all_its_files(quick_run):
    names = {path.name for path in quick_run("reed-muller").iterdir()}
    assert names == {"run.json", "plug_ins.csv", "truth.csv", "reed-muller.png"}


def test_truths_are_the_published_ones(truths):
    # To the digits given, 16 and 32 times those of one letter.
    assert truths[4, 4, 0.2].value == pytest.approx(16 * known_answers.BPSK[0.2], abs=16 * 0.6e-6)
    assert truths[4, 4, 0.2].value == pytest.approx(11.09, abs=0.6e-2)
    assert truths[5, 5, 2.0].value == pytest.approx(3.565487, abs=0.6e-6)


@pytest.mark.parametrize("samples", [4, 16, 64, 256, 1024])
def test_without_confusion_the_plug_in_is_log_n_until_codewords_repeat(points, samples):
    # n / |C| of n words repeat one before, which takes log 4 / n from log n for each; up to five times as many.
    for order, bits in {4: 16, 5: 32}.items():
        repeated = math.comb(samples, 2) / 2**bits
        point = points[order, order, 0.2, samples]
        assert math.log(samples) - math.log(4) / samples * (5 * repeated + 5) <= point.lower
        assert point.upper <= math.log(samples) + 1e-12


@pytest.mark.parametrize(("order", "bits"), [(1, 5), (2, 11)])
def test_without_confusion_the_plug_in_is_the_size_of_the_code_once_it_is_covered(points, order, bits):
    # Less by some (|C| - 1) / 2n, with the relative deviation sqrt(2 / |C|), and a tenth of it for the next order.
    n, codewords = QUICK.samples[-1], 2**bits
    missing, spread = (codewords - 1) / (2 * n), 5 * math.sqrt(2 / codewords)
    point = points[order, 4, 0.2, n]
    assert point.lower <= bits * math.log(2) - missing * max(0.0, 1 - spread)
    assert point.upper >= bits * math.log(2) - missing * (1.1 + spread)


def test_plug_in_is_never_above_the_truth_and_reaches_it_at_large_noise(points, truths):
    for point in points.values():
        # Too small on average; .03 is for its fluctuation, sqrt(2 A) / 2n and less, and for intervals that fail.
        assert point.lower <= truths[point[:3]].upper + 0.03, point
    for code in QUICK.codes:
        # The bias at sigma = 2 is at most log(1 + A / n), where 1 + A = 1.204^32 = 381 for 32 letters: .023.
        last = points[(*code, 2.0, QUICK.samples[-1])]
        assert truths[(*code, 2.0)].lower - 0.023 - 0.03 <= last.upper


def test_plug_in_of_a_large_code_is_far_from_the_truth_at_small_noise(points, truths):
    # Not even all samples, told apart, carry so much.
    n = QUICK.samples[-1]
    assert points[5, 5, 0.2, n].upper < math.log(n) + 1e-12 < truths[5, 5, 0.2].value - 10


def test_repetition_code_is_one_letter_in_less_noise(tmp_path):
    # Four times the same letter: the mean has the noise sigma / 2.
    truth = measured_truth(tmp_path, orders=(0,), variables=(2,), sigmas=(2.0,))
    assert truth.source == "codebook"
    assert truth.lower <= known_answers.BPSK[1] <= truth.upper


def test_code_too_large_to_be_listed_has_an_upper_bound(tmp_path):
    truth = measured_truth(tmp_path, orders=(3,), variables=(5,), sigmas=(0.2,))
    assert truth.source == ""
    assert math.isnan(truth.value)
    assert truth.upper == pytest.approx(26 * math.log(2))  # less than the letters, 32 times log 2, would carry


def test_table_that_was_broken_off_is_gone_on_with_to_the_same_numbers(tmp_path):
    config = Config(orders=(1,), variables=(3,), samples=(4, 16), tolerance=0.1)
    folder = RunFolder(tmp_path, experiment="reed-muller", config=config, resume=False)
    reed_muller.measure(config, folder)
    whole = (tmp_path / "plug_ins.csv").read_text()
    write_table(tmp_path / "plug_ins.csv", Point, read_table(tmp_path / "plug_ins.csv", Point)[:4])
    reed_muller.measure(config, folder)
    assert (tmp_path / "plug_ins.csv").read_text() == whole


def test_drawing_and_sorting_many_messages_is_expected_to_take_its_time():
    # All codewords are met either way. 2^18 messages of five bits took a quarter of a second; a third of that is asked.
    few, many = (Config(orders=(1,), variables=(4,), samples=(n,)) for n in (2**22, 2**23))
    more = reed_muller.expected_seconds(many) - reed_muller.expected_seconds(few)
    assert more > len(few.sigmas) * 2**22 / 2**18 * 0.25 / 3


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -1}, {"orders": (1,)}, {"orders": (1, 2, 5, 5)}, {"orders": (-1, 2, 4, 5)}, {"orders": (2, 2, 4, 5)},
        {"variables": (4, 4, 4, 11)}, {"sigmas": (0.0,)}, {"samples": ()}, {"samples": (4, 4)}, {"tolerance": 0.0},
        {"tolerance": 1e-7}, {"sigmas": (0.2, 0.2)}, {"samples": (2**25,)},
        {"samples": (2**20,), "orders": (5,), "variables": (10,)},
    ],
)  # fmt: skip
def test_setting_out_of_range_is_refused_by_name(change):
    with pytest.raises(UsageError, match=next(iter(change))):
        Config(**change)
