"""How well every pair of speakers converts sentences: training without parallel sentences, several seeds.

  python -m tests.bench_sentences --speakers=vcc2016 --output_dir=out/sentences \\
      --listener='python listener.py --source={source} --target={target} {rows}'

`--speakers` is a folder with `train/NAME/*` and `test/NAME/*`, the same sentences by all speakers. Of each pair, the
first speaker trains on the first half of the sentences and the second on the other half, so that no sentence is spoken
by both. `--together` trains one run of all speakers, half of them on the first half of the sentences; `--one_way`
trains a run for each order of a pair (`cut`, which translates from the first domain to the second). For every group and
seed the script preprocesses, trains (`--plugin`, and flags after `--`), translates the held-out sentences in all
directions, and leaves one folder for each row: `no_op`, `mean_variance`, `transport`, `model`, `copy_target` (the
target's own sentences through front end and inverter). It prints the verdict and the table of `evaluate` for each
direction, and what the command of `--listener` prints, whose fields are the training folders of both speakers and all
rows as NAME=FOLDER, with the held-out files themselves as row `source`. Means over the seeds come last.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is loaded

import argparse
import collections
import itertools
import pathlib
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence

import numpy as np

from tests import bench_voices
from tests.jobs import all_pairs

COLUMNS = ("target_rate", "relative_similarity", "content_error", "mcd_db")


def link_halves(speakers: pathlib.Path, group: Sequence[str], out: pathlib.Path) -> dict[str, tuple[str, str]]:
    """Folders of links to one half of the training sentences of each speaker, and of held-out sentences."""
    folders = {}
    for n, name in enumerate(group):
        paths = sorted((speakers / "train" / name).iterdir())
        folder = out / "training" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for path in paths[: len(paths) // 2] if n < len(group) // 2 else paths[len(paths) // 2 :]:
            (folder / path.name).symlink_to(path.resolve())
        folders[name] = (str(folder), str(speakers / "test" / name))
    return folders


def listen(command: str, speakers: pathlib.Path, pair: tuple[str, str], out: pathlib.Path) -> str:
    """Output of the listener on all rows of a direction."""
    source, target = pair
    folder = out / f"{source}_to_{target}"
    shutil.rmtree(folder / "copy_target", ignore_errors=True)  # of an earlier run
    (folder / "copy_synthesis").rename(folder / "copy_target")
    if not command:
        return ""
    rows = {"source": speakers / "test" / source, **{path.name: path for path in sorted(folder.iterdir())}}
    filled = command.format(
        source=speakers / "train" / source,
        target=speakers / "train" / target,
        rows=" ".join(f"{name}={path}" for name, path in rows.items()),
    )
    return subprocess.run(shlex.split(filled), check=True, capture_output=True, text=True).stdout


def format_rows(table: Mapping[str, Mapping[str, float]]) -> str:
    """The main columns of a table, a line for each row."""
    return "\n".join(
        f"  {name:15}" + "".join(f"{column} {row[column]:6.2f}  " for column in COLUMNS if column in row)
        for name, row in table.items()
    )


def mean_rows(tables: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Means of the columns over tables."""
    return {
        name: {c: float(np.mean([t[name][c] for t in tables])) for c in COLUMNS if all(c in t[name] for t in tables)}
        for name in tables[0]
    }


def main() -> None:
    """Every pair and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speakers", type=pathlib.Path, required=True)
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    parser.add_argument("--pair", action="append", metavar="A,B", help="default: all pairs of the folder")
    runs = parser.add_mutually_exclusive_group()
    runs.add_argument("--together", action="store_true", help="one run of all speakers of the folder or of the pairs")
    runs.add_argument("--one_way", action="store_true", help="a run for each order of every pair")
    parser.add_argument("--seed", action="append", type=int, help="default: 0, 1 and 2")
    parser.add_argument("--listener", default="", metavar="COMMAND")
    parser.add_argument("--plugin", default="recognition_synthesis")
    parser.add_argument("training", nargs="*", help="flags of train, after --")
    flags = parser.parse_args()
    groups = all_pairs(flags.speakers / "train", flags.pair)
    if flags.together:
        groups = [tuple(sorted({name for group in groups for name in group}))]
    if flags.one_way:
        groups = [order for group in groups for order in (group, group[::-1])]
    tables = collections.defaultdict(list)
    for group, seed in itertools.product(groups, flags.seed or (0, 1, 2)):
        out = flags.output_dir / "_".join(group) / f"seed_{seed}"
        folders = link_halves(flags.speakers, group, out)
        training = [f"--plugin={flags.plugin}", f"--seed={seed}", *flags.training]
        wall, cpu = bench_voices.converted(out, folders, training, flags.one_way)
        for (source, target), direction in bench_voices.baselines(out, folders).items():
            title = f"{source} to {target}, seed {seed}"
            print(f"{title}: trained in {wall:.0f} s ({cpu:.0f} of CPU); {direction.verdict.sentence()}")
            print(format_rows(direction.table), flush=True)
            print(listen(flags.listener, flags.speakers, (source, target), out), flush=True)
            tables[source, target].append(direction.table)
    for (source, target), found in tables.items():
        print(f"{source} to {target}, mean over {len(found)} seeds\n{format_rows(mean_rows(found))}")


if __name__ == "__main__":
    main()
