"""Write `runs_0.1.tar.xz`: small runs of an earlier revision, and the outputs that revision computes with them.

Run it with a checkout of that revision as working directory; README.md has the commands.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile

sys.path[:0] = [os.getcwd(), os.path.join(os.getcwd(), "tests")]

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from testbed import write_pictures, write_voices  # noqa: E402

from pipelines import checkpoint, dataset  # noqa: E402

FOLDER = pathlib.Path("/tmp/crossfade_runs")  # in records, config.json and export: the same bytes on every machine
SPEECH = "n_fft=128 hop_length=32 win_length=128 n_mels=8"
SMALL = "channels=4 critic_channels=2 blocks=1"
RUNS = {  # name: (plugin, records, steps, keys)
    "cyclegan": (
        "cyclegan",
        "speech",
        21,  # an odd number, which leaves an accumulated gradient in the checkpoint
        f"{SMALL} kernel=3 crop_frames=8 transport=true pool_size=2 ema=0.9 accumulate=2",
    ),
    "beta_vae": ("beta_vae", "pictures", 20, "latent=2 channels=2"),
    "vocoder": (
        "vocoder",
        "speech",
        10,
        "channels=4 critic_channels=1 blocks=1 kernel=3 crop_frames=8 ema=0.9 projections=1 "
        "adversarial=1 matching=2 mel=1 periods=1 resolutions=1",
    ),
    "cut": ("cut", "pictures", 20, f"{SMALL} features=8 patches=16 halvings=1 r1=1 r1_every=4 critics=2 pool_size=2"),
}
SIGNATURES = ("translate_ab", "translate_ba", "encode", "decode", "reconstruct", "vocode")  # those without noise
SAMPLES = 16  # values of each variable that are kept


def script(name: str, *arguments) -> None:
    """Run one of the scripts of the checkout."""
    command = [sys.executable, "-m", f"pipelines.{name}", *map(str, arguments)]
    subprocess.run(command, check=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"})


def write_records() -> None:
    """Write two corpora of two domains each, and their records."""
    write_voices(FOLDER / "corpus", 6, seconds=0.15)
    write_pictures(FOLDER / "corpus", 12)
    fractions = ["--val_fraction=0.25", "--test_fraction=0"]
    for kind, domains, options in (
        ("speech", ("low", "high"), ["--keep_waveforms", *(f"--set={pair}" for pair in SPEECH.split())]),
        ("pictures", ("plain", "tinted"), []),
    ):
        flags = [f"--domain={name}={FOLDER / 'corpus' / name}" for name in domains]
        script("preprocess", *flags, f"--data_dir={FOLDER / 'records' / kind}", *fractions, *options)


def restored(name: str) -> tuple:
    """The plugin of a run and its checkpoint keeper, restored, and the step."""
    run = checkpoint.read_run(str(FOLDER / name))
    plugin = checkpoint.build_plugin(run, dataset.open_records(run.data_dir).spec)
    keeper = checkpoint.Keeper(str(FOLDER / name), plugin)
    return plugin, keeper, keeper.restore()


def save_with_half_the_rates(name: str) -> None:
    """Save the newest checkpoint again, with the learning rates that training goes on with after it diverged once."""
    plugin, keeper, step = restored(name)
    plugin.rate_factor.assign(0.5)
    keeper.save(step)


def train(name: str) -> None:
    """Train a run, and remove all but its newest checkpoint and the export that takes features."""
    plugin, records, steps, keys = RUNS[name]
    run_dir = FOLDER / name
    flags = [f"--plugin={plugin}", f"--steps={steps}", "--batch_size=2", *(f"--set={key}" for key in keys.split())]
    script("train", f"--data_dir={FOLDER / 'records' / records}", f"--run_dir={run_dir}", *flags)
    if name == "cyclegan":
        save_with_half_the_rates(name)
    for path in run_dir.glob("checkpoints/ckpt-*"):
        if not path.name.startswith(f"ckpt-{steps}."):
            path.unlink()
    state = f'model_checkpoint_path: "ckpt-{steps}"\nall_model_checkpoint_paths: "ckpt-{steps}"\n'
    (run_dir / "checkpoints" / "checkpoint").write_text(state)
    for path in run_dir.iterdir():
        if path.name not in ("config.json", "checkpoints", "best", "export", "metrics.jsonl"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(run_dir / "export" / "encoded_audio", ignore_errors=True)  # takes files, and is as large again


def sample(values) -> np.ndarray:
    """At most `SAMPLES` values of an array, evenly spaced."""
    flat = np.ravel(values)
    return flat[:: -(-len(flat) // SAMPLES)]


def expected(name: str) -> dict[str, np.ndarray]:
    """Inputs and outputs of a run's signatures, and samples of its variables after a restore, by attribute path."""
    plugin, _, step = restored(name)
    best = checkpoint.Keeper(str(FOLDER / name), plugin, folder="best")
    arrays = {"step": np.int64(step), "lowest": np.float32(best.lowest())}
    for path, network in plugin._flatten(with_path=True, predicate=lambda value: isinstance(value, tf.keras.Model)):
        if path[0] != "taps":  # parts of other networks
            flat = np.concatenate([np.ravel(v) for v in network.weights])
            arrays[f"network/{'.'.join(map(str, path))}"] = sample(flat)
    for path, variable in plugin._flatten(with_path=True, predicate=lambda value: isinstance(value, tf.Variable)):
        arrays[f"variable/{'.'.join(map(str, path))}"] = sample(variable.numpy())
    rng = np.random.default_rng(0)
    shape = [1, *(size or 24 for size in plugin.spec.feature_shape())]
    noise = rng.normal(size=shape).astype(np.float32)
    overall = plugin.spec.overall
    features = overall.mean + overall.std * noise if plugin.spec.kind == "audio" else np.tanh(noise)
    codes = rng.normal(size=(1, getattr(plugin.config, "latent", 1))).astype(np.float32)
    for signature, function in plugin.signatures().items():
        if signature in SIGNATURES:
            given = np.float32(codes if signature == "decode" else features)
            arrays[f"input/{signature}"], arrays[f"output/{signature}"] = given, function(tf.constant(given)).numpy()
    return arrays


def main(target: str) -> None:
    """Make the runs and pack them."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    write_records()
    arrays = {}
    for name in RUNS:
        train(name)
        arrays |= {f"{name}/{key}": value for key, value in expected(name).items()}
    np.savez(FOLDER / "expected.npz", **arrays)
    revision = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    (FOLDER / "made_by.json").write_text(json.dumps({"revision": revision, "versions": checkpoint.versions()}) + "\n")
    shutil.rmtree(FOLDER / "corpus")
    with tarfile.open(target, "w:xz", preset=9) as archive:
        for path in sorted(FOLDER.rglob("*")):
            archive.add(path, path.relative_to(FOLDER), recursive=False)


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]))
