"""Opens and decodes image files of any raster format; raises a UserError with the reason if that fails."""

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

MAX_PIXELS = 178_956_970  # Pillow's own limit: 0.7 GB as RGB
NOT_RASTER = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF"}  # wrappers, plots, or run by an interpreter
OPTIONAL = {"AVIF": "avif", "JPEG2000": "jpg_2000", "WEBP": "webp"}  # Pillow may be built without them
ORIENTATION = 0x0112  # tag in EXIF and TIFF
UPRIGHT_TRANSPOSE = {  # by orientation: the transposition from the stored rows to the upright image
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
    """Formats that the installed Pillow decodes to pixels, with their extensions; HEIF if pillow_heif is installed.

    Formats without an extension are excluded: they are not in use, and other files are mistaken for them.
    """
    PIL.Image.init()
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    missing = {name for name, feature in OPTIONAL.items() if not PIL.features.check(feature)}
    extensions: dict[str, list[str]] = {}
    for suffix, name in PIL.Image.registered_extensions().items():
        name = "JPEG" if name == "MPO" else name  # Pillow opens MPO as JPEG
        if name in PIL.Image.OPEN and name not in NOT_RASTER | missing:
            extensions.setdefault(name, []).append(suffix)
    with_magic = [name for name in extensions if PIL.Image.OPEN[name][1]]  # tried first
    return {name: extensions[name] for name in [*with_magic, *(name for name in extensions if name not in with_magic)]}


_EXTENSIONS = _raster_formats()
FORMATS = tuple(_EXTENSIONS)
SUFFIXES = tuple(sorted(suffix for suffixes in _EXTENSIONS.values() for suffix in suffixes))


@contextlib.contextmanager
def decoder_errors() -> Iterator[None]:
    """Convert any exception of a decoder to a UserError, and suppress its warnings.

    Pillow's decoders raise nearly every class of exception on a damaged file, so all are caught. Use this context for
    decoder calls only.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"not readable as an image: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    if isinstance(error, PIL.UnidentifiedImageError):
        return "unknown file format, or unsupported pixel format"
    if isinstance(error, PIL.Image.DecompressionBombError):
        return f"it has more than {MAX_PIXELS} pixels; make it smaller"
    if isinstance(error, MemoryError):
        return "it does not fit into memory"
    message = " ".join(str(error).split())
    expected = isinstance(error, (OSError, SyntaxError, ValueError)) and message
    return message if expected else f"damaged ({type(error).__name__}): {message}"


@contextlib.contextmanager
def open_image(file: str | BinaryIO) -> Iterator[PIL.Image.Image]:
    """Open an image file and read its header; the pixels are not decoded.

    Raises:
      UserError: the file is not an image, or has more than `MAX_PIXELS` pixels.
    """
    with decoder_errors():
        picture = PIL.Image.open(file, formats=FORMATS)
    with picture:
        if picture.width * picture.height > MAX_PIXELS:
            size = f"{picture.width} x {picture.height}"
            raise UserError(f"not readable as an image: {size} are more than {MAX_PIXELS} pixels; make it smaller")
        yield picture


def decode(picture: PIL.Image.Image) -> None:
    """Decode all pixels of the first frame of an image from :func:`open_image`.

    Raises:
      UserError: the image is damaged or truncated.
    """
    with decoder_errors():
        if picture.format == "TIFF":
            _check_tiff(picture)
        picture.load()


def _check_tiff(picture: PIL.Image.Image) -> None:
    """Raise OSError for a TIFF whose strips do not cover it, or that has separate planes of more than 8 bits.

    Pillow would leave the uncovered pixels black, and would read every byte of such planes as a sample.
    """
    tags, raw = picture.tag_v2, picture._compression == "raw"
    if raw and tags.get(284, 1) == 2 and tags.get(277, 1) > 1 and max(tags.get(258, (8,))) > 8:
        raise OSError("its samples of more than 8 bits lie in separate planes; save them interleaved")
    covered = sum((right - left) * (lower - upper) for _, (left, upper, right, lower), *_ in picture.tile)
    total = picture.width * picture.height
    if covered < total:
        raise OSError(f"cut short: {covered} of {total} pixels are there")


@contextlib.contextmanager
def _open_binary(file: str | BinaryIO) -> Iterator[BinaryIO]:
    if isinstance(file, str):
        with open(file, "rb") as opened_file:
            yield opened_file
    else:
        file.seek(0)
        yield file


def orientation(picture: PIL.Image.Image, file: str | BinaryIO) -> int:
    """Orientation of the stored rows, 1 (upright) to 8, from EXIF, the TIFF tag or XMP; 1 if there is none.

    Pillow transposes a TIFF when it decodes it. Before decoding, this is the stored orientation; afterwards, the
    orientation that remains.

    Raises:
      UserError: the EXIF block cannot be read.
    """
    with decoder_errors():
        if isinstance(block := picture.info.get("exif"), bytes):
            PIL.Image.Exif().load(block)  # a second call of getexif does not raise for a damaged block
        if picture.format == "PNG" and "exif" not in picture.info and b"eXIf" not in png_chunks(file):
            exif = PIL.Image.Image.getexif(picture)  # PngImageFile.getexif decodes the pixels to look after them
        else:
            exif = picture.getexif()
        value = exif.get(ORIENTATION, 1)
    return value if value in UPRIGHT_TRANSPOSE else 1


def upright_size(picture: PIL.Image.Image, file: str | BinaryIO) -> tuple[int, int]:
    """Height and width in pixels of the upright image, before it is decoded."""
    width, height = picture.size
    if picture.format == "TIFF":  # some versions of Pillow swap them on opening
        width, height = picture.tag_v2[256], picture.tag_v2[257]
    with contextlib.suppress(UserError):
        if orientation(picture, file) in SIDEWAYS:
            return width, height
    return height, width


def count_frames(picture: PIL.Image.Image, file: str | BinaryIO) -> int:
    """Number of frames of an animation or pages of a TIFF; 1 if they cannot be counted."""
    if picture.format not in ("GIF", "TIFF"):
        return getattr(picture, "n_frames", 1) if picture.format in ("PNG", "WEBP", "AVIF") else 1
    with contextlib.suppress(UserError), open_image(file) as reopened, decoder_errors():  # counting seeks
        return reopened.n_frames
    return 1


def png_chunks(file: str | BinaryIO) -> dict[bytes, bytes]:
    """Chunks of a PNG by name; pixel data, and chunks above 64 kB, without their content."""
    chunks = {}
    with _open_binary(file) as stream:
        stream.seek(8, io.SEEK_SET)
        while len(header := stream.read(8)) == 8:
            size, name = struct.unpack(">I4s", header)
            small = name != b"IDAT" and size <= 1 << 16
            content = stream.read(size) if small else b""
            stream.seek(4 if small else size + 4, io.SEEK_CUR)
            chunks.setdefault(name, content)
            if name == b"IEND":
                break
    return chunks
