"""Sets of known factors: what is drawn shows them, and records of it know them."""

import csv
import io

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws

from models.features import audio, procedural
from pipelines.beam import filesystem, runner
from pipelines.data import dataset, front_end, generated_sources, source_features
from pipelines.data import synthetic_source as folders
from pipelines.data.domains import read_domains
from pipelines.jobs import dataset_writer, preprocess_job

PICTURE = {"shape": 1.0, "scale": 0.8, "orientation": 0.0, "x": 0.5, "y": 0.5}
TONE = {"pitch": 220.0, "loudness": 0.0, "timbre": 1.0, "onset": 0.2, "vibrato": 0.0}


def centre(pixels):
    rows, columns = np.indices(pixels.shape[:2])
    mass = pixels[..., 0] / pixels.sum()
    return float((columns * mass).sum()), float((rows * mass).sum())


@given(number=st.integers(0, 10**6), seed=st.integers(0, 9))
@laws
def test_an_example_is_a_function_of_its_number_and_seed(number, seed):
    for kind, values in procedural.DATA_SETS.items():
        (x, factors), (again, same) = (procedural.generate_example(kind, number, seed) for _ in "ab")
        np.testing.assert_array_equal(x, again)
        assert factors == same and all(factors[name] in known for name, known in values.items())


@given(number=st.integers(0, 10**6))
@laws
def test_no_shape_is_cut_off(number):
    x, _ = procedural.generate_example("pictures", number)
    assert x.shape == (64, 64, 1) and x.max() == 255
    assert not np.concatenate([x[0], x[-1], x[:, 0], x[:, -1]]).any()


def test_a_picture_is_where_and_as_large_as_its_factors_say():
    for shape in range(3):
        made = {x: centre(procedural.render_image({**PICTURE, "shape": shape, "x": x, "y": 1 - x})) for x in (0.0, 1.0)}
        shift = np.subtract(made[1.0], made[0.0])
        np.testing.assert_allclose(shift, [0.42 * 64, -0.42 * 64], atol=0.3)
        large, small = (procedural.render_image({**PICTURE, "shape": shape, "scale": s}).sum() for s in (1.0, 0.5))
        assert large / small == pytest.approx(4, rel=0.05)


def test_a_turn_by_ninety_degrees_lays_the_ellipse_on_its_side():
    lying, standing = (procedural.render_image({**PICTURE, "orientation": turn})[..., 0] for turn in (0.0, 90.0))
    np.testing.assert_allclose(lying.T, standing, atol=60)
    assert lying.any(axis=0).sum() > 1.8 * lying.any(axis=1).sum()


@pytest.mark.parametrize("name", procedural.SOUNDS)
def test_every_factor_of_a_sound_can_be_seen_in_its_log_mels(name):
    spec = audio.AudioSpec.at(procedural.RATE_HZ)

    def seen(value, seed):
        y = procedural.synthesize_sound({**TONE, name: value}, seed=seed)
        return audio.log_mel(audio.normalize_level(y, spec), spec)

    values = procedural.SOUNDS[name][[0, -1]]
    by_chance = np.abs(seen(values[0], 1) - seen(values[0], 2)).mean()
    assert len(seen(values[0], 1)) == 64
    assert np.abs(seen(values[0], 1) - seen(values[1], 1)).mean() > 1.15 * by_chance


def prepared(folder, flag, **changes):
    domains = read_domains([flag], str(folder))
    kind = front_end.infer_kind(domains, None)
    spec = front_end.infer_spec(kind, domains, [])
    job = preprocess_job.PreprocessJob(kind, spec, domains, str(folder), (0.1, 0.1), "file", **changes)
    dataset_writer.write_dataset(job, runner.parse_options([]))
    return dataset.open_records(str(folder))


@pytest.mark.parametrize(("kind", "shape"), [("pictures", (64, 64, 1)), ("sounds", (64, 80))])
def test_records_of_a_set_know_their_factors(kind, shape, tmp_path):
    data = prepared(tmp_path, f"drawn=factors:{kind}/12")
    with open(folders.factors_path(str(tmp_path), "drawn")) as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert rows.keys() == {source.id for source in data.sources} and len(rows) == 12
    first = rows["drawn/000003" + folders.SUFFIXES[kind]]
    assert {name: float(first[name]) for name in procedural.DATA_SETS[kind]} == procedural.generate_example(kind, 3)[1]
    assert {x.shape for _, x in source_features.read_sources(data, "train", "drawn")} == {shape}


def test_what_was_drawn_stays_and_is_drawn_anew_for_another_count(tmp_path, monkeypatch):
    folders.draw_examples("factors:pictures/3", "a", str(tmp_path))
    path = tmp_path / "sources" / "a" / "000001.png"
    before = path.stat().st_mtime_ns
    folders.draw_examples("factors:pictures/3", "a", str(tmp_path))
    assert path.stat().st_mtime_ns == before
    folders.draw_examples("factors:pictures/2", "a", str(tmp_path))
    assert len(list(path.parent.iterdir())) == 2
    assert np.array_equal(
        np.asarray(PIL.Image.open(io.BytesIO(path.read_bytes())))[..., None],
        procedural.generate_example("pictures", 1)[0],
    )


@pytest.mark.parametrize("name", ["a/mine.wav", "a/deeper/mine.wav", "a.json", "a.csv"])
def test_files_that_no_command_drew_stay(tmp_path, name):
    path = tmp_path / "sources" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(ValueError, match=f"{name} exists and was not written by preprocess"):
        folders.draw_examples("factors:pictures/3", "a", str(tmp_path))
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == [path] and path.read_text() == "mine"


def test_what_was_cut_off_is_drawn_anew(tmp_path, monkeypatch):
    left, example = iter(range(2)), procedural.generate_example

    def failing(*arguments):
        if next(left, None) is None:
            raise OSError("disk full")
        return example(*arguments)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr(procedural, "generate_example", failing)
        folders.draw_examples("factors:pictures/5", "a", str(tmp_path))
    folders.draw_examples("factors:sounds/1", "a", str(tmp_path))
    names = sorted(path.name for path in (tmp_path / "sources").rglob("*") if path.is_file())
    assert names == ["000000.wav", "a.csv", "a.json"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["a=factors:picture/5"], "did you mean pictures"),
        (["a=factors:sounds/many"], "wanted factors:sounds/COUNT"),
        (["a=factors:sounds/5", "a=somewhere"], "wanted it alone"),
    ],
)
def test_what_names_no_set_is_refused(flags, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        read_domains(flags, str(tmp_path))


def test_partial_files_of_a_command_that_was_killed_are_deleted_with_the_others(tmp_path):
    folder = tmp_path / "generated"
    (folder / "class").mkdir(parents=True)
    partial = [folder / f"{filesystem.PART_PREFIX}1", folder / "class" / f"{filesystem.PART_PREFIX}2"]
    for path in (*partial, folder / "class" / "0.png", tmp_path / "generated.begun"):
        path.write_text("")
    generated_sources.begin_folder(str(folder))
    assert not [path for path in folder.rglob("*") if path.is_file()]
