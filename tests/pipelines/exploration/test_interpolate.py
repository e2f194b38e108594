"""The interpolate job: paths between files, domains and recordings."""

import numpy as np
import pytest

from models import latent_space
from pipelines.exploration import interpolate

KINDS = pytest.mark.parametrize("kind", ["pictures", "speech"])


@KINDS
def test_a_path_between_files_is_measured_and_shown(run_job, kind):
    numbers, rows, page = run_job("interpolate", kind, points=5)
    files = numbers["continuity"]["linear"]["n"]
    assert set(numbers["continuity"]) == {"linear", "spherical"} and len(rows) == 2 * files
    pairs = [frozenset((row["from"], row["to"])) for row in rows if row["path"] == "linear"]
    assert 10 < len(set(pairs)) == len(pairs) <= interpolate.MAX_PAIRS
    assert all(0 < float(row["continuity"]) <= 1 and 0 < float(row["straightness"]) <= 1 + 1e-9 for row in rows)
    assert len(numbers["linear"]["steps"]) == 4
    assert page.count("<audio") == (10 if kind == "speech" else 0)


def test_a_path_may_begin_at_a_domain_and_end_at_a_file(run_job, runs, speech_folder):
    numbers, _, _ = run_job("interpolate", "speech", between=("low", str(speech_folder / "high" / "clip_00.wav")))
    assert numbers["between"][0] == "low"


def test_the_ends_of_a_path_are_the_reconstructions(latent):
    model = latent("speech")
    files = model.files("test")
    ends = [model.encode([file])[0][:1] for file in (files[0], files[-1])]
    path = model.decode(latent_space.spherical(*ends, 3))
    np.testing.assert_allclose(path[0], model.reconstruct(files[0])[: model.window_frames], atol=1e-4)


@pytest.mark.parametrize(
    ("between", "message"),
    [
        (("nobody", "low"), "neither a file, nor a domain or id"),
        (("low",), "wanted two"),
        (("low", __file__), "not readable as audio"),
    ],
)
def test_invalid_endpoints_are_refused(run_job, between, message):
    with pytest.raises(ValueError, match=message):
        run_job("interpolate", "speech", between=between)
