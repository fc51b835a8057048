"""Checks that imports point downwards only, by the table of floors in ARCHITECTURE.md.

    python tools/check_floors.py

A module may import from lower floors, and from its own package. Every module must stand in the table.
"""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "python" / "layerbits"
ROW = re.compile(r"^\| (\d+) \| (.+?) \|", re.MULTILINE)


def floors() -> dict[str, int]:
    """Return the floor of every top-level module and package in the table."""
    rows = ROW.findall((ROOT / "ARCHITECTURE.md").read_text())
    return {name: int(floor) for floor, cell in rows for name in re.findall(r"`(\w+)(?:\.py|/)`", cell)}


def room(module: str) -> str:
    """Return the top-level module or package that `module` (``layerbits.a.b``) belongs to."""
    return module.split(".")[1]


def imports(source: str) -> list[str]:
    """Return the modules of layerbits that `source` imports anywhere, also inside functions."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "layerbits":
            found += [f"layerbits.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
    return [module for module in found if module.startswith("layerbits.")]


def violations() -> list[str]:
    """Return a line for every import that does not point down, and for every module without a floor."""
    table = floors()
    lines = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if name == "__init__":
            continue
        if name not in table:
            lines.append(f"{path.relative_to(ROOT)}: no floor in ARCHITECTURE.md")
            continue
        for target in map(room, imports(path.read_text())):
            if target != name and table.get(target, sys.maxsize) >= table[name]:
                where = f"{path.relative_to(ROOT)} (floor {table[name]})"
                lines.append(f"{where} imports {target} (floor {table.get(target, 'unknown')})")
    return lines


if __name__ == "__main__":
    found = violations()
    print("\n".join(found) or "floors: all imports point down")
    sys.exit(bool(found))
