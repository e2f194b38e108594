"""Hostile names and archives through preprocess: python -m tests.hostile_inputs --count=1000 --seed=0

Files with names of all kinds, links out of the tree, pipes and sockets, and archives whose members have hostile names
and types, wrong sizes and damaged tables are listed and preprocessed. The law: every file and every member becomes an
example or a line of failures.jsonl, or is counted among the ignored ones; an archive that is damaged is read up to
where it is damaged, and counted; nothing is written outside the output; the job ends.
"""

import argparse
import contextlib
import functools
import io
import json
import os
import pathlib
import re
import signal
import socket
import stat
import struct
import sys
import tarfile
import tempfile
import time
import warnings
import zipfile

import numpy as np

from pipelines.archives import members
from pipelines.beam import runner
from pipelines.data import file_kinds, file_listing, front_end, ignored_files
from pipelines.data.domains import read_domains
from pipelines.jobs import dataset_writer, preprocess_job
from pipelines.jobs.translation_plan import TranslationPlan

try:
    import archive_files  # under pytest
except ImportError:
    from tests import archive_files  # under python -m

SECONDS = 600  # that the job may take
MEMBERS = 20  # of an archive
LINKS = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.CONTTYPE)
NAMES = [  # {} is a number, so that no two files have the same name
    "{}.wav",
    "{}.WAV",
    "tab\t{}.wav",
    "line\nbreak\r{}.wav",
    "\x1b[31mred{}.wav",
    "\x7f\x01{}.wav",
    "[a-{}].wav",
    "*?{}.wav",
    "~{}.wav",
    "-rf {}.wav",
    "$(touch {}).wav",
    "{} .wav",
    ".hidden{}.wav",
    "...{}.wav",
    "e\u0301{}.wav",
    "\u00e9{}.wav",
    "\u202e{}.wav",
    "\U0001f600{}.wav",
    "%2e%2e%2f{}.wav",
    "C:{}.wav",
    "NUL{}.wav",
    "{}.wav.txt",
    "{}.zip",
    "{}",
    "{}.wav/x.wav",
    "._{}.wav",
    ".crossfade-part-{}.wav",
    "a b/{}/c/d.wav",
]
ON_DISK = ["back\\slash{}.wav", "\udcff\udcfe{}.wav", "l" * 240 + "{}.wav"]
IN_ARCHIVES = [
    "__MACOSX/{}.wav",  # on disk, the folder is counted
    "/{}.wav",
    "{canary}/{}.wav",
    "../{}.wav",
    "../../../../../../../..{canary}/{}.wav",
    "a/../../{}.wav",
    "a/./b//{}.wav",
    "..\\{}.wav",
    "C:\\{}.wav",
    "\\\\host\\{}.wav",
    "back\\slash{}.wav",
    "nul\0{}.wav",
    "l" * 300 + "{}.wav",
    "d/" * 400 + "{}.wav",
    "same.wav",
]


@contextlib.contextmanager
def time_limit(seconds):
    """Raise TimeoutError in the main thread after some seconds."""

    def late(*_):
        raise TimeoutError(f"took more than {seconds} s")

    previous = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def content(rng):
    """Bytes of a file: most are recordings."""
    whole = archive_files.wav(int(rng.integers(1 << 30)), 4000)
    kinds = [whole] * 6 + [b"", rng.bytes(500), whole[:1000], b"\x89PNG\r\n\x1a\n", b"\0\0\0 ftypM4A "]
    return kinds[int(rng.integers(len(kinds)))]


class Files:
    """Files of a folder; `count` is that of all that is in it, but folders."""

    def __init__(self, folder, outside, rng):
        self.folder, self.outside, self.rng, self.count = folder, outside, rng, 0
        folder.mkdir(parents=True)

    def add(self, number):
        names = NAMES + ON_DISK
        path = os.path.join(self.folder, names[int(self.rng.integers(len(names)))].format(number))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        kinds = [self.regular] * 8 + [self.pipe, self.socket, self.link, self.broken, self.loop, self.hard]
        kinds[int(self.rng.integers(len(kinds)))](path)
        self.count += 1

    def regular(self, path):
        with open(path, "wb") as file:
            file.write(content(self.rng))

    def pipe(self, path):
        os.mkfifo(path)

    def socket(self, path):
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as made:
            os.chdir(os.path.dirname(path))  # paths of sockets are short
            with contextlib.suppress(OSError):
                made.bind("s")
        if os.path.lexists("s"):
            os.rename("s", path)

    def link(self, path):
        os.symlink(self.outside / "linked.wav", path)

    def broken(self, path):
        os.symlink("nowhere", path)

    def loop(self, path):
        os.symlink(path, path)

    def hard(self, path):
        os.link(self.outside / "linked.wav", path)


