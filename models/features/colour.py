"""Pictures of any colour space, palette or transparency to 8 bits of sRGB or grey."""

from __future__ import annotations

import functools
import io

import numpy as np
import PIL.Image
import PIL.ImageCms

SRGB_GAMMA = 2.2  # nearly
GAMMAS = (0.2, 1.5)  # that files are written with; beyond, a picture would be black or white
NEARLY = 2  # of 255: profiles that differ from sRGB by no more are sRGB written by another program
GRID = np.uint8(np.stack(np.meshgrid(*[[0, 51, 128, 204, 255]] * 3, indexing="ij"), -1).reshape(1, -1, 3))


def flatten(picture: PIL.Image.Image) -> tuple[PIL.Image.Image, tuple[str, ...]]:
    """A decoded picture of 8 bits a channel as "L" or "RGB" in sRGB, what is transparent over white.

    An embedded ICC profile is followed (perceptual intent), one that cannot be is ignored; without one a PNG's gamma.

    Returns:
      The picture, and notes for people on what was unusual.
    """
    profile = picture.info.get("icc_profile")
    base, alpha = _layers(picture)
    notes = ()
    if base.mode == "LAB":
        base = _from_lab(base)
    elif profile:
        try:
            base = _followed(base, profile)
        except (PIL.ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
            notes = (f"its colour profile cannot be used ({_words(error)}): its colours are taken for sRGB",)
    elif (gamma := picture.info.get("gamma")) and "srgb" not in picture.info:
        if GAMMAS[0] <= gamma <= GAMMAS[1]:
            base = _brightened(base, gamma)
        else:
            notes = (f"its gamma of {gamma:g} cannot be meant: its colours are taken for sRGB",)
    base = base if base.mode in ("L", "RGB") else base.convert("RGB")
    if alpha is not None:
        base = PIL.Image.composite(base, PIL.Image.new(base.mode, base.size, "white"), alpha)
    return base, notes


def is_grey(picture: PIL.Image.Image) -> bool:
    """Whether a picture of 8 bits a channel becomes "L", as far as its mode tells before it is decoded."""
    return picture.mode in ("1", "L", "LA", "La")


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _layers(picture: PIL.Image.Image) -> tuple[PIL.Image.Image, PIL.Image.Image | None]:
    """The picture as "L", "RGB", "CMYK" or "LAB", and how opaque it is ("L") where it says so."""
    premultiplied = {"La": "LA", "RGBa": "RGBA"}
    if picture.mode in premultiplied:
        picture = picture.convert(premultiplied[picture.mode])
    if picture.has_transparency_data:
        picture = picture.convert("LA" if is_grey(picture) else "RGBA")
        return picture.convert(picture.mode[:-1]), picture.getchannel("A")
    if picture.mode in ("CMYK", "LAB"):
        return picture, None
    return picture.convert("L" if is_grey(picture) else "RGB"), None


def _followed(base: PIL.Image.Image, profile: bytes) -> PIL.Image.Image:
    transform = _transform(profile, base.mode)
    return base if transform is None else PIL.ImageCms.applyTransform(base, transform)


@functools.lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> PIL.ImageCms.ImageCmsTransform | None:
    """From a profile to sRGB; None where it is sRGB itself, or so near that rounding is all that would change.

    Raises:
      PyCMSError: it is broken, or of another colour space than the mode.
    """
    found = PIL.ImageCms.ImageCmsProfile(io.BytesIO(profile))
    made = PIL.ImageCms.buildTransform(found, _srgb(), mode, "RGB")
    if mode == "CMYK":
        return made
    asked = GRID if mode == "RGB" else np.arange(256, dtype=np.uint8)[None]
    given = np.asarray(PIL.ImageCms.applyTransform(PIL.Image.fromarray(asked), made), np.int16)
    return None if np.abs(given - asked.reshape(1, given.shape[1], -1)).max() <= NEARLY else made


@functools.cache
def _srgb() -> PIL.ImageCms.ImageCmsProfile:
    return PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB"))


def _brightened(base: PIL.Image.Image, gamma: float) -> PIL.Image.Image:
    """A picture whose values are light to the power of `gamma` (PNG's chunk gAMA) in sRGB's values, IEC 61966-2-1."""
    if abs(gamma * SRGB_GAMMA - 1) <= 0.05:
        return base
    light = np.linspace(0, 1, 256) ** (1 / gamma)
    values = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return base.point(np.uint8(255 * values + 0.5).tolist() * len(base.getbands()))


def _from_lab(base: PIL.Image.Image) -> PIL.Image.Image:
    """CIE L*a*b* (D50) to sRGB: Pillow's own `convert` knows no way."""
    return PIL.ImageCms.applyTransform(base, _lab_transform())


@functools.cache
def _lab_transform() -> PIL.ImageCms.ImageCmsTransform:
    return PIL.ImageCms.buildTransform(PIL.ImageCms.createProfile("LAB"), _srgb(), "LAB", "RGB")
