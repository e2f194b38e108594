"""Preprocessing in this process, and the contents of the directory that it writes."""

import json
import os
import pathlib
import tempfile

import tensorflow as tf

from models.features.audio import AudioSpec
from pipelines import stable_hash
from pipelines.beam import runner
from pipelines.data import cropping, dataset, feature_extraction, feature_file, feature_store, front_end, tfrecord
from pipelines.data.domains import read_domains
from pipelines.data.splits import SPLITS
from pipelines.jobs import dataset_writer, preprocess_job

RATE_HZ = 8000
JSON_FILES = {"dataset_info.json", "features.json", "statistics.json", "manifest.jsonl", "failures.jsonl"}


def job(data_dir, pairs=(), cache_dir="", changes=(), **domains):
    """The job on domains of these names and patterns, with changes of its configuration."""
    files = read_domains(f"{name}={pattern}" for name, pattern in domains.items())
    kind = front_end.infer_kind(files, None)
    options = {"data_dir": str(data_dir), "fractions": (0.2, 0.2), "split_by": "file", "cache_dir": str(cache_dir)}
    spec = front_end.infer_spec(kind, files, list(pairs))
    return preprocess_job.PreprocessJob(kind=kind, spec=spec, domains=files, **{**options, **dict(changes)})


def prepare(data_dir, *beam, pairs=("n_fft=256", "n_mels=32"), cache_dir="", changes=(), **domains):
    """The numbers of the job; sources are counted by their splits as well. Its warnings are in `prepare.warnings`."""
    made = job(data_dir, pairs, cache_dir, changes, **domains)
    done = dataset_writer.write_dataset(made, runner.parse_options(list(beam)))
    if done is not None:
        splits, prepare.warnings, prepare.reused = (done.pop(name) for name in ("splits", "warnings", "reused"))
        prepare.excluded, prepare.first_failure = done.pop("excluded"), done.pop("first_failure")
        assert set(splits) == set(domains)
        assert sum(sum(each.values()) for each in splits.values()) == done["sources"]
    return done


def survey_file(file, row, spec, fractions, *, waveforms=False):
    """Sources, moments and serialised records of a file."""
    with tempfile.TemporaryDirectory() as folder:
        store, may_cut = feature_store.FeatureStore(folder, spec, waveforms, fractions), row.get("cut", False)
        kind = "audio" if isinstance(spec, AudioSpec) else "image"
        extracted = feature_extraction.extract(file, store, may_cut=may_cut)
        with feature_file.Features(extracted, store.layout) as features, store.batch(["x"]) as batch:
            identity = {"hash": stable_hash.file_digest(file), "features": batch.add("x", features)}
            surveyed = list(feature_extraction.survey(features.parts(), row, spec, identity))
        with store.reader() as reader:
            return [
                (source, moments, list(feature_extraction.serialized_examples(reader, source, kind)))
                for source, moments in surveyed
            ]


def contents(folder):
    paths = (path for path in pathlib.Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def rows(data_dir, name):
    return [json.loads(line) for line in (pathlib.Path(data_dir) / name).read_text().split("\n")[:-1]]


def stored(data_dir):
    """Shard file to the ids of the examples in it."""
    data = dataset.open_records(str(data_dir))
    shards = [path for name in data.spec.domains for split in SPLITS for path in data.shards(split, name)]
    return {os.path.basename(path): [text(example["id"]) for example in examples(data, [path])] for path in shards}


def examples(data, shards):
    return [cropping.parse_example(record, data.spec) for record in tf.data.TFRecordDataset(shards)]


def text(tensor):
    return tensor.numpy().decode()


def assert_whole(data_dir):
    """Everything that stands in the JSON files is there, and nothing else."""
    info = json.loads((pathlib.Path(data_dir) / "dataset_info.json").read_text())
    sizes = {}
    for split in info["splits"]:
        lengths = list(map(int, split["shardLengths"]))
        for shard, length in enumerate(lengths):
            name = split["filepathTemplate"].replace("{SHARD_X_OF_Y}", f"{shard:05d}-of-{len(lengths):05d}")
            sizes[name] = length
    assert set(os.listdir(data_dir)) == JSON_FILES | set(sizes)
    found = stored(data_dir)
    assert {name: len(ids) for name, ids in found.items()} == sizes
    expected = {name: [] for name in sizes}
    for row in rows(data_dir, "manifest.jsonl"):
        of = len([n for n in sizes if n.startswith(f"{row['domain']}-{row['split']}.")])
        expected[tfrecord.shard_name(row["domain"], row["split"], row["shard"], of)] += [row["id"]] * len(row["active"])
    assert found == expected