def member_names(rng, count, canary):
    names = NAMES + 2 * IN_ARCHIVES
    return [
        names[int(rng.integers(len(names)))].replace("{canary}", str(canary)).replace("{}", str(n))
        for n in range(count)
    ]


def write_zip(path, rng, names):
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore", UserWarning)  # of names that are there twice
        for name in names:
            kinds = [stat.S_IFREG] * 8 + [0, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR]
            info = archive_files.zip_info(name, zipfile.ZIP_DEFLATED, kinds[int(rng.integers(len(kinds)))])
            archive.writestr(info, b"/etc/passwd" if stat.S_ISLNK(info.external_attr >> 16) else content(rng))


def write_tar(path, rng, names):
    mode = archive_files.TAR_MODES[next(suffix for suffix in archive_files.TAR_MODES if str(path).endswith(suffix))]
    with tarfile.open(path, mode, format=[tarfile.GNU_FORMAT, tarfile.PAX_FORMAT][int(rng.integers(2))]) as archive:
        for name in names:
            attributes = {"type": LINKS[int(rng.integers(len(LINKS)))], "linkname": "../../etc/passwd"}
            archive_files.add_to_tar(archive, name, attributes if rng.random() < 0.3 else content(rng))


@functools.cache
def zeros(size):
    file = io.BytesIO()
    archive_files.write_zip(file, {"bomb.wav": bytes(size)})
    return file.getvalue()


def damage_members(rng, whole):
    """The archive with fields of one entry of a zip's table of contents changed."""
    made = bytearray(whole)
    entries = [match.start() for match in re.finditer(re.escape(b"PK\1\2"), whole)]
    at = entries[int(rng.integers(len(entries)))]
    offset, form, value = [
        (8, "<H", 1),
        (10, "<H", 99),
        (16, "<I", 7),
        (20, "<I", 3),
        (24, "<I", 0xFFFFFFF0),
        (42, "<I", 9),
    ][int(rng.integers(6))]
    struct.pack_into(form, made, at + offset, value)
    return bytes(made)


def damage(rng, whole):
    """An archive that is cut, overwritten, or none at all."""
    start, end = sorted(int(n) for n in rng.integers(0, len(whole), 2))
    flipped = bytearray(whole)
    for _ in range(20):
        flipped[int(rng.integers(len(flipped)))] ^= int(rng.integers(1, 256))
    made = [whole[:start], whole[:start] + whole[end:], whole[start:], bytes(flipped), b"", rng.bytes(2000)]
    made += [whole[:start] + rng.bytes(512) + whole[start:], zeros(members.UNCHECKED_BYTES + 1), bytes(5000)]
    return made[int(rng.integers(len(made)))]


