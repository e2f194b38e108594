"""Damaged files through the product's own readers: python -m tests.fuzz --count=2000 --seed=0

Whole files of every format that libsndfile and Pillow write are damaged (bytes flipped, cut short, spliced, blocks
deleted or doubled, header fields set to extremes) and read in processes of their own. The law: a file is decoded to
finite values, or refused by UserError with a reason; and one that was only cut short is refused, or gives all that
the whole file gives. All else is a finding: another exception, a crash, too much time or memory. Findings are
printed as a table, their files saved, and the exit code is 1.
"""

import argparse
import collections
import contextlib
import dataclasses
import io
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable

import numpy as np
import PIL.Image
import soundfile

from models.errors import UserError
from models.features import audio, image
from models.features.audio import AudioSpec
from models.features.image import ImageSpec

try:
    import handmade  # under pytest
    import sound_files
except ImportError:
    from tests import handmade, sound_files  # under python -m

SECONDS, GIGABYTES = 10, 2  # that reading one file may take
START_SECONDS = 120  # for a process to import the readers
LOUD, PIXELS = AudioSpec.at(8000), ImageSpec(height=24, width=32)
WHOLE = 0.98  # of a cut recording's length
SEGMENT_FRAMES = 1024
NO_HEADER = ("RAW", "SD2")  # samples without a header; a header in a second file
NO_LENGTH = {  # formats that hold no length, nor a sign of their end: what is left is a whole file
    "IRCAM": "its header has rate, channels and encoding only",
    "PAF": "its header has rate, channels and encoding only",
    "PVF": "its header has rate, channels and bits only",
    "XI": "libsndfile, which writes and reads it, leaves its length at 0",
    "AAC": "frames without a header of the whole",
    "AMR": "frames without a header of the whole",
    "MKA": "its length counts padding, so that 0.1 s may be missing",
    "WEBM": "its length counts padding, so that 0.1 s may be missing",
    "WMA": "its length counts padding, so that 0.1 s may be missing",
}
EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF8, 0xFFFFFFFF)
HEADER_BYTES = 256
READY = "ready"


@dataclasses.dataclass(frozen=True)
class Case:
    """A damaged file: its number, format and damage, its bytes, and those of the whole file."""

    number: int
    name: str
    damage: str
    content: bytes
    whole: bytes


@dataclasses.dataclass(frozen=True)
class Finding:
    """A case that breaks the law, and how."""

    case: Case
    what: str


# ------------------------------------------------------------------ whole files


