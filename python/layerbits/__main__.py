"""The command line as ``python -m layerbits``, for use without the script ``layerbits``."""

import sys

from layerbits.cli import main

sys.exit(main())
