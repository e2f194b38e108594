"""Picture files of any format, opened and decoded whole or refused with a reason."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
from collections.abc import Iterator
from typing import BinaryIO

import PIL.features
import PIL.Image

from models.errors import UserError

MAX_PIXELS = 178_956_970  # what Pillow refuses too: 0.7 GB as RGB
NOT_RASTER = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF"}  # wrappers, plots, or run by an interpreter
OPTIONAL = {"AVIF": "avif", "JPEG2000": "jpg_2000", "WEBP": "webp"}  # what Pillow may be built without
ORIENTATION = 0x0112  # the tag of EXIF and TIFF
UPRIGHT = {  # orientation: what brings the stored rows to the upright picture
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)


def _raster_formats() -> dict[str, list[str]]:
    """Formats that the installed Pillow decodes to pixels, with their endings; HEIF where pillow_heif is installed.

    Those that have no ending are left out: nobody has such files, and other files look like them.
    """
    PIL.Image.init()
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    missing = {name for name, feature in OPTIONAL.items() if not PIL.features.check(feature)}
    endings: dict[str, list[str]] = {}
    for suffix, name in PIL.Image.registered_extensions().items():
        name = "JPEG" if name == "MPO" else name  # which it opens as JPEG
        if name in PIL.Image.OPEN and name not in NOT_RASTER | missing:
            endings.setdefault(name, []).append(suffix)
    sure = [name for name in endings if PIL.Image.OPEN[name][1]]  # known by their first bytes: these are asked first
    return {name: endings[name] for name in [*sure, *(name for name in endings if name not in sure)]}


_ENDINGS = _raster_formats()
FORMATS = tuple(_ENDINGS)
SUFFIXES = tuple(sorted(suffix for suffixes in _ENDINGS.values() for suffix in suffixes))


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turns whatever a decoder raises into a UserError, and keeps its warnings quiet.

    Pillow's decoders raise nearly every class of exception on a file that is damaged, so all are caught; hold only
    calls of decoders under this.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"not readable as a picture: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    if isinstance(error, PIL.UnidentifiedImageError):
        return "its format is not known, or not its kind of pixels"
    if isinstance(error, PIL.Image.DecompressionBombError):
        return f"it has more than {MAX_PIXELS} pixels; make it smaller"
    if isinstance(error, MemoryError):
        return "it does not fit into memory"
    message = " ".join(str(error).split())
    expected = isinstance(error, (OSError, SyntaxError, ValueError)) and message
    return message if expected else f"its {type(error).__name__} says that it is damaged: {message}"


@contextlib.contextmanager
def opened(file: str | BinaryIO) -> Iterator[PIL.Image.Image]:
    """A picture file with its header read and its pixels still to be decoded.

    Raises:
      UserError: not a picture, or of more than `MAX_PIXELS` pixels.
    """
    with refusals():
        picture = PIL.Image.open(file, formats=FORMATS)
    with picture:
        if picture.width * picture.height > MAX_PIXELS:
            size = f"{picture.width} x {picture.height}"
            raise UserError(f"not readable as a picture: {size} are more than {MAX_PIXELS} pixels; make it smaller")
        yield picture


def decode(picture: PIL.Image.Image) -> None:
    """Decodes the pixels of the first frame of a picture from :func:`opened`, all of them.

    Raises:
      UserError: damaged or cut short.
    """
    with refusals():
        if picture.format == "TIFF":
            _refuse_misread_tiff(picture)
        picture.load()


def _refuse_misread_tiff(picture: PIL.Image.Image) -> None:
    """Raises OSError for a TIFF whose strips do not cover it, or lie in planes of more than 8 bits.

    Of the first Pillow would leave the rest black, of the second take every byte for a sample.
    """
    tags, raw = picture.tag_v2, picture._compression == "raw"
    if raw and tags.get(284, 1) == 2 and tags.get(277, 1) > 1 and max(tags.get(258, (8,))) > 8:
        raise OSError("its samples of more than 8 bits lie in separate planes; save them interleaved")
    covered = sum((right - left) * (lower - upper) for _, (left, upper, right, lower), *_ in picture.tile)
    total = picture.width * picture.height
    if covered < total:
        raise OSError(f"cut short: {covered} of {total} pixels are there")


@contextlib.contextmanager
def _binary(file: str | BinaryIO) -> Iterator[BinaryIO]:
    if isinstance(file, str):
        with open(file, "rb") as opened_file:
            yield opened_file
    else:
        file.seek(0)
        yield file


def orientation(picture: PIL.Image.Image, file: str | BinaryIO) -> int:
    """Orientation of the stored rows, 1 (upright) to 8, from EXIF, the TIFF tag or XMP; 1 where none is given.

    Pillow turns a TIFF when it decodes it: ask before for what is stored, after for what is left to do.

    Raises:
      UserError: the block is there and cannot be read.
    """
    with refusals():
        if isinstance(block := picture.info.get("exif"), bytes):
            PIL.Image.Exif().load(block)  # of one that is broken, getexif says nothing when it is asked again
        if picture.format == "PNG" and "exif" not in picture.info and b"eXIf" not in png_chunks(file):
            exif = PIL.Image.Image.getexif(picture)  # PngImageFile's own decodes the pixels to look behind them
        else:
            exif = picture.getexif()
        value = exif.get(ORIENTATION, 1)
    return value if value in UPRIGHT else 1


def upright_size(picture: PIL.Image.Image, file: str | BinaryIO) -> tuple[int, int]:
    """Height and width of the upright picture, before it is decoded."""
    width, height = picture.size
    if picture.format == "TIFF":  # some versions of Pillow have swapped them already
        width, height = picture.tag_v2[256], picture.tag_v2[257]
    with contextlib.suppress(UserError):
        if orientation(picture, file) in SIDEWAYS:
            return width, height
    return height, width


def frames(picture: PIL.Image.Image, file: str | BinaryIO) -> int:
    """Frames of an animation, pages of a TIFF; 1 where they cannot be counted."""
    if picture.format not in ("GIF", "TIFF"):
        return getattr(picture, "n_frames", 1) if picture.format in ("PNG", "WEBP", "AVIF") else 1
    with contextlib.suppress(UserError), opened(file) as again, refusals():  # counting moves to another frame
        return again.n_frames
    return 1


def png_chunks(file: str | BinaryIO) -> dict[bytes, bytes]:
    """The chunks of a PNG by name, the pixels' and those above 64 kB without their content."""
    chunks = {}
    with _binary(file) as stream:
        stream.seek(8, io.SEEK_SET)
        while len(head := stream.read(8)) == 8:
            size, name = struct.unpack(">I4s", head)
            small = name != b"IDAT" and size <= 1 << 16
            content = stream.read(size) if small else b""
            stream.seek(4 if small else size + 4, io.SEEK_CUR)
            chunks.setdefault(name, content)
            if name == b"IEND":
                break
    return chunks
