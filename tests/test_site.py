"""The sources of the site name what the code has; `sphinx-build` itself runs in .ci/run."""

import ast
import inspect
import operator
import re
from pathlib import Path

import pytest

import layerbits as lb
from layerbits._base import results
from layerbits.estimators.audits import SENTENCES
from layerbits.experiments import EXPERIMENTS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
API = "\n".join(page.read_text() for page in sorted(DOCS.glob("api/*.rst")))


def first_cells(heading, page="which-number.md"):
    """Return the first cell of each row of the table below a heading, without its marks."""
    section = (DOCS / page).read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(.*?)` \|", section.split("---|\n")[1], re.MULTILINE)


def literals(pattern, folder="estimators"):
    sources = (ROOT / "python/layerbits" / folder).rglob("*.py")
    return {name for source in sources for name in re.findall(pattern, source.read_text())}


def test_every_public_name_is_on_an_api_page_once():
    names = re.findall(r"^\.\. (?:autofunction|autoclass|py:data|automodule):: (\S+)", API, re.MULTILINE)
    names = [name.removeprefix("layerbits.") for name in names]
    assert {name: names.count(name) for name in lb.__all__ if names.count(name) != 1} == {"sigma_profile": 2}  # a plot


def test_index_of_the_api_lists_every_public_name_once():
    lists = (DOCS / "api/index.rst").read_text().split(".. autosummary::")[1:]
    names = [name for part in lists for name in re.findall(r"^   (\w+)$", part, re.MULTILINE)]
    assert sorted(names) == sorted({*lb.__all__} - {"__version__"})


@pytest.mark.parametrize("package", ["baselines", "calibration", "data", "theory"])
def test_api_page_has_all_members_of_a_package(package):
    assert f".. automodule:: layerbits.{package}\n   :members:\n" in API


def test_every_page_is_reachable_from_the_first_page():
    reached, waiting = set(), [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        text = page.read_text()
        entries = "\n".join(re.findall(r"^```\{toctree\}\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
        entries += "\n".join(re.findall(r"^\.\. toctree::\n((?:   .*\n|\n)*)", text, re.MULTILINE))
        for entry in re.findall(r"^ *(?:.*<)?([\w/-]+)>?$", entries, re.MULTILINE):
            path = page.parent / entry.replace("executed_gallery/index", "gallery/GALLERY_HEADER")
            waiting += [path for path in path.parent.glob(f"{path.name}.*") if path not in reached]
    assert reached == {*DOCS.glob("*.md"), *DOCS.glob("*/*.rst")} - set(DOCS.glob("executed_gallery/*"))


def test_page_of_numbers_has_every_flag():
    texts = {value for name, value in vars(results).items() if name.isupper() and isinstance(value, str)}
    assert sorted(first_cells("By flag")) == sorted({*SENTENCES, *filter(str.isidentifier, texts)})


def test_page_of_numbers_has_every_cause_of_width():
    causes = set(first_cells("By `limited_by`"))
    described = lb.InformationRow.__doc__.split("limited_by : str")[1].split("flags : tuple")[0]
    assert causes == set(re.findall(r'``"(.*?)"``', described)) - {"known"}
    assert causes >= literals(r'limited_by (?:==|!=) "(\w+)"') | literals(r'cause = "([\w ]+)"')


def test_page_of_numbers_has_every_decoder():
    names = literals(r'(?:Mixture|Candidate)\(\s*"([\w -]+)"') | literals(r'\bname = "([\w -]*Gaussian)"')
    names |= literals(r'DECODER\b.* = "([\w ]+)"') | literals(r'decoder="(\w+)"')
    assert len(names) >= 10
    assert set(first_cells("By decoder")) == {*names, "decoders[0]: NAME"}


def test_table_of_the_readme_has_every_experiment():
    rows = (ROOT / "README.md").read_text().split("| name | result |\n")[1].split("\n\n")[0]
    assert sorted(re.findall(r"`([\w-]+)`", "".join(re.findall(r"^\| (.*?) \|", rows, re.M)))) == sorted(EXPERIMENTS)


def public_names(tree):
    """Yield the dotted names of layerbits, imported as lb, in a syntax tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("lb."):
            yield ast.unparse(node).removeprefix("lb.")


@pytest.mark.parametrize("page", [*sorted(DOCS.glob("*.md")), ROOT / "README.md"], ids=lambda path: path.name)
def test_links_of_the_site_have_words_and_no_paths(page):
    text = page.read_text().split("\n## Documents\n")[0]  # the site has a table of contents instead
    assert re.findall(r"\[`?([\w./-]+\.md)`?\]\(", text) == []


@pytest.mark.parametrize("script", sorted(DOCS.glob("gallery/*.py")), ids=lambda path: path.stem)
def test_script_of_the_gallery_has_a_title_and_calls_public_names_with_their_arguments(script):
    tree = ast.parse(script.read_text())
    title, underline = ast.get_docstring(tree).split("\n")[:2]
    assert underline == "=" * len(title)
    for name in public_names(tree):
        operator.attrgetter(name)(lb)
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if (name := ast.unparse(call.func)).startswith("lb."):
            arguments = {keyword.arg: None for keyword in call.keywords}
            inspect.signature(operator.attrgetter(name[3:])(lb)).bind(*call.args, **arguments)
