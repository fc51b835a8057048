"""The experiment reed-muller: a short run against properties of the codes and of the channel."""

import math

import pytest

from layerbits._base import UsageError
from layerbits.experiments import RunFolder
from layerbits.experiments.entropy.reed_muller import REED_MULLER, Config, PlugIn, Truth
from layerbits.experiments.framework.tables import read_table, write_table
from tests.support import answers as known_answers

SIGMAS = (0.2, 2.0)
SAMPLES = REED_MULLER.quick_config().samples


@pytest.fixture(scope="module")
def path(quick_run):
    return quick_run("reed-muller", sigmas=SIGMAS)


@pytest.fixture(scope="module")
def plug_ins(path):
    rows = read_table(path / "plug_ins.csv", PlugIn)
    return {(row.order, row.variables, row.sigma, row.samples): row for row in rows}


@pytest.fixture(scope="module")
def truths(path):
    return {truth[:3]: truth for truth in read_table(path / "truth.csv", Truth)}


def measured_truth(path, **settings):
    config = Config(samples=(2,), **settings)
    REED_MULLER.measure(config, RunFolder(path, experiment="reed-muller", config=config, resume=False))
    (truth,) = read_table(path / "truth.csv", Truth)
    return truth


def test_run_writes_all_its_files(path):
    assert {file.name for file in path.glob("[!.]*")} == {"run.json", "plug_ins.csv", "truth.csv", "reed-muller.png"}


def test_truths_are_the_published_values(truths):
    # The published values are 16 and 32 times the information of one letter, rounded to these digits.
    assert truths[4, 4, 0.2].value == pytest.approx(16 * known_answers.BPSK[0.2], abs=16 * 0.6e-6)
    assert truths[4, 4, 0.2].value == pytest.approx(11.09, abs=0.6e-2)
    assert truths[5, 5, 2.0].value == pytest.approx(3.565487, abs=0.6e-6)


@pytest.mark.parametrize("samples", [4, 16, 64, 256, 1024])
def test_without_confusion_the_plug_in_is_log_n_until_codewords_repeat(plug_ins, samples):
    # About n^2 / 2|C| of n words repeat an earlier word. Each repetition costs (log 4) / n. The test allows five times
    # as many repetitions and five more.
    for order, bits in {4: 16, 5: 32}.items():
        repeated = math.comb(samples, 2) / 2**bits
        plug_in = plug_ins[order, order, 0.2, samples]
        assert math.log(samples) - math.log(4) / samples * (5 * repeated + 5) <= plug_in.lower
        assert plug_in.upper <= math.log(samples) + 1e-12


@pytest.mark.parametrize(("order", "bits"), [(1, 5), (2, 11)])
def test_without_confusion_the_plug_in_is_the_log_size_of_a_code_that_is_covered(plug_ins, order, bits):
    # The bias is about (|C| - 1) / 2n, with the relative standard deviation sqrt(2 / |C|). The next order adds a tenth.
    n, codewords = SAMPLES[-1], 2**bits
    bias, spread = (codewords - 1) / (2 * n), 5 * math.sqrt(2 / codewords)
    plug_in = plug_ins[order, 4, 0.2, n]
    assert plug_in.lower <= bits * math.log(2) - bias * max(0.0, 1 - spread)
    assert plug_in.upper >= bits * math.log(2) - bias * (1.1 + spread)


def test_plug_in_is_not_above_the_truth_and_reaches_the_truth_at_large_noise(plug_ins, truths):
    for plug_in in plug_ins.values():
        # The plug-in is too small on average. The .03 covers its fluctuation, at most sqrt(2 A) / 2n, and intervals
        # that miss the true value.
        assert plug_in.lower <= truths[plug_in[:3]].upper + 0.03, plug_in
    for code in Config().codes:
        # The bias at sigma = 2 is at most log(1 + A / n), where 1 + A = 1.204^32 = 381 for 32 letters: .023.
        plug_in = plug_ins[(*code, 2.0, SAMPLES[-1])]
        assert truths[(*code, 2.0)].lower - 0.023 - 0.03 <= plug_in.upper


def test_plug_in_of_a_large_code_is_far_below_the_truth_at_small_noise(plug_ins, truths):
    # The plug-in is at most log n.
    log_samples = math.log(SAMPLES[-1])
    assert plug_ins[5, 5, 0.2, SAMPLES[-1]].upper < log_samples + 1e-12 < truths[5, 5, 0.2].value - 10


def test_repetition_code_is_one_letter_in_less_noise(tmp_path):
    # The mean of four equal letters has noise of sigma / 2.
    truth = measured_truth(tmp_path, orders=(0,), variables=(2,), sigmas=(2.0,))
    assert truth.source == "codebook"
    assert truth.lower <= known_answers.BPSK[1] <= truth.upper


def test_truth_of_a_code_with_too_many_codewords_is_bounded(tmp_path):
    truth = measured_truth(tmp_path, orders=(3,), variables=(5,), sigmas=(0.2,))
    assert truth.source == ""
    assert math.isnan(truth.value)
    assert truth.upper == pytest.approx(26 * math.log(2))  # less than 32 log 2, the bound of the letters


def test_interrupted_table_is_completed_with_the_same_numbers(tmp_path):
    config = Config(orders=(1,), variables=(3,), samples=(4, 16), tolerance=0.1)
    folder = RunFolder(tmp_path, experiment="reed-muller", config=config, resume=False)
    REED_MULLER.measure(config, folder)
    table = tmp_path / "plug_ins.csv"
    complete = table.read_text()
    write_table(table, PlugIn, read_table(table, PlugIn)[:4])
    REED_MULLER.measure(config, folder)
    assert table.read_text() == complete


def test_expected_duration_includes_sampling_and_sorting_of_messages():
    # Both numbers of samples cover all codewords, so that only the sampling differs. 2^18 messages of five bits took
    # .25 s; at least a third of this is expected.
    shorter, longer = (Config(orders=(1,), variables=(4,), samples=(n,)) for n in (2**22, 2**23))
    difference = REED_MULLER.expected_seconds(longer) - REED_MULLER.expected_seconds(shorter)
    assert difference > len(shorter.sigmas) * 2**22 / 2**18 * 0.25 / 3


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
    with pytest.raises(UsageError, match=f"^{next(iter(change))}: got"):
        Config(**change)
