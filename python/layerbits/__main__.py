"""``python -m layerbits``: the command line where the script ``layerbits`` is not on the path."""

import sys

from layerbits.cli import main

sys.exit(main())
