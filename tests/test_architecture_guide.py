"""The guide to the architecture: it lists every module, and the files and names in its walks exist."""

import ast
import functools
import pathlib
import re

import pytest
from test_architecture import FILES, LAYERS
from testbed import ROOT

DOCS = pathlib.Path(ROOT) / "docs"
GUIDE = (DOCS / "architecture.md").read_text()
PICTURE = (DOCS / "architecture.svg").read_text()
TABLE_ROW = re.compile(r"^\| \[`(\S+)`\]\(\.\./(\S+)\) \| (.+) \|$", re.MULTILINE)
PATH = re.compile(r"`((?:models|plugins|pipelines|tests)/[\w/]+(?:\.py)?)`")
NAMES_OF_FILE = re.compile(r"`([\w/]+\.py)`:((?:(?:,| and)? `[A-Za-z_][\w.]*`)+)")
METHOD_OR_PRIVATE = re.compile(r"`([A-Z]\w*[a-z]\w*\.\w+|_[a-z]\w*)`")
ITEMS = [" ".join(item.split()) for item in re.findall(r"^\d+\. .*\n(?: +.*\n)*", GUIDE, re.MULTILINE)]


def _names_after_files():
    """Pairs of a file and a name: each name in backticks that follows a file, as `x.py`: `f`, `Class.method`."""
    for path, names in NAMES_OF_FILE.findall(" ".join(GUIDE.split())):
        yield from ((path, name) for name in re.findall(r"`([^`]+)`", names))


NAMED = sorted(set(_names_after_files()))


@functools.cache
def _definitions(path):
    """Functions, classes and methods of a file; methods as `Class.method`."""
    tree = ast.parse((pathlib.Path(ROOT) / path).read_text())
    kinds = (ast.FunctionDef, ast.ClassDef)
    top = [node for node in tree.body if isinstance(node, kinds)]
    methods = {f"{cls.name}.{node.name}" for cls in top for node in cls.body if isinstance(node, kinds)}
    return {node.name for node in top} | methods


def test_every_module_is_listed_once():
    modules = [path for path in FILES if path.name != "__init__.py" or len(ast.parse(path.read_text()).body) > 1]
    listed = [path for _, path, _ in TABLE_ROW.findall(GUIDE)]
    assert sorted(listed) == sorted(str(path.relative_to(ROOT)) for path in modules)


def test_rows_are_linked_to_the_file_that_they_name():
    assert all(name == pathlib.Path(path).name for name, path, _ in TABLE_ROW.findall(GUIDE))


def test_every_file_that_is_named_exists():
    paths = PATH.findall(GUIDE)
    assert len(paths) > 50
    assert not [path for path in paths if not (pathlib.Path(ROOT) / path).exists()]


def test_names_in_the_walks_are_found():
    assert len(NAMED) > 80


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_every_name_after_a_file_is_defined_in_it(path, name):
    assert name in _definitions(path)


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item[:30])
def test_other_methods_and_private_functions_are_defined_in_a_file_of_the_same_item(item):
    defined = {name for path in PATH.findall(item) for name in _definitions(path)}
    assert set(METHOD_OR_PRIVATE.findall(item)) <= defined | {name.rpartition(".")[2] for name in defined}


def test_the_picture_shows_every_package():
    packages = {package.split(".")[-1] for layer in LAYERS for package in layer} - {"models", "plugins", "pipelines"}
    assert not [name for name in packages if not re.search(rf"\b{name}\b", PICTURE)]
    assert '<rect width="960"' in PICTURE  # the background, which dark mode needs
