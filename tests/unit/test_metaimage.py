"""MetaImage files: read as ITK reads them where they are whole and say where they lie, refused otherwise."""

import re
import tracemalloc
import zlib

import numpy as np
import pytest
import SimpleITK as sitk

from clickpet.errors import InputError
from clickpet.images import read_image

SHAPE = (9, 8, 7)
OBLIQUE = [0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1]


def itk_image(dtype=np.int16, *, direction=OBLIQUE, components=False):
    array = np.random.default_rng(3).integers(0, 100, SHAPE[::-1]).astype(dtype)
    image = sitk.GetImageFromArray(array)
    if components:
        image = sitk.Compose([image, image])
    image.SetSpacing((2.0, 3.0, 4.0))
    image.SetOrigin((-10.0, 20.0, 30.0))
    image.SetDirection(direction)
    return image


def write(path, image=None, *, compressed=False):
    sitk.WriteImage(itk_image() if image is None else image, str(path), useCompression=compressed)
    return path


def change(path, pattern, replacement):
    content = path.read_bytes()
    changed = re.sub(pattern, replacement, content, count=1, flags=re.M)
    assert changed != content
    path.write_bytes(changed)


def refused(path):
    with pytest.raises(InputError) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def expected_affine(image):
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return np.diag([-1, -1, 1, 1]) @ affine


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("suffix", [".mha", ".mhd", ".MHA"])
def test_files_of_itk_are_read_as_itk_reads_them(tmp_path, dtype, compressed, suffix):
    image = itk_image(dtype)
    path = write(tmp_path / f"a{suffix.lower()}", image, compressed=compressed)
    path = path.rename(tmp_path / f"a{suffix}")
    found = read_image(path)
    assert found.array.dtype == np.dtype(dtype)
    assert found.array.flags.writeable
    np.testing.assert_array_equal(found.array, sitk.GetArrayFromImage(image).transpose(2, 1, 0))
    np.testing.assert_allclose(found.affine, expected_affine(image), atol=1e-12)
    assert found.notes == ()


@pytest.mark.parametrize("direction", [np.eye(3), np.diag([-1, -1, 1]), np.eye(3)[[1, 2, 0]], np.eye(3)[[2, 0, 1]]])
def test_axes_in_any_order(tmp_path, direction):
    image = itk_image(direction=direction.ravel().tolist())
    np.testing.assert_array_equal(read_image(write(tmp_path / "a.mha", image)).affine, expected_affine(image))


def test_big_endian_and_older_names_of_fields(tmp_path):
    path = write(tmp_path / "a.mha")
    expected = read_image(path)
    header, voxels = path.read_bytes().split(b"ElementDataFile = LOCAL\n")
    header = header.replace(b"BinaryDataByteOrderMSB = False", b"ElementByteOrderMSB = True")
    header = header.replace(b"Offset", b"Position").replace(b"TransformMatrix", b"Orientation")
    header = header.replace(b"\n", b"\r\n")
    path.write_bytes(header + b"ElementDataFile = LOCAL\r\n" + np.frombuffer(voxels, "<i2").byteswap().tobytes())
    found = read_image(path)
    np.testing.assert_array_equal(found.array, expected.array)
    np.testing.assert_array_equal(found.affine, expected.affine)


def test_voxels_at_the_end_of_a_file_with_a_header_of_its_own(tmp_path):
    path = write(tmp_path / "a.mhd")
    expected = read_image(path).array
    raw = tmp_path / "a.raw"
    raw.write_bytes(b"some scanner's header" + raw.read_bytes())
    for size in (b"21", b"-1"):
        path.write_bytes(
            re.sub(
                rb"(HeaderSize = .*\n)?ElementDataFile",
                b"HeaderSize = " + size + b"\nElementDataFile",
                path.read_bytes(),
            )
        )
        np.testing.assert_array_equal(read_image(path).array, expected)


