"""A clinic's path: a DICOM patient through `clickpet predict` to mask, page, SEG, RTSTRUCT and SR, without identifiers.

Names, dates and private attributes are planted into every slice and searched for in everything that was written.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_checks import needs_dciodvfy, needs_plastimatch, plastimatch_regions, standard_errors
from phantom_dicom import SECRETS, write_phantom_dicom
from phantom_patient import write_models, write_patient

from clickpet.dicom.masks import load_mask
from clickpet.dicom.series import load_suv
from clickpet.evaluate.tables import read_table
from clickpet.images import read_image

pytestmark = pytest.mark.slow
KINDS = ("seg", "rtstruct", "sr")


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    """The folder of a clinic after one call, and what the call said."""
    folder = tmp_path_factory.mktemp("clinic")
    files = write_patient(folder / "phantom")
    write_phantom_dicom(folder / "dicom", ct=files["ct"], suv=files["pet"])
    write_models(folder / "models", folds=(0, 1))
    command = [
        str(Path(sys.executable).with_name("clickpet")),
        *["predict", "--ct", "dicom/ct", "--pet", "dicom/pet", "--clicks", str(files["clicks"])],
        *["--models", "models", "--out", "out", "--work", "work", "--case", "Jane 1", "--cores", "2"],
        *["--seg", "--rtstruct", "--sr"],
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return folder, done.stdout + done.stderr


def test_mask_contours_and_segments_are_one(clinic):
    out, pet = clinic[0] / "out", load_suv(clinic[0] / "dicom" / "pet")[0]
    mask = read_image(out / "Jane 1.nii.gz").array > 0
    assert mask.any()
    for kind in ("seg", "rtstruct"):
        np.testing.assert_array_equal(load_mask(out / f"Jane 1_{kind}.dcm", pet) > 0, mask)
    table = read_table(out / "Jane 1_lesions.csv")
    for row in table.head(3).to_dict("records"):
        for kind in ("seg", "rtstruct"):
            assert load_mask(out / f"Jane 1_{kind}.dcm", pet, roi=row["tracking_id"]).sum() == row["voxels"]


@needs_plastimatch
def test_another_program_reads_the_contours_as_the_mask(clinic, tmp_path):
    folder = clinic[0]
    pet = load_suv(folder / "dicom" / "pet")[0]
    found = plastimatch_regions(folder / "out" / "Jane 1_rtstruct.dcm", folder / "dicom" / "pet", pet, tmp_path / "p")
    filled = np.logical_or.reduce(list(found.values()))
    mask = read_image(folder / "out" / "Jane 1.nii.gz").array > 0
    assert 2 * (filled & mask).sum() / (filled.sum() + mask.sum()) >= 0.98


def test_table_segments_and_report_have_one_set_of_tracking_identifiers(clinic):
    out = clinic[0] / "out"
    table = read_table(out / "Jane 1_lesions.csv")
    seg = pydicom.dcmread(out / "Jane 1_seg.dcm")
    groups = highdicom.sr.srread(out / "Jane 1_sr.dcm").content.get_volumetric_roi_measurement_groups()
    assert len(table) > 0
    assert table["tracking_uid"].tolist() == [str(one.TrackingUID) for one in seg.SegmentSequence]
    assert table["tracking_uid"].tolist() == [one.tracking_uid for one in groups]


@needs_dciodvfy
def test_the_objects_are_valid(clinic):
    for kind in KINDS:
        assert standard_errors(clinic[0] / "out" / f"Jane 1_{kind}.dcm") == []


def test_the_page_has_the_numbers_of_the_table(clinic):
    out = clinic[0] / "out"
    page = (out / "Jane 1_report.html").read_text()
    totals = json.loads((out / "Jane 1_study.json").read_text())
    assert f"{totals['lesions']} lesions were found" in page
    assert f"<b>{totals['tmtv_ml']:,.1f} ml</b>" in page
    assert "Not a medical device" in page


def test_nothing_of_a_person_is_in_any_file_or_message(clinic):
    folder, said = clinic
    assert not [secret for secret in SECRETS if secret in said]
    files = [path for name in ("out", "work") for path in (folder / name).rglob("*") if path.is_file()]
    assert len(files) > 40
    for path in files:
        content = path.read_bytes()
        content += gzip.decompress(content) if path.suffix == ".gz" else b""
        assert not [secret for secret in SECRETS if secret.encode() in content], path
