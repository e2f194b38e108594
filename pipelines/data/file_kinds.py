"""File extensions of each kind of data, audio and image."""

from __future__ import annotations

from models.features import image, recording

# mostly files of other programs
AMBIGUOUS_SUFFIXES = {".mat", ".iff", ".sf", ".xi", ".htk", ".fap", ".vst", ".fit", ".gbr", ".im"}
SUFFIXES = {
    "audio": [suffix for suffix in recording.SUFFIXES if suffix not in AMBIGUOUS_SUFFIXES],
    "image": [suffix for suffix in image.SUFFIXES if suffix not in AMBIGUOUS_SUFFIXES],
}


def known_suffixes(kind: str | None = None) -> list[str]:
    """Return the lower-case file extensions of a kind, or of both kinds."""
    return [suffix for name, suffixes in SUFFIXES.items() if kind in (None, name) for suffix in suffixes]
