"""Batches: a function of the step alone, whoever asks for them, and never of silence."""

import collections
import dataclasses
import itertools
import shutil

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from testbed import laws, preprocess, write_voices

from models.features import audio
from models.features.spec import Spec
from pipelines.data import cropping, dataset, input_pipeline, source_features, tfrecord
from plugins import base

CONFIG = base.Config(crop_frames=16, seed=3)
FRONT_END = audio.AudioSpec.at(8000, n_fft=256, n_mels=8)
SPEECH = Spec(FRONT_END, (), {})


class Mixed:
    BATCHES = "mixed"


class Unpaired:
    BATCHES = "unpaired"


class Paired:
    BATCHES = "paired"


FORMS = pytest.mark.parametrize("form", [Mixed, Unpaired])
KINDS = pytest.mark.parametrize("kind", ["speech", "picture"])


@pytest.fixture(scope="module")
def data_of(speech_records, picture_records):
    return {"speech": dataset.open_records(speech_records), "picture": dataset.open_records(picture_records)}


def batches(data, form, *, count, batch_size=4, config=CONFIG, **options):
    made = input_pipeline.batches(data, form, config, batch_size=batch_size, **options)
    return [{key: value.numpy() for key, value in batch.items()} for batch in made.take(count)]


def joined(parts):
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def assert_same(found, wanted):
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key], err_msg=key)


# ------------------------------------------------------------------ the order of batches


@FORMS
@KINDS
def test_batches_from_a_step_on_are_those_after_so_many(data_of, kind, form):
    whole = batches(data_of[kind], form, count=14, batch_size=3)
    assert [batch["step"].tolist() for batch in whole] == [[step] * 3 for step in range(14)]
    for start in (1, 5, 12):
        assert_same(batches(data_of[kind], form, count=2, batch_size=3, start_step=start), whole[start : start + 2])


@FORMS
def test_shares_of_replicas_and_workers_make_up_the_whole_batch(data_of, form):
    def shares(replicas, workers=1):
        places = [input_pipeline.WorkerShard(n, workers, replicas) for n in range(workers)]
        each = [batches(data_of["speech"], form, count=3 * replicas, batch_size=8, shard=place) for place in places]
        steps = range(0, 3 * replicas, replicas)
        return [joined([part for mine in each for part in mine[step : step + replicas]]) for step in steps]

    whole = batches(data_of["speech"], form, count=3, batch_size=8)
    assert all(batch["index"].tolist() == list(range(8)) for batch in whole)
    for replicas, workers in ((2, 1), (1, 2), (2, 2)):
        assert_same(shares(replicas, workers), whole)


def test_a_batch_that_cannot_be_shared_out_is_refused(data_of):
    for batch_size in (0, 2, 6):
        with pytest.raises(ValueError, match=f"batch_size={batch_size}; wanted a multiple of 4 replicas"):
            batches(data_of["speech"], Mixed, count=1, batch_size=batch_size, shard=input_pipeline.WorkerShard(0, 2, 2))


@KINDS
def test_batches_depend_on_the_configurations_seed_and_on_no_other(data_of, kind):
    first = batches(data_of[kind], Unpaired, count=2)
    tf.random.set_seed(7)
    assert_same(batches(data_of[kind], Unpaired, count=2), first)
    (other,) = batches(data_of[kind], Unpaired, count=1, config=dataclasses.replace(CONFIG, seed=4))
    assert not np.array_equal(other["a"], first[0]["a"]) and not np.array_equal(other["b"], first[0]["b"])


@pytest.mark.parametrize("split", ["train", "val"])
def test_an_epoch_draws_every_picture_once_and_the_next_in_another_order(data_of, split):
    data = data_of["picture"]
    for key, name in zip("ab", data.spec.domains, strict=True):
        pictures = [x for _, x in source_features.read_sources(data, split, name)]
        drawn = joined(batches(data, Unpaired, count=3 * len(pictures), batch_size=1, split=split))[key]
        epochs = np.split(drawn, 3)
        for epoch in epochs:
            assert sorted(map(np.ndarray.tobytes, epoch)) == sorted(map(np.ndarray.tobytes, np.stack(pictures)))
        if len(pictures) > 3:
            assert any(not np.array_equal(x, y) for x, y in itertools.pairwise(epochs))


