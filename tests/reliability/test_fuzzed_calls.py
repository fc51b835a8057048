"""Random calls of all public names end in a result or in an error that names the argument.

LAYERBITS_FUZZ_SEED and LAYERBITS_FUZZ_EXAMPLES change the seed and the number of calls of each name; tools/fuzz.py
sets them.
"""

import os

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.support.fuzzing.public_calls import calls, public_callables
from tests.support.fuzzing.verdicts import judge

SEED = int(os.environ.get("LAYERBITS_FUZZ_SEED", "0"))
EXAMPLES = int(os.environ.get("LAYERBITS_FUZZ_EXAMPLES", "8"))
PUBLIC = public_callables()


@pytest.mark.parametrize("name", PUBLIC)
def test_call_ends_in_a_result_or_names_an_argument(name, tmp_path, monkeypatch, record_property):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)  # a path that is drawn may be relative
    made = 0

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(calls(PUBLIC[name]))
    def call(arguments):
        nonlocal made
        made += 1
        judge(PUBLIC[name], arguments)

    try:
        call()
    finally:
        record_property("public calls", made)
