"""Tables of classes by name: order, messages, conflicts. Plugins and external metrics test theirs."""

import collections
import importlib.metadata
import re

import pytest

from models import entry_points
from models.errors import UserError

BUILT_IN = {"ordered": "collections:OrderedDict", "counter": "collections:Counter"}


@pytest.fixture
def table(monkeypatch):
    """The built-in entries, and an installed one whose module does not exist."""
    gone = importlib.metadata.EntryPoint("gone", "no_such_module:Gone", "some.group")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [gone] if group == "some.group" else [])
    return entry_points.available("some.group", BUILT_IN, "toy")


def test_built_in_and_installed_entries_are_sorted_and_loaded(table):
    assert list(table) == ["counter", "gone", "ordered"]
    assert entry_points.load("counter", table, "toy") is collections.Counter


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("countr", "no toy is called 'countr'; did you mean counter?"),
        ("zzz", "no toy is called 'zzz'; there are: counter, gone, ordered"),
        ("gone", "toy 'gone' (no_such_module:Gone) does not load: No module named 'no_such_module'"),
    ],
)
def test_what_cannot_be_loaded_is_one_line(table, name, message):
    with pytest.raises(UserError, match=re.escape(message)):
        entry_points.load(name, table, "toy")


def test_two_entries_of_one_name_are_refused_unless_they_are_the_same(monkeypatch):
    for value, refused in (("collections:Counter", False), ("elsewhere:Counter", True)):
        point = importlib.metadata.EntryPoint("counter", value, "some.group")
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda group, point=point: [point])
        if refused:
            with pytest.raises(
                UserError, match="two toys are called 'counter': collections:Counter and elsewhere:Counter"
            ):
                entry_points.available("some.group", BUILT_IN, "toy")
        else:
            assert entry_points.available("some.group", BUILT_IN, "toy")["counter"].value == value
