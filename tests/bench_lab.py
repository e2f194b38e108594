"""What the latent lab says of models trained on real data: trainings, then `explore`, all through the scripts.

  python -m tests.bench_lab sweep --output_dir=out/sweep --domain=digits="digits/*/*.png" -- --steps=1000
  python -m tests.bench_lab spaces --output_dir=out/spaces --domain=digits="digits/*/*.png" -- --steps=1000
  python -m tests.bench_lab outliers --output_dir=out/outliers --domain=known="digits/[0-8]/*.png" \\
      --against=nine="digits/9/*.png" -- --steps=1000
  python -m tests.bench_lab disentangle --output_dir=out/shapes --examples=10000 --seeds=0,1,2 -- --steps=3000
  python -m tests.bench_lab debias --output_dir=out/debias --domain=three="digits/3/*.png" \\
      --domain=seven="digits/7/*.png" --seeds=0,1,2 -- --steps=500

`spaces` asks for continuity and completeness. `debias` turns (or inverts) a few of the training pictures, and half
of those to be tested. What follows `--` goes to train for every plugin; `--only=vae,beta_vae:--set=...` for some.
Prints tables. Records and runs that are there already are used again.
"""

from __future__ import annotations

import argparse
import csv
import glob
import json
import pathlib
from collections.abc import Sequence

import numpy as np
import PIL.Image
import PIL.ImageOps

from pipelines.data import splits
from tests.jobs import script

WAYS = ("linear", "spherical")
VALIDATED = 0.05  # share for validation, where what is rare is to be in training and testing
RARE = {  # what debias makes of a few pictures
    "turned": lambda picture: picture.transpose(PIL.Image.Transpose.ROTATE_90),
    "inverted": PIL.ImageOps.invert,
}


class Bench:
    """One output folder: records, runs, pages.

    Attributes:
      flags: as parsed.
      out: the folder.
      data_dir: the records.
    """

    def __init__(self, flags: argparse.Namespace):
        self.flags, self.out = flags, flags.output_dir
        self.data_dir = self.out / "records"

    def preprocess(self, domains: Sequence[str], *more: str) -> None:
        """Makes the records, unless they are there."""
        if (self.data_dir / "dataset_info.json").exists():
            return
        split = (f"--val_fraction={self.flags.held_out}", f"--test_fraction={self.flags.held_out}")
        script("preprocess", *(f"--domain={each}" for each in domains), f"--data_dir={self.data_dir}", *split, *more)

    def train(self, plugin: str, seed: str, *more: str, name: str = "") -> tuple[pathlib.Path, float]:
        """The run of a plugin, and the seconds of CPU that it took; next to none if it was there."""
        run = self.out / "runs" / (name or f"{plugin}_{seed}")
        flags = [*self.flags.training, *self._only(plugin), *more]
        where = (f"--data_dir={self.data_dir}", f"--run_dir={run}")
        return run, script("train", *where, f"--plugin={plugin}", f"--seed={seed}", *flags)[1]

    def _only(self, plugin: str) -> list[str]:
        pairs = [flag.split(":", 1) for flag in self.flags.only]
        return [flag for names, flag in pairs if plugin in names.split(",")]

    def explore(self, job: str, run: pathlib.Path, *more: str) -> dict:
        """What a job found."""
        page = self.out / "pages" / f"{job}_{run.name}"
        where = (f"--run_dir={run}", f"--data_dir={self.data_dir}", f"--output_dir={page}")
        script("explore", f"--do={job}", *where, *more)
        return json.loads((page / f"{job}.json").read_text())


def table(heads: Sequence[str], rows: Sequence[Sequence]) -> None:
    """Prints a table."""
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for row in rows:
        print(f"| {' | '.join(f'{x:.3f}' if isinstance(x, float) else str(x) for x in row)} |", flush=True)


def with_means(rows: Sequence[Sequence]) -> list[Sequence]:
    """Rows of a name, a seed and numbers, and after them the mean of each name's rows."""
    names = dict.fromkeys(row[0] for row in rows)
    means = [[name, "mean", *np.mean([row[2:] for row in rows if row[0] == name], axis=0).tolist()] for name in names]
    return [*rows, *means]


