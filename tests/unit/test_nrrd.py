"""NRRD files: read as ITK reads them where they are whole and say where they lie, refused otherwise."""

import gzip
import re
import tracemalloc

import numpy as np
import pytest
import SimpleITK as sitk
from test_metaimage import change, expected_affine, itk_image, refused, write

from clickpet.images import read_image


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr"])
def test_files_of_itk_are_read_as_itk_reads_them(tmp_path, dtype, compressed, suffix):
    image = itk_image(dtype)
    found = read_image(write(tmp_path / f"a{suffix}", image, compressed=compressed))
    assert found.array.dtype == np.dtype(dtype)
    assert found.array.flags.writeable
    np.testing.assert_array_equal(found.array, sitk.GetArrayFromImage(image).transpose(2, 1, 0))
    np.testing.assert_allclose(found.affine, expected_affine(image), atol=1e-12)


@pytest.mark.parametrize(
    "space", ["left-posterior-superior", "LPS", "right-anterior-superior", "RAS", "left-anterior-superior"]
)
def test_named_spaces(tmp_path, space):
    path = write(tmp_path / "a.nrrd")
    to_ras = np.linalg.inv(np.diag([-1.0, -1, 1, 1])) @ read_image(path).affine
    if space != "left-posterior-superior":
        change(path, b"space: .*", b"space: " + space.encode())
    flips = {"l": -1.0, "r": 1.0, "p": -1.0, "a": 1.0}
    x, y = (
        flips[letter.lower()]
        for letter in (space.split("-")[0][0], (space.split("-") * 2)[1][0] if "-" in space else space[1])
    )
    np.testing.assert_allclose(read_image(path).affine, np.diag([x, y, 1, 1]) @ to_ras)


def test_big_endian_and_a_byte_skip(tmp_path):
    path = write(tmp_path / "a.nrrd")
    expected = read_image(path).array
    header, voxels = path.read_bytes().split(b"\n\n", 1)
    swapped = np.frombuffer(voxels, "<i2").byteswap().tobytes()
    path.write_bytes(header.replace(b"endian: little", b"endian: big").replace(b"\n", b"\r\n") + b"\r\n\r\n" + swapped)
    np.testing.assert_array_equal(read_image(path).array, expected)
    for skip, before in ((b"5", b"12345"), (b"-1", b"1234567")):
        path.write_bytes(header + b"\nbyte skip: " + skip + b"\n\n" + before + voxels)
        np.testing.assert_array_equal(read_image(path).array, expected)


def test_segmentations_of_3d_slicer_in_one_layer(tmp_path):
    path = write(tmp_path / "a.seg.nrrd")
    change(path, b"encoding: ", b'Segment0_Name:=tumor (left)\nspace units: "mm" "mm" "mm"\nencoding: ')
    assert read_image(path).shape == (9, 8, 7)


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        (rb"space: .*\n", b"", "does not tell where it lies: no space"),
        (rb"space: .*\n", b"space dimension: 3\n", "does not tell where it lies: no space"),
        (rb"space: .*\n", b"space: scanner-xyz\n", "'scanner-xyz', which is no orientation of a patient"),
        (rb"space directions: .*\n", b"", "no space directions"),
        (rb"space directions: .*\n", b"spacings: 2 3 4\n", "no space directions"),
        (rb"space directions: .*\n", b"space directions: (2,0,0) none (0,0,4)\n", "no space directions"),
        (rb"space directions: .*\n", b"space directions: (2,0,0) (0,nan,0) (0,0,4)\n", "is not a number"),
        (rb"space directions: .*\n", b"space directions: (2,0,0) (0,3,1) (0,0,4)\n", "not at right angles"),
        (rb"space directions: .*\n", b"space directions: (2,0,0) (2,0,0) (0,0,4)\n", "singular"),
        (rb"space origin: .*\n?", b"", "no space origin"),
        (rb"endian: .*\n", b'endian: little\nspace units: "um" "um" "um"\n', "lengths are in um"),
        (rb"endian: .*\n", b"", "does not tell its byte order"),
        (rb"encoding: .*\n", b"encoding: bzip2\n", "its encoding is bzip2"),
        (rb"encoding: .*\n", b"encoding: ascii\n", "its encoding is ascii"),
        (rb"encoding: .*\n", b"encoding: raw\nline skip: 3\n", "skips lines or bytes"),
        (rb"type: .*\n", b"type: block\n", "type 'block'"),
        (rb"sizes: .*\n", b"sizes: 9 8 6\n", "holds more than the 9x8x6 voxels"),
        (rb"sizes: .*\n", b"sizes: 9 8 8\n", "cut off, its header asks for 9x8x8"),
        (rb"sizes: .*\n", b"sizes: 9 8\n", "has 2 axes"),
        (rb"sizes: .*\n", b"sizes: 2 9 8 7\n", "has 2 values in each voxel"),
        (rb"sizes: .*\n", b"sizes: 0 8 7\n", "has no voxels"),
        (rb"NRRD000", b"PRRD000", "no NRRD header"),
    ],
)
def test_headers_that_do_not_make_a_volume(tmp_path, pattern, replacement, message):
    path = write(tmp_path / "a.nrrd")
    change(path, pattern, replacement)
    assert re.search(message, refused(path))


def test_layers_are_refused(tmp_path):
    path = write(tmp_path / "two.seg.nrrd", itk_image(components=True))
    assert "has 2 values in each voxel (layers or components" in refused(path)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("cut", [1, 4, 300])
def test_a_file_that_is_cut_off_or_goes_on(tmp_path, compressed, cut):
    path = write(tmp_path / "a.nrrd", compressed=compressed)
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    assert "cannot be read" in refused(path)
    path.write_bytes(content + b"x" * cut)
    refused(path)


def test_every_flipped_bit_of_compressed_voxels_is_found(tmp_path):
    path = write(tmp_path / "a.nrrd", compressed=True)
    content = path.read_bytes()
    for place in range(content.index(b"\n\n") + 12, len(content), 17):
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        refused(path)


def test_claimed_sizes_take_no_memory(tmp_path):
    path = tmp_path / "a.nrrd"
    header = b"NRRD0004\ntype: float\ndimension: 3\nspace: LPS\nsizes: %s\nspace directions: (1,0,0) (0,1,0) (0,0,1)\n"
    header += b"endian: little\nencoding: %s\nspace origin: (0,0,0)\n\n"
    tracemalloc.start()
    for size, encoding in ((b"1500 1500 1500", b"gzip"), (b"900 900 900", b"gzip"), (b"900 900 900", b"raw")):
        path.write_bytes(header % (size, encoding) + gzip.compress(bytes(100)))
        refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6


@pytest.mark.parametrize("name", ["../secret.raw", "/etc/hostname", "LIST", "a%03d.raw 1 7 1"])
def test_voxels_elsewhere_are_refused(tmp_path, name):
    (tmp_path / "here").mkdir()
    path = write(tmp_path / "here" / "a.nhdr")
    change(path, b"data ?file: .*\n", b"data file: " + name.encode() + b"\n")
    assert re.search("lie in another folder|spread over several files", refused(path))
