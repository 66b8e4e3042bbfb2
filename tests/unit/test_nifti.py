"""NIfTI files: right ones of every kind are read as nibabel reads them, damaged and odd ones are told or refused."""

import gzip
import io
import struct
import tracemalloc
from contextlib import suppress

import nibabel as nib
import numpy as np
import pytest

from clickpet.errors import InputError
from clickpet.images import read_image

AFFINE = np.array([[-4.0, 0, 0, 46], [0, 4, 0, -42], [0, 0, 5, 100], [0, 0, 0, 1]])
SHAPE = (9, 8, 7)


def voxels(dtype=np.int16):
    return np.random.default_rng(2).integers(0, 100, SHAPE).astype(dtype)


def raw_file(array=None, *, affine=AFFINE, kind=nib.Nifti1Image, change=None):
    """Bytes of a .nii; `change` gets its header fields as a structured array."""
    image = kind(voxels() if array is None else array, affine)
    image.header.set_xyzt_units("mm")
    raw = bytearray(image.to_bytes())
    if change:
        size = kind.header_class.sizeof_hdr
        header = kind.header_class.from_fileobj(io.BytesIO(raw[:size]), check=False)
        change(header)
        raw[:size] = header.binaryblock
    return bytes(raw)


def refused(path, content):
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_all_types_of_grey_values(tmp_path, dtype, order, kind, suffix):
    array = voxels(dtype)
    header = kind.header_class(endianness=order)
    header.set_data_dtype(np.dtype(order + dtype))
    nib.save(kind(array, AFFINE, header), tmp_path / f"a{suffix}")
    image = read_image(tmp_path / f"a{suffix}")
    assert image.array.dtype == np.dtype(dtype)
    assert image.array.flags.writeable
    np.testing.assert_array_equal(image.array, array)
    np.testing.assert_array_equal(image.affine, AFFINE)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"])
@pytest.mark.parametrize(("slope", "intercept"), [(0.37, -1024), (1, -1024), (2.5e-4, 0), (-1.5, 3)])
def test_scaling_is_nibabels_bit_for_bit(tmp_path, dtype, slope, intercept):
    array = voxels(dtype) * ((np.dtype(dtype).itemsize > 2 and 70_001) or 1)
    file = nib.Nifti1Image(array, AFFINE)
    file.header.set_slope_inter(slope, intercept)
    nib.save(file, tmp_path / "a.nii.gz")
    raw = bytearray(gzip.decompress((tmp_path / "a.nii.gz").read_bytes()))
    raw[112:120] = struct.pack("<ff", slope, intercept)  # nibabel writes scaled voxels, but not these numbers
    (tmp_path / "a.nii").write_bytes(raw)
    expected = nib.load(tmp_path / "a.nii").get_fdata(dtype=np.float32)
    image = read_image(tmp_path / "a.nii")
    assert image.array.dtype == np.float32
    assert image.array.tobytes("F") == expected.tobytes("F")


@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_gzip_of_any_level_in_members_and_with_padding(tmp_path, level):
    raw = raw_file()
    for name, content in {
        "one": gzip.compress(raw, level),
        "members": gzip.compress(raw[:400], level) + gzip.compress(raw[400:], level),
        "three": gzip.compress(raw[:1], level) + gzip.compress(b"", level) + gzip.compress(raw[1:], level),
        "padded": gzip.compress(raw, level) + bytes(512),
        "plain": raw,
    }.items():
        (tmp_path / f"{name}.nii.gz").write_bytes(content)
        np.testing.assert_array_equal(read_image(tmp_path / f"{name}.nii.gz").array, voxels())
    (tmp_path / "packed.NII").write_bytes(gzip.compress(raw, level))
    np.testing.assert_array_equal(read_image(tmp_path / "packed.NII").array, voxels())


def test_extensions_of_the_header_are_passed_over(tmp_path):
    for length in (8, 100, 5000):
        file = nib.Nifti1Image(voxels(), AFFINE)
        file.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * length))
        for suffix in (".nii", ".nii.gz"):
            nib.save(file, tmp_path / f"a{suffix}")
            np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}").array, voxels())


# --- integrity ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 6])
def test_every_flipped_bit_of_a_gzip_is_found(tmp_path, level):
    """Or it is one of the few bits that deflate leaves unused."""
    content, path = gzip.compress(raw_file(), level, mtime=0), tmp_path / "a.nii.gz"
    unused = 0
    for place in np.linspace(10, len(content) - 1, 60).astype(int):  # the first ten bytes hold name and time
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        with suppress(InputError):
            np.testing.assert_array_equal(read_image(path).array, voxels())
            unused += 1
    assert unused <= 2


