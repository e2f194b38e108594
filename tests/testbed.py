"""Two virtual CPU devices, and corpora small enough to train on in seconds."""

import dataclasses
import os
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as train does
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")  # compiled to be compared, not to be fast

import keras  # noqa: F401
import numpy as np
import PIL.Image
import pytest
import soundfile
import tensorflow as tf
from hypothesis import settings
from hypothesis import strategies as st

import plugins
from models.features.audio import AudioSpec
from pipelines import config, run_directory
from pipelines.beam import runner
from pipelines.data import dataset, front_end
from pipelines.data.domains import read_domains
from pipelines.export import waveform_signatures
from pipelines.jobs import dataset_writer, preprocess_job
from pipelines.training import trainer
from tests import script_process

CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(CPU, [tf.config.LogicalDeviceConfiguration()] * 2)
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # graphs that run a few times only
tf.config.threading.set_inter_op_parallelism_threads(2)
tf.config.threading.set_intra_op_parallelism_threads(1)

SPECS = {  # front ends that laws are held to
    "8k": AudioSpec.at(8000),
    "16k": AudioSpec(),
    "22k": AudioSpec.at(22050),
    "short window": AudioSpec.at(8000, win_length=401, hop_length=77, n_mels=40),
}
SMALL = AudioSpec.at(8000, n_fft=256, n_mels=32)
each_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
laws = settings(max_examples=20, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
unicode_names = st.text(st.characters(exclude_categories=["Cs"]))

DATAFLOW = "--runner=DataflowRunner --dry_run=True --project=some-project --region=us-central1".split()
DATAFLOW.append("--temp_location=gs://bucket/tmp")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NO_EVALUATION = trainer.Intervals(validations=0)
CLIP_FRAMES = 24  # of voice_pair
VOICES_HZ = {"low": 110.0, "high": 220.0}
OF_MELS, waveform_signatures.SPEECH_SIGNATURES = (
    waveform_signatures.SPEECH_SIGNATURES,
    (),
)  # NAME_waveform takes half of a small export's time


@pytest.fixture(scope="session")
def replicas():
    """One strategy over both devices: a second one would number its collectives like the first."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def random_pair(seed: int, batch: int = 3) -> tf.Tensor:
    """Two tensors `[batch, ...]` of random rank and shape, stacked."""
    rng = np.random.default_rng(seed)
    shape = (batch, *rng.integers(1, 5, size=rng.integers(0, 4)))
    return tf.constant(rng.normal(size=(2, *shape)), tf.float32)


def glide(f0_hz: float, t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The F0 in Hz of a :func:`voice` at these seconds, where its seed is that of the generator."""
    return f0_hz * (1 + 0.1 * np.sin(2 * np.pi * (1.5 * t + rng.uniform())))


def voice(f0_hz: float, seconds: float, rate_hz: int, seed: int) -> np.ndarray:
    """Something like speech: gliding harmonics under two moving formants, in syllables."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    f0 = glide(f0_hz, t, rng)
    phase = 2 * np.pi * np.cumsum(f0) / rate_hz
    formants = [(500 + 250 * np.sin(2 * np.pi * (2 * t + rng.uniform())), 120.0), (1500.0, 250.0)]
    y = np.zeros(len(t))
    for n in range(1, int(0.45 * rate_hz / f0_hz)):
        loud = sum(np.exp(-0.5 * ((n * f0 - centre) / width) ** 2) for centre, width in formants)
        y += (loud + 0.02) / n**0.5 * np.sin(n * phase)
    syllables = np.clip(4 * np.sin(2 * np.pi * (3 * t + rng.uniform())), 0, 1)
    return (0.1 * y * syllables + 1e-4 * rng.normal(size=len(t))).astype(np.float32)


@pytest.fixture(scope="session")
def voice_pair():
    """Waveforms `[2, samples]` of two voices, `CLIP_FRAMES` frames of SMALL."""
    samples = (CLIP_FRAMES - 1) * SMALL.hop_length
    return tf.constant(np.stack([voice(hz, 1.0, 8000, 0)[:samples] for hz in VOICES_HZ.values()]))


def write_voices(folder, count: int, *, seconds: float = 0.7, rate_hz: int = 8000, seed: int = 0) -> None:
    for name, f0_hz in VOICES_HZ.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for n in range(count):
            y = voice(f0_hz, seconds * (1 + 0.3 * (n % 3)), rate_hz, seed=seed + n)
            soundfile.write(folder / name / f"clip_{n:02d}.wav", y, rate_hz)


def write_pictures(folder, count: int) -> None:
    """Bright blobs on a dark ground, and the same inverted and tinted."""
    y, x = np.mgrid[:16, :16]
    for n in range(count):
        rng = np.random.default_rng(n)
        (cy, cx), size = rng.uniform(5, 11, 2), rng.uniform(1.5, 3)
        blob = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * size**2))[..., None]
        shown = {"plain": blob * [1, 1, 1], "tinted": (1 - blob) * [1.0, 0.6, 0.3]}
        for name, pixels in shown.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(np.uint8(255 * pixels)).save(folder / name / f"picture_{n:02d}.png")


def preprocess(folder, data_dir, names, **changes) -> dict:
    """Runs the job in this process."""
    domains = read_domains(f"{name}={folder / name}" for name in names)
    kind = front_end.infer_kind(domains, None)
    job = preprocess_job.PreprocessJob(
        kind=kind,
        spec=front_end.infer_spec(kind, domains, changes.pop("pairs", [])),
        domains=domains,
        data_dir=str(data_dir),
        **{"fractions": (0.2, 0.2), "split_by": "file", **changes},
    )
    return dataset_writer.write_dataset(job, runner.parse_options([]))


@pytest.fixture(scope="session")
def speech_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speech")
    write_voices(folder, 12)
    return folder


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    write_pictures(folder, 16)
    return folder


@pytest.fixture(scope="session")
def speech_records(speech_folder, tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("records") / "speech"
    preprocess(speech_folder, data_dir, VOICES_HZ, pairs=["n_fft=256", "n_mels=32"])
    return str(data_dir)


@pytest.fixture(scope="session")
def waveform_records(speech_folder, tmp_path_factory):
    """The same with the samples kept."""
    data_dir = tmp_path_factory.mktemp("records") / "waveforms"
    preprocess(speech_folder, data_dir, VOICES_HZ, pairs=["n_fft=256", "n_mels=32"], waveforms=True)
    return str(data_dir)


@pytest.fixture(scope="session")
def picture_records(picture_folder, tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("records") / "pictures"
    preprocess(picture_folder, data_dir, ("plain", "tinted"))
    return str(data_dir)


def train(run_dir, data_dir, plugin="cyclegan", *, intervals=None, strategy=None, **changes) -> trainer.Trainer:
    """A trainer of a small model for a few steps; changes are of its configuration, and of the run."""
    data = dataset.open_records(data_dir)
    made = config.preset(plugins.load(plugin), "small", data.spec.kind)
    known = {field.name for field in dataclasses.fields(made)}
    assert set(changes) <= known | {"precision", "jit_compile"}, changes
    sizes = {"steps": 2, "batch_size": 2, "crop_frames": 16, "channels": 8, "blocks": 1, "discriminator_channels": 8}
    made = dataclasses.replace(made, **{k: v for k, v in {**sizes, **changes}.items() if k in known})
    run = run_directory.Run(
        plugin=plugin,
        preset="small",
        config=config.to_json(made),
        data_dir=data_dir,
        spec=run_directory.describe_spec(data.spec),
        **{name: changes[name] for name in ("precision", "jit_compile") if name in changes},
    )
    run_directory.write_run(run_dir, run)
    return trainer.Trainer(run, data, run_dir, strategy or tf.distribute.get_strategy(), intervals or NO_EVALUATION)


@pytest.fixture(scope="session")
def speech_run(speech_records, tmp_path_factory):
    """A run of `cyclegan` on speech, two steps long, exported with all that takes and gives waveforms."""
    run_dir = str(tmp_path_factory.mktemp("run"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waveform_signatures, "SPEECH_SIGNATURES", OF_MELS)
        train(run_dir, speech_records).fit()
    return run_dir


@pytest.fixture(scope="session")
def autoencoder_run(speech_records, tmp_path_factory):
    """A run of `ae` on speech, two steps long, exported."""
    run_dir = str(tmp_path_factory.mktemp("run"))
    train(run_dir, speech_records, "ae").fit()
    return run_dir


@pytest.fixture(scope="session")
def vocoder_run(waveform_records, tmp_path_factory):
    """A run of `vocoder`, two steps long, exported."""
    run_dir = str(tmp_path_factory.mktemp("vocoder"))
    train(run_dir, waveform_records, "vocoder", projections=1).fit()
    return run_dir


@pytest.fixture(scope="session")
def picture_run(picture_records, tmp_path_factory):
    """A run of `cyclegan` on pictures, two steps long, exported."""
    run_dir = str(tmp_path_factory.mktemp("run"))
    train(run_dir, picture_records).fit()
    return run_dir


def script(name: str, *arguments, cwd=ROOT, **environment) -> subprocess.CompletedProcess:
    """Runs one of the scripts as a user would."""
    return script_process.run(name, [*map(str, arguments)], str(cwd), {**os.environ, **environment}, timeout_s=300)


# bytes of files that crash or hang every process that reads them, in :func:`poisoned_environment`
POISON, HANG = b"POISON", b"HANG-FOR-EVER"
CRASHING_READER = f"""
import signal, time
from pipelines import stable_hash

read = stable_hash.file_digest

def crash_or_read(file):
    content = file.read()
    if {POISON!r} in content:
        signal.raise_signal(signal.SIGSEGV)  # of this thread: os.kill may return, and the file would be read
    while {HANG!r} in content:
        time.sleep(1)
    return read(file)

stable_hash.file_digest = crash_or_read
"""


def poisoned_environment(folder) -> dict[str, str]:
    """Environment variables of processes that crash or hang when they read a file with the bytes `POISON` or `HANG`."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(CRASHING_READER)
    return {"PYTHONPATH": os.pathsep.join([str(folder), ROOT])}


def poison(path, content: bytes = POISON) -> None:
    """Append the bytes `POISON`, or `HANG`, to a file."""
    with open(path, "ab") as file:
        file.write(content)


@pytest.fixture
def features_only(monkeypatch):
    """Exports without the front end and inversion around what takes features, which is the same for all."""
    monkeypatch.setattr(waveform_signatures, "build_waveform_signatures", lambda *_: {})


@pytest.fixture
def dataflow_jobs(monkeypatch):
    """The jobs that are built for Dataflow; none is sent."""
    from apache_beam.runners.dataflow.internal import apiclient  # a second and a half

    built = []

    class Job(apiclient.Job):
        def __init__(self, made, proto):
            built.append(proto)
            super().__init__(made, proto)

    monkeypatch.setattr(apiclient, "Job", Job)
    return built


@pytest.fixture
def in_new_process():
    """Runs Python code in a process of its own; fails with what it printed."""

    def run(code: str, *arguments, cwd=ROOT) -> str:
        command = [sys.executable, "-c", code, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    return run
