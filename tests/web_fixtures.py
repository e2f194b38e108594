"""Fixtures of the page of a run: its temporary files and its server in this process."""

import contextlib
import functools
import importlib.util
import os
import struct
import threading
import time

import pytest

from pipelines.web import server, workspace
from pipelines.web.run_translators import RunTranslators

HAS_GRADIO = importlib.util.find_spec("gradio") is not None
MAX_SHUTDOWN_S = 20.0


@pytest.fixture(scope="session")
def translators():
    """The translations of a run, which is loaded once."""
    return functools.cache(RunTranslators)


@pytest.fixture(scope="session")
def temporary_files():
    """The workspace of all servers: Gradio remembers where its files were when it was imported."""
    with workspace.Workspace() as files:
        yield files


@pytest.fixture
def put_upload(temporary_files):
    """Places a file where Gradio places an upload; returns what the page sends for it."""

    def put(content, name="clip.wav", folder="abc"):
        path = os.path.join(temporary_files.uploads, folder, name.rpartition("/")[2])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        return {"path": path, "orig_name": name}

    return put


@pytest.fixture
def wav_claiming():
    """Makes a WAV file of 500 samples at 8 kHz whose header announces another number of bytes."""

    def make(num_bytes):
        form, size = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16), struct.pack("<I", num_bytes)
        return b"".join((b"RIFF", size, b"WAVE", form, b"data", size, bytes(1000)))

    return make


@pytest.fixture
def stored_files(temporary_files):
    """A function that lists all temporary files; it waits until what has been sent is deleted."""

    def listed():
        return [os.path.join(folder, name) for folder, _, names in os.walk(temporary_files.root) for name in names]

    def stored_files():
        end = time.monotonic() + 3
        while listed() and time.monotonic() < end:
            time.sleep(0.02)
        return listed()

    return stored_files


@pytest.fixture(scope="session")
def serve(temporary_files):
    """Serves the page of a run; returns its address."""
    if not HAS_GRADIO:
        pytest.skip("gradio is not installed: pip install 'crossfade[listen]'")
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name in ("GRADIO_TEMP_DIR", *server.ENVIRONMENT):  # restored at the end
            patch.setitem(os.environ, name, os.environ.get(name, ""))

        def start(run_dir, **options):
            bound = stack.enter_context(server.bind("127.0.0.1", 0))
            app = server.create_app(server.ServerOptions(run_dir=run_dir, **options), temporary_files)
            running = server.create_server(app)
            thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]}, daemon=True)
            thread.start()
            stack.callback(thread.join, MAX_SHUTDOWN_S)
            for flag in ("should_exit", "force_exit"):  # a browser may hold a connection open without end
                stack.callback(setattr, running, flag, True)
            return server.page_address(bound)

        yield start
