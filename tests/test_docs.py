"""Commands and links in README and the guides: flags and keys that exist, files that are there."""

import pathlib
import re
import shlex

import pytest
from testbed import ROOT

import plugins
from pipelines import config

PAGES = [pathlib.Path(ROOT) / "README.md", *sorted((pathlib.Path(ROOT) / "docs").glob("*.md"))]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
WRITTEN = [*PAGES, *(pathlib.Path(ROOT) / f"{name}.md" for name in ("BUILD_NOTES", "CHANGELOG", "CONTRIBUTING"))]
LONGEST_README = 200  # lines
PARSE = """
import importlib, json, sys
from absl import flags
script = importlib.import_module(f"pipelines.{sys.argv[1]}")
script.define_flags()
for argv in json.loads(sys.argv[2]):
    rest = flags.FLAGS(["script", *argv])
    assert len(rest) == 1, rest
"""


def commands(text):
    """The name of the script and the arguments of every command in the shell blocks of a page."""
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:2] == ["python", "-m"] and words[2].startswith("pipelines."):
                arguments = words[3:]
                yield words[2].removeprefix("pipelines."), arguments[: [*arguments, "--"].index("--")]


ALL = [(page.name, *command) for page in PAGES for command in commands(page.read_text())]


def test_there_are_commands_of_every_script():
    assert {"preprocess", "train", "translate", "evaluate", "explore"} <= {name for _, name, _ in ALL}


@pytest.mark.parametrize("name", sorted({name for _, name, _ in ALL}))
def test_the_flags_of_every_command_exist(name, in_new_process):
    import json

    in_new_process(PARSE, name, json.dumps([arguments for _, script, arguments in ALL if script == name]))


@pytest.mark.parametrize(("page", "name", "arguments"), ALL, ids=lambda value: value if isinstance(value, str) else "")
def test_the_keys_of_every_command_exist(page, name, arguments):
    given = [(flag.partition("=")[0], flag.partition("=")[2]) for flag in arguments]
    pairs = [value for flag, value in given if flag == "--set"]
    if name == "train":
        plugin = plugins.load(dict(given).get("--plugin", plugins.default("audio", 2)))
        config.override(plugin.Config(), pairs)
    elif pairs:
        known = [config.KINDS[kind] for kind in ("audio", "image")]
        assert any(all(pair.partition("=")[0] in kind.__dataclass_fields__ for pair in pairs) for kind in known), page


def prose_of(page):
    """The text of a page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page):
    """Anchors of the headings of a page, as GitHub makes them."""
    texts = (
        re.sub(r"[^\w\- ]", "", heading.lower()) for heading in re.findall(r"^#+ (.*)$", prose_of(page), re.MULTILINE)
    )
    return {text.replace(" ", "-") for text in texts}


@each_page
def test_links_between_pages_lead_somewhere(page):
    for target, _, anchor in (link.partition("#") for link in re.findall(r"\]\((?!https?:)([^)]+)\)", prose_of(page))):
        linked = page.parent / target if target else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), f"{target}#{anchor}"


def test_the_readme_is_short():
    assert (pathlib.Path(ROOT) / "README.md").read_text().count("\n") <= LONGEST_README


@pytest.mark.parametrize("page", [*PAGES, pathlib.Path(ROOT) / "BUILD_NOTES.md"], ids=lambda page: page.name)
def test_no_page_has_marks_of_an_unresolved_merge(page):
    assert not re.findall(r"^(?:<{7}|={7}|>{7})(?: |$)", page.read_text(), re.MULTILINE)


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_prose_has_lines_of_at_most_120_characters(page):
    """Tables and code cannot be wrapped."""
    assert not [line for line in prose_of(page).splitlines() if len(line) > 120 and not line.startswith("|")]
