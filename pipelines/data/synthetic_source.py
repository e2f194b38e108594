"""Generated sets with known factors as folders: `factors:SET/COUNT`, written once as files, with a table of factors."""

from __future__ import annotations

import csv
import io
import posixpath

import numpy as np
import soundfile

from models.errors import UserError
from models.features import image, procedural
from pipelines import config, path_patterns
from pipelines.beam import filesystem
from pipelines.data import generated_sources
from pipelines.progress import Progress

PREFIX = "factors:"
SUFFIXES = {"pictures": ".png", "sounds": ".wav"}


def draw_examples(pattern: str, domain: str, data_dir: str) -> str:
    """Write the examples of a set as files below ``DATA_DIR/sources/DOMAIN``, unless they exist already.

    Their factors are written to ``DATA_DIR/sources/DOMAIN.csv``, see :func:`factors_path`.

    Args:
      pattern: ``factors:SET/COUNT``; SET is images or sounds.
      domain: name of the domain.
      data_dir: data directory of the records.

    Returns:
      The glob of the files.

    Raises:
      UserError: the pattern is not of that form.
    """
    kind, _, count = pattern.removeprefix(PREFIX).partition("/")
    if kind not in procedural.DATA_SETS:
        raise UserError(f"--domain={domain}={pattern}: no such set; {config.suggest(kind, procedural.DATA_SETS)}")
    if not count.isdecimal() or not int(count):
        raise UserError(f"--domain={domain}={pattern}; wanted factors:{kind}/COUNT, such as factors:{kind}/5000")
    folder = posixpath.join(data_dir, "sources", domain)
    request = {"set": kind, "count": int(count)}
    if generated_sources.read_marker(folder) != request:
        _write_examples(folder, domain, request)
    return f"{path_patterns.escape(folder)}/*{SUFFIXES[kind]}"


def factors_path(data_dir: str, domain: str) -> str:
    """Return the path of the table of a generated domain's factors: `id` as in the manifest, then a column each."""
    return posixpath.join(data_dir, "sources", f"{domain}.csv")


def _write_examples(folder: str, domain: str, request: dict) -> None:
    """Write the examples, then their factors, then the marker of completeness."""
    kind, table = request["set"], f"{folder}.csv"
    generated_sources.begin_folder(folder, [table])
    progress, rows = Progress(f"draw {kind}", request["count"], "examples"), []
    for number in range(request["count"]):
        example, factors = procedural.generate_example(kind, number)
        name = f"{number:06d}{SUFFIXES[kind]}"
        with filesystem.new_file(posixpath.join(folder, name)) as file:
            file.write(_encode_png(example) if kind == "pictures" else _encode_wav(example))
        rows.append({"id": f"{domain}/{name}", **factors})
        progress.show(number + 1)
    progress.close()
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    filesystem.write_text(table, text.getvalue())
    generated_sources.finish_folder(folder, request)


def _encode_png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    image.write(out, pixels)
    return out.getvalue()


def _encode_wav(samples: np.ndarray) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, procedural.RATE_HZ, format="WAV", subtype="PCM_16")
    return out.getvalue()
