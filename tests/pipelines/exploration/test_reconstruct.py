"""The reconstruct job: errors of each file."""

import numpy as np
import pytest

KINDS = pytest.mark.parametrize("kind", ["pictures", "speech"])


@KINDS
def test_reconstructions_are_scored_by_file(run_job, kind):
    numbers, rows, page = run_job("reconstruct", kind, count=2)
    assert numbers["errors"]["all"]["n"] == len(rows) == numbers["files"]
    mean = np.mean([float(row["squared_error"]) for row in rows])
    assert mean == pytest.approx(numbers["errors"]["all"]["squared_error"])
    assert numbers["compression"] == {"pictures": 16 * 16 / 4, "speech": 16 * 32 / 4}[kind]
    assert page.count("<figcaption>reconstruction, squared error") == 4 == page.count("<figcaption>difference")
    assert page.count("<audio") == (8 if kind == "speech" else 0)