def test_an_epoch_of_speech_draws_a_record_as_often_as_it_has_crops(data_of):
    data = data_of["speech"]
    times = {s.id: cropping.crops_per_epoch(s.active[0], 16) for s in data.sources_of("train", "low")}
    assert len(set(times.values())) > 1
    stream = input_pipeline._domain_stream(data, "train", "low", CONFIG, first=0, domain_index=0)
    for number in range(2):
        epoch = stream.skip(number * sum(times.values())).take(sum(times.values()))
        drawn = collections.Counter(cropping.parse_example(r, data.spec)["id"].numpy().decode() for r in epoch)
        assert drawn == times


def test_a_recording_is_cropped_elsewhere_another_time(data_of):
    recordings = data_of["speech"].sources_of("val", "low")
    drawn = joined(batches(data_of["speech"], Unpaired, count=10 * len(recordings), batch_size=1, split="val"))["a"]
    assert len({crop.tobytes() for crop in drawn}) > 3 * len(recordings)


@KINDS
def test_mixed_batches_take_turns_and_say_which_domain_it_is(data_of, kind):
    data = data_of[kind]
    batch = joined(batches(data, Mixed, count=6, batch_size=5))
    assert batch["domain"].tolist() == [row % 2 for row in range(30)]
    known = [
        np.concatenate([x.reshape(-1, x.shape[-1]) for _, x in source_features.read_sources(data, "train", n)])
        for n in data.spec.domains
    ]
    rows = [set(map(np.ndarray.tobytes, vectors)) for vectors in known]
    for domain, x in zip(batch["domain"], batch["x"], strict=True):
        vectors = [v for v in x.reshape(-1, x.shape[-1]) if v.max() > data_of["speech"].spec.features.log_floor + 0.1]
        assert vectors and all(v.tobytes() in rows[domain] for v in vectors)


# ------------------------------------------------------------------ what is in a row


@KINDS
def test_features_have_the_shape_that_plugins_are_told(data_of, kind):
    spec = data_of[kind].spec
    (batch,) = batches(data_of[kind], Unpaired, count=1)
    for x in (batch["a"], batch["b"]):
        assert x.shape == (4, *spec.feature_shape(16)) and x.dtype == np.float32
        low, high = (-1, 1) if kind == "picture" else (np.float16(spec.features.log_floor), 12)
        assert low <= x.min() < x.max() <= high


@st.composite
def recordings(draw):
    """Log-mels of which some frames sound; each frame tells which one it is."""
    frames = draw(st.integers(1, 60))
    sounds = draw(st.lists(st.booleans(), min_size=frames, max_size=frames))
    level = np.where(sounds, -1.0, FRONT_END.log_floor)[:, None]
    return np.float32(np.repeat(level, 8, axis=1) + np.where(sounds, np.arange(frames) / 100, 0)[:, None])


@laws
@given(recordings(), st.integers(1, 24), st.integers(0, 2**40))
def test_a_crop_is_a_stretch_of_the_recording_around_a_frame_that_sounds(log_mels, frames, row):
    made = cropping.random_crop(tf.constant(log_mels), frames, SPEECH, tf.constant([row, 3], tf.int64)).numpy()
    assert made.shape == (frames, 8)
    floor = np.full((frames, 8), FRONT_END.log_floor, np.float32)
    beyond = np.concatenate([floor, log_mels, floor])
    assert any(np.array_equal(made, beyond[start : start + frames]) for start in range(len(log_mels) + frames + 1))
    if audio.active_frames(log_mels, FRONT_END).any():
        assert made.max() > FRONT_END.log_floor + 0.5