def write_inputs(folder, count, seed):
    """Write files, whole archives and damaged ones below a folder; return how many of the first two there are."""
    rng = np.random.default_rng(seed)
    (folder / "outside").mkdir()
    (folder / "outside" / "linked.wav").write_bytes(archive_files.wav())
    (folder / "canary").mkdir()
    files, suffixes = Files(folder / "in" / "files", folder / "outside", rng), [".zip", *archive_files.TAR_MODES]
    for number in range(count * 2 // 5):
        files.add(number)
    total = files.count
    for kind, parts in (("whole", count * 2 // 5 // MEMBERS), ("damaged", count // 5)):
        (folder / "in" / kind).mkdir()
        for number in range(parts):
            suffix = suffixes[number % len(suffixes)]
            path = folder / "in" / kind / f"{number}{suffix}"
            names = member_names(rng, MEMBERS, folder / "canary")
            (write_zip if suffix == ".zip" else write_tar)(path, rng, names)
            if kind == "whole":
                total += sum(not name.endswith(("/", "\\")) for name in names)
            else:
                is_table = suffix == ".zip" and rng.random() < 0.5
                path.write_bytes((damage_members if is_table else damage)(rng, path.read_bytes()))
    return total


def state(folder, output):
    """Paths, types, times and sizes of all that is below a folder, but for the output."""
    found = {}
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if os.path.join(root, name) != str(output)]
        for name in folders + names:
            status = os.lstat(os.path.join(root, name))
            found[os.path.join(root, name)] = (status.st_mode, status.st_mtime_ns, status.st_size)
    return found


def check_listing(folder, total):
    """The law of the listing; returns the number of files, and of those that are ignored."""
    patterns = [f"{folder}/in/files", f"{folder}/in/whole/*"]
    listing = file_listing.list_files(patterns, file_kinds.known_suffixes())
    ignored = sum(listing.ignored.counts.values())
    assert len(listing.files) + ignored == total, (
        f"{len(listing.files)} + {ignored} of {total}: {listing.ignored.counts}"
    )
    for path in (folder / "in" / "damaged").iterdir():
        damaged = file_listing.list_files([str(path)], file_kinds.known_suffixes())
        assert damaged.files or damaged.ignored.counts, f"{path} is not accounted for"
    below = file_listing.list_files([f"{folder}/in/**"], file_kinds.known_suffixes())
    outputs = [
        row["output"] for row in TranslationPlan(below.files, below.root, ".wav", "/out").rows() if "output" in row
    ]
    assert len(outputs) == len(set(outputs)) and all(os.path.normpath(f"/out/{o}") == f"/out/{o}" for o in outputs)
    return len(listing.files), ignored


def run_job(folder, output, *beam):
    """The law of the job; returns the numbers of examples and failures."""
    flags = [f"a={folder}/in/files", f"a={folder}/in/whole/*", f"b={folder}/in/damaged/*", f"b={folder}/outside"]
    domains = read_domains(flags)
    spec = front_end.infer_spec("audio", domains, ["n_fft=256", "n_mels=32"])
    options = {"data_dir": str(output), "fractions": (0.1, 0.1), "split_by": "file"}
    job = preprocess_job.PreprocessJob(kind="audio", spec=spec, domains=domains, **options)
    dataset_writer.write_dataset(job, runner.parse_options(list(beam)))
    rows = {
        name: [json.loads(line)["path"] for line in (output / f"{name}.jsonl").read_text().splitlines()]
        for name in ("manifest", "failures")
    }
    listed = sorted(ignored_files.printable(entry.path) for domain in domains for entry in domain.files)
    accounted = sorted(map(ignored_files.printable, rows["manifest"] + rows["failures"]))
    assert accounted == listed, f"not accounted for: {set(listed) ^ set(accounted)}"
    return len(rows["manifest"]), len(rows["failures"])


def check(folder, count, seed, *beam):
    """Check the law on inputs of a seed in an empty folder; returns a line of numbers."""
    began, temporary, output = time.monotonic(), folder / "tmp", folder / "out"
    total = write_inputs(folder, count, seed)
    temporary.mkdir()
    previous, tempfile.tempdir = tempfile.tempdir, str(temporary)
    before = state(folder, output)
    try:
        with time_limit(SECONDS):
            files, ignored = check_listing(folder, total)
            examples, failures = run_job(folder, output, *beam)
    finally:
        tempfile.tempdir = previous
    after = state(folder, output)
    assert {k: v for k, v in after.items() if k != str(temporary)} == {
        k: v for k, v in before.items() if k != str(temporary)
    }, "something was written outside the output"
    damaged = len(list((folder / "in" / "damaged").iterdir()))
    return (
        f"{total} files and members: {files} listed, {ignored} ignored with a reason; with {damaged} damaged archives: "
        f"{examples} examples, {failures} failures; seed {seed}, {time.monotonic() - began:.0f} s"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="files, members and damaged archives together")
    parser.add_argument("--seed", type=int, default=0, help="another gives other inputs")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(check(pathlib.Path(folder), asked.count, asked.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
