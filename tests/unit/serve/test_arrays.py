"""Packed arrays are read as the client packs them; what claims more than it is, is refused unpacked."""

import struct
import tracemalloc
from contextlib import suppress

import blosc2
import numpy as np
import pytest
from nnInteractive.inference.remote.serialization import pack_array, unpack_array

from clickpet.errors import InputError
from clickpet.serve.arrays import IMAGE_TYPES, MASK_TYPES, packed, unpacked

OPTIONS = {"axes": 3, "types": IMAGE_TYPES, "most_voxels": 1000}


@pytest.mark.parametrize("kind", IMAGE_TYPES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (10, 10, 10), (3, 1, 7)])
def test_right_arrays_come_through(kind, shape):
    array = np.arange(np.prod(shape)).reshape(shape).astype(kind)
    found = unpacked(pack_array(array), **OPTIONS)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("kind", MASK_TYPES)
def test_masks_come_through_empty_ones_and_bool_included(kind):
    for value in (0, 1):
        mask = np.full((9, 5, 3), value, kind)
        np.testing.assert_array_equal(unpacked(pack_array(mask), axes=3, types=MASK_TYPES, most_voxels=135), mask)
    mask = np.asfortranarray(np.random.default_rng(0).integers(0, 2, (9, 5, 3), np.uint8))
    np.testing.assert_array_equal(unpack_array(packed(mask)), mask)


def header(shape, name=b"float32", *, magic=b"NNIA", version=1, codec=1):
    return struct.pack("<4sBBBB", magic, version, codec, len(shape), len(name)) + name + struct.pack(
        f"<{len(shape)}q", *shape
    )  # fmt: skip


def framed(content, *, claimed=None, count=1):
    frame = bytes(blosc2.compress2(content, typesize=4))
    length = len(content) if claimed is None else claimed
    return struct.pack("<I", count) + struct.pack("<QQ", length, len(frame)) + frame


ZEROS = b"\0" * 4000
GOOD = header((10, 10, 10)) + framed(ZEROS)


def test_the_hand_made_body_is_right():
    np.testing.assert_array_equal(unpacked(GOOD, **OPTIONS), np.zeros((10, 10, 10), np.float32))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"NNIA",
        GOOD[:-1],
        GOOD + b"x",
        GOOD[: len(GOOD) // 2],
        header((10, 10, 10), magic=b"XXXX") + framed(ZEROS),
        header((10, 10, 10), version=2) + framed(ZEROS),
        header((10, 10, 10), codec=9) + framed(ZEROS),
        header((10, 10, 10), b"object") + framed(ZEROS),
        header((10, 10, 10), b"V9999") + framed(ZEROS),
        header((10, 10, 10), b"\xff\xfe") + framed(ZEROS),
        header((10, 10)) + framed(ZEROS),
        header((10, 10, 0)) + framed(b""),
        header((-10, -10, 10)) + framed(ZEROS),
        header((2**40, 2**40, 1)) + framed(ZEROS),
        header((10, 10, 11)) + framed(ZEROS),
        header((10, 10, 9)) + framed(ZEROS),
        header((10, 10, 10)) + framed(ZEROS, claimed=2000),
        header((10, 10, 9)) + framed(ZEROS, claimed=3600),
        header((10, 10, 10)) + framed(ZEROS, count=2),
        header((10, 10, 10)) + framed(ZEROS, count=2**32 - 1),
        header((10, 10, 10)) + struct.pack("<IQQ", 1, 4000, 2**63) + b"x" * 100,
        header((10, 10, 10)) + struct.pack("<IQQ", 1, 4000, 100) + b"\0" * 100,
    ],
)
def test_what_is_no_such_array_is_refused(body):
    with pytest.raises(InputError):
        unpacked(body, **OPTIONS)


def test_a_decompression_bomb_is_refused_without_memory():
    bomb = header((1, 1, 2**26)) + framed(b"\0" * 2**28)
    assert len(bomb) < 10_000
    small = header((10, 10, 10)) + framed(b"\0" * 2**28, claimed=4000)
    tracemalloc.start()
    for body in (bomb, small):
        with pytest.raises(InputError):
            unpacked(body, **OPTIONS)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_damaged_frames_are_refused_or_read_as_something_of_the_right_size():
    rng = np.random.default_rng(1)
    body = bytearray(pack_array(rng.random((10, 10, 10), np.float32)))
    for place in rng.integers(0, len(body), 300):
        damaged = bytearray(body)
        damaged[place] ^= 1 << int(rng.integers(8))
        with suppress(InputError):
            assert unpacked(bytes(damaged), **OPTIONS).size <= 1000
