"""Runs the scripts of two revisions on the same small corpus and compares all numbers and bytes that they write.

    python -m tests.compare_revisions BASE [--head=REVISION] [--only=audio/cyclegan] [--output_dir=FOLDER]

For a refactoring, which must change no behaviour. The second revision is the working tree unless --head names another.
Revisions are checked out by `git worktree` into a temporary folder; everything temporary is removed at the end. Both
are run by this interpreter, one after the other, in the same folders, so that paths in their results agree.

A case is one command. Its name begins with that of the case whose results it needs: "audio" preprocesses, and
"audio/cyclegan" trains on these records what "audio/cyclegan/translate" applies. --only=NAME selects a case with all
that it needs and all that need it; it can be repeated.

    preprocess  all files, byte for byte
    train       the numbers of metrics.jsonl except EXCLUDED; all tensors of the last checkpoint, whatever their names
    translate   the numbers of all JSON files; all other files byte for byte
    evaluate    the numbers of metrics.json
    explore     the numbers of reconstruct.json

Numbers must be equal exactly. Text in JSON values is not compared, as it may be reworded; RENAMED lists keys that have
other names in the second revision. The configuration keys of TRAIN have to be accepted by both revisions. One line is
printed for each comparison; the exit code is 1 where anything differs, or where a command fails. All cases take about
twelve minutes on two cores; do not edit the working tree meanwhile.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import PIL.Image
import soundfile

ROOT = pathlib.Path(__file__).parents[1]
RENAMED = {  # key of JSON results in BASE -> key in the second revision
    "effort": "residual",
    "second": "two_step_adversarial",
    "matching": "feature_matching",
    "heard_as_target": "target_rate",
    "heard_as_neither": "neither_rate",
}
EXCLUDED = ("steps_per_s", "waiting", "times_real_time", "run", "asked")  # speeds; configurations
RATE_HZ = 8000
NAMES = [f"item{n:02d}" for n in range(10)]  # files of each domain: hashes put 6, 2 and 2 of them into the splits
DOMAINS = {"audio": ("low", "high"), "image": ("plain", "tinted")}
FRACTIONS = ("--val_fraction=.25", "--test_fraction=.25")
PREPROCESS = {"audio": ("--pitch", "--keep_waveforms", "--set=n_fft=256", "--set=n_mels=32"), "image": ()}
NUMBERS = {"train": "metrics.jsonl", "evaluate": "metrics.json", "explore": "reconstruct.json"}
GAN = "channels=8 blocks=1 critic_channels=8 batch_size=2"
TRAIN = {  # case: keys of the plugin's configuration, and the scripts that the trained run is given to
    "audio/cyclegan": (f"{GAN} crop_frames=16 pool_size=4", "translate evaluate"),
    "audio/vae": ("channels=8 latent=4 batch_size=4 crop_frames=16", "explore"),
    "audio/mask_cyclegan": (f"{GAN} crop_frames=16 missing=4", ""),
    "audio/stargan": (f"{GAN} crop_frames=16", "translate"),
    "audio/vocoder": (f"{GAN} crop_frames=16 periods=2 resolutions=1", "evaluate"),
    "image/cyclegan": (f"{GAN} pool_size=4", "translate evaluate"),
    "image/cut": (f"{GAN} patches=8 features=8", ""),
    "image/wgan_gp": ("channels=8 critic_channels=8 latent=4 batch_size=4", "evaluate"),
    "image/db_vae": ("channels=8 latent=4 batch_size=4", "explore"),
}


class Case(NamedTuple):
    """A command: the script's module in `pipelines`, its flags, and the name of the folder that it writes."""

    script: str
    flags: tuple[str, ...]
    output: str