def test_crops_reach_every_part_that_sounds():
    log_mels = np.float32(np.arange(60)[:, None] / 100 + np.zeros(8))
    crops = [
        cropping.random_crop(tf.constant(log_mels), 16, SPEECH, tf.constant([row, 0], tf.int64)) for row in range(60)
    ]
    assert set(np.concatenate(crops)[:, 0]) >= set(log_mels[:, 0])


@pytest.mark.parametrize(("active", "times"), [(0, 0), (1, 1), (7, 1), (24, 2), (40, 2), (41, 3), (160, 10)])
def test_silence_is_never_drawn_and_length_counts(active, times):
    assert cropping.crops_per_epoch(active, 16) == times


# ------------------------------------------------------------------ samples beside frames


class Waveforms:
    BATCHES = "waveforms"


@pytest.fixture(scope="module")
def spoken(speech_folder, tmp_path_factory):
    """Records with samples, of recordings that are cut into several."""
    folder = tmp_path_factory.mktemp("spoken")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfrecord, "SEGMENT_FRAMES", 40)
        preprocess(speech_folder, folder, ("low", "high"), pairs=["n_fft=256", "n_mels=32"], waveforms=True)
    return dataset.open_records(str(folder))


def test_the_frames_of_a_crop_are_those_of_its_samples(spoken):
    front_end, found = spoken.spec.features, joined(batches(spoken, Waveforms, count=10))
    edge = front_end.n_fft // 2 // front_end.hop_length
    assert found["waveform"].shape == (40, 15 * front_end.hop_length) and found["waveform"].dtype == np.float32
    assert set(found["domain"]) == {0, 1}
    close = 0
    for x, y in zip(found["x"], found["waveform"], strict=True):
        inside = np.arange(16)[edge:-edge]
        apart = np.abs(audio.log_mel(y, front_end) - x)[inside]
        close += np.median(apart.max(axis=1)) < 0.02  # where a record begins, samples of the one before are missing
    assert close == 40


def test_the_kept_samples_of_a_recording_give_its_kept_frames(spoken):
    front_end = spoken.spec.features
    for source, log_mels in source_features.read_sources(spoken, "train", "low"):
        shards = tf.data.TFRecordDataset(spoken.shards("train", "low"))
        parsed = [cropping.parse_example(r, spoken.spec, waveform=True) for r in shards]
        parts = [p["waveform"] for p in parsed if p["id"].numpy().decode() == source.id]
        assert len(parts) == len(source.active) > 1
        y = np.concatenate(parts)
        found = audio.log_mel(y, front_end)[: len(log_mels)]
        np.testing.assert_allclose(found, log_mels, atol=0.04)  # both are half floats


def test_batches_with_samples_are_a_function_of_the_step_and_shared_out(spoken):
    whole = batches(spoken, Waveforms, count=6)
    assert_same(batches(spoken, Waveforms, count=2, start_step=4), whole[4:])
    halves = batches(spoken, Waveforms, count=12, shard=input_pipeline.WorkerShard(0, 1, 2))
    assert_same([joined(halves[n : n + 2]) for n in range(0, 12, 2)], whole)


def test_records_without_samples_are_refused_where_samples_are_wanted(data_of):
    complaint = "speech has no waveforms; run preprocess with --keep_waveforms"
    with pytest.raises(ValueError, match=complaint):
        batches(data_of["speech"], Waveforms, count=1)


def test_other_plugins_do_not_mind_samples(spoken):
    assert {"x", "domain", "index", "step"} == set(batches(spoken, Mixed, count=1)[0])


class Louder:
    """In place of a translator: the frame before and the frame after, added up, and where it was asked for."""

    margin = 1

    def __call__(self, log_mels, domain, row):
        self.asked = log_mels.shape
        return log_mels[:-2] + log_mels[2:]


