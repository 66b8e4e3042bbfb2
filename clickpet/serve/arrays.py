"""Arrays as nnInteractive's clients pack them, checked before a byte of them is decompressed.

The format is that of `nnInteractive.inference.remote.serialization` (nninteractive-client 2.6): "NNIA", version,
codec, number of axes, name of the type, shape, and blosc2 frames with their lengths.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Collection

import blosc2
import numpy as np
from nnInteractive.inference.remote.serialization import MAGIC, VERSION, pack_array, unpack_array

from clickpet.errors import InputError

_HEADER = struct.Struct("<4sBBBB")
_CHUNK = struct.Struct("<QQ")
#: Types of voxels that images come in, and of masks.
IMAGE_TYPES = (
    *("float16", "float32", "float64"),
    *("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
)
MASK_TYPES = ("bool", "uint8", "int8", "int16", "uint16", "int32", "uint32", "int64")
#: Bytes of a header and of the lengths of frames, at most.
OVERHEAD_BYTES = 4096
#: Bytes of a blosc2 frame's own header.
_FRAME_HEADER_BYTES = 32


def packed(array: np.ndarray) -> bytes:
    """A mask packed for a client."""
    return pack_array(array, filters=[blosc2.Filter.NOFILTER], nthreads=1)


def unpacked(body: bytes, *, axes: int, types: Collection[str], most_voxels: int) -> np.ndarray:
    """The array that a client packed: of `axes` axes, one of `types`, at most `most_voxels` elements.

    What the header and the frames claim is checked first, so that a small body does not become a large array. Raises
    InputError for everything else.
    """
    try:
        _check(body, axes, types, most_voxels)
        return unpack_array(body)
    except InputError:
        raise
    except (ValueError, TypeError, RuntimeError, struct.error, OverflowError) as error:
        raise InputError("the body is no packed array", mend="send it by nninteractive-client 2.6") from error


def _check(body: bytes, axes: int, types: Collection[str], most_voxels: int) -> None:
    magic, version, _, ndim, name_length = _HEADER.unpack_from(body)
    if magic != MAGIC or version != VERSION:
        raise ValueError("no packed array of this version")
    name = body[_HEADER.size : _HEADER.size + name_length].decode("ascii")
    if name not in types:
        raise InputError(f"arrays of this type are not taken, only {', '.join(types)}")
    if ndim != axes:
        raise InputError(f"the array has {ndim} axes, not {axes}")
    place = _HEADER.size + name_length
    shape = struct.unpack_from(f"<{ndim}q", body, place)
    if min(shape) < 1:
        raise InputError("the array is empty")
    if math.prod(shape) > most_voxels:
        raise InputError(f"the array has more than {most_voxels} voxels", mend="start the server with --most-voxels")
    place += 8 * ndim
    (count,) = struct.unpack_from("<I", body, place)
    place, left = place + 4, math.prod(shape) * np.dtype(name).itemsize
    for _ in range(count):
        length, packed_length = _CHUNK.unpack_from(body, place)
        place += _CHUNK.size
        if length < 1 or packed_length < _FRAME_HEADER_BYTES or place + packed_length > len(body):
            raise ValueError("a frame is cut off")
        claimed, claimed_packed, _ = blosc2.get_cbuffer_sizes(body[place : place + _FRAME_HEADER_BYTES])
        if (claimed, claimed_packed) != (length, packed_length):
            raise ValueError("a frame is not as long as it says")
        place, left = place + packed_length, left - length
    if left or place != len(body):
        raise ValueError("the frames do not fill the array")
