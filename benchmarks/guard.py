"""`python -m benchmarks.guard`: run the speed guard of `benchmarks.suites.speed_guard`."""

import sys

from benchmarks.suites.speed_guard import main

if __name__ == "__main__":
    sys.exit(main())
