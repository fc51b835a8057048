"""The registry of random streams: every key in the package begins with a member, and no two uses share a member."""

import ast
from collections import defaultdict
from pathlib import Path

import layerbits
from layerbits.kernels import RandomStream

# Functions of a seed and a key, with the position of the key's first number among the arguments.
KEY_POSITIONS = {"stream": 1, "derived_seed": 1, "NormalStream": 1, "uniform_like": 2}


def keys():
    """Yield the place, the key's arguments and the file's text of every call that makes a stream."""
    package = Path(layerbits.__file__).parent
    for path in sorted(package.rglob("*.py")):
        if path.name == "random_streams.py":
            continue
        text = path.read_text()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KEY_POSITIONS:
                yield f"{path.relative_to(package)}:{node.lineno}", node.args[KEY_POSITIONS[node.func.id] :], text


def test_every_key_begins_with_a_member_of_the_registry():
    found = list(keys())
    assert len(found) >= len(RandomStream) - 2
    for place, key, text in found:
        assert key, f"{place}: an empty key"
        first = ast.unparse(key[0])
        # A loop over members may call its variable `key`.
        assert first.startswith("RandomStream.") or (first == "key" and "RandomStream." in text), place


def test_no_two_uses_share_a_member():
    """With a member in two files, or with keys of two lengths, two keys could be equal."""
    uses = defaultdict(set)
    package = Path(layerbits.__file__).parent
    for path in package.rglob("*.py"):
        if path.name == "random_streams.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "RandomStream":
                uses[node.attr].add(str(path.relative_to(package)))
    assert set(uses) == set(RandomStream.__members__)
    assert {member: files for member, files in uses.items() if len(files) > 1} == {}
    lengths = defaultdict(set)
    for _, key, _ in keys():
        lengths[ast.unparse(key[0])].add(len(key))
    assert all(len(counts) == 1 for counts in lengths.values())


def test_members_have_different_numbers():
    assert len({int(member) for member in RandomStream}) == len(RandomStream.__members__)
