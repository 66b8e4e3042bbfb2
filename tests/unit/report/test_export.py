"""`clickpet export`: original names and grids, SEG that reads back as the mask, tables, and what cannot be exported."""

import highdicom
import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest
from dicom_maker import PLANTED, uid, write_series
from typer.testing import CliRunner

from clickpet.cli.app import app
from clickpet.cohort import COLUMNS, read_cohort, write_cohort
from clickpet.dicom.masks import load_mask
from clickpet.dicom.series import load_suv
from clickpet.files import write_json
from clickpet.images import read_image, write_image
from clickpet.report.export import file_names

NIFTI = "fdg_0a1b2c3d4e_01-02-2003-NA-PET-CT Ganzkoerper  primaer mit KM-12345.6"
AFFINE = np.array([[-4.0, 0, 0, 20], [0, 4, 0, -25], [0, 0, 5, 100], [0, 0, 0, 1]])


@pytest.fixture
def run(tmp_path):
    """A results folder of three studies: NIfTI with a hard name, DICOM, and one with a path for a name, not done."""
    pets = {NIFTI: tmp_path / "pet.nii.gz", "Archive 7": tmp_path / "dicom", "a/b": tmp_path / "pet.nii.gz"}
    rng = np.random.default_rng(0)
    write_image(pets[NIFTI], rng.random((9, 8, 7)).astype(np.float32), AFFINE)
    write_series(pets["Archive 7"], slices=9, orientation=(0, 1.0, 0, 1.0, 0, 0))
    lines = ["\t".join(COLUMNS)]
    for case, pet in pets.items():
        row = {"case": case, "patient": "p " + case, "split": "predict", "ct": pet, "pet": pet}
        lines.append("\t".join(str(row.get(name, "")) for name in COLUMNS))
    table = tmp_path / "cases.tsv"
    table.write_text("\n".join(lines) + "\n")
    studies = read_cohort(table)
    for study in studies[:2]:
        folder = tmp_path / "results" / "cases" / study.slug
        suv = read_image(study.pet) if study.case == NIFTI else load_suv(study.pet)[0]
        mask = np.zeros(suv.shape, np.uint8)
        mask[1:3, 2:4, 1:4], mask[6, 6, 5] = 1, 1
        write_image(folder / "suv.nii.gz", suv.array, suv.affine)
        write_image(folder / "lesions.nii.gz", mask, suv.affine)
        write_json(folder / "clicks.json", {"points": [{"point": [1, 2, 1], "name": "tumor"}]})
    return tmp_path, studies


def export(folder, *arguments):
    return CliRunner().invoke(
        app, ["export", str(folder / "results"), "--cohort", str(folder / "cases.tsv"), *map(str, arguments)]
    )


@pytest.mark.parametrize("jobs", [1, 2])
def test_masks_tables_and_segmentations(run, jobs):
    folder, studies = run
    result = export(folder, "--jobs", jobs)
    assert result.exit_code == 0, result.output
    assert "2 studies" in result.output
    assert "1 have no mask yet and were left: a/b" in result.output
    out = folder / "results" / "export"
    exported = nib.load(out / "masks" / f"{NIFTI}.nii.gz")
    original = nib.load(studies[0].pet)
    assert exported.shape == original.shape
    np.testing.assert_array_equal(exported.affine, original.affine)
    expected = read_image(folder / "results" / "cases" / studies[0].slug / "lesions.nii.gz").array
    np.testing.assert_array_equal(np.asanyarray(exported.dataobj), expected)
    pet = load_suv(studies[1].pet)[0]
    back = load_mask(out / "seg" / "Archive 7.dcm", pet)
    np.testing.assert_array_equal(back, read_image(out / "masks" / "Archive 7.nii.gz").array)
    assert back.sum() == 13
    assert [path.name for path in (out / "seg").iterdir()] == ["Archive 7.dcm"]
    one = pd.read_csv(out / "tables" / f"{NIFTI}.csv")
    assert one["voxels"].tolist() == [12, 1]
    lesions = pd.read_csv(out / "lesions.csv")
    assert lesions["case"].tolist() == [NIFTI] * 2 + ["Archive 7"] * 2
    table = pd.read_csv(out / "studies.csv")
    assert table["lesions"].tolist() == [2, 2]
    assert table["tmtv_ml"].tolist() == pytest.approx([13 * 80 / 1000, 13 * 60 / 1000])


