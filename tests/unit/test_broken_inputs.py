"""Broken inputs: each ends its job with one line (file, cause, mend) and exit code 1, and leaves nothing behind.

Every kind spoils one file of a sound study, and the jobs that read a study run in their order until one refuses.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import runpy
import shutil
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from dicom_maker import uid, write_rtstruct, write_series
from jobs import SCRIPTS, _named

from clickpet.cohort import COLUMNS, read_cohort
from clickpet.dicom.seg_export import write_seg
from clickpet.errors import InputError
from clickpet.images import read_image
from clickpet.ingest.dicom_cohort import build_from_dicom
from clickpet.ingest.study import load_ct, load_label, load_pet

SHAPE = (14, 13, 12)
AFFINE = np.array([[-4.0, 0, 0, 20], [0, 4, 0, -25], [0, 0, 5, 100], [0, 0, 0, 1]])


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    nib.save(nib.Nifti1Image(array, affine), path)


def make_study(folder: Path) -> dict[str, Path]:
    """A sound study as files: a block of tissue in air, a lesion, clicks, organs."""
    folder.mkdir(parents=True)
    body = np.zeros(SHAPE, bool)
    body[3:11, 3:10, :] = True
    truth = np.zeros(SHAPE, np.uint8)
    truth[5:7, 5:7, 5:7] = 1
    suv = np.where(truth, 9.0, np.where(body, 1.0, 0.01)).astype(np.float32)
    paths = {name: folder / f"{name}.nii.gz" for name in ("ct", "pet", "label", "organs")}
    paths["clicks"] = folder / "clicks.json"
    save(paths["ct"], np.where(body, 40, -1000).astype(np.int16))
    save(paths["pet"], suv)
    save(paths["label"], truth)
    save(paths["organs"], np.where(body, 3, 0).astype(np.uint8))
    paths["clicks"].write_text(json.dumps({"tumor": [[5, 5, 5]], "background": [[8, 8, 8]]}))
    return paths


def run_jobs(paths: dict[str, Path], results: Path) -> tuple[str, str]:
    """Run the jobs that read a study; returns the name of the one that refused and what it said, empty for none."""
    made = {name: results / f"{name}.nii.gz" for name in ("ct", "suv", "truth", "organs")}
    made |= {name: results / f"{name}.json" for name in ("case", "truth_record", "clicks", "quality")}
    made |= {"intensities": results / "intensities.npy"}
    jobs = [
        ("import_case", {"ct": paths["ct"], "pet": paths["pet"]},
         {"ct": made["ct"], "suv": made["suv"], "record": made["case"]}, {"name": "p 1", "suv_timing": "series"}),
        ("import_label", {"label": paths["label"], "ct": made["ct"], "suv": made["suv"]},
         {"truth": made["truth"], "record": made["truth_record"], "intensities": made["intensities"]},
         {"regions": None, "values": None, "drawn_on": [paths["pet"], paths["ct"]]}),
        ("place_clicks", {"clicks": paths["clicks"], "suv": made["suv"], "truth": made["truth"]},
         {"clicks": made["clicks"]},
         {"simulate": "missing", "budget": 10, "seed": 1, "offset_vox": 0, "join_touching": False}),
        ("import_organs", {"organs": paths["organs"], "suv": made["suv"], "truth": made["truth"]},
         {"organs": made["organs"]}, {"scheme": "lesiontracer", "erase_lesions": False}),
    ]  # fmt: skip
    for name, inputs, outputs, params in jobs:
        code, said = run_job(name, inputs, outputs, params, results)
        if code != 0:
            assert code == 1
            left = {path.name for path in results.iterdir()} - {"logs"}
            assert not left & {path.name for path in outputs.values()}, "half an output was left"
            assert not [part for part in left if part.startswith(".")], "a temporary file was left"
            return name, said
    return "", ""


def run_job(name: str, inputs: dict, outputs: dict, params: dict, results: Path) -> tuple[int, str]:
    """Run one script in this process; returns its exit code and what it wrote on the terminal."""
    (results / "logs").mkdir(parents=True, exist_ok=True)
    job = SimpleNamespace(
        input=_named(inputs), output=_named(outputs), log=[str(results / "logs" / f"{name}.log")], threads=1,
        params=SimpleNamespace(**params), wildcards=SimpleNamespace(case="p-1"),
    )  # fmt: skip
    terminal = results / "logs" / "terminal"
    kept = [os.dup(stream) for stream in (1, 2)]
    code = 0
    try:
        with open(terminal, "wb") as file:
            os.dup2(file.fileno(), 2)
            runpy.run_path(str(SCRIPTS / f"{name}.py"))["main"](job)
    except SystemExit as stop:
        code = stop.code
    finally:
        for stream, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, stream)
            os.close(copy)
    return code, terminal.read_text()


# --- ways to spoil a file ----------------------------------------------------------------------------------


def remove(path):
    path.unlink()


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-200])


def empty(path):
    path.write_bytes(b"")


def write_text_instead(path):
    path.write_text("<html>404 not found</html>")


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(bytes(content))


def change(function, dtype=None):
    """Spoil the voxels."""

    def spoil(path):
        file = nib.load(path)
        array = function(np.asanyarray(file.dataobj))
        save(path, array if dtype is None else array.astype(dtype), file.affine)

    return spoil


def put(value):
    """Put a value into one voxel."""

    def spoil(array):
        array = array.astype(np.float32)
        array[6, 6, 6] = value
        return array

    return change(spoil)


def header(**fields):
    """Spoil fields of the NIfTI header, whatever nibabel thinks of it."""

    def spoil(path):
        raw = bytearray(gzip.decompress(path.read_bytes()))
        known = nib.Nifti1Header.from_fileobj(io.BytesIO(raw[:348]), check=False)
        for field, value in fields.items():
            known[field] = value
        raw[:348] = known.binaryblock
        path.write_bytes(gzip.compress(bytes(raw)))

    return spoil


def move(x_mm):
    def spoil(path):
        file = nib.load(path)
        affine = file.affine.copy()
        affine[0, 3] += x_mm
        save(path, np.asanyarray(file.dataobj), affine)

    return spoil


def turn(path):
    """Store the same voxels as if left were right."""
    file = nib.load(path)
    save(path, np.asanyarray(file.dataobj), np.diag([-1.0, 1, 1, 1]) @ file.affine)


def shear(path):
    """Store the same voxels on axes that are not at right angles."""
    file = nib.load(path)
    skewed = np.eye(4)
    skewed[1, 2] = np.tan(np.deg2rad(12))
    save(path, np.asanyarray(file.dataobj), skewed @ file.affine)


def cut_trailer(path):
    """Drop gzip's check sum and length."""
    path.write_bytes(path.read_bytes()[:-8])


