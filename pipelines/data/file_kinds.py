"""File extensions of each kind of data, audio and image."""

from __future__ import annotations

from collections.abc import Collection

from models.features import ffmpeg, image, recording

# mostly files of other programs
AMBIGUOUS_SUFFIXES = {".mat", ".iff", ".sf", ".xi", ".htk", ".fap", ".vst", ".fit", ".gbr", ".im"}
SUFFIXES = {
    "audio": [suffix for suffix in recording.SUFFIXES if suffix not in AMBIGUOUS_SUFFIXES],
    "image": [suffix for suffix in image.SUFFIXES if suffix not in AMBIGUOUS_SUFFIXES],
}


def known_suffixes(kind: str | None = None) -> list[str]:
    """Return the lower-case file extensions of a kind, or of both kinds."""
    return [suffix for name, suffixes in SUFFIXES.items() if kind in (None, name) for suffix in suffixes]


def kind_of(suffix: str) -> str | None:
    """Return the kind of the files of an extension in lower case, also of videos, whose sound is read; None if unknown.

    >>> kind_of(".wav"), kind_of(".png"), kind_of(".webm"), kind_of(".txt")
    ('audio', 'image', 'audio', None)
    """
    if suffix in ffmpeg.SOUND_SUFFIXES + ffmpeg.VIDEO_SUFFIXES:
        return "audio"
    return next((kind for kind, suffixes in SUFFIXES.items() if suffix in suffixes), None)


def unused_sound(suffixes: Collection[str]) -> str:
    """Return how files of these extensions, which a listing ignores, could be used as audio; empty if they could not.

    >>> unused_sound([".txt"])
    ''
    """
    hints = []
    if not ffmpeg.INSTALLED and (needed := sorted(set(ffmpeg.SOUND_SUFFIXES).intersection(suffixes))):
        hints.append(f"{', '.join(needed)}: {ffmpeg.INSTALL}")
    if videos := sorted(set(ffmpeg.VIDEO_SUFFIXES).intersection(suffixes)):
        install = "" if ffmpeg.INSTALLED else f"{ffmpeg.INSTALL} and "
        hints.append(f"{', '.join(videos)}: for their sound, {install}a glob such as **{videos[0]}")
    return "; ".join(hints)