def sweep(bench: Bench) -> None:
    """Latent size against error, `ae` and `vae`."""
    bench.preprocess(bench.flags.domain, *bench.flags.preprocess)
    given = [f"--training={flag.removeprefix('--')}" for flag in bench.flags.training]
    found = bench.explore("sweep", bench.out / "runs", "--grid=latent=2,4,8,16,32", *given)
    names = ("squared_error", "variance_explained", "compression")
    rows = [[row["plugin"], row["latent"], *(row[name] for name in names)] for row in found["means"]]
    table(["plugin", "latent", *names], rows)


def spaces(bench: Bench) -> None:
    """Continuity and completeness of `ae` and `vae`."""
    bench.preprocess(bench.flags.domain, *bench.flags.preprocess)
    rows = []
    for seed in bench.flags.seeds.split(","):
        for plugin in ("ae", "vae"):
            run, seconds = bench.train(plugin, seed)
            paths, found = (bench.explore(job, run) for job in ("interpolate", "sample"))
            ways = [paths["continuity"][way] for way in WAYS]
            prior, space = found["samples"]["prior"], found["posterior"]
            row = [plugin, seed, *(way["continuity"] for way in ways)]
            row += [ways[0]["straightness"], found["completeness"], prior["kid"], prior["diversity"]]
            rows.append([*row, float(space["active_units"]), space["divergence"], seconds])
    heads = [*WAYS, "straightness", "completeness", "KID", "diversity", "active", "divergence", "CPU s"]
    table(["plugin", "seed", *heads], with_means(rows))


def outliers(bench: Bench) -> None:
    """How well `vae` tells what it was not trained on."""
    bench.preprocess(bench.flags.domain, *bench.flags.preprocess)
    rows = []
    for seed in bench.flags.seeds.split(","):
        run, seconds = bench.train("vae", seed)
        found = bench.explore("outliers", run, *(f"--against={each}" for each in bench.flags.against))
        for kind, scores in found["detection"].items():
            best = found["best"][kind]
            cells = ["{:.4f} ({:.4f} to {:.4f})".format(*scores[name]["auroc"]) for name in ("combined", best)]
            rows.append([seed, kind, *cells, best, f"{100 * found['flagged'][kind]:.1f} %", f"{seconds:.0f}"])
        rows.append([seed, "usual", "", "", "", f"{100 * found['flagged']['usual']:.1f} %", ""])
    table(["seed", "against", "AUROC, combined", "AUROC, best", "by", "flagged", "CPU s"], rows)


def disentangle(bench: Bench) -> None:
    """Scores on drawn pictures of known factors, each plugin with each seed."""
    bench.preprocess([f"shapes=factors:pictures/{bench.flags.examples}"], *bench.flags.preprocess)
    rows = []
    for plugin in bench.flags.plugins.split(","):
        for seed in bench.flags.seeds.split(","):
            run, seconds = bench.train(plugin, seed)
            scores = bench.explore("disentangle", run)["scores"]
            rows.append([plugin, seed, *scores.values(), seconds])
    table(["plugin", "seed", *scores, "CPU s"], with_means(rows))


# ------------------------------------------------------------------ what is rare


def grouped(bench: Bench) -> pathlib.Path:
    """Writes the pictures of all domains, a few of them changed, and the table of which, whose path is returned."""
    labels, made_of = bench.out / "labels.csv", bench.out / "groups.json"
    told = {name: getattr(bench.flags, name) for name in ("domain", "share", "rare", "held_out")}
    if bench.data_dir.exists():
        if not made_of.exists() or json.loads(made_of.read_text()) != told:
            raise SystemExit(f"{bench.out} holds other groups; wanted another --output_dir")
        return labels
    rng, rows, held_out, rare = np.random.default_rng(0), [], bench.flags.held_out, bench.flags.rare
    for flag in bench.flags.domain:
        name, _, pattern = flag.partition("=")
        parts: dict[str, list[pathlib.Path]] = {split: [] for split in splits.SPLITS}
        for path in map(pathlib.Path, sorted(glob.glob(pattern))):
            key = f"0:{path.parent.name}_{path.stem}"
            parts[splits.split_of(key, val_fraction=VALIDATED, test_fraction=held_out)].append(path)
        for split, paths in parts.items():
            count = round((0.5 if split == "test" else bench.flags.share) * len(paths))
            for place, path in zip(rng.permutation(len(paths)), paths, strict=True):
                picture, chosen = PIL.Image.open(path).convert("L"), place < count
                made = bench.out / "pictures" / name / f"{path.parent.name}_{path.name}"
                made.parent.mkdir(parents=True, exist_ok=True)
                (RARE[rare](picture) if chosen else picture).save(made)
                rows.append((f"{name}/{made.name}", rare if chosen else "plain"))
    made_of.write_text(json.dumps(told))
    with labels.open("w") as file:
        csv.writer(file).writerows([("id", "group"), *rows])
    return labels


