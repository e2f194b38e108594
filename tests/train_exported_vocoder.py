"""Trains a vocoder by a training step that `tests.train_vocoder --export_step` has written; needs JAX, no TensorFlow.

    python -m tests.train_exported_vocoder --speech=DIR --step=FILE.npz --sample_rate_hz=16000 --seconds=300 \\
        --total=20000 --output=FOLDER [--initial=FOLDER]

Writes `average.npy`, the moving average of the generator's weights, for `tests.train_vocoder --average`, and
`variables.npz`, all variables of the networks by name, for `--initial` of another rate. The recordings are those of
`tests.train_vocoder` with the same arguments.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import multiprocessing
import pathlib
import time

import numpy as np

from tests.speech_recordings import read_training_copies, sample_batch, split_speakers

QUEUED = 32  # batches


def main() -> None:
    """Read the recordings, train, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", action="append", required=True, metavar="DIR")
    parser.add_argument("--sample_rate_hz", type=int, required=True)
    parser.add_argument("--step", required=True, help="the exported training step")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder")
    parser.add_argument("--initial", type=pathlib.Path, help="folder of a vocoder to start from; waits for it")
    parser.add_argument("--held_out", type=int, default=10, help="every N-th speaker is not trained on")
    parser.add_argument("--altered", type=int, default=3, help="altered copies of each recording")
    parser.add_argument("--seconds", type=float, required=True, help="time of training, without that of compiling")
    parser.add_argument("--total", type=int, required=True, help="steps of the exported configuration")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    paths, _ = split_speakers(options.speech, options.held_out)
    with concurrent.futures.ProcessPoolExecutor(mp_context=multiprocessing.get_context("forkserver")) as pool:
        settings = ([each] * len(paths) for each in (options.sample_rate_hz, options.altered, options.seed))
        results = pool.map(read_training_copies, range(len(paths)), paths, *settings)
        recordings = [y for copies in results for y in copies]
    print(f"{len(paths)} files, {sum(map(len, recordings)) / options.sample_rate_hz / 3600:.2f} hours", flush=True)
    train(options, recordings)


def wait_for(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of a file as soon as it is complete."""
    while not path.exists():
        time.sleep(0.1)
    return dict(np.load(path))


def train(options, recordings: list[np.ndarray]) -> None:
    """Train and write; the next batch is made while a step runs."""
    from tests import run_step  # JAX, after the processes have been started

    step = run_step.ExportedStep(options.step, seed=options.seed)
    print("compiled", flush=True)
    if options.initial:
        step.assign(wait_for(options.initial / "variables.npz"))
    rng = np.random.default_rng(options.seed)
    size, samples = step.batch_shape
    with concurrent.futures.ThreadPoolExecutor(1) as thread:

        def make():
            return thread.submit(sample_batch, recordings, samples, size, rng)

        batches = collections.deque(make() for _ in range(QUEUED))

        def next_batch():
            batches.append(make())
            return batches.popleft().result()

        steps = run_step.train(step, next_batch, options.seconds, total=options.total)
        print(f"{steps} steps", flush=True)
        for batch in batches:
            batch.cancel()
    variables = step.variables()
    options.output.mkdir(parents=True, exist_ok=True)
    np.save(options.output / "average.npy", variables["average:0"])
    np.savez(options.output / "variables.part.npz", **step.networks(variables))
    (options.output / "variables.part.npz").rename(options.output / "variables.npz")


if __name__ == "__main__":
    main()