@pytest.mark.parametrize("cut", [1, 4, 8, 9, 200, 700])
def test_a_gzip_that_is_cut_off(tmp_path, cut):
    assert "cannot be read" in refused(tmp_path / "a.nii.gz", gzip.compress(raw_file())[:-cut])
    assert "cannot be read" in refused(tmp_path / "a.nii.gz", gzip.compress(raw_file(), 0)[:-cut])


@pytest.mark.parametrize("cut", [1, 2, 100, 1000])
def test_voxels_that_are_cut_off(tmp_path, cut):
    assert "cut off, its header asks for 9x8x7 voxels (1008 bytes)" in refused(tmp_path / "a.nii", raw_file()[:-cut])
    assert "cannot be read" in refused(tmp_path / "a.nii.gz", gzip.compress(raw_file()[:-cut]))


@pytest.mark.parametrize("dim", [(9, 8, 6), (9, 7, 7), (8, 8, 7), (1, 1, 1)])
def test_a_header_that_asks_for_less_than_the_file_holds(tmp_path, dim):
    raw = raw_file(change=lambda header: header["dim"].__setitem__(slice(1, 4), dim))
    for path, content in ((tmp_path / "a.nii", raw), (tmp_path / "a.nii.gz", gzip.compress(raw))):
        said = refused(path, content)
        assert f"holds more than the {'x'.join(map(str, dim))} voxels that its header asks for" in said


def test_zeros_after_the_last_voxel_may_be_slices(tmp_path):
    refused(tmp_path / "a.nii", raw_file() + bytes(144))
    refused(tmp_path / "a.nii.gz", gzip.compress(raw_file() + bytes(144)))


@pytest.mark.parametrize("garbage", [b"more", b"\x1f", b"\0\0PK", gzip.compress(b"x" * 99, mtime=0)])
def test_garbage_after_a_gzip(tmp_path, garbage):
    refused(tmp_path / "a.nii.gz", gzip.compress(raw_file()) + garbage)


