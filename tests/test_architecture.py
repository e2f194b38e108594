"""The house rules, kept by a test and not by memory."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FLOORS = (
    "models.errors",
    "models.config_fields",
    "models.features",
    "models",
    "plugins",
    "pipelines",
)  # ground floor first
SCRIPTS = {f"pipelines.{verb}" for verb in ("preprocess", "train", "translate", "evaluate", "explore", "demo")}
ONLY_IN = {  # package: the modules that may import it
    "apache_beam": {"pipelines.beam", "pipelines.jobs"},
    "absl.flags": SCRIPTS,
    "absl.app": SCRIPTS,
}
FILE_LINES, FUNCTION_LINES, ARGUMENTS = 400, 60, 7
FILES = [p for top in ("models", "plugins", "pipelines") for p in (ROOT / top).rglob("*.py")]

each_file = pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))


def _module(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def _within(name, package):
    return (name + ".").startswith(package + ".")


def _floor(name):
    return next((i for i, package in enumerate(FLOORS) if _within(name, package)), None)


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_there_are_files():
    assert len(FILES) > 30


@each_file
def test_imports_run_downwards(path):
    here = _module(path)
    for name in _imports(path):
        if _floor(name) is not None:
            assert _floor(name) <= _floor(here) or _typing_only(path, name), f"{here} imports upwards: {name}"
        assert not any(_within(name, s) for s in SCRIPTS), f"{here} imports a script: {name}"


def _typing_only(path, name):
    """Whether the name is imported under `if TYPE_CHECKING` only."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return name in {f"{n.module}.{a.name}" for n in node.body for a in n.names}
    return False


@each_file
def test_heavy_packages_stay_in_their_room(path):
    here = _module(path)
    for name in _imports(path):
        if _floor(here) <= FLOORS.index("models.features"):
            assert not _within(name, "tensorflow") and not _within(name, "keras"), f"{here} must stay NumPy only"
        for package, allowed in ONLY_IN.items():
            assert not _within(name, package) or any(_within(here, room) for room in allowed), (
                f"{here} may not import {package}"
            )


@each_file
def test_users_errors_have_a_class_of_their_own(path):
    raised = [
        ast.unparse(node.exc)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Raise) and node.exc
    ]
    assert not [what for what in raised if what.startswith("ValueError")], "say UserError, or it is taken for a fault"


@each_file
def test_sizes(path):
    text = path.read_text()
    assert text.count("\n") <= FILE_LINES, f"{path.name} is too long to hold in the head"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            length = node.end_lineno - node.lineno + 1
            assert length <= FUNCTION_LINES, f"{path.name}:{node.name} has {length} lines"
            given = [a.arg for a in node.args.args + node.args.kwonlyargs if a.arg not in ("self", "cls")]
            assert len(given) <= ARGUMENTS, f"{path.name}:{node.name} takes {len(given)} arguments"


def test_beam_workers_can_preprocess_without_tensorflow(in_new_process):
    in_new_process("import sys, pipelines.jobs.dataset_writer; assert 'tensorflow' not in sys.modules")


def test_plugins_are_listed_without_importing_them(in_new_process):
    in_new_process("import sys, plugins; plugins.available(); assert 'tensorflow' not in sys.modules")


def test_importing_changes_no_thread_counts(in_new_process):
    in_new_process(
        "import os; before = dict(os.environ)\n"
        "import tensorflow as tf, models.spectral, models.networks.images, pipelines.training.trainer\n"
        "assert tf.config.threading.get_intra_op_parallelism_threads() == 0\n"
        "assert not [k for k in set(os.environ) - set(before) if 'THREADS' in k]"
    )
