"""Archives for tests, written with the headers that hostile ones have."""

import io
import stat
import tarfile
import zipfile

import numpy as np
import soundfile

RATE_HZ = 8000
TAR_MODES = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}


def wav(seed=0, samples=4000):
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(seed).normal(0, 0.1, samples), RATE_HZ, format="WAV")
    return file.getvalue()


def write_zip(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in dict(members).items():
            archive.writestr(zip_info(name, method), content)
    return str(path)


def zip_info(name, method=zipfile.ZIP_DEFLATED, kind=stat.S_IFREG):
    info = zipfile.ZipInfo("x")
    info.filename, info.compress_type, info.create_system = name, method, 3
    info.external_attr = (kind | 0o644) << 16
    return info


def write_tar(path, members):
    """Write members: names to contents, or to the attributes of a header without content."""
    suffix = next(suffix for suffix in TAR_MODES if str(path).endswith(suffix))
    with tarfile.open(path, TAR_MODES[suffix]) as archive:
        for name, content in dict(members).items():
            add_to_tar(archive, name, content)
    return str(path)


def add_to_tar(archive, name, content):
    info = tarfile.TarInfo(name)
    if isinstance(content, bytes):
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    else:
        for key, value in content.items():
            setattr(info, key, value)
        archive.addfile(info)


def write(path, members):
    return (write_zip if str(path).endswith(".zip") else write_tar)(path, members)
