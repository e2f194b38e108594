"""Sets of known factors as folders: `factors:SET/COUNT`, drawn once as ordinary files, their factors beside them."""

from __future__ import annotations

import csv
import io
import posixpath

import numpy as np
import soundfile

from models.errors import UserError
from models.features import image, procedural
from pipelines import config, console, globs, source_folder
from pipelines.beam import filesystem

PREFIX = "factors:"
SUFFIXES = {"pictures": ".png", "sounds": ".wav"}


def drawn(pattern: str, domain: str, data_dir: str) -> str:
    """Examples of a set as files below ``DATA_DIR/sources/DOMAIN``, drawn unless they are there already.

    Their factors stand in ``DATA_DIR/sources/DOMAIN.csv``, see :func:`table_of`.

    Args:
      pattern: ``factors:SET/COUNT``, SET being pictures or sounds.
      domain: its name.
      data_dir: where the records will be.

    Returns:
      The glob that names the files.

    Raises:
      UserError: not of that form.
    """
    kind, _, count = pattern.removeprefix(PREFIX).partition("/")
    if kind not in procedural.DATA_SETS:
        raise UserError(f"--domain={domain}={pattern}: no such set; {config.nearest(kind, procedural.DATA_SETS)}")
    if not count.isdecimal() or not int(count):
        raise UserError(f"--domain={domain}={pattern}; wanted factors:{kind}/COUNT, such as factors:{kind}/5000")
    folder = posixpath.join(data_dir, "sources", domain)
    wanted = {"set": kind, "count": int(count)}
    if source_folder.facts_of(folder) != wanted:
        _draw(folder, domain, wanted)
    return f"{globs.escape(folder)}/*{SUFFIXES[kind]}"


def table_of(data_dir: str, domain: str) -> str:
    """The CSV of a drawn domain's factors: `id` as in the manifest, then a column each."""
    return posixpath.join(data_dir, "sources", f"{domain}.csv")


def _draw(folder: str, domain: str, wanted: dict) -> None:
    """Writes the examples, then their factors, then the marker that says that all are there."""
    kind, table = wanted["set"], f"{folder}.csv"
    source_folder.begin(folder, [table])
    progress, rows = console.Progress(f"draw {kind}", wanted["count"], "examples"), []
    for number in range(wanted["count"]):
        example, factors = procedural.generate_example(kind, number)
        name = f"{number:06d}{SUFFIXES[kind]}"
        with filesystem.new_file(posixpath.join(folder, name)) as file:
            file.write(_png(example) if kind == "pictures" else _wav(example))
        rows.append({"id": f"{domain}/{name}", **factors})
        progress.show(number + 1)
    progress.close()
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    filesystem.write_text(table, text.getvalue())
    source_folder.finish(folder, wanted)


def _png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    image.write(out, pixels)
    return out.getvalue()


def _wav(samples: np.ndarray) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, procedural.RATE_HZ, format="WAV", subtype="PCM_16")
    return out.getvalue()