def synthesize_speech(f0_hz: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Gliding harmonics under two formants, in syllables, with a little noise; float32 samples at `RATE_HZ`."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    f0 = f0_hz * (1 + 0.1 * np.sin(2 * np.pi * (1.5 * t + rng.uniform())))
    phase, y = 2 * np.pi * np.cumsum(f0) / RATE_HZ, np.zeros(len(t))
    first_hz = 500 + 250 * np.sin(2 * np.pi * (2 * t + rng.uniform()))
    for n in range(1, int(0.45 * RATE_HZ / f0_hz)):
        gain = sum(np.exp(-0.5 * ((n * f0 - formant) / 150) ** 2) for formant in (first_hz, 1500))
        y += (gain + 0.02) / n**0.5 * np.sin(n * phase)
    syllables = np.clip(4 * np.sin(2 * np.pi * (3 * t + rng.uniform())), 0, 1)
    return np.float32(0.1 * y * syllables + 1e-4 * rng.normal(size=len(t)))


def write_corpus(folder: pathlib.Path) -> None:
    """Writes recordings of two voices, and pictures of blobs that are bright in one domain and dark in the other."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:16, :16]
    for name in (*DOMAINS["audio"], *DOMAINS["image"]):
        (folder / name).mkdir(parents=True)
    for stem in NAMES:
        for name, f0_hz in zip(DOMAINS["audio"], (110.0, 220.0), strict=True):
            waveform = synthesize_speech(f0_hz, rng.uniform(0.6, 0.8), rng)
            soundfile.write(folder / name / f"{stem}.wav", waveform, RATE_HZ)
        for name, peak in zip(DOMAINS["image"], ([255, 255, 255], [-255, -150, -75]), strict=True):
            (row, column), width = rng.uniform(5, 11, 2), rng.uniform(1.5, 3)
            blob = np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * width**2))[..., None]
            pixels = blob * peak - np.minimum(peak, 0)
            PIL.Image.fromarray(np.uint8(pixels)).save(folder / name / f"{stem}.png")


def list_cases(corpus: pathlib.Path, results: pathlib.Path) -> dict[str, Case]:
    """All cases by name, each after the one that it needs."""
    cases = {}
    for kind, names in DOMAINS.items():
        domains = [f"--domain={name}={corpus / name}" for name in names]
        flags = (*domains, f"--data_dir={results / kind}", *FRACTIONS, *PREPROCESS[kind])
        cases[kind] = Case("preprocess", flags, kind)
    for name, (pairs, scripts) in TRAIN.items():
        kind, plugin = name.split("/")
        (source, target), run = DOMAINS[kind], f"{kind}-{plugin}"
        records, run_dir = f"--data_dir={results / kind}", f"--run_dir={results / run}"
        settings = (f"--set={pair}" for pair in pairs.split())
        cases[name] = Case("train", (records, run_dir, f"--plugin={plugin}", "--steps=20", *settings), run)
        flags = {
            "translate": (f"--input={corpus / source}", f"--source={source}", f"--target={target}"),
            "evaluate": (records,),
            "explore": (records, "--do=reconstruct"),
        }
        for script in scripts.split():
            output_dir = f"--output_dir={results / f'{run}-{script}'}"
            cases[f"{name}/{script}"] = Case(script, (run_dir, output_dir, *flags[script]), f"{run}-{script}")
    return cases


def select_cases(cases: Mapping[str, Case], only: Iterable[str]) -> dict[str, Case]:
    """The cases of these names, with those they need and those that need them; all cases without a name.

    Raises:
      SystemExit: there is no case of a name.
    """
    if unknown := [name for name in only if name not in cases]:
        raise SystemExit(f"--only={unknown[0]}: no such case; wanted one of {', '.join(cases)}")
    prefixes = tuple(f"{name}/" for name in only) or ("",)
    needed = {name for name in cases if any(prefix.startswith(f"{name}/") for prefix in prefixes)}
    return {name: case for name, case in cases.items() if name in needed or f"{name}/".startswith(prefixes)}


@contextlib.contextmanager
def checked_out(revision: str | None, folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """The tree of a revision, checked out into a folder that is removed afterwards; the working tree for None."""
    if revision is None:
        yield ROOT
        return
    git = ["git", "-C", str(ROOT), "worktree"]
    if subprocess.run([*git, "add", "--quiet", "--detach", str(folder), revision]).returncode:
        raise SystemExit(f"{revision} cannot be checked out")
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def run_cases(tree: pathlib.Path, cases: Mapping[str, Case], label: str) -> dict[str, str]:
    """Runs all cases with the code of a tree; the last line of the errors of those that failed."""
    failures: dict[str, str] = {}
    environment = {**os.environ, "PYTHONPATH": str(tree), "TF_CPP_MIN_LOG_LEVEL": "3"}
    for name, case in cases.items():
        if needed := [other for other in failures if name.startswith(f"{other}/")]:
            failures[name] = f"needs {needed[0]}"
            continue
        began = time.monotonic()
        command = [sys.executable, "-m", f"pipelines.{case.script}", *case.flags]
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
        if done.returncode:
            failures[name] = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        print(f"{label}: {name}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
    return failures


def flatten_numbers(value, renamed: Mapping[str, str], path: str = "") -> dict[str, str]:
    """The numbers, truth values and nulls in JSON as text that is exact, by path; text and `EXCLUDED` keys left out."""
    if not isinstance(value, (dict, list)):
        return {} if isinstance(value, str) else {path: repr(value)}
    numbers: dict[str, str] = {}
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        if key not in EXCLUDED:
            numbers |= flatten_numbers(item, renamed, f"{path}/{renamed.get(key, key)}")
    return numbers


def read_json(path: pathlib.Path):
    text = path.read_text()
    return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text)


def compare_numbers(base: pathlib.Path, head: pathlib.Path) -> str:
    """What differs in the numbers of two JSON files; nothing if they are the same."""
    old, new = flatten_numbers(read_json(base), RENAMED), flatten_numbers(read_json(head), {})
    paths = [path for path in {**old, **new} if old.get(path) != new.get(path)]
    if not paths:
        return ""
    values = " -> ".join(side.get(paths[0], "missing") for side in (old, new))
    return f"{len(paths)} of {len({**old, **new})} numbers differ, first {paths[0]}: {values}"


def compare_bytes(base: pathlib.Path, head: pathlib.Path) -> str:
    """Where two files differ first, with what stands there in JSON; nothing if they are the same."""
    old, new = base.read_bytes(), head.read_bytes()
    if old == new:
        return ""
    offset = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    excerpts = [side[max(0, offset - 60) : offset + 60].decode(errors="replace") for side in (old, new)]
    text = f": {' -> '.join(map(repr, excerpts))}" if base.suffix in (".json", ".jsonl") else ""
    return f"{len(old)} -> {len(new)} bytes, which differ from byte {offset} on{text}"


def compare_tensors(base: pathlib.Path, head: pathlib.Path) -> str:
    """What differs in the tensors of the last checkpoints of two runs, regardless of their names."""
    old, new = read_tensors(base), read_tensors(head)
    old_digests, new_digests = (collections.Counter(map(digest, tensors.values())) for tensors in (old, new))
    old_only, new_only = old_digests - new_digests, new_digests - old_digests
    if not old_only and not new_only:
        return ""
    count = f"{old_only.total()} of {len(old)} tensors in BASE, {new_only.total()} of {len(new)} in HEAD have no equal"
    tensors, unequal = (old, old_only) if old_only else (new, new_only)
    key = next(key for key, value in tensors.items() if digest(value) in unequal)
    if key in old and key in new and old[key].shape == new[key].shape:
        return f"{count}, first {key}: by {np.max(np.abs(old[key].astype(np.float64) - new[key])):.3g} at most"
    return f"{count}, first {key} {list(tensors[key].shape)}"


def read_tensors(run_dir: pathlib.Path) -> dict[str, np.ndarray]:
    """Weights, optimizer states and counters of the last checkpoint by key."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(run_dir / "checkpoints"))
    keys = (key for key, dtype in sorted(reader.get_variable_to_dtype_map().items()) if dtype != tf.string)
    return {key: np.asarray(reader.get_tensor(key)) for key in keys}


def digest(array: np.ndarray) -> tuple:
    return array.dtype.str, array.shape, hashlib.sha256(array.tobytes()).hexdigest()


def compare_results(script: str, base: pathlib.Path, head: pathlib.Path) -> Iterator[tuple[str, str]]:
    """Names of what a script writes into a folder, and what differs; see the head of this file."""
    paths = {str(path.relative_to(side)) for side in (base, head) for path in side.rglob("*") if path.is_file()}
    for path in sorted({NUMBERS[script]} if script in NUMBERS else paths):
        missing = [label for label, side in (("BASE", base), ("HEAD", head)) if not (side / path).is_file()]
        numeric = script != "preprocess" and path.endswith((".json", ".jsonl"))
        compare = compare_numbers if numeric else compare_bytes
        yield path, f"{' and '.join(missing)} without it" if missing else compare(base / path, head / path)
    if script == "train":
        yield "checkpoint", compare_tensors(base, head)


def compare_revisions(base: str, head: str | None, work: pathlib.Path, only: Iterable[str]) -> int:
    """Runs and compares both revisions; the number of differences and failures."""
    write_corpus(work / "corpus")
    results = work / "results"
    cases = select_cases(list_cases(work / "corpus", results), only)
    failures, differences = {}, 0
    with checked_out(base, work / "tree-BASE") as base_tree, checked_out(head, work / "tree-HEAD") as head_tree:
        for label, tree in (("BASE", base_tree), ("HEAD", head_tree)):
            results.mkdir()
            failures[label] = run_cases(tree, cases, label)
            results.rename(work / label)
    for name, case in cases.items():
        failed = [(label, f"failed: {errors[name]}") for label, errors in failures.items() if name in errors]
        folders = (work / "BASE" / case.output, work / "HEAD" / case.output)
        for title, difference in failed or compare_results(case.script, *folders):
            print(f"{name}: {title}: {difference or 'same'}", flush=True)
            differences += bool(difference)
    return differences


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", metavar="BASE", help="revision that is compared with")
    parser.add_argument("--head", help="revision that is compared; the working tree if not given")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="case to run; all if not given")
    parser.add_argument("--output_dir", type=pathlib.Path, help="new folder that keeps corpus and results")
    options = parser.parse_args()
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = options.output_dir or stack.enter_context(tempfile.TemporaryDirectory(prefix="crossfade-compare-"))
        differences = compare_revisions(options.base, options.head, pathlib.Path(folder).absolute(), options.only)
    print(f"{differences} differences; {time.monotonic() - began:.0f} s")
    return min(differences, 1)


if __name__ == "__main__":
    sys.exit(main())
