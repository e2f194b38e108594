"""Random streams of version 0.1, which numbered them: its runs resume with the same random numbers.

Streams that are not in the table depend on their names. The table is to go with the next release.
"""

from __future__ import annotations

from collections.abc import Iterator

Offset = tuple[int, int]  # added to the seeds of the step and of the run
_AUGMENTATION = {"colour": 0, "translation": 1, "cutout": 2, "time_mask": 1, "band_mask": 2}


def _discriminator(path: str, first: int, generator_loss: int) -> Iterator[tuple[str, Offset]]:
    """Streams of a discriminator's own step, and of the loss of the generator that it gives."""
    for name, number in _AUGMENTATION.items():
        yield f"{path}/real/{name}", (first + number, 0)
        yield f"{path}/fake/{name}", (first + 3 + number, 0)
        yield f"{path}/generator_loss/{name}", (generator_loss + number, 0)
    yield f"{path}/gradient_penalty", (first + 8, 0)
    yield f"{path}/pool/slots", (first + 9, 0)
    yield f"{path}/pool/swap", (first + 10, 1)


def _contrast(path: str, first: int) -> Iterator[tuple[str, Offset]]:
    """Streams of the patches of CUT: positions at each of the feature taps, and inverted channels."""
    for tap in range(64):
        yield f"{path}/positions_{tap}", (first + tap, tap)
    yield f"{path}/recolour_source", (first + 2, 0)
    yield f"{path}/recolour_translation", (first + 4, 0)


def _streams() -> Iterator[tuple[str, Offset]]:
    for plugin in ("vae", "betavae", "betatcvae", "dbvae"):
        yield f"{plugin}/posterior", (1, 0)
    for plugin in ("dcgan", "wgangp"):
        yield f"{plugin}/noise", (0, 0)
    yield "stargan/target_domain", (10, 0)
    for plugin in ("dcgan", "wgangp", "stargan", "pix2pix", "cut"):
        yield from _discriminator(f"{plugin}/discriminator", 20, 1)
    yield from _discriminator("cyclegan/discriminator_a", 40, 1)
    yield from _discriminator("cyclegan/discriminator_b", 20, 4)
    yield from _contrast("cut/nce", 10)
    yield from _contrast("cut/nce_identity", 11)
    yield from (("maskcyclegan/mask_a", (1, 0)), ("maskcyclegan/mask_b", (2, 0)))
    for n, name in enumerate(("a", "b", "aba", "bab")):
        yield from _discriminator(f"maskcyclegan/discriminator_{name}", 100 + 20 * n, 10 + 4 * n)


STREAMS: dict[str, Offset] = dict(_streams())
