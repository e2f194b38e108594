"""What runs where. Fixtures are in `testbed`, which loads TensorFlow: the process that hands out tests needs none."""

import re

import pytest

LONGEST = (
    "run_evaluation saved_model translate vocoder end_to_end trainer job many_domains multi_worker conformance"
).split()
collect_ignore = ["bench_pytorch.py"]  # whose package is no dependency
OF_ONE_RUN = ("run_evaluation", "saved_model", "translate", "vocoder")  # files whose tests use the same trained models


def pytest_configure(config):
    hands_out = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    if not hands_out:
        config.pluginmanager.import_plugin("testbed")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Under several processes, a file's tests stay in one, so do files of one run; those of conformance by the case."""
    from xdist.scheduler import LoadScopeScheduling

    config.option.loadscopereorder = False  # it would put files of few tests last, which are the long ones

    class ByFileOrCase(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file, _, name = nodeid.partition("::")
            if any(file.endswith(f"test_{name}.py") for name in OF_ONE_RUN):
                return "of one run"
            case = re.search(r"\[(.+-(audio|image))", name) if file.endswith("test_conformance.py") else None
            return f"{file} {case[1]}" if case else file

    return ByFileOrCase(config, log)


def pytest_collection_modifyitems(items):
    """What takes long goes first, so that all processes end at about the same time."""
    names = {f"test_{name}": n for n, name in enumerate(LONGEST)}
    items.sort(key=lambda item: names.get(item.path.stem, len(names)))