def debias(bench: Bench) -> None:
    """Accuracy of `db_vae` on what is rare, without resampling and with it."""
    names = [flag.partition("=")[0] for flag in bench.flags.domain]
    labels, groups = grouped(bench), ("plain", bench.flags.rare)
    bench.preprocess(
        [f"{name}={bench.out}/pictures/{name}" for name in names],
        f"--val_fraction={VALIDATED}",
        *bench.flags.preprocess,
    )
    rows = []
    for seed in bench.flags.seeds.split(","):
        name, seconds = f"debiased_{seed}_{bench.flags.rarity}_{bench.flags.alpha}", [0.0, 0.0]
        weights = bench.out / f"{name}.csv"
        asked = (f"--labels={labels}", f"--alpha={bench.flags.alpha}", f"--rarity={bench.flags.rarity}")
        run, seconds[0] = bench.train("db_vae", seed)
        plain = bench.explore("debias", run, *asked, f"--weights={weights}")
        run, seconds[1] = bench.train("db_vae", seed, f"--sample_weights={weights}", name=name)
        weighted = bench.explore("debias", run, *asked, f"--weights={bench.out}/unused.csv")
        drawn = plain["groups"][bench.flags.rare]
        for way, found, shares in (("without", plain, drawn["share"]), ("with", weighted, drawn["drawn"])):
            right = [found["groups"][group]["accuracy_plugin"] for group in groups]
            overall = right[0] + drawn["share"] * (right[1] - right[0])
            rows.append([way, seed, shares, *right, right[0] - right[1], overall, seconds[way == "with"]])
    table(["resampling", "seed", "rare, drawn", *groups, "gap", "overall as trained", "CPU s"], with_means(rows))


JOBS = {job.__name__: job for job in (sweep, spaces, outliers, disentangle, debias)}


def main() -> None:
    """One job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    jobs = parser.add_subparsers(dest="job", required=True, metavar="|".join(JOBS))
    for name in JOBS:
        job = jobs.add_parser(name)
        job.add_argument("--output_dir", type=pathlib.Path, required=True)
        job.add_argument("--domain", action="append", default=[], metavar="NAME=GLOB")
        job.add_argument("--against", action="append", default=[], metavar="NAME=GLOB", help="outliers: strange files")
        job.add_argument("--held_out", type=float, default=0.1, help="share for validation, and for testing")
        job.add_argument("--seeds", default="0", metavar="SEED,...")
        job.add_argument("--plugins", default="ae,vae,beta_tcvae", help="disentangle: which")
        job.add_argument("--examples", type=int, default=10000, help="disentangle: how many are drawn")
        job.add_argument("--share", type=float, default=0.02, help="debias: of the rare group in training")
        job.add_argument("--rare", choices=RARE, default="turned", help="debias: the rare group")
        job.add_argument("--alpha", type=float, default=1e-3, help="debias: of resampling")
        job.add_argument("--rarity", default="largest", help="debias: of explore")
        job.add_argument("--only", action="append", default=[], metavar="PLUGIN,...:FLAG", help="a flag of train")
        job.add_argument("--preprocess", action="append", default=[], metavar="FLAG", help="a flag of preprocess")
        job.add_argument("training", nargs="*", help="flags of train, after --")
    flags = parser.parse_args()
    JOBS[flags.job](Bench(flags))


if __name__ == "__main__":
    main()
