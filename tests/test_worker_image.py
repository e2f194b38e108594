"""What the Dockerfile copies: the packages, and nothing that lies beside them."""

import fnmatch
import pathlib

from testbed import ROOT


def is_copied(path):
    """Whether `.dockerignore` leaves a path of the top level in the image."""
    copied = True
    for line in (pathlib.Path(ROOT) / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and fnmatch.fnmatch(path, pattern):
            copied = line.startswith("!")
    return copied


def test_the_image_has_the_packages_and_what_their_installation_reads():
    for name in ("models", "pipelines", "plugins", "pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        assert (pathlib.Path(ROOT) / name).exists() and is_copied(name), name


def test_data_beside_the_packages_stays_out_of_the_image():
    for name in ("recordings", "records", "run", "converted", "evaluation", "out", ".venv", ".git", "tests"):
        assert not is_copied(name), name
