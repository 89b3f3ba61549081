"""Numpy arrays as fields of a message: on the wire a map of `dtype`, `shape` and `data` (MessagePack `bin`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

MAX_ARRAY_BYTES = 8 * 1024 * 1024
"""The largest array a message may hold; above any message of ours (a batch of 64 chips is 2.4 MB)."""

DTYPES = frozenset({"|u1", "<f4", "<f8", "<i4", "<i8"})
"""The types of items an array on the wire may have, as numpy writes them."""


@dataclass(frozen=True)
class ArrayOf:
    """The dtype and shape a field insists on; `None` in the shape is any length."""

    dtype: str
    shape: tuple[int | None, ...]

    def __get_pydantic_core_schema__(self, _source: object, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.validate, serialization=core_schema.plain_serializer_function_ser_schema(pack_array)
        )

    def validate(self, value: object) -> npt.NDArray[Any]:
        """The array in `value`, which is an array already or the map that stands for one on the wire.

        Raises:
            ValueError: another dtype or shape, a length that does not fit the shape, or an item that is no number.
        """
        array = value if isinstance(value, np.ndarray) else unpack_array(value)
        if array.dtype != np.dtype(self.dtype):
            raise ValueError(f"expected dtype {self.dtype}, found {array.dtype}")
        fits = len(array.shape) == len(self.shape) and all(
            want in (None, have) for want, have in zip(self.shape, array.shape, strict=True)
        )
        if not fits:
            raise ValueError(f"expected shape {self.shape}, found {array.shape}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError("expected finite numbers alone")
        return array


def pack_array(array: npt.NDArray[Any]) -> dict[str, Any]:
    """The map that stands for `array` on the wire: little-endian, row by row."""
    return {
        "dtype": array.dtype.str,
        "shape": list(array.shape),
        "data": np.ascontiguousarray(array).tobytes(),
    }


def unpack_array(value: object) -> npt.NDArray[Any]:
    """The read-only array that a map on the wire stands for.

    Raises:
        ValueError: not such a map, an unknown dtype, too large, or a length that does not fit the shape.
    """
    if not isinstance(value, Mapping):
        raise ValueError("expected an array: a map of dtype, shape and data")  # noqa: TRY004  pydantic reports it
    data, shape, dtype = value.get("data"), value.get("shape"), value.get("dtype")
    if not isinstance(data, bytes) or not isinstance(shape, list) or str(dtype) not in DTYPES:
        raise ValueError("expected an array: dtype u1, f4, f8, i4 or i8, a list as shape and bytes as data")
    if len(data) > MAX_ARRAY_BYTES or not all(type(n) is int and 0 <= n <= MAX_ARRAY_BYTES for n in shape):
        raise ValueError(f"an array may hold at most {MAX_ARRAY_BYTES} bytes")
    return np.frombuffer(data, dtype=str(dtype)).reshape(shape)


Boxes: TypeAlias = Annotated[npt.NDArray[np.float32], ArrayOf("<f4", (None, 4))]
"""(n, 4) boxes, xyxy in pixels of the full frame."""
Landmarks: TypeAlias = Annotated[npt.NDArray[np.float32], ArrayOf("<f4", (None, 5, 2))]
"""(n, 5, 2) right eye, left eye, nose tip, right and left mouth corner (the subject's own right), in pixels."""
Scores: TypeAlias = Annotated[npt.NDArray[np.float32], ArrayOf("<f4", (None,))]
"""(n,) one number a row, 0..1 for a detector."""
Chip: TypeAlias = Annotated[npt.NDArray[np.uint8], ArrayOf("|u1", (112, 112, 3))]
"""(112, 112, 3) an aligned face, RGB."""
Chips: TypeAlias = Annotated[npt.NDArray[np.uint8], ArrayOf("|u1", (None, 112, 112, 3))]
"""(n, 112, 112, 3) aligned faces, RGB."""
Template: TypeAlias = Annotated[npt.NDArray[np.float32], ArrayOf("<f4", (None,))]
"""(d,) the feature vector of one face, of length 1."""
Templates: TypeAlias = Annotated[npt.NDArray[np.float32], ArrayOf("<f4", (None, None))]
"""(n, d) feature vectors, each of length 1."""
