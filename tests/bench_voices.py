"""How well every pair of voices converts, each row as a folder of recordings that any judge can hear.

  python -m tests.bench_voices --output_dir=out/voices \\
      --speaker=anna='corpus/anna/train/*.wav'='corpus/anna/held_out/*.wav' --speaker=bert=... \\
      --judge='python judge.py {target} {folder}'

For each pair of speakers, or `--together` for all of them at once: preprocess, train `cyclegan` or `--plugin`
(what follows `--` goes to train), translate the held-out recordings every way through the scripts, and write
the baselines of `evaluate` beside them.
The judge's command is run on every folder; the last line it prints is shown.
"""

from __future__ import annotations

import argparse
import itertools
import pathlib
import shlex
import shutil
import subprocess

import soundfile

from pipelines.evaluation import translation_quality
from tests.jobs import script


def speakers(flags: list[str]) -> dict[str, tuple[str, str]]:
    """Name to globs of training and held-out recordings."""
    return {name: (training, held_out) for name, training, held_out in (flag.split("=") for flag in flags)}


def converted(
    out: pathlib.Path, pair: dict[str, tuple[str, str]], training: list[str], one_way: bool = False
) -> tuple[float, float]:
    """Trains on speakers and translates every way, or from the first speaker to the second (`one_way`).

    Returns:
      The seconds that training took, and those of all cores.
    """
    for part, fractions in (
        ("records", ["--test_fraction=0"]),
        ("held_out", ["--val_fraction=0", "--test_fraction=1"]),
    ):
        globs = {name: found[part == "held_out"] for name, found in pair.items()}
        domains = [f"--domain={name}={each}" for name, glob in globs.items() for each in glob.split(",")]
        script("preprocess", *domains, f"--data_dir={out / part}", *fractions)
    seconds = script("train", f"--data_dir={out}/records", f"--run_dir={out}/run", *training)
    for source, target in [tuple(pair)] if one_way else itertools.permutations(pair, 2):
        folder = out / f"{source}_to_{target}" / "model"
        for number, glob in enumerate(pair[source][1].split(",")):
            arguments = [f"--run_dir={out}/run", f"--input={glob}", f"--target={target}", f"--source={source}"]
            script("translate", *arguments, f"--output_dir={folder}/{number}")
    return seconds


def baselines(
    out: pathlib.Path, pair: dict[str, tuple[str, str]]
) -> dict[tuple[str, str], translation_quality.Direction]:
    """Writes the rows of `evaluate` that are no files yet; and what its own judge says."""
    found = translation_quality.Evaluator(f"{out}/run", f"{out}/held_out")
    judge, scores = found.train_classifier()
    accuracy = min(scores["accuracy_inverted"].values())
    ways = {}
    for source, target in found.model.directions():
        ways[source, target] = way = found.evaluate_direction(source, target, judge, accuracy)
        for row, examples in way.examples.items():
            folder = out / f"{source}_to_{target}" / row
            folder.mkdir(parents=True, exist_ok=True)
            for example in examples if row != "model" else []:
                path = folder / f"{pathlib.Path(example.stem).name}.wav"
                if example.waveform is None:
                    shutil.copy(example.path, path)
                else:
                    soundfile.write(path, example.waveform, found.spec.features.sample_rate_hz)
    return ways


def main() -> None:
    """Every pair; prints a line for each way and row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    parser.add_argument("--speaker", action="append", required=True, metavar="NAME=TRAINING=HELD_OUT")
    parser.add_argument("--judge", default="", metavar="COMMAND")
    parser.add_argument("--plugin", default="cyclegan")
    parser.add_argument("--together", action="store_true", help="one model of all speakers")
    parser.add_argument("training", nargs="*", help="flags of train, after --")
    flags = parser.parse_args()
    found = speakers(flags.speaker)
    for pair in itertools.combinations(found.items(), len(found) if flags.together else 2):
        out = flags.output_dir / "_".join(name for name, _ in pair)
        seconds = converted(out, dict(pair), [f"--plugin={flags.plugin}", *flags.training])
        for (source, target), way in baselines(out, dict(pair)).items():
            trained = f"trained in {seconds[0]:.0f} s ({seconds[1]:.0f} of CPU)"
            print(f"{source} to {target}: {trained}; {way.verdict.sentence()}", flush=True)
            for row, facts in way.table.items():
                said = ""
                if flags.judge:
                    folder = out / f"{source}_to_{target}" / row
                    command = shlex.split(flags.judge.format(target=target, folder=folder))
                    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")[-2]
                print(f"  {row:15} classified as target {facts['target_rate']:.2f}  {said}", flush=True)


if __name__ == "__main__":
    main()
