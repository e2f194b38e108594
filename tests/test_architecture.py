"""Rules of the architecture: directions of imports, sizes, and tests beside their modules."""

import ast
import pathlib
import statistics

import pytest

ROOT = pathlib.Path(__file__).parents[1]
LAYERS = (  # bottom up; a module imports from its own layer and from those below
    ("models.errors",),
    ("models.config_fields",),
    ("models.features",),
    ("models",),
    ("plugins",),
    ("pipelines", "pipelines.archives"),  # also modules in no package and no script: files, configuration, command line
    ("pipelines.beam", "pipelines.reporting"),
    ("pipelines.data",),
    ("pipelines.export",),
    ("pipelines.inference",),
    ("pipelines.training",),
    ("pipelines.jobs",),
    ("pipelines.evaluation", "pipelines.exploration", "pipelines.web"),
)
SCRIPTS = {
    f"pipelines.{verb}" for verb in ("preprocess", "train", "translate", "evaluate", "explore", "demo", "listen")
}
LAYERS += (tuple(SCRIPTS),)
ONLY_IN = {  # package: the modules that may import it
    "apache_beam": {"pipelines.beam", "pipelines.jobs"},
    "gradio": {"pipelines.web"},
    "absl.flags": SCRIPTS,
    "absl.app": SCRIPTS,
}
FILE_LINES, FUNCTION_LINES, MEDIAN_FUNCTION_LINES, ARGUMENTS = 300, 50, 8, 7
FILES = [p for top in ("models", "plugins", "pipelines") for p in sorted((ROOT / top).rglob("*.py"))]
PACKAGES = [p.parent for p in FILES if p.name == "__init__.py"]
ACROSS_MODULES = {  # tests of several modules together
    "test_multi_worker",
    "test_networks",
    "test_registry",
    "test_keras_optimizer",
    "test_cheats",
}

each_file = pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))


def _module(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def _within(name, package):
    return (name + ".").startswith(package + ".")


def _layer(name):
    """The index of the layer that names a module most precisely; None for other projects' modules."""
    matches = [(len(package), n) for n, packages in enumerate(LAYERS) for package in packages if _within(name, package)]
    return max(matches)[1] if matches else None


def _imports(path, *, typing=True):
    """Names that a file imports anywhere in it; `typing` includes those under `if TYPE_CHECKING`."""
    tree = ast.parse(path.read_text())
    guards = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    skipped = {id(n) for guard in guards for n in ast.walk(guard)} if not typing else set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _functions(path):
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]


def _length(node):
    return node.end_lineno - node.lineno + 1


def test_there_are_files():
    assert len(FILES) > 100


@each_file
def test_imports_run_downwards(path):
    here = _module(path)
    for name in _imports(path, typing=False):
        if _layer(name) is not None:
            assert _layer(name) <= _layer(here), f"{here} imports upwards: {name}"
        assert not any(_within(name, s) for s in SCRIPTS), f"{here} imports a script: {name}"


def test_modules_do_not_import_each_other_in_circles():
    modules = {_module(path).removesuffix(".__init__"): path for path in FILES}
    imports = {}
    for module, path in modules.items():
        names = {name for name in _imports(path, typing=False)}
        imports[module] = {n for name in names for n in (name, name.rpartition(".")[0]) if n in modules} - {module}
    remaining = dict(imports)
    while leaves := [m for m, needed in remaining.items() if not needed & remaining.keys()]:
        for module in leaves:
            del remaining[module]
    assert not remaining, f"circular imports among {sorted(remaining)}"


@each_file
def test_heavy_packages_stay_in_their_room(path):
    here = _module(path)
    for name in _imports(path):
        if _layer(here) <= _layer("models.features"):
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
    assert path.read_text().count("\n") <= FILE_LINES, f"{path.name} is too long"
    for node in _functions(path):
        assert _length(node) <= FUNCTION_LINES, f"{path.name}:{node.name} has {_length(node)} lines"
        arguments = [a.arg for a in node.args.args + node.args.kwonlyargs if a.arg not in ("self", "cls")]
        assert len(arguments) <= ARGUMENTS, f"{path.name}:{node.name} takes {len(arguments)} arguments"


def test_half_of_the_functions_are_short():
    assert statistics.median(_length(node) for path in FILES for node in _functions(path)) <= MEDIAN_FUNCTION_LINES


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_packages_say_what_is_in_them(package):
    assert ast.get_docstring(ast.parse((package / "__init__.py").read_text()))


def test_the_test_of_a_module_is_found_at_its_path():
    for path in (ROOT / "tests").rglob("test_*.py"):
        folder = path.parent.relative_to(ROOT / "tests")
        if folder.parts and path.stem not in ACROSS_MODULES:
            module = ROOT / folder / f"{path.stem.removeprefix('test_')}.py"
            assert module.exists(), f"{path.relative_to(ROOT)} tests no module {module.relative_to(ROOT)}"


def test_preprocessing_loads_no_library_that_takes_seconds_to_load(in_new_process):
    slow = {"tensorflow", "librosa", "numba", "scipy.signal"}
    in_new_process(
        "import sys, pipelines.jobs.dataset_writer; from models.features.audio import AudioSpec;"
        f"AudioSpec.at(16000); assert not {slow} & set(sys.modules)"
    )


def test_the_scripts_of_the_tests_can_be_imported(in_new_process):
    """As `python -m` imports them, without the folders that pytest adds to the path."""
    scripts = [path for path in sorted((ROOT / "tests").glob("*.py")) if "__main__" in path.read_text()]
    names = [f"tests.{path.stem}" for path in scripts if "import torch" not in path.read_text()]
    assert len(names) > 20
    in_new_process(f"import importlib\nfor name in {names}: importlib.import_module(name)")


def test_plugins_are_listed_without_importing_them(in_new_process):
    in_new_process("import sys, plugins; plugins.available(); assert 'tensorflow' not in sys.modules")


@pytest.mark.parametrize("script", sorted(SCRIPTS - {"pipelines.demo"}))
def test_help_loads_neither_tensorflow_nor_beam(script, in_new_process):
    in_new_process(f"import sys, {script}; assert not {{'tensorflow', 'apache_beam', 'gradio'}} & set(sys.modules)")


@pytest.mark.parametrize("module", ["pipelines.training.trainer", "pipelines.inference.exported_model"])
def test_training_and_models_are_loaded_without_beam(module, in_new_process):
    in_new_process(f"import sys, {module}; assert 'apache_beam' not in sys.modules")


def test_importing_changes_no_thread_counts(in_new_process):
    in_new_process(
        "import os; before = dict(os.environ)\n"
        "import tensorflow as tf, models.spectral, models.networks.images, pipelines.training.trainer\n"
        "assert tf.config.threading.get_intra_op_parallelism_threads() == 0\n"
        "assert not [k for k in set(os.environ) - set(before) if 'THREADS' in k]"
    )
