"""Damaged files of every format: decoded to finite values or refused with a reason, never shorter in silence."""

import fuzz
import pytest


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_damaged_files_are_decoded_whole_or_refused_with_a_reason(kind):
    files = fuzz.KINDS[kind]()
    findings = fuzz.fuzz(range(2 * len(files)), 0, files, processes=1)
    assert not findings, fuzz.table(findings)


def test_every_ending_that_is_looked_for_can_be_fuzzed_or_is_read_only():
    written = {name.partition("/")[0] for name in fuzz.pictures()}
    read_only = {"CUR", "DCX", "FITS", "FLI", "FTEX", "GBR", "PCD", "PIXAR", "PSD", "SUN", "XPM"}
    assert set(fuzz.image.image_file.FORMATS) - {"HEIF"} == written | read_only


def answer(asked):
    return {"crash": fuzz.os.abort, "hang": lambda: fuzz.time.sleep(60)}[asked.damage]()


def test_crashes_and_hangs_are_findings_and_the_next_file_is_read_all_the_same(monkeypatch):
    monkeypatch.setattr(fuzz, "SECONDS", 0.2)
    monkeypatch.setattr(fuzz, "work", work_that_fails)
    damages = ["hang", "crash"]
    monkeypatch.setattr(fuzz, "case", lambda number, *_: fuzz.Case(number, "x", damages[number], b"", b""))
    found = {f.case.number: f.what for f in fuzz.fuzz(range(2), 0, {}, processes=1)}
    assert "took more than 0.2 s" in found[0] and "crashed" in found[1]


def work_that_fails(pipe):
    pipe.send(fuzz.READY)
    while (asked := pipe.recv()) is not None:
        pipe.send(answer(asked))


def test_a_case_is_the_same_in_every_run_and_another_by_seed():
    files = {"a/1": bytes(range(200)), "b/2": bytes(300)}
    cases = [[fuzz.case(n, seed, files) for n in range(20)] for seed in (0, 0, 1)]
    assert cases[0] == cases[1] != cases[2]
