"""Call all public names with random arguments for some minutes; print the seed of each round that fails.

Run this script in a virtual environment with the extra `test`:

    python tools/fuzz.py [MINUTES] [SEED]

A round is tests/reliability/test_fuzzed_*.py with another seed. The script ends with status 1 if a round has failed;
the seed repeats the round.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_EXAMPLES = 100  # calls of each public name in a round


def main() -> int:
    """Run rounds until the time is up, and return the exit status."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() % 2**32
    files = sorted(map(str, (_ROOT / "tests" / "reliability").glob("test_fuzzed_*.py")))
    end, rounds, failed = time.monotonic() + 60 * minutes, 0, []
    while not rounds or time.monotonic() < end:
        environment = os.environ | {"LAYERBITS_FUZZ_SEED": str(seed), "LAYERBITS_FUZZ_EXAMPLES": str(_EXAMPLES)}
        status = subprocess.run(["pytest", "-n0", "--tb=short", *files], cwd=_ROOT, env=environment).returncode
        print(f"seed {seed}: {'passed' if status == 0 else f'failed, status {status}'}", flush=True)
        failed += [seed] * (status != 0)
        rounds, seed = rounds + 1, seed + 1
    print(f"{rounds} rounds of {_EXAMPLES} calls of each name; seeds that failed: {failed or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