def test_frames_may_be_those_that_a_model_makes_of_them(spoken):
    plain = batches(spoken, Waveforms, count=3)
    shown = batches(dataclasses.replace(spoken, mel_transform=Louder()), Waveforms, count=3)
    for before, after in zip(plain, shown, strict=True):
        np.testing.assert_array_equal(before["waveform"], after["waveform"])
        wanted = before["x"][:, :-2] + before["x"][:, 2:]
        np.testing.assert_array_equal(after["x"][:, 1:-1], wanted)


# ------------------------------------------------------------------ odd data


@pytest.fixture(scope="module")
def scarce(tmp_path_factory):
    """Long recordings in many records and shards, beside a domain of silence; everything in the training split."""
    folder = tmp_path_factory.mktemp("scarce")
    write_voices(folder, 5)
    (folder / "silent").mkdir()
    soundfile.write(folder / "silent" / "1.wav", np.zeros(8000), 8000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfrecord, "SEGMENT_FRAMES", 20)
        patch.setattr(tfrecord, "SHARD_BYTES", 8 * 2 * 20 * 32)
        pairs = ["n_fft=256", "n_mels=32"]
        preprocess(folder, folder / "out", ("low", "silent"), pairs=pairs, fractions=(0.0, 0.0))
    return dataset.open_records(str(folder / "out"))


def test_whole_recordings_come_once_each_from_several_shards(scarce):
    assert len(scarce.shards("train", "low")) > 2
    found = {source.id: x for source, x in source_features.read_sources(scarce, "train", "low")}
    assert sorted(found) == [source.id for source in scarce.sources_of("train", "low")]
    for source in scarce.sources_of("train", "low"):
        assert len(source.active) > 2 and len(found[source.id]) == source.frames


def test_records_of_several_shards_are_drawn_alike(scarce):
    draws = sum(
        cropping.crops_per_epoch(active, 16) for source in scarce.sources_of("train", "low") for active in source.active
    )
    stream = input_pipeline._domain_stream(scarce, "train", "low", CONFIG, first=0, domain_index=0).take(draws)
    drawn = {cropping.parse_example(r, scarce.spec)["id"].numpy().decode() for r in stream}
    assert drawn == {source.id for source in scarce.sources_of("train", "low")}


@pytest.mark.parametrize(
    ("split", "complaint"),
    [
        ("train", "domain silent: no example in the train split; all of its 1 files are silent"),
        ("val", "domain low: no example in the val split; it has no files"),
    ],
)
def test_a_split_with_nothing_to_draw_from_is_refused(scarce, split, complaint):
    for form in (Mixed, Unpaired):
        with pytest.raises(ValueError, match=complaint):
            batches(scarce, form, count=1, split=split)


def test_a_broken_file_of_the_records_is_named(speech_records, tmp_path):
    for name, said in (("statistics.json", "is broken"), ("features.json", "is broken"), ("manifest.jsonl", "line 3")):
        shutil.copytree(speech_records, tmp_path / name)
        path = tmp_path / name / name
        text = path.read_text()
        lines = text.splitlines(keepends=True)
        path.write_text("".join([*lines[:2], lines[2][:50]]) if name == "manifest.jsonl" else text[: len(text) // 2])
        with pytest.raises(ValueError, match=f"{name}.*{said}.*wanted what preprocess writes"):
            dataset.open_records(str(tmp_path / name))


@pytest.mark.parametrize("left", [None, 0, 100])
def test_a_shard_that_is_gone_or_cut_off_is_named_before_anything_waits_for_it(speech_records, tmp_path, left):
    shutil.copytree(speech_records, tmp_path / "records")
    path = next((tmp_path / "records").glob("low-train.tfrecord-*"))
    content = path.read_bytes()
    path.unlink()
    if left is not None:
        path.write_bytes(content[:left])
    with pytest.raises(ValueError, match="low-train.*(is missing|bytes instead of).*wanted what preprocess writes"):
        dataset.open_records(str(tmp_path / "records"))
