"""Distribution of the tests over processes. PLUGINS load TensorFlow, which the distributing process does not need."""

import pathlib
import re

import pytest

PLUGINS = (
    "testbed",
    "record_fixtures",
    "run_fixtures",
    "browser_fixtures",
    "web_fixtures",
)  # the first configures TensorFlow
GROUPS = {  # stems of test files that use the same trained models: one process runs a group and trains them once
    "translators": (
        "run_evaluation translation_quality model_results domain_classifier saved_model onnx_model waveform_signatures "
        "exported_model file_translator round_trip_mels translate translate_folder vocoder vocoders "
        "run_translators convert_files converter server page listen"
    ).split(),
    "autoencoders": (
        "job reconstruct latent_model interpolate sample traverse perturb disentangle outliers outlier_detector explore"
    ).split(),
}
GROUP_OF = {f"test_{stem}": group for group, stems in GROUPS.items() for stem in stems}
LONGEST = "translators test_end_to_end test_trainer autoencoders test_many_domains test_multi_worker test_conformance"
HERE = pathlib.Path(__file__).parent
collect_ignore = [path.name for path in HERE.glob("*.py") if not path.name.startswith("test_")]  # imported by tests


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also run tests that are marked as slow")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes half a minute or more; `make test-all` runs it")
    hands_out = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    if not hands_out:
        for plugin in PLUGINS:
            config.pluginmanager.import_plugin(plugin)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Under several processes, the tests of a file or a group run in one, those of test_conformance of a case."""
    from xdist.scheduler import LoadScopeScheduling

    config.option.loadscopereorder = False  # it would put files of few tests last, which are the long ones

    class ByFileOrCase(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file, _, name = nodeid.partition("::")
            stem = pathlib.PurePath(file).stem
            if stem in GROUP_OF:
                return GROUP_OF[stem]
            return f"{file} {_conformance_case(nodeid)}"

    return ByFileOrCase(config, log)


def pytest_collection_modifyitems(config, items):
    """Leave out slow tests; run the longest files first, so that all processes end at about the same time."""
    if not config.getoption("slow"):
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]
    ranks = {name: rank for rank, name in enumerate(LONGEST.split())}

    def key(item):
        stem = item.path.stem
        return ranks.get(GROUP_OF.get(stem, stem), len(ranks)), _conformance_case(item.nodeid)

    items.sort(key=key)


def _conformance_case(nodeid):
    """`plugin-kind` of a test of test_conformance, which trains one model a case; else an empty string."""
    case = re.search(r"test_conformance\.py::.*\[(.+-(?:audio|image))", nodeid)
    return case[1] if case else ""