def test_the_patient_stays_in_the_dicom_unless_asked_for(run):
    folder, _ = run
    assert export(folder).exit_code == 0
    out = folder / "results" / "export"
    for path in (path for path in out.rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert not [secret for secret in PLANTED.values() if secret.encode() in content], path
    assert pydicom.dcmread(out / "seg" / "Archive 7.dcm").PatientID == "Archive 7"
    assert export(folder, "--identity", "source").exit_code == 0
    assert pydicom.dcmread(out / "seg" / "Archive 7.dcm").PatientID == PLANTED["PatientID"]


def test_some_studies_only(run):
    folder, studies = run
    assert export(folder, "--case", "Archive 7", "--to", folder / "out").exit_code == 0
    assert [path.name for path in (folder / "out" / "masks").iterdir()] == ["Archive 7.nii.gz"]
    assert export(folder, "--case", studies[0].slug, "--to", folder / "out2").exit_code == 0
    assert [path.name for path in (folder / "out2" / "masks").iterdir()] == [f"{NIFTI}.nii.gz"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--case", "nobody"], "no study is called 'nobody'"),
        (["--split", "val"], "split 'val' is not known"),
        (["--split", "test"], "holds no final mask of these studies"),
        (["--case", "a/b"], "holds no final mask of these studies"),
    ],
)
def test_what_cannot_be_exported_is_one_line(run, arguments, message):
    folder, _ = run
    result = export(folder, *arguments)
    assert result.exit_code == 1
    assert message in result.output
    assert result.output.count("\n") == 1
    assert not (folder / "results" / "export").exists()


def test_a_pet_that_was_changed_since(run):
    folder, _ = run
    for path in sorted((folder / "dicom").iterdir())[7:]:
        path.unlink()
    result = export(folder, "--case", "Archive 7")
    assert result.exit_code == 1
    assert "is not the PET's" in result.output
    assert not list((folder / "results" / "export").rglob("*.dcm"))


def test_names_that_are_no_file_names(run):
    _, studies = run
    assert file_names(studies) == [NIFTI, "Archive 7", studies[2].slug]
    twins = [*studies, *(type(studies[0])(**{**studies[0].as_dict(), "case": NIFTI.upper()}) for _ in range(1))]
    assert file_names(twins)[-1] == studies[0].slug


def test_the_results_own_cohort_table_is_read(run):
    folder, studies = run
    result = CliRunner().invoke(app, ["export", str(folder / "results")])
    assert result.exit_code == 1
    assert "has no cohort.tsv; give the cohort table" in result.output
    write_cohort(folder / "results" / "cohort.tsv", studies[1:2], {})
    result = CliRunner().invoke(app, ["export", str(folder / "results")])
    assert result.exit_code == 0, result.output
    assert f"1 more masks there belong to no row of the table ({studies[0].slug})" in result.output
    assert [path.name for path in (folder / "results" / "export" / "masks").iterdir()] == ["Archive 7.nii.gz"]


def test_structures_and_reports_on_demand(run):
    folder, _ = run
    result = export(folder, "--rtstruct", "--sr")
    assert result.exit_code == 0, result.output
    assert "Archive 7: 2 lesions, 0.8 ml, SEG, RTSTRUCT, SR" in result.output
    out = folder / "results" / "export"
    made = {kind: pydicom.dcmread(out / kind / "Archive 7.dcm") for kind in ("seg", "rtstruct", "sr")}
    assert [path.name for path in (out / "sr").iterdir()] == ["Archive 7.dcm"]
    table = pd.read_csv(out / "tables" / "Archive 7.csv")
    tracked = list(zip(table["tracking_id"], table["tracking_uid"], strict=True))
    assert tracked == [(one.TrackingID, one.TrackingUID) for one in made["seg"].SegmentSequence]
    assert tracked == [(one.ROIName, one.ROIDescription) for one in made["rtstruct"].StructureSetROISequence]
    measured = highdicom.sr.srread(out / "sr" / "Archive 7.dcm").content.get_volumetric_roi_measurement_groups()
    assert tracked == [(one.tracking_identifier, one.tracking_uid) for one in measured]
    assert {one.StudyInstanceUID for one in made.values()} == {uid("study")}
    assert "tracking_uid" not in pd.read_csv(out / "tables" / f"{NIFTI}.csv")
    pet = load_suv(folder / "dicom")[0]
    for number, voxels in ((1, 12), (2, 1)):
        from_contours, from_seg = (
            load_mask(out / kind / "Archive 7.dcm", pet, roi=f"Lesion {number}") for kind in ("rtstruct", "seg")
        )
        np.testing.assert_array_equal(from_contours, from_seg)
        assert from_seg.sum() == voxels
    for path in (path for path in out.rglob("*") if path.is_file()):
        assert not [secret for secret in PLANTED.values() if secret.encode() in path.read_bytes()], path


def test_contours_on_a_ct_that_is_no_dicom(run):
    folder, _ = run
    (folder / "ct.nii.gz").write_bytes((folder / "pet.nii.gz").read_bytes())
    table = (folder / "cases.tsv").read_text().splitlines()
    cells = table[2].split("\t")
    cells[COLUMNS.index("ct")] = str(folder / "ct.nii.gz")
    (folder / "cases.tsv").write_text("\n".join([*table[:2], "\t".join(cells), *table[3:]]) + "\n")
    result = export(folder, "--rtstruct", "--contours-on", "ct", "--case", "Archive 7")
    assert result.exit_code == 1
    assert "is no DICOM, so it cannot carry contours" in result.output
