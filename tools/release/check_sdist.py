"""Check that a source distribution holds every file that git holds, and no other.

python tools/release/check_sdist.py SDIST.tar.gz
"""

import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def differences(sdist: Path) -> list[str]:
    """Return a line for each file that git or the distribution lacks; git never has PKG-INFO."""
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()} - {"PKG-INFO"}
    output = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    tracked = set(output.split("\0")) - {""}
    lacking = [f"{sdist}: lacks {name}" for name in sorted(tracked - packed)]
    return lacking + [f"{sdist}: holds {name}, which git does not" for name in sorted(packed - tracked)]


if __name__ == "__main__":
    lines = differences(Path(sys.argv[1]))
    for line in lines:
        print(line)
    sys.exit(bool(lines))
