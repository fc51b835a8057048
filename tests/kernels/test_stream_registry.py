"""The registry of random streams: each member of RandomStream is named once, as the first number of a stream's key."""

import ast
import functools
import re
from collections import Counter, defaultdict
from pathlib import Path

import layerbits
from layerbits.kernels import RandomStream

# Functions of a seed and a key, with the position of the key's first number among the arguments.
KEY_POSITIONS = {"stream": 1, "derived_seed": 1, "NormalStream": 1, "uniform_like": 2}

NUMPY_SOURCES = {"default_rng", "SeedSequence", "Philox", "PCG64", "PCG64DXSM", "MT19937", "SFC64", "RandomState"}

# The files that use a generator of NumPy without the registry, and why.
OTHER_GENERATORS = {
    "training/session.py": "the noise of training comes from torch's generators",
    "training/loop.py": "the order of batches depends on the seed and the epoch alone",
    "data/train_test_split.py": "the caller's seed alone chooses the test data",
    "networks/execution/other_generators.py": "finds that a network itself uses such a generator, and draws nothing",
    "estimators/fitted_decoder.py": "a seed from the registry chooses the queries that are scored alone",
    "report/curves.py": "chooses the points of a chart that are shown",
    "kernels/reference.py": "an oracle shares no code with the package",
}


@functools.cache
def nodes():
    """Return the file and every node of the files that have one of the names, except those of random_streams.py."""
    package, names = Path(layerbits.__file__).parent, {*KEY_POSITIONS, *NUMPY_SOURCES, "RandomStream"}
    texts = {path: path.read_text() for path in sorted(package.rglob("*.py")) if path.name != "random_streams.py"}
    return [
        (path.relative_to(package).as_posix(), node)
        for path, text in texts.items()
        if names.intersection(re.findall(r"\w+", text))
        for node in ast.walk(ast.parse(text))
    ]


def name_of(node):
    """Return the last part of the name that a node imports or mentions; None for other nodes."""
    if isinstance(node, ast.alias):
        return node.name.rpartition(".")[2]
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)


def test_every_key_begins_with_a_member_that_is_named_nowhere_else():
    """If a member were named in two places, two keys could be equal."""
    members, mentions = Counter(), 0
    for file, node in nodes():
        mentions += not isinstance(node, ast.alias) and name_of(node) == "RandomStream"
        if isinstance(node, ast.Call) and name_of(node.func) in KEY_POSITIONS:
            key = node.args[KEY_POSITIONS[name_of(node.func)] :]
            first = ast.unparse(key[0]) if key else "an empty key"
            assert first.startswith("RandomStream."), f"{file}:{node.lineno}: {first}"
            members[first.removeprefix("RandomStream.")] += 1
    assert members == dict.fromkeys(RandomStream.__members__, 1)
    assert mentions == len(RandomStream)


def test_streams_are_neither_renamed_nor_passed_on():
    """The test of keys finds only calls by the names in KEY_POSITIONS."""
    imports, mentions = set(), defaultdict(int)
    for file, node in nodes():
        name = name_of(node)
        if isinstance(node, ast.alias) and name in {*KEY_POSITIONS, "RandomStream"}:
            assert node.asname is None, f"{file}:{node.lineno}: {name} as {node.asname}"
            imports.add((file, name))
        elif isinstance(node, ast.Call):
            mentions[file, name_of(node.func)] -= 1
        elif name is not None:
            mentions[file, name] += 1
    # The class NormalStream is a type, too. Files that do not import `stream` have variables of that name.
    functions = {(file, name) for file, name in imports if name not in {"NormalStream", "RandomStream"}}
    assert [function for function in functions if mentions[function]] == []


def test_other_generators_are_only_in_the_listed_files():
    assert {file for file, node in nodes() if name_of(node) in NUMPY_SOURCES} == set(OTHER_GENERATORS)


def test_members_have_different_numbers():
    assert len({int(member) for member in RandomStream}) == len(RandomStream.__members__)
