"""The version stands in pyproject.toml alone; the changelog and the citation name the newest release."""

import importlib.metadata
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = (ROOT / "pyproject.toml").read_text()
VERSION = re.search(r'^version = "([\d.]+?)(\.dev0)?"$', PROJECT, re.MULTILINE)
RELEASES = re.findall(r"^## \[([\d.]+)\]$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def numbers(version):
    return tuple(map(int, version.split(".")))


def test_changelog_has_the_releases_from_new_to_old():
    assert sorted(RELEASES, key=numbers, reverse=True) == RELEASES


def test_version_is_that_of_the_newest_release_or_a_later_one_in_development():
    if VERSION[2]:
        assert numbers(VERSION[1]) > numbers(RELEASES[0])
        assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()
    else:
        assert VERSION[1] == RELEASES[0]


def test_citation_names_the_newest_release():
    assert f"\nversion: {RELEASES[0]}\n" in (ROOT / "CITATION.cff").read_text()


def test_extra_of_transformers_has_an_accelerate_that_its_trainer_takes():
    (extra,) = re.findall(r'^transformers = .*"accelerate>=([\d.]+)"', PROJECT, re.MULTILINE)
    requirements = importlib.metadata.requires("transformers")
    (wanted,) = {version for text in requirements for version in re.findall(r"^accelerate>=([\d.]+)", text)}
    assert numbers(extra) >= numbers(wanted)[:2]


def test_no_other_file_states_the_version():
    files = [*(ROOT / "python").rglob("*.py"), ROOT / "docs" / "conf.py", ROOT / "CMakeLists.txt"]
    assert not [str(file) for file in files if VERSION[1] in file.read_text()]