@pytest.mark.parametrize("dim", [(1500, 1500, 1500), (32767, 32767, 32767), (800, 800, 800), (32767, 1, 1)])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_claimed_sizes_take_no_memory(tmp_path, dim, suffix):
    raw = raw_file(np.zeros((2, 2, 2), np.float32), change=lambda header: header["dim"].__setitem__(slice(1, 4), dim))
    tracemalloc.start()
    said = refused(tmp_path / f"a{suffix}", gzip.compress(raw) if suffix == ".nii.gz" else raw)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "cut off, its header asks for" in said or "more than any scan of a person has" in said or "EOFError" in said
    assert peak < 10e6


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    """A header of 8 voxels before a gigabyte of zeros, and one of 1500 cubed with as many zeros as deflate can pack."""
    small = gzip.compress(raw_file(np.zeros((2, 2, 2), np.uint8)) + bytes(10**8))
    claims = raw_file(np.zeros((2, 2, 2), np.uint8), change=lambda h: h["dim"].__setitem__(slice(1, 4), [1500] * 3))
    tracemalloc.start()
    assert "holds more than the 2x2x2 voxels" in refused(tmp_path / "a.nii.gz", small)
    assert "more than any scan of a person has" in refused(
        tmp_path / "b.nii.gz", gzip.compress(claims) + bytes(4 << 20)
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


@pytest.mark.parametrize("offset", [0, 347, -16, 1e9])
def test_voxels_that_start_nowhere(tmp_path, offset):
    refused(tmp_path / "a.nii", raw_file(change=lambda header: header.__setitem__("vox_offset", offset)))


@pytest.mark.parametrize("magic", [b"ni1", b"", b"abc"])
def test_headers_that_are_no_nifti_of_one_file(tmp_path, magic):
    said = refused(tmp_path / "a.nii", raw_file(change=lambda header: header.__setitem__("magic", magic)))
    assert "it has no NIfTI header" in said


# --- units and geometry ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("unit", "mm"), [("meter", 1e3), ("micron", 1e-3)])
@pytest.mark.parametrize("form", ["sform", "qform", "both"])
def test_other_units_become_millimetres_and_are_told(tmp_path, unit, mm, form):
    affine = AFFINE.copy()
    affine[:3] /= mm
    file = nib.Nifti1Image(voxels(), affine)
    file.set_sform(affine, int(form != "qform"))
    file.set_qform(affine, int(form != "sform"))
    file.header.set_xyzt_units(unit)
    nib.save(file, tmp_path / "a.nii.gz")
    image = read_image(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(image.affine, AFFINE, rtol=1e-5, atol=1e-4)
    name = {"meter": "metres", "micron": "micrometres"}[unit]
    assert image.notes == (f"lengths were in {name} (xyzt_units) and became millimetres",)


@pytest.mark.parametrize("unit", ["meter", "micron"])
def test_a_unit_that_makes_no_sense_is_refused(tmp_path, unit):
    file = nib.Nifti1Image(voxels(), AFFINE)
    file.header.set_xyzt_units(unit)
    said = refused(tmp_path / "a.nii", file.to_bytes())
    assert "which makes voxels of" in said
    assert "set the unit (xyzt_units) to what the spacing is in" in said


def test_an_unknown_unit_is_taken_as_mm_and_told(tmp_path):
    for unit in ("unknown", "mm"):
        file = nib.Nifti1Image(voxels(), AFFINE)
        file.header.set_xyzt_units(unit)
        nib.save(file, tmp_path / f"{unit}.nii.gz")
        np.testing.assert_array_equal(read_image(tmp_path / f"{unit}.nii.gz").affine, AFFINE)
    assert read_image(tmp_path / "mm.nii.gz").notes == ()
    assert read_image(tmp_path / "unknown.nii.gz").notes == (
        "no unit of length is told (xyzt_units): taken as millimetres",
    )


def moved(shift_mm):
    affine = AFFINE.copy()
    affine[2, 3] += shift_mm
    return affine


@pytest.mark.parametrize(
    ("qform", "note"),
    [
        (AFFINE, None),
        (moved(0.01), None),
        (moved(12), "a corner is 12 mm off"),
        (np.diag([-1.0, 1, 1, 1]) @ AFFINE, "a corner is 92 mm off"),
        (AFFINE @ np.diag([1, 1, 1.2, 1]), "spacing of 4x4x6 mm, its sform 4x4x5 mm"),
    ],
)
def test_qform_and_sform_that_differ_are_told(tmp_path, qform, note):
    file = nib.Nifti1Image(voxels(), AFFINE)
    file.header.set_xyzt_units("mm")
    file.header.set_sform(AFFINE, 1)
    file.header.set_qform(qform, 1)
    nib.save(file, tmp_path / "a.nii.gz")
    image = read_image(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(image.affine, AFFINE)
    assert len(image.notes) == (note is not None)
    if note:
        assert note in image.notes[0]
        assert "the sform was taken" in image.notes[0]


def test_a_sheared_sform_is_refused(tmp_path):
    shear = np.eye(4)
    shear[1, 2] = np.tan(np.deg2rad(12))
    assert "not at right angles" in refused(tmp_path / "a.nii", raw_file(affine=shear @ AFFINE))


# --- voxels that are no grey values ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")]), "holds colours"),
        (np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1"), ("A", "u1")]), "holds colours"),
        (np.zeros(SHAPE, np.complex64), "holds complex numbers"),
        (np.zeros(SHAPE, np.complex128), "holds complex numbers"),
        (np.zeros((*SHAPE, 2), np.uint8), "has 4 axes"),
        (np.zeros((*SHAPE, 1, 3), np.uint8), "has 5 axes"),
        (np.zeros(SHAPE[:2], np.uint8), "has 2 axes"),
    ],
)
def test_colours_complex_numbers_and_layers(tmp_path, array, message):
    assert message in refused(tmp_path / "a.nii", nib.Nifti1Image(array, AFFINE).to_bytes())


@pytest.mark.parametrize(("code", "bits"), [(1536, 128), (1, 1), (999, 16), (0, 0)])
def test_types_that_are_not_known(tmp_path, code, bits):
    def change(header):
        header["datatype"], header["bitpix"] = code, bits

    assert (
        "holds voxels of the type" in (said := refused(tmp_path / "a.nii", raw_file(change=change))) or "cannot" in said
    )


@pytest.mark.parametrize("shape", [(*SHAPE, 1), (*SHAPE, 1, 1)])
def test_trailing_axes_of_one_are_dropped(tmp_path, shape):
    nib.save(nib.Nifti1Image(voxels().reshape(shape), AFFINE), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_image(tmp_path / "a.nii.gz").array, voxels())
