"""Time of `evaluate` without external metrics, against twice the time of `translate`, for the same held-out files.

    python -m tests.bench_evaluation --run_dir=RUN --domain=anna='anna/*.wav' --domain=bert='bert/*.wav' \\
        --output_dir=out/evaluation_time

The files of both domains are preprocessed as a test split, evaluated in both directions, and translated to the other
domain. Seconds are those of the whole script, with its start.
"""

from __future__ import annotations

import argparse
import pathlib
import subprocess
import sys
import time

from pipelines.data import dataset
from tests.jobs import script

DOES_NOT_CONVERT = 3  # exit code of `evaluate`, as good as 0 here


def evaluation_seconds(run_dir: str, data_dir: pathlib.Path, output_dir: pathlib.Path) -> float:
    """Seconds of `evaluate`.

    Raises:
      subprocess.CalledProcessError: it failed.
    """
    flags = [f"--run_dir={run_dir}", f"--data_dir={data_dir}", f"--output_dir={output_dir}", "--external_metrics=none"]
    command, began = [sys.executable, "-m", "pipelines.evaluate", *flags], time.monotonic()
    process = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if process.returncode not in (0, DOES_NOT_CONVERT):
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.monotonic() - began


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
    translation = 0.0
    for n, (name, pattern) in enumerate(domains):
        target = names[(names.index(name) + 1) % len(names)]
        arguments = [f"--run_dir={options.run_dir}", f"--input={pattern}", f"--source={name}", f"--target={target}"]
        translation += script("translate", *arguments, f"--output_dir={options.output_dir}/translated/{n}")[0]
    print(f"{count} files: evaluate {evaluation:.0f} s, translate {translation:.0f} s")
    print(f"evaluate takes {evaluation / translation:.2f} times the time of translate; wanted: less than 2")


if __name__ == "__main__":
    main()