@pytest.mark.parametrize("field", ["ElementSpacing", "TransformMatrix", "Offset"])
def test_a_header_without_geometry_is_refused(tmp_path, field):
    path = write(tmp_path / "a.mha")
    change(path, rf"^{field} = .*\n".encode(), b"")
    assert f"does not tell its {field}" in refused(path)


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        (b"ElementSpacing = .*", b"ElementSpacing = 2 0 4", "is not positive"),
        (b"ElementSpacing = .*", b"ElementSpacing = 2 nan 4", "is not 3 numbers"),
        (b"ElementSpacing = .*", b"ElementSpacing = 2 3", "is not 3 numbers"),
        (b"ElementSpacing = .*", b"ElementSpacing = two three four", "is not 3 numbers"),
        (b"TransformMatrix = .*", b"TransformMatrix = 1 0 0 0 1 0.2 0 0 1", "not at right angles"),
        (b"TransformMatrix = .*", b"TransformMatrix = 1 0 0 0 1 0 0 0 0", "singular"),
        (b"ElementType = .*", b"ElementType = MET_ASCII_CHAR", "type MET_ASCII_CHAR"),
        (b"BinaryData = True", b"BinaryData = False", "as text"),
        (b"DimSize = .*", b"DimSize = 9 8 6", "holds more than the 9x8x6 voxels"),
        (b"DimSize = .*", b"DimSize = 9 8 8", "cut off, its header asks for 9x8x8"),
        (b"DimSize = .*", b"DimSize = 9 8", "has 2 axes"),
        (b"DimSize = .*", b"DimSize = 9 8 7 2", "has 4 axes"),
        (b"DimSize = .*", b"DimSize = 0 8 7", "has no voxels"),
        (b"DimSize = .*", b"DimSize = -9 -8 7", "has no voxels"),
        (b"DimSize = .*", b"DimSize = 1e3 1e3 1e3", "cut off"),
        (b"DimSize = .*", b"DimSize = " + b"9" * 5000 + b" 8 7", "is not|more than|cannot be read"),
        (b"NDims = 3", b"NDims = 3\nDistanceUnits = um", "lengths are in um"),
        (b"NDims = 3", b"NDims = 3\nElementNumberOfChannels = 3", "3 values in each voxel"),
        (b"ElementDataFile = LOCAL\n", b"", "no whole MetaImage header"),
    ],
)
def test_headers_that_do_not_make_a_volume(tmp_path, pattern, replacement, message):
    path = write(tmp_path / "a.mha")
    change(path, pattern, replacement)
    assert re.search(message, refused(path))


def test_two_components_are_refused(tmp_path):
    path = write(tmp_path / "a.mha", itk_image(components=True))
    assert "has 2 values in each voxel (components, layers or colours)" in refused(path)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("cut", [1, 4, 300])
def test_a_file_that_is_cut_off_or_goes_on(tmp_path, compressed, cut):
    path = write(tmp_path / "a.mha", compressed=compressed)
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    assert "cannot be read" in refused(path)
    path.write_bytes(content + bytes(cut))
    refused(path)


def test_every_flipped_bit_of_compressed_voxels_is_found(tmp_path):
    path = write(tmp_path / "a.mha", compressed=True)
    content = path.read_bytes()
    start = content.index(b"LOCAL\n") + 6
    for place in range(start, len(content), 17):
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        assert "cannot be read" in refused(path) or "holds more" in refused(path)


def test_claimed_sizes_take_no_memory(tmp_path):
    path = tmp_path / "a.mha"
    header = b"NDims = 3\nDimSize = %s\nElementType = MET_FLOAT\nElementSpacing = 1 1 1\nOffset = 0 0 0\n"
    header += b"TransformMatrix = 1 0 0 0 1 0 0 0 1\nCompressedData = %s\nElementDataFile = LOCAL\n"
    tracemalloc.start()
    for size, compressed in ((b"1500 1500 1500", b"True"), (b"900 900 900", b"True"), (b"900 900 900", b"False")):
        path.write_bytes(header % (size, compressed) + zlib.compress(bytes(100)))
        refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6


@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
@pytest.mark.parametrize("name", ["../secret.raw", "/etc/hostname", "sub/../../secret.raw", "..", "."])
def test_voxels_in_another_folder_are_refused(tmp_path, suffix, name):
    (tmp_path / "secret.raw").write_bytes(bytes(np.prod(SHAPE) * 2))
    (tmp_path / "here" / "sub").mkdir(parents=True)
    path = write(tmp_path / "here" / f"a{suffix}")
    change(path, b"ElementDataFile = .*\n", b"ElementDataFile = " + name.encode() + b"\n")
    said = refused(path)
    assert "its voxels lie in another folder" in said
    assert "put both files into one folder" in said


@pytest.mark.parametrize("name", ["LIST", "slice%03d.raw 1 7 1"])
def test_voxels_in_several_files_are_refused(tmp_path, name):
    path = write(tmp_path / "a.mhd")
    change(path, b"ElementDataFile = .*\n", b"ElementDataFile = " + name.encode() + b"\na.raw\n")
    assert "spread over several files" in refused(path)


def test_voxels_beside_or_below_are_read(tmp_path):
    path = write(tmp_path / "a.mhd")
    expected = read_image(path).array
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.raw").rename(tmp_path / "sub" / "b c.raw")
    for name in ("sub/b c.raw", str(tmp_path / "sub" / "b c.raw"), "./sub/../sub/b c.raw"):
        change(path, b"ElementDataFile = .*\n", b"ElementDataFile = " + name.encode() + b"\n")
        np.testing.assert_array_equal(read_image(path).array, expected)
    change(path, b"ElementDataFile = .*\n", b"ElementDataFile = absent.raw\n")
    assert "names a file of voxels that is not there (absent.raw)" in refused(path)
