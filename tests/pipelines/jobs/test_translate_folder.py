"""The launcher of `translate`: what it lists, refuses and goes on with in a folder that holds files."""

import numpy as np
import PIL.Image
import pytest

from models.errors import UserError
from pipelines.jobs import translate_folder


def translate(run_dir, pattern, out, **options):
    return translate_folder.translate(
        run_dir=run_dir, pattern=str(pattern), output_dir=str(out), target="tinted", **options
    )


def test_a_second_command_does_not_replace_a_users_file_beside_results(picture_run, tmp_path):
    mix = tmp_path / "mix"
    mix.mkdir()
    pixels = np.zeros((16, 16, 3), np.uint8)
    for name in ("a.jpg", "b.bmp", "b.png"):
        PIL.Image.fromarray(pixels).save(mix / name)
    before = (mix / "b.png").read_bytes()
    assert translate(picture_run, mix / "*.jpg", mix)["translations"] == 1
    with pytest.raises(UserError, match="b.png exists and was not written by translate"):
        translate(picture_run, mix / "*.bmp", mix)
    assert (mix / "b.png").read_bytes() == before
    (mix / "b.png").unlink()
    assert translate(picture_run, mix / "*.bmp", mix)["reused"] == 0
    assert translate(picture_run, mix / "*.jpg", mix)["reused"] == 1, "by its provenance, as the last list lacks it"
