"""Time of `evaluate` without external metrics, against twice the time of `translate`, for the same held-out files.

    python -m tests.bench_evaluation --run_dir=RUN --domain=anna='anna/*.wav' --domain=bert='bert/*.wav' \\
        --output_dir=out/evaluation_time

The files of both domains are preprocessed as a test split, evaluated in both directions, and translated to the other
domain. Seconds are those of the whole script, with its start; those of all cores depend less on what else runs.
"""

from __future__ import annotations

import argparse
import pathlib
import subprocess
import sys
import time

import numpy as np

from pipelines.data import dataset
from tests.jobs import script, used_seconds

DOES_NOT_CONVERT = 3  # exit code of `evaluate`, as good as 0 here


def evaluation_seconds(run_dir: str, data_dir: pathlib.Path, output_dir: pathlib.Path) -> np.ndarray:
    """Seconds of `evaluate`, and those of all cores.

    Raises:
      subprocess.CalledProcessError: it failed.
    """
    flags = [f"--run_dir={run_dir}", f"--data_dir={data_dir}", f"--output_dir={output_dir}", "--external_metrics=none"]
    command = [sys.executable, "-m", "pipelines.evaluate", *flags]
    began = np.array([time.monotonic(), used_seconds()])
    process = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if process.returncode not in (0, DOES_NOT_CONVERT):
        raise subprocess.CalledProcessError(process.returncode, command)
    return np.array([time.monotonic(), used_seconds()]) - began


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run_dir", required=True)
    parser.add_argument("--domain", action="append", required=True, metavar="NAME=GLOB", help="two names or more")
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    options = parser.parse_args()
    records, domains = options.output_dir / "records", [domain.split("=", 1) for domain in options.domain]
    names = list(dict.fromkeys(name for name, _ in domains))
    flags = [f"--domain={domain}" for domain in options.domain]
    script("preprocess", *flags, f"--data_dir={records}", "--val_fraction=0", "--test_fraction=1")
    count = len(dataset.open_records(str(records)).sources)
    evaluation = evaluation_seconds(options.run_dir, records, options.output_dir / "evaluation")
    translation = np.zeros(2)
    for n, (name, pattern) in enumerate(domains):
        target = names[(names.index(name) + 1) % len(names)]
        arguments = [f"--run_dir={options.run_dir}", f"--input={pattern}", f"--source={name}", f"--target={target}"]
        translation += script("translate", *arguments, f"--output_dir={options.output_dir}/translated/{n}")
    for of, evaluate_s, translate_s in zip(("", " of all cores"), evaluation, translation, strict=True):
        print(f"{count} files: evaluate {evaluate_s:.0f} s{of}, translate {translate_s:.0f} s{of}")
        print(f"evaluate takes {evaluate_s / translate_s:.2f} times that of translate; wanted: less than 2")


if __name__ == "__main__":
    main()
