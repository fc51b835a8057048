"""`python -m benchmarks.compare`: run the comparison of `benchmarks.suites.comparison`."""

import sys

from benchmarks.suites.comparison import main

if __name__ == "__main__":
    sys.exit(main())