def recordings() -> dict[str, bytes]:
    """Half a second of a tone in noise, in every container and coding that libsndfile writes into memory."""
    made, rng = {}, np.random.default_rng(0)
    for container in soundfile.available_formats():
        for coding in soundfile.available_subtypes(container) if container not in NO_HEADER else ():
            for rate_hz in (16000, 8000):  # some take the latter only
                t = np.arange(rate_hz // 2) / rate_hz
                y = 0.3 * np.sin(2 * np.pi * 300 * t) + 0.01 * rng.normal(size=len(t))
                file = io.BytesIO()
                with contextlib.suppress(soundfile.LibsndfileError, ValueError):
                    soundfile.write(file, y, rate_hz, format=container, subtype=coding)
                    made[f"{container}/{coding}"] = file.getvalue()
                    break
    return made


def sounds() -> dict[str, bytes]:
    """Half a second of a tone in noise, in every container that FFmpeg reads and writes for the product."""
    files = {}
    for suffix, (_, codec, rate_hz) in sound_files.FORMATS.items():
        files[f"{suffix[1:].upper()}/{codec}"] = sound_files.encode(suffix, sound_files.tone(rate_hz, 0.5))
    return files


def pictures() -> dict[str, bytes]:
    """A small picture in every format that Pillow writes and the product reads, the common ones in several modes."""
    PIL.Image.init()
    y, x = np.indices((48, 64))
    rgb = PIL.Image.fromarray(np.uint8(np.stack([3 * x, 5 * y, (x * y) % 251], -1)))
    grey, deep, real = rgb.convert("L"), PIL.Image.fromarray(np.uint16(900 * y + 13 * x)), rgb.convert("F")
    asked = {name: [(name, rgb, {})] for name in image.image_file.FORMATS if name in PIL.Image.SAVE}
    asked["PNG"] += [("PNG", p, {}) for p in (grey, deep, rgb.quantize(64), rgb.convert("1"), rgb.convert("RGBA"))]
    asked["JPEG"] += [("JPEG", rgb, {"progressive": True}), ("JPEG", rgb.convert("CMYK"), {}), ("JPEG", grey, {})]
    asked["WEBP"] += [("WEBP", rgb, {"lossless": True})]
    asked["PPM"] += [("PPM", p, {}) for p in (grey, deep, real, rgb.convert("1"))]
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        asked["TIFF"] += [("TIFF", rgb, {"compression": compression})]
    asked["TIFF"] += [("TIFF", p, {}) for p in (deep, real, rgb.convert("CMYK"), rgb.convert("LAB"), grey)]
    asked["TIFF"] += [("TIFF", rgb.convert("1"), {"compression": "group4"})]
    asked["TGA"] += [("TGA", rgb, {"compression": "tga_rle"})]
    asked["GIF"] += [("GIF", rgb, {"save_all": True, "append_images": [rgb.rotate(90)]})]
    asked["JPEG2000"] += [("JPEG2000", rgb, {"no_jp2": True}), ("JPEG2000", deep, {})]
    made = {}
    for name, picture, options in (each for several in asked.values() for each in several):
        file, detail = io.BytesIO(), "".join(f",{v}" for v in options.values() if isinstance(v, str | bool))
        with contextlib.suppress(OSError, ValueError, KeyError):
            try:
                picture.save(file, name, **options)
                key = f"{name}/{picture.mode}{detail}"
            except (OSError, ValueError):  # some take 1 bit or a palette only
                picture.convert("1" if name in ("XBM", "MSP") else "P").save(file, name, **options)
                key = f"{name}/{'1' if name in ('XBM', 'MSP') else 'P'}{detail}"
            made[key] = file.getvalue()
    return made | _with_blocks(rgb) | {f"{name}/16": made.getvalue() for name, made in _of_sixteen_bits(x, y).items()}


def _with_blocks(rgb: PIL.Image.Image) -> dict[str, bytes]:
    """Pictures with an orientation and a colour profile."""
    made, exif, profile = {}, PIL.Image.Exif(), handmade.rgb_profile(handmade.ADOBE_RGB, 2.2)
    exif[0x0112] = 6
    for name in sorted({"JPEG", "MPO", "PNG", "TIFF", "WEBP", "AVIF"} & set(PIL.Image.SAVE)):
        file = io.BytesIO()
        rgb.save(file, name, exif=exif, icc_profile=profile)
        made[f"{'JPEG' if name == 'MPO' else name}/{name},blocks"] = file.getvalue()
    return made


def _of_sixteen_bits(x: np.ndarray, y: np.ndarray) -> dict[str, io.BytesIO]:
    """Colours of 16 bits, of which Pillow writes none."""
    colours = np.uint16(np.stack([60 * x, 80 * y, x * y], -1))
    bits = handmade.chunk(b"sBIT", b"\x0c\x0c\x0c")
    made = {"PNG/RGB": handmade.png(colours, bits), "PNG/LA": handmade.png(colours[..., :2])}
    return made | {"TIFF/RGB": handmade.tiff(colours, bits=16, channels=3, photometric=2)}


KINDS = {"audio": recordings, "ffmpeg": sounds, "image": pictures}


# ------------------------------------------------------------------ damage


def whole(rng, content: bytes, other: bytes) -> bytes:
    return content


def cut(rng, content: bytes, other: bytes) -> bytes:
    return content[: int(rng.integers(1, len(content)))]


def flipped(rng, content: bytes, other: bytes) -> bytes:
    made = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        made[int(rng.integers(len(made)))] ^= int(rng.integers(1, 256))
    return bytes(made)


def header_flipped(rng, content: bytes, other: bytes) -> bytes:
    head = content[:HEADER_BYTES]
    return flipped(rng, head, other) + content[len(head) :]


def field_set(rng, content: bytes, other: bytes) -> bytes:
    value, size = int(rng.choice(EXTREMES)), int(rng.choice([2, 4, 8]))
    place = int(rng.integers(0, max(1, min(len(content), HEADER_BYTES) - size)))
    value &= (1 << 8 * size) - 1
    order = "little" if rng.random() < 0.5 else "big"
    return content[:place] + value.to_bytes(size, order) + content[place + size :]


def spliced(rng, content: bytes, other: bytes) -> bytes:
    return cut(rng, content, other) + other[int(rng.integers(len(other))) :]


def deleted(rng, content: bytes, other: bytes) -> bytes:
    start, end = sorted(int(n) for n in rng.integers(0, len(content) + 1, 2))
    return content[:start] + content[end:] or content[:1]


def doubled(rng, content: bytes, other: bytes) -> bytes:
    start, end = sorted(int(n) for n in rng.integers(0, len(content) + 1, 2))
    return content[:end] + content[start:end] + content[end:]


DAMAGES = (whole, cut, cut, flipped, header_flipped, field_set, field_set, spliced, deleted, doubled)


def case(number: int, seed: int, files: dict[str, bytes]) -> Case:
    """The case of a number, the same in every run of a seed."""
    rng, names = np.random.default_rng([seed, number]), list(files)
    name, other = names[number % len(names)], names[int(rng.integers(len(names)))]
    damage = DAMAGES[int(rng.integers(len(DAMAGES)))]
    return Case(number, name, damage.__name__, damage(rng, files[name], files[other]), files[name])


# ------------------------------------------------------------------ reading


def read(name: str, content: bytes) -> np.ndarray:
    """What the product makes of a file: a recording's number of samples, a picture's pixels.

    Raises:
      UserError: it is refused.
      AssertionError: it breaks the law.
    """
    with tempfile.TemporaryFile() as file:  # a file of the system, as the jobs open: some decoders read it themselves
        file.write(content)
        file.seek(0)
        if name.partition("/")[0] in image.image_file.FORMATS:
            image.probe(file)
            file.seek(0)
            return image.read(file, PIXELS)
        meter, frames = audio.measure_level(file, LOUD), 0
        assert np.isfinite([meter.gain(), meter.peak]).all(), "the level is not finite"
        file.seek(0)
        for part in audio.segments(file, LOUD, meter.gain(), SEGMENT_FRAMES):
            assert np.isfinite(part).all(), "features are not finite"
            frames += len(part)
        assert frames == LOUD.frames(meter.samples), f"{frames} frames of {meter.samples} samples"
        return np.array(meter.samples)


def broken_law(case: Case) -> str:
    """How reading a case breaks the law; empty where it does not."""
    try:
        found = read(case.name, case.content)
    except UserError as error:
        whole_refused = case.damage == "whole" and f"the whole file is refused: {error}"
        return whole_refused or ("" if str(error).strip() else "refused without a reason")
    except AssertionError as error:
        return str(error)
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    if case.damage != "cut" or case.name.partition("/")[0] in NO_LENGTH:
        return ""
    wanted = read(case.name, case.whole)
    if wanted.ndim:
        return "" if np.array_equal(found, wanted) else "cut short in silence: other pixels than the whole picture's"
    return "" if found >= WHOLE * wanted else f"cut short in silence: {found} of {wanted} samples"


def work(pipe) -> None:
    """Reads cases until there are no more; in a process of its own."""
    with open(os.devnull, "w") as nowhere:  # decoders write what they think of a file
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    with contextlib.suppress(OSError, ValueError):
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + (GIGABYTES << 30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    pipe.send(READY)
    while (asked := pipe.recv()) is not None:
        pipe.send(broken_law(asked))


class Worker:
    """A process that reads one file after the other, and is replaced where one ends or stops it."""

    def __init__(self):
        self.case: Case | None = None
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.ready, self.until = False, time.monotonic() + START_SECONDS

    def give(self, case: Case | None) -> None:
        self.case, self.until = case, time.monotonic() + SECONDS
        self.pipe.send(case)

    def outcome(self) -> str | None:
        """What came of the case; None where it is not known yet."""
        if self.pipe.poll():
            try:
                return self.pipe.recv()
            except EOFError:
                self.process.join()
                return self._replaced(f"the process crashed, exit code {self.process.exitcode}")
        late = time.monotonic() > self.until and (self.case is not None or not self.ready)
        return self._replaced(f"took more than {SECONDS} s") if late else None

    def _replaced(self, why: str) -> str:
        if not self.ready:
            raise RuntimeError(f"a process could not be started: {why}")
        self.end()
        self.start()
        return why

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def fuzz(
    numbers: Iterable[int],
    seed: int,
    files: dict[str, bytes],
    *,
    processes: int,
    each: Callable[[int, int, list[Finding]], None] = lambda done, total, findings: None,
) -> list[Finding]:
    """Reads the cases of some numbers.

    Args:
      numbers: of the cases.
      seed: another gives other damage.
      files: the whole ones.
      processes: that read at the same time.
      each: called after each case with those done, all, and the findings.
    """
    numbers, findings, done = list(numbers), [], 0
    workers, left = [Worker() for _ in range(min(processes, len(numbers)))], iter(numbers)
    try:
        while done < len(numbers):
            multiprocessing.connection.wait([worker.pipe for worker in workers], timeout=0.1)
            for worker in workers:
                outcome = worker.outcome()
                if outcome is not None and worker.case is not None:
                    findings += [Finding(worker.case, outcome)] if outcome else []
                    done, worker.case = done + 1, None
                    each(done, len(numbers), findings)
                worker.ready = worker.ready or outcome == READY
                if worker.ready and worker.case is None and (number := next(left, None)) is not None:
                    worker.give(case(number, seed, files))
    finally:
        for worker in workers:
            worker.end()
    return findings


# ------------------------------------------------------------------ for people


def table(findings: list[Finding]) -> str:
    """Findings by format and damage, and of every kind the first."""
    counts = collections.Counter((f.case.name, f.case.damage) for f in findings)
    names, damages = sorted({n for n, _ in counts}), sorted({d for _, d in counts})
    width = max(map(len, names))
    lines = [" ".join([" " * width, *(f"{d:>14}" for d in damages)])]
    lines += [" ".join([f"{n:{width}}", *(f"{counts[n, d] or '':>14}" for d in damages)]) for n in names]
    firsts = {}
    for f in findings:
        firsts.setdefault((f.case.name, f.case.damage, f.what[:40]), f)
    return "\n".join(lines + [f"{f.case.number} {f.case.name} {f.case.damage}: {f.what}" for f in firsts.values()])


def save(findings: list[Finding], seed: int, folder: pathlib.Path) -> None:
    """Keeps the files that break the law."""
    folder.mkdir(parents=True, exist_ok=True)
    for found in findings:
        name = found.case.name.replace("/", "_").replace(";", "").replace(",", "_")
        (folder / f"{seed}-{found.case.number}-{name}-{found.case.damage}").write_bytes(found.case.content)


class Progress:
    """Rate and estimated time left, on the error stream, every two seconds."""

    def __init__(self):
        self.began = self.said = time.monotonic()

    def __call__(self, done: int, total: int, findings: list[Finding]) -> None:
        now = time.monotonic()
        if now - self.said > 2:
            self.said, rate = now, done / (now - self.began)
            left = f"{rate:.0f} files/s, {(total - done) / rate:.0f} s left, {len(findings)} findings"
            print(f"{done} of {total}: {left}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="files to read")
    parser.add_argument("--seed", type=int, default=0, help="another gives other damage")
    parser.add_argument(
        "--kind", choices=KINDS, help="audio, ffmpeg (audio by PyAV) or image; all where it is not given"
    )
    parser.add_argument("--only", type=int, help="read the one file of a finding's number and --kind")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="that read at the same time")
    parser.add_argument("--save_dir", type=pathlib.Path, default=pathlib.Path("out/fuzz"), help="for files of findings")
    asked = parser.parse_args()
    numbers = list(range(asked.count)) if asked.only is None else [asked.only]
    files = {
        name: content for kind in ([asked.kind] if asked.kind else KINDS) for name, content in KINDS[kind]().items()
    }
    findings = fuzz(numbers, asked.seed, files, processes=asked.processes, each=Progress())
    if findings:
        save(findings, asked.seed, asked.save_dir)
        print(table(findings))
        print(f"{len(findings)} findings in {len(numbers)} files, seed {asked.seed}; they are in {asked.save_dir}")
        return 1
    print(f"{len(numbers)} damaged files, seed {asked.seed}: each decoded to finite values or refused with a reason")
    return 0


if __name__ == "__main__":
    sys.exit(main())
