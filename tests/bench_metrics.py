"""Agreement of the metrics of `evaluate` with external metrics, over the rows of several evaluations of speech.

    python -m pipelines.evaluate --run_dir=RUN --data_dir=RECORDS --output_dir=EVAL \\
        --external_metrics=speaker_similarity,phones_lost
    python -m tests.bench_metrics --metrics=EVAL/metrics.json [--metrics=...] [--run=RUN=RECORDS ...]

Prints the relative similarity of each row beside the same share by `speaker_similarity`, the order of the rows by both,
and the correlations of the content error with `phones_lost`. All numbers are means over the files of a row. `evaluate`
computes external metrics on a sample; with `--run`, both encoders embed all evaluated files of the run, and the same
recordings of the target.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import scipy.stats

Rows = dict[str, dict[str, float]]


def read_directions(paths: list[str]) -> dict[str, Rows]:
    """Rows of scores of each direction."""
    directions = {}
    for path in paths:
        with open(path, encoding="utf-8") as file:
            directions |= {name: direction["rows"] for name, direction in json.load(file)["ways"].items()}
    return directions


def embed_rows(run_dir: str, data_dir: str) -> dict[str, Rows]:
    """Both similarities of the rows of each direction of a run, over all held-out files."""
    from pipelines.evaluation import row_scores, translation_quality
    from pipelines.evaluation.external.speaker_similarity import SpeakerSimilarity
    from pipelines.evaluation.external_metrics import Clip

    evaluator, directions = translation_quality.Evaluator(run_dir, data_dir), {}
    rate_hz = evaluator.spec.features.sample_rate_hz
    for source, target in evaluator.model.directions():
        rows, speaker = evaluator._direction_rows(source, target), evaluator._read_speaker(target)
        own = row_scores.speaker_similarities(rows, speaker, evaluator.spec)
        clips = {name: [Clip(x.waveform, rate_hz, target_speaker=speaker) for x in row] for name, row in rows.items()}
        external = {name: SpeakerSimilarity().score(row)["similarity_to_target"] for name, row in clips.items()}
        low, high = own["no_op"].mean(), own["copy_synthesis"].mean()
        directions[f"{source} to {target}"] = {
            name: {
                "relative_similarity": (own[name].mean() - low) / (high - low),
                "similarity_to_target": external[name].mean(),
            }
            for name in rows
        }
    return directions


def external_shares(rows: Rows) -> dict[str, float]:
    """Similarity to the target by the external encoder, 0 for `no_op` and 1 for `copy_synthesis`."""
    similarity = {name: scores["similarity_to_target"] for name, scores in rows.items()}
    low, high = similarity["no_op"], similarity["copy_synthesis"]
    return {name: (value - low) / (high - low) for name, value in similarity.items()}


def compare_similarities(directions: dict[str, Rows]) -> None:
    """Print both relative similarities of each row, and whether they order the rows of a direction equally."""
    print("| direction | row | relative similarity | by GE2E | difference |\n|---|---|---|---|---|")
    equal, differences = {}, []
    for direction, rows in directions.items():
        own = {name: scores["relative_similarity"] for name, scores in rows.items()}
        external = external_shares(rows)
        equal[direction] = sorted(own, key=own.get) == sorted(external, key=external.get)
        for n, name in enumerate(row for row in rows if row not in ("no_op", "copy_synthesis")):
            differences.append(own[name] - external[name])
            values = f"{own[name]:.2f} | {external[name]:.2f} | {differences[-1]:+.2f}"
            print(f"| {'' if n else direction} | {name} | {values} |")
    print(f"\nlargest difference {max(map(abs, differences)):.2f}; mean absolute {np.mean(np.abs(differences)):.2f}")
    print(f"order of the rows equal: {', '.join(f'{d} {yes_or_no(same)}' for d, same in equal.items())}")


def yes_or_no(value: bool) -> str:
    return "yes" if value else "no"


def compare_contents(directions: dict[str, Rows]) -> None:
    """Print the correlations of content error and phones lost."""
    scores = [row for rows in directions.values() for row in rows.values()]
    pairs = np.array([(row["content_error"], row["phones_lost"]) for row in scores if "content_error" in row])
    pearson, spearman = (
        correlation(*pairs.T).statistic for correlation in (scipy.stats.pearsonr, scipy.stats.spearmanr)
    )
    print(f"content error and phones lost over {len(pairs)} rows: Pearson {pearson:.2f}, Spearman {spearman:.2f}")


def main() -> None:
    """Compare the metrics of all files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--metrics", action="append", required=True, metavar="FILE", help="may be repeated")
    parser.add_argument("--run", action="append", default=[], metavar="RUN=RECORDS", help="may be repeated")
    options = parser.parse_args()
    directions = read_directions(options.metrics)
    embedded = [embed_rows(*run.split("=", 1)) for run in options.run]
    compare_similarities({name: rows for run in embedded for name, rows in run.items()} or directions)
    compare_contents(directions)


if __name__ == "__main__":
    main()