def slices_only(count):
    """Let the header ask for fewer slices than there are."""
    return header(dim=[3, *SHAPE[:2], count, 1, 1, 1, 1])


def keep_slice(path):
    file = nib.load(path)
    save(
        path,
        np.asanyarray(file.dataobj)[:, :, 5:6],
        file.affine @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 5], [0, 0, 0, 1.0]]),
    )


def colours(path):
    save(path, np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")]))


def folder_instead(path):
    path.unlink()
    path.mkdir()


def other_grid(path):
    save(path, np.zeros((20, 20, 20), np.uint8), np.diag([2.0, 2.0, 2.0, 1.0]))


def text(content):
    def spoil(path):
        path.write_text(content if isinstance(content, str) else json.dumps(content))

    return spoil


def points(*given, kind="Multiple points"):
    listed = [{"point": point, "name": name} for point, name in given]
    return text({"version": {"major": 1, "minor": 0}, "type": kind, "points": listed})


# --- kinds -------------------------------------------------------------------------------------------------

#: name: (file, how it is spoiled, job that refuses, what it says)
KINDS = {
    "no such PET": ("pet", remove, "import_case", "no such file"),
    "truncated gzip": ("pet", cut_off, "import_case", "cannot be read as an image"),
    "damaged gzip": ("pet", flip_a_byte, "import_case", "cannot be read as an image"),
    "empty file": ("ct", empty, "import_case", "cannot be read as an image"),
    "a web page instead of an image": ("ct", write_text_instead, "import_case", "cannot be read as an image"),
    "4-D PET": ("pet", change(lambda array: np.stack([array] * 3, axis=-1)), "import_case", r"has 4 axes"),
    "2-D CT": ("ct", change(lambda array: array[..., 0]), "import_case", r"has 2 axes"),
    "zero spacing": ("pet", header(pixdim=[1, 0, 4, 5, 0, 0, 0, 0]), "import_case", "is not positive"),
    "spacing of NaN": ("ct", header(pixdim=[1, 4, np.nan, 5, 0, 0, 0, 0]), "import_case", "is not positive"),
    "unknown orientation code": ("pet", header(sform_code=99), "import_case", "does not tell its orientation"),
    "no orientation code": ("ct", header(sform_code=0, qform_code=0), "import_case", "does not tell its orientation"),
    "zero affine": ("ct", header(srow_x=[0, 0, 0, 0]), "import_case", "affine is singular"),
    "affine of NaN": ("ct", header(srow_y=[np.nan] * 4), "import_case", "affine is singular or not finite"),
    "no size in the header": ("pet", header(dim=[3, 0, 13, 12, 1, 1, 1, 1]), "import_case", "has no voxels"),
    "unknown type of voxels": ("pet", header(datatype=999), "import_case", "cannot be read as an image"),
    "NaN in the PET": ("pet", put(np.nan), "import_case", "holds NaN or infinite values"),
    "infinite PET": ("pet", put(np.inf), "import_case", "holds NaN or infinite values"),
    "NaN in the CT": ("ct", put(np.nan), "import_case", "holds NaN or infinite values"),
    "PET in Bq/ml": ("pet", change(lambda array: array * 4000), "import_case", "are no SUV in g/ml"),
    "int16 PET whose slope was lost": ("pet", change(lambda array: array * 3000, np.int16), "import_case", "no SUV"),
    "PET of zeros": ("pet", change(lambda array: array * 0), "import_case", "are no SUV"),
    "CT without its intercept": ("ct", change(lambda array: array + 1024), "import_case", "hold no air"),
    "CT of another place": ("ct", move(900), "import_case", "does not overlap the PET"),
    "gzip without its check sum": ("pet", cut_trailer, "import_case", "cannot be read as an image"),
    "CT of sheared axes": ("ct", shear, "import_case", "not at right angles"),
    "PET of sheared axes": ("pet", shear, "import_case", "not at right angles"),
    "a header of fewer slices": ("ct", slices_only(11), "import_case", "holds more than the 14x13x11 voxels"),
    "a header of more slices": ("pet", slices_only(13), "import_case", "cannot be read as an image"),
    "a header of a million slices": ("pet", slices_only(30000), "import_case", "cut off, its header asks for"),
    "a header of no unit that makes sense": ("ct", header(xyzt_units=1), "import_case", "its lengths are in metres"),
    "colours as PET": ("pet", colours, "import_case", "holds colours"),
    "complex CT": ("ct", change(lambda array: array, np.complex64), "import_case", "holds complex numbers"),
    "a folder as CT": ("ct", folder_instead, "import_case", "holds no CT series|is a folder"),
    "a folder as label": ("label", folder_instead, "import_label", "holds no DICOM SEG|is a folder"),
    "PET in Bq/ml below 5000": ("pet", change(lambda array: array * 400), "import_case", "are no SUV in g/ml"),
    "CT of one slice": ("ct", keep_slice, "import_case", "covers 1 of the 12 slices of the PET"),
    "label of almost 1": ("label", change(lambda array: array * 1.0000001, np.float32), "import_label", "1.0000001"),
    "label of sheared axes": ("label", shear, "import_label", "not at right angles"),
    "colours as label": ("label", colours, "import_label", "holds colours"),
    "no such label": ("label", remove, "import_label", "no such file"),
    "label of another patient": ("label", other_grid, "import_label", "its grid .* is not the PET's"),
    "label with left and right swapped": ("label", turn, "import_label", "its grid"),
    "label that is shifted": ("label", move(8), "import_label", "its grid"),
    "label with organs in it": ("label", change(lambda array: array * 3), "import_label", "other than 0 and 1: 3"),
    "label of probabilities": ("label", change(lambda array: array * 0.7), "import_label", "other than 0 and 1: 0.7"),
    "label with NaN": ("label", put(np.nan), "import_label", "other than 0 and 1: nan"),
    "truncated label": ("label", cut_off, "import_label", "cannot be read as an image"),
    "clicks that are no JSON": ("clicks", text("{tumor: [1, 2, 3]}"), "place_clicks", "is not valid JSON"),
    "clicks that are an image": ("clicks", lambda path: path.write_bytes(bytes(range(256))), "place_clicks",
                                 "is not a text file"),
    "clicks as a list": ("clicks", text([[1, 2, 3]]), "place_clicks", "holds a JSON list, not an object"),
    "clicks of an unknown type": ("clicks", points(kind="Ellipse"), "place_clicks", "is of type 'Ellipse'"),
    "clicks of an unknown name": ("clicks", points(([1, 2, 3], "lesion")), "place_clicks", "has the name 'lesion'"),
    "clicks with an unknown key": ("clicks", text({"tumors": []}), "place_clicks", "has the key 'tumors'|'tumors'"),
    "clicks in millimetres": ("clicks", points(([1.5, 2.25, 3.0], "tumor")), "place_clicks", "is not a voxel"),
    "clicks as z, y, x": ("clicks", points(([2, 11, 13], "tumor")), "place_clicks",
                          "is outside the grid 14x13x12"),
    "clicks below zero": ("clicks", points(([-1, 2, 3], "background")), "place_clicks", "is outside the grid"),
    "clicks with two numbers": ("clicks", points(([1, 2], "tumor")), "place_clicks", r"has the coordinates \[1, 2\]"),
    "clicks with words": ("clicks", points((["a", 2, 3], "tumor")), "place_clicks", "has the coordinates"),
    "organs with unknown labels": ("organs", change(lambda array: array * 30), "import_organs", "does not name: 90"),
    "organs of another place": ("organs", move(900), "import_organs", "does not overlap the PET"),
    "organs as probabilities": ("organs", change(lambda array: array * 0.3), "import_organs", "does not name: 0.9"),
    "no such organs": ("organs", remove, "import_organs", "no such file"),
}  # fmt: skip


def test_a_sound_study_passes(tmp_path):
    assert run_jobs(make_study(tmp_path / "data"), tmp_path / "results") == ("", "")
    assert len(list((tmp_path / "results").glob("*.*"))) == 8


#: nibabel mends these headers without a word, so a reader has to look at the raw one.


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_broken_input_is_one_line_and_leaves_nothing(tmp_path, kind):
    name, spoil, expected_job, cause = KINDS[kind]
    paths = make_study(tmp_path / "data")
    spoil(paths[name])
    job, said = run_jobs(paths, tmp_path / "results")
    assert job == expected_job
    check_line(said, paths[name], cause)


def check_line(said: str, path: Path, cause: str) -> None:
    """One line: the file, what is wrong, and after a semicolon what to do."""
    assert said.count("\n") == 1
    assert said.startswith(f"clickpet: error: {path}")
    what, _, mend = said.partition("; ")
    assert re.search(cause, what), said
    assert len(mend.strip()) > 10, said
    assert "Traceback" not in said


def test_swapped_ct_and_pet(tmp_path):
    paths = make_study(tmp_path / "data")
    paths["ct"], paths["pet"] = paths["pet"], paths["ct"]
    job, said = run_jobs(paths, tmp_path / "results")
    assert job == "import_case"
    check_line(said, paths["pet"], "are no SUV")
    assert "swapped" in said


def test_int16_suv_with_its_slope_is_sound(tmp_path):
    paths = make_study(tmp_path / "data")
    suv = read_image(paths["pet"]).array
    file = nib.Nifti1Image(np.rint(suv * 1000).astype(np.int16), AFFINE)
    file.header.set_slope_inter(0.001, 0)
    nib.save(file, paths["pet"])
    raw = bytearray(gzip.decompress(paths["pet"].read_bytes()))
    known = nib.Nifti1Header.from_fileobj(io.BytesIO(raw[:348]))
    known["scl_slope"], known["scl_inter"] = 0.001, 0
    raw[:348] = known.binaryblock
    raw[352:] = np.rint(suv * 1000).astype(np.int16).tobytes(order="F")
    paths["pet"].write_bytes(gzip.compress(bytes(raw)))
    assert run_jobs(paths, tmp_path / "results") == ("", "")
    np.testing.assert_allclose(read_image(tmp_path / "results" / "suv.nii.gz").array, suv, atol=0.0006)


@pytest.mark.parametrize("content", ["", "{}", '{"type": "Multiple points", "points": []}'])
def test_an_empty_click_file_means_no_clicks(tmp_path, content):
    paths = make_study(tmp_path / "data")
    paths["clicks"].write_text(content)
    assert run_jobs(paths, tmp_path / "results") == ("", "")
    assert json.loads((tmp_path / "results" / "clicks.json").read_text())["points"] == []


# --- DICOM -------------------------------------------------------------------------------------------------


def add_pet(folder: Path, **options) -> None:
    pixels = np.full((12, 9, 12), 4000, np.int16)
    write_series(folder, slices=12, pixels=pixels, shape=(9, 12), **options)


def first_half(folder):
    for path in sorted(folder.iterdir())[6:]:
        path.unlink()


def second_series(folder):
    write_series(folder / "other", slices=12, shape=(9, 12), name="other", number=2)


def second_reconstruction(folder):
    """Slices of another reconstruction under the same SeriesInstanceUID."""
    pixels = np.full((12, 9, 12), 17, np.int16)

    def rename(dataset, index):
        dataset.SOPInstanceUID = f"{dataset.SOPInstanceUID}.1"

    write_series(folder / "other", slices=12, pixels=pixels, shape=(9, 12), change=rename)


def clear(folder):
    for path in folder.iterdir():
        path.unlink()


def one_slice(index, **attributes):
    def change_one(dataset, number):
        for keyword, value in attributes.items():
            if number == index:
                setattr(dataset, keyword, value)

    return {"change": change_one}


#: name: (how the PET's folder is spoiled, or attributes that its slices have, what it says)
DICOM_KINDS = {
    "a missing slice": (lambda folder: sorted(folder.iterdir())[5].unlink(), "slice"),
    "a damaged slice": (lambda folder: cut_off(sorted(folder.iterdir())[5]), "dcm|decoded|damaged|read"),
    "no DICOM in the folder": (lambda folder: [write_text_instead(path) for path in folder.iterdir()], "no PET series"),
    "an empty folder": (clear, "no PET series .no DICOM at all."),
    "half a body": ({"NumberOfSlices": 24}, "has 12 of the 24 slices"),
    "too few slices": (lambda folder: [path.unlink() for path in sorted(folder.iterdir())[3:]], "only 3 slices"),
    "two PET series": (second_series, "holds 2 PET series that fit"),
    "two reconstructions in one series": (second_reconstruction, "same position"),
    "enhanced PET": ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.130"}, "enhanced .multi-frame. object"),
    "a CT series": ({"Modality": "CT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "holds no PET series"),
    "no patient weight": ({"PatientWeight": None}, r"weight .PatientWeight .0010,1030.. is missing"),
    "a weight of zero": ({"PatientWeight": "0"}, r"weight .PatientWeight .0010,1030.. is 0"),
    "no attenuation correction": ({"CorrectedImage": ["DECY"]}, r"\(0028,0051\) lacks ATTN"),
    "no corrections told": ({"CorrectedImage": None}, r"\(0028,0051\) is missing"),
    "unknown units": ({"Units": "PROPCNTS"}, r"Units \(0054,1001\) are PROPCNTS"),
    "counts without a scale": ({"Units": "CNTS"}, r"\(7053,1000\) and \(7053,1009\) are missing"),
    "no dose": ({"RadionuclideTotalDose": None}, r"dose .RadionuclideTotalDose .0018,1074.. is missing"),
    "no half-life": ({"RadionuclideHalfLife": None}, r"half-life .RadionuclideHalfLife .0018,1075.. is missing"),
    "no time of injection": ({"RadiopharmaceuticalStartTime": None}, r"\(0018,1072\)"),
    "injected after the scan": ({"RadiopharmaceuticalStartTime": "120000"}, r"does not lie within 12 h before"),
    "no decay correction told": ({"DecayCorrection": None}, r"DecayCorrection \(0054,1102\) is missing"),
    "decay correction that contradicts itself": ({"CorrectedImage": ["ATTN"]}, r"\(0028,0051\) lacks DECY"),
    "no rescale slope": ({"RescaleSlope": None}, r"RescaleSlope \(0028,1053\) is missing"),
    "no position": ({"ImagePositionPatient": None}, r"ImagePositionPatient \(0020,0032\) is missing"),
    "no orientation": ({"ImageOrientationPatient": None}, r"ImageOrientationPatient \(0020,0037\) is missing"),
    "a slice of another size": (one_slice(4, PixelSpacing=[2.0, 2.0]), "PixelSpacing|spacing"),
    "a slice of another unit": (one_slice(4, Units="CNTS"), r"differ in Units \(0054,1001\)"),
    "a dynamic series": ({"SeriesType": ["DYNAMIC", "IMAGE"]}, "dynamic or gated"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DICOM_KINDS)
def test_broken_dicom_is_one_line_and_leaves_nothing(tmp_path, kind):
    paths = make_study(tmp_path / "data")
    paths["pet"] = tmp_path / "data" / "dicom"
    spoil, cause = DICOM_KINDS[kind]
    add_pet(paths["pet"], **(spoil if isinstance(spoil, dict) else {}))
    if callable(spoil):
        spoil(paths["pet"])
    job, said = run_jobs(paths, tmp_path / "results")
    assert job == "import_case"
    check_line(said, paths["pet"], cause)
    assert "PLANTED" not in said


SQUARE = [np.array([(x, y, 125.0) for x, y in ((-10, -20), (6, -20), (6, -4), (-10, -4))])]
TILTED = [SQUARE[0] + SQUARE[0][:, :1] * (0, 0, 2)]


def rtstruct(folder, **options):
    write_rtstruct(folder / "rs.dcm", {"GTV": SQUARE}, **options)


def two_rtstructs(folder):
    rtstruct(folder)
    write_rtstruct(folder / "rs2.dcm", {"GTV": SQUARE})


def cut_rtstruct(folder):
    rtstruct(folder)
    (folder / "rs.dcm").write_bytes((folder / "rs.dcm").read_bytes()[:900])


#: name: (how the folder of the label is filled, what import_label says)
DICOM_LABEL_KINDS = {
    "contours of another patient": (lambda folder: rtstruct(folder, study="other"), "another frame of reference"),
    "contours beyond the PET": (
        lambda folder: write_rtstruct(folder / "rs.dcm", {"GTV": [SQUARE[0] + 900]}), "does not overlap the PET"),
    "contours of nothing": (lambda folder: write_rtstruct(folder / "rs.dcm", {"GTV": []}), "has no closed contour"),
    "tilted contours": (lambda folder: write_rtstruct(folder / "rs.dcm", {"GTV": TILTED}), "are tilted against"),
    "two structure sets": (two_rtstructs, "holds 2 SEG or RTSTRUCT"),
    "a truncated structure set": (cut_rtstruct, "damaged|holds no|no closed contour"),
    "a PET as label": (lambda folder: add_pet(folder), "holds no DICOM SEG or RTSTRUCT"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DICOM_LABEL_KINDS)
def test_a_broken_dicom_label_is_one_line_and_leaves_nothing(tmp_path, kind):
    fill, cause = DICOM_LABEL_KINDS[kind]
    paths = make_study(tmp_path / "data")
    paths["pet"], paths["label"] = tmp_path / "data" / "dicom", tmp_path / "data" / "label"
    add_pet(paths["pet"])
    paths["label"].mkdir()
    fill(paths["label"])
    job, said = run_jobs(paths, tmp_path / "results")
    assert job == "import_label"
    check_line(said, paths["label"], cause)
    assert "PLANTED" not in said


def test_a_sound_dicom_label_passes_import_label(tmp_path):
    """So that the kinds above fail for their own reason."""
    paths = make_study(tmp_path / "data")
    paths["pet"], paths["label"] = tmp_path / "data" / "dicom", tmp_path / "data" / "label"
    add_pet(paths["pet"])
    rtstruct(paths["label"])
    job, _ = run_jobs(paths, tmp_path / "results")
    assert job != "import_label"
    assert read_image(tmp_path / "results" / "truth.nii.gz").array.sum() > 0


def test_damaged_bytes_are_an_input_error_or_harmless(tmp_path):
    """Cut or overwritten at random places, a DICOM file may pass or be refused, but nothing else is raised."""
    random = np.random.default_rng(5)
    sound = tmp_path / "sound"
    add_pet(sound / "pet")
    write_series(sound / "ct", modality="CT", slices=12, pixels=np.full((12, 9, 12), -1000, np.int16))
    write_rtstruct(sound / "rs.dcm", {"GTV": SQUARE}, drawn_on=uid("study", "PT", "series"))
    pet = load_pet(sound / "pet")[0]
    write_seg(sound / "seg.dcm", np.ones(pet.shape, np.uint8), pet.affine, sound / "pet", case="x")
    damaged, messages = tmp_path / "damaged", []
    readers = (
        lambda: build_from_dicom(damaged, tracer="fdg"),
        lambda: load_pet(damaged / "pet"),
        lambda: load_ct(damaged / "ct", pet),
        lambda: load_label(damaged / "rs.dcm", pet, drawn_on=[damaged / "pet"]),
        lambda: load_label(damaged / "seg.dcm", pet, drawn_on=[damaged / "pet"]),
    )
    for _ in range(40):
        shutil.copytree(sound, damaged, dirs_exist_ok=True)
        name = random.choice(["pet/pt004.dcm", "ct/ct004.dcm", "rs.dcm", "seg.dcm"])
        content = bytearray((damaged / name).read_bytes())
        if random.random() < 0.5:
            content = content[: random.integers(len(content))]
        else:
            for place in random.integers(132, len(content), 5):
                content[place] = random.integers(256)
        (damaged / name).write_bytes(bytes(content))
        for read in readers:
            try:
                read()
            except InputError as error:
                messages.append(str(error))
    assert len(messages) > 10
    assert not [message for message in messages if "\n" in message]


@pytest.mark.parametrize("name", ["ct", "pet"])
def test_a_file_that_is_neither_volume_nor_dicom(tmp_path, name):
    paths = make_study(tmp_path / "data")
    paths[name] = tmp_path / "data" / "notes.txt"
    paths[name].write_text("CT of Tuesday\n")
    job, said = run_jobs(paths, tmp_path / "results")
    assert job == "import_case"
    check_line(said, paths[name], "cannot be read as an image")


def test_slices_that_are_there_twice_but_differ(tmp_path):
    paths = make_study(tmp_path / "data")
    paths["pet"] = tmp_path / "data" / "dicom"

    def double(dataset, index):
        if index == 6:
            dataset.ImagePositionPatient = [*dataset.ImagePositionPatient[:2], 100.0 + 5 * 5]
            dataset.PixelData = np.full((9, 12), 17, np.int16).tobytes()

    add_pet(paths["pet"], change=double)
    job, said = run_jobs(paths, tmp_path / "results")
    assert job == "import_case"
    check_line(said, paths["pet"], "slice")


# --- the cohort table --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (lambda lines: [], "has no studies|lacks"),
        (lambda lines: lines[:1], "has no studies"),
        (lambda lines: [lines[0].replace("patient", "pat"), *lines[1:]], "lacks .*patient.* unknown .*pat"),
        (lambda lines: [line.replace("\t", ",") for line in lines], "lacks"),
        (lambda lines: [*lines, lines[1]], "is in line 2 already"),
        (lambda lines: [lines[0], lines[1].replace("\tfdg\t", "\tfet\t")], "unknown tracer 'fet'"),
        (lambda lines: [lines[0], lines[1].replace("\ttrain\t", "\tval\t")], "unknown split 'val'"),
        (lambda lines: [lines[0], lines[1] + "\tmore"], "has not as many fields"),
        (lambda lines: [lines[0], lines[1].replace("ct.nii.gz", "kt.nii.gz")], "kt.nii.gz' does not exist"),
        (lambda lines: [*lines, lines[1].replace("p 1", "p 2").replace("train", "test")], "in both train and test"),
    ],
)
def test_a_broken_cohort_table(tmp_path, spoil, cause):
    paths = make_study(tmp_path / "data")
    row = {"case": "p 1", "tracer": "fdg", "patient": "p", "centre": "", "split": "train", **paths}
    lines = ["\t".join(COLUMNS), "\t".join(str(row[name]) for name in COLUMNS)]
    table = tmp_path / "cases.tsv"
    table.write_text("\n".join(lines) + "\n")
    assert [study.case for study in read_cohort(table)] == ["p 1"]
    table.write_text("".join(line + "\n" for line in spoil(lines)))
    with pytest.raises(InputError) as caught:
        read_cohort(table)
    check_line(f"clickpet: error: {caught.value}\n", table, cause)


def test_there_are_enough_kinds():
    assert len(KINDS) + len(DICOM_KINDS) + len(DICOM_LABEL_KINDS) >= 80
