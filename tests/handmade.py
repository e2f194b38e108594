"""Picture files and colour profiles byte by byte: what Pillow does not write."""

import io
import struct
import zlib

import numpy as np

SHORT, LONG = 3, 4
ORIENTATIONS = {  # EXIF orientation: what the camera stored of an upright image
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: np.rot90(x),
    7: lambda x: np.rot90(x, 2).transpose(1, 0, 2),
    8: lambda x: np.rot90(x, -1),
}


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(samples: np.ndarray, before: bytes = b"", after: bytes = b"") -> io.BytesIO:
    """A PNG of 16 bits of `[height, width, channels]`, with chunks before and after the pixels'."""
    height, width, channels = samples.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    parts = chunk(b"IHDR", header) + before + chunk(b"IDAT", zlib.compress(rows)) + after + chunk(b"IEND", b"")
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + parts)


def bomb(width: int, height: int) -> io.BytesIO:
    """A PNG of black pixels that is small however large the picture is."""
    packer, row = zlib.compressobj(9), bytes(1 + width)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def tiff(samples: np.ndarray, *, bits: int, strips: int = 1, tags: dict[int, list[int]] | None = None, **form):
    """A TIFF of one strip without compression, or of so many planes.

    Args:
      samples: whose bytes are the pixels, `[height, width, ...]`.
      bits: of a sample.
      strips: equal parts of the bytes.
      tags: further ones, as short numbers.
      form: photometric, channels, sample_format, planar; height and width where `samples` are packed.
    """
    channels, content = form.get("channels", 1), samples.tobytes()
    size = {256: [form.get("width", samples.shape[1])], 257: [form.get("height", samples.shape[0])]}
    shorts = size | {258: [bits] * channels, 259: [1], 262: [form.get("photometric", 1)], 277: [channels]}
    shorts |= {278: size[257], 284: [form.get("planar", 1)], 339: [form.get("sample_format", 1)] * channels}
    fields = {number: (SHORT, values) for number, values in (shorts | (tags or {})).items()}
    part = len(content) // strips
    fields |= {273: (LONG, [0] * strips), 279: (LONG, [part] * strips)}
    large = {n for n, (kind, values) in fields.items() if len(values) * (2 if kind == SHORT else 4) > 4}
    beyond = 8 + 2 + 12 * len(fields) + 4
    begin = beyond + sum(4 * len(fields[n][1]) for n in large)
    fields[273] = (LONG, [begin + n * part for n in range(strips)])
    entries = values_beyond = b""
    for number, (kind, values) in sorted(fields.items()):
        packed = struct.pack(f"<{len(values)}{'H' if kind == SHORT else 'I'}", *values)
        place = struct.pack("<I", beyond + len(values_beyond))
        values_beyond += packed.ljust(4 * len(values), b"\0") if number in large else b""
        entries += struct.pack("<HHI", number, kind, len(values)) + (
            place if number in large else packed.ljust(4, b"\0")
        )
    return io.BytesIO(
        b"II*\0\x08\0\0\0" + struct.pack("<H", len(fields)) + entries + bytes(4) + values_beyond + content
    )


# ------------------------------------------------------------------ ICC profiles, version 2

SRGB = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])  # to XYZ under D50
ADOBE_RGB = np.array([[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632], [0.0195, 0.0609, 0.7446]])
DISPLAY_P3 = np.array([[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]])
D50 = (0.9642, 1.0, 0.8249)


def _fixed(values) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _gamma(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)


def _profile(space: bytes, device: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    text = b"made for a test\0"
    described = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(4 + 4 + 2 + 1 + 67)
    tags = {b"desc": described, b"cprt": b"text" + bytes(4) + text, b"wtpt": b"XYZ " + bytes(4) + _fixed(D50)} | tags
    table, content, begin = b"", b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", begin + len(content), len(value))
        content += value + bytes(-len(value) % 4)
    head = struct.pack(">I4sI4s4s4s", begin + len(content), b"test", 0x02400000, device, space, connection)
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(D50) + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + content


def rgb_profile(primaries: np.ndarray, gamma: float) -> bytes:
    """A profile of three primaries (columns, XYZ under D50) and a power law."""
    names = (b"rXYZ", b"gXYZ", b"bXYZ")
    columns = {name: b"XYZ " + bytes(4) + _fixed(primaries[:, n]) for n, name in enumerate(names)}
    return _profile(b"RGB ", b"mntr", b"XYZ ", columns | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _gamma(gamma)))


def grey_profile(gamma: float) -> bytes:
    return _profile(b"GRAY", b"mntr", b"XYZ ", {b"kTRC": _gamma(gamma)})


def cmyk_profile(lightness) -> bytes:
    """A profile of inks that only darken: L* of the corners by a function of (c, m, y, k), each 0 or 1; a* = b* = 0."""
    corners = [(c, m, y, k) for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)]
    table = b"".join(bytes([round(2.55 * lightness(*corner)), 128, 128]) for corner in corners)
    straight = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + _fixed(np.eye(3).reshape(-1)) + straight * 4 + table + straight * 3
    return _profile(b"CMYK", b"prtr", b"Lab ", {b"A2B0": lut})


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """sRGB values 0 to 255 of linear light 0 to 1, IEC 61966-2-1."""
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
