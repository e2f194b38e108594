"""Weights of PyTorch files before version 1.6, written here without PyTorch."""

import collections
import io
import pickle
import sys
import types

import numpy as np
import pytest

from models import torch_weights
from models.errors import UserError


class _Storage:
    def __init__(self, values):
        self.values = values


class _View:
    """A view of a storage, pickled as PyTorch pickles tensors."""

    def __init__(self, storage, offset, shape, strides):
        self.arguments = (storage, offset, shape, strides, False, collections.OrderedDict())

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


@pytest.fixture
def write(monkeypatch, tmp_path):
    """Return a function that writes an object and its storages to a file."""

    def function(*arguments):
        raise AssertionError("is only pickled by its name")

    function.__module__, function.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    dtype = type("FloatStorage", (), {"__module__": "torch"})
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(FloatStorage=dtype))
    monkeypatch.setitem(sys.modules, "torch._utils", types.SimpleNamespace(_rebuild_tensor_v2=function))

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if isinstance(value, _Storage):
                return ("storage", dtype, str(id(value)), "cpu", len(value.values), None)

    def write(content, storages):
        out = io.BytesIO()
        for header in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
            pickle.dump(header, out, protocol=2)
        Pickler(out, protocol=2).dump(content)
        pickle.dump([str(id(storage)) for storage in storages], out, protocol=2)
        for storage in storages:
            out.write(np.int64(len(storage.values)).tobytes() + storage.values.astype("<f4").tobytes())
        path = tmp_path / "weights.pt"
        path.write_bytes(out.getvalue())
        return path

    return write


def test_views_of_storages_are_read(write):
    first, second = _Storage(np.arange(12)), _Storage(np.array([7.0, 8.0]))
    state = {
        "weight": _View(first, 0, (3, 4), (4, 1)),
        "transposed": _View(first, 0, (4, 3), (1, 4)),
        "bias": _View(second, 1, (1,), (1,)),
        "version": 3,
    }
    tensors = torch_weights.read(write({"step": 5, "model_state": state}, [first, second]), "model_state")
    assert list(tensors) == ["weight", "transposed", "bias"]
    assert tensors["weight"].dtype == np.float32
    assert np.array_equal(tensors["weight"], np.arange(12).reshape(3, 4))
    assert np.array_equal(tensors["transposed"], tensors["weight"].T)
    assert tensors["bias"].tolist() == [8]


def test_a_file_may_contain_nothing_but_tensors(write):
    storage = _Storage(np.arange(3))
    tensors = torch_weights.read(write({"bias": _View(storage, 0, (3,), (1,))}, [storage]))
    assert tensors["bias"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("content", [{"model_state": print}, {"other": {}}, 3])
def test_other_content_is_refused_without_running_it(write, content):
    with pytest.raises(UserError, match="is not a file of weights"):
        torch_weights.read(write(content, []), "model_state")


def test_a_file_of_another_format_is_refused(tmp_path):
    path = tmp_path / "weights.pt"
    for content in (b"", b"PK\x03\x04 a newer file"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="is not a file of weights"):
            torch_weights.read(path)
