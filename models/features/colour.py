"""Pictures of any colour space, palette or transparency to 8-bit sRGB or grey."""

from __future__ import annotations

import functools
import io

import numpy as np
import PIL.Image
import PIL.ImageCms

SRGB_GAMMA = 2.2  # approximately
GAMMA_RANGE = (0.2, 1.5)  # plausible gamma of a file; outside, an image would be black or white
MAX_DIFFERENCE = 2  # of 255: profiles this near to sRGB are sRGB written by another program
GRID = np.uint8(np.stack(np.meshgrid(*[[0, 51, 128, 204, 255]] * 3, indexing="ij"), -1).reshape(1, -1, 3))


def flatten(picture: PIL.Image.Image) -> tuple[PIL.Image.Image, tuple[str, ...]]:
    """Convert a decoded 8-bit image to mode "L" or "RGB" in sRGB, with transparency composited over white.

    Applies an embedded ICC profile (perceptual intent), or the gamma of a PNG without a profile; an unusable profile
    is ignored.

    Returns:
      The image, and notes for users on anything unusual.
    """
    profile = picture.info.get("icc_profile")
    base, alpha = _layers(picture)
    notes = ()
    if base.mode == "LAB":
        base = _from_lab(base)
    elif profile:
        try:
            base = _apply_profile(base, profile)
        except (PIL.ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
            notes = (f"its colour profile cannot be used ({_message(error)}): its colours are taken for sRGB",)
    elif (gamma := picture.info.get("gamma")) and "srgb" not in picture.info:
        if GAMMA_RANGE[0] <= gamma <= GAMMA_RANGE[1]:
            base = _apply_gamma(base, gamma)
        else:
            notes = (f"its gamma of {gamma:g} cannot be meant: its colours are taken for sRGB",)
    base = base if base.mode in ("L", "RGB") else base.convert("RGB")
    if alpha is not None:
        base = PIL.Image.composite(base, PIL.Image.new(base.mode, base.size, "white"), alpha)
    return base, notes


def is_grey(picture: PIL.Image.Image) -> bool:
    """Whether an 8-bit image becomes "L", by its mode before it is decoded."""
    return picture.mode in ("1", "L", "LA", "La")


def _message(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _layers(picture: PIL.Image.Image) -> tuple[PIL.Image.Image, PIL.Image.Image | None]:
    """Split an image into colours ("L", "RGB", "CMYK" or "LAB") and opacity ("L"; None if opaque)."""
    premultiplied = {"La": "LA", "RGBa": "RGBA"}
    if picture.mode in premultiplied:
        picture = picture.convert(premultiplied[picture.mode])
    if picture.has_transparency_data:
        picture = picture.convert("LA" if is_grey(picture) else "RGBA")
        return picture.convert(picture.mode[:-1]), picture.getchannel("A")
    if picture.mode in ("CMYK", "LAB"):
        return picture, None
    return picture.convert("L" if is_grey(picture) else "RGB"), None


def _apply_profile(base: PIL.Image.Image, profile: bytes) -> PIL.Image.Image:
    transform = _transform(profile, base.mode)
    return base if transform is None else PIL.ImageCms.applyTransform(base, transform)


@functools.lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> PIL.ImageCms.ImageCmsTransform | None:
    """Transform from a profile to sRGB; None if the profile equals sRGB up to `MAX_DIFFERENCE`.

    Raises:
      PyCMSError: the profile is damaged, or its colour space does not match the mode.
    """
    source = PIL.ImageCms.ImageCmsProfile(io.BytesIO(profile))
    transform = PIL.ImageCms.buildTransform(source, _srgb(), mode, "RGB")
    if mode == "CMYK":
        return transform
    inputs = GRID if mode == "RGB" else np.arange(256, dtype=np.uint8)[None]
    outputs = np.asarray(PIL.ImageCms.applyTransform(PIL.Image.fromarray(inputs), transform), np.int16)
    difference = np.abs(outputs - inputs.reshape(1, outputs.shape[1], -1)).max()
    return None if difference <= MAX_DIFFERENCE else transform


@functools.cache
def _srgb() -> PIL.ImageCms.ImageCmsProfile:
    return PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB"))


def _apply_gamma(base: PIL.Image.Image, gamma: float) -> PIL.Image.Image:
    """Convert values that are light to the power of `gamma` (PNG chunk gAMA) to sRGB values, IEC 61966-2-1."""
    if abs(gamma * SRGB_GAMMA - 1) <= 0.05:
        return base
    light = np.linspace(0, 1, 256) ** (1 / gamma)
    values = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return base.point(np.uint8(255 * values + 0.5).tolist() * len(base.getbands()))


def _from_lab(base: PIL.Image.Image) -> PIL.Image.Image:
    """Convert CIE L*a*b* (D50) to sRGB, which Pillow's own `convert` does not support."""
    return PIL.ImageCms.applyTransform(base, _lab_transform())


@functools.cache
def _lab_transform() -> PIL.ImageCms.ImageCmsTransform:
    return PIL.ImageCms.buildTransform(PIL.ImageCms.createProfile("LAB"), _srgb(), "LAB", "RGB")
