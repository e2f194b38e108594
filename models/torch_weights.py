"""Reader of weights that PyTorch before version 1.6 wrote, without PyTorch and without running code of the file."""

from __future__ import annotations

import collections
import pathlib
import pickle  # noqa: S403
from typing import BinaryIO, NamedTuple

import numpy as np

from models.errors import UserError

DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}
HEADER_PICKLES = 3  # magic number, version of the format, sizes of types


class _Tensor(NamedTuple):
    """A view of a storage: offset, shape and strides in elements."""

    storage: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    """Reads tensors as :class:`_Tensor`; `dtypes` are those of their storages by name."""

    def __init__(self, file: BinaryIO):
        super().__init__(file)
        self.dtypes: dict[str, str] = {}

    def find_class(self, module: str, name: str):
        """Return a substitute for a class or function of PyTorch; every other one is refused."""
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        substitutes = {
            ("torch._utils", "_rebuild_tensor_v2"): lambda *arguments: _Tensor(*arguments[:4]),
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
            ("collections", "OrderedDict"): collections.OrderedDict,
        }
        if (module, name) not in substitutes:
            raise pickle.UnpicklingError(f"{module}.{name} is not needed for weights")
        return substitutes[module, name]

    def persistent_load(self, pid: tuple) -> str:
        """Return the name of a storage `("storage", dtype, name, device, elements, view)`."""
        _, dtype, name, *_ = pid
        self.dtypes[name] = dtype
        return name


def read(path: pathlib.Path, entry: str | None = None) -> dict[str, np.ndarray]:
    """Read the tensors of a file by name.

    Args:
      path: the file.
      entry: key of the dictionary of tensors in the file; None if the file contains nothing else.

    Raises:
      UserError: the file is not of this format.
    """
    try:
        with open(path, "rb") as file:
            for _ in range(HEADER_PICKLES):
                _Unpickler(file).load()
            unpickler = _Unpickler(file)
            content = unpickler.load()
            state = content if entry is None else content[entry]
            storages = {name: _read_storage(file, unpickler.dtypes[name]) for name in _Unpickler(file).load()}
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, IndexError) as error:
        raise UserError(f"{path} is not a file of weights by PyTorch before version 1.6: {error}") from error
    tensors = {name: value for name, value in state.items() if isinstance(value, _Tensor)}
    return {name: _to_array(tensor, storages[tensor.storage]) for name, tensor in tensors.items()}


def _read_storage(file: BinaryIO, dtype: str) -> np.ndarray:
    """Read a storage: the number of elements, and the elements."""
    count = int(np.frombuffer(file.read(8), "<i8")[0])
    return np.frombuffer(file.read(count * np.dtype(dtype).itemsize), dtype, count)


def _to_array(tensor: _Tensor, storage: np.ndarray) -> np.ndarray:
    strides = [stride * storage.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides).copy()
