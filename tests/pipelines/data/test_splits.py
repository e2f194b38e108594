"""Splits: reproducible in every process, stable when fractions grow, and of the requested size."""

import json
import os
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st
from testbed import ROOT, laws, unicode_names

from pipelines.data import splits

SPLITS = {  # of some keys, on every machine and in every version: another one would leak test files into training
    "0:s01": "test",
    "0:clip_00": "val",
    "0:anna/café 0": "val",
    "0:anna/café 1": "train",
    "0:anna/café 3": "test",
}


def test_splits_are_the_same_in_any_process():
    code = (
        "import json, sys; from pipelines.data import splits\n"
        "print(json.dumps({k: splits.split_of(k, val_fraction=.2, test_fraction=.2) for k in json.load(sys.stdin)}))"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(list(SPLITS)),
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert [json.loads(text) for text in found] == [SPLITS, SPLITS]


@laws
@given(unicode_names, st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_source_changes_its_split_only_to_a_split_that_grew(key, val, test, more):
    def split(**fractions):
        return splits.split_of(key, **fractions)

    assert split(val_fraction=1.0, test_fraction=0.0) == "val"
    assert split(val_fraction=0.0, test_fraction=1.0) == "test"
    assert split(val_fraction=0.0, test_fraction=0.0) == "train"
    before = split(val_fraction=val, test_fraction=test)
    if before == "test":
        assert split(val_fraction=val, test_fraction=test + more) == "test"
    if before != "train":
        assert split(val_fraction=val + more, test_fraction=test) == before


def test_split_sizes_are_near_the_requested_fractions():
    found = [splits.split_of(f"speaker {n}", val_fraction=0.1, test_fraction=0.2) for n in range(10000)]
    for split, share in {"train": 0.7, "val": 0.1, "test": 0.2}.items():
        assert abs(found.count(split) / 10000 - share) < 4 * (share * (1 - share) / 10000) ** 0.5
