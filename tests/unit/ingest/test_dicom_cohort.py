"""Cohort tables from DICOM trees: the right series, masks by reference, nothing of a person."""

import re
import tarfile
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from clickpet.dicom.sop_classes import CT_STORAGE, PET_STORAGE, RTSTRUCT_STORAGE, SEG_STORAGE
from clickpet.errors import InputError
from clickpet.ingest.cohort_builder import summary_text, table_text
from clickpet.ingest.dicom_cohort import build_from_dicom, referenced_series


def uid(name: str) -> str:
    return generate_uid(entropy_srcs=[name])


def write(file: Path, dataset: Dataset) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    dataset.SOPInstanceUID = uid(str(file))
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(file, enforce_file_format=True)


def header(sop_class, modality, study, series, patient="ANON7", **more) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.Modality = sop_class, modality
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid(study), uid(series)
    dataset.PatientID, dataset.PatientName = patient, f"{patient}^Erika"
    for keyword, value in more.items():
        setattr(dataset, keyword, value)
    return dataset


def add_volume(folder: Path, modality, study, series, *, slices=12, drug="", **more) -> None:
    for z in range(slices):
        dataset = header(PET_STORAGE if modality == "PT" else CT_STORAGE, modality, study, series, **more)
        dataset.ImageOrientationPatient, dataset.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 4 * z]
        dataset.FrameOfReferenceUID, dataset.PixelSpacing = uid(study + "frame"), [4, 4]
        dataset.Rows = dataset.Columns = 8
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        if modality == "PT":
            dataset.CorrectedImage, dataset.Units = ["ATTN", "DECY"], "GML"
            item = Dataset()
            item.Radiopharmaceutical = drug
            dataset.RadiopharmaceuticalInformationSequence = Sequence([item])
        write(folder / f"{series}_{z:03d}.dcm", dataset)


def add_seg(file: Path, study, refers_to, **more) -> None:
    dataset = header(SEG_STORAGE[0], "SEG", study, str(file), **more)
    item = Dataset()
    item.SeriesInstanceUID = uid(refers_to)
    dataset.ReferencedSeriesSequence = Sequence([item])
    segment = Dataset()
    segment.SegmentNumber, segment.SegmentLabel = 1, "Lesion"
    dataset.SegmentSequence = Sequence([segment])
    write(file, dataset)


def add_region(dataset) -> None:
    region = Dataset()
    region.ROINumber, region.ROIName = 1, "GTV"
    dataset.StructureSetROISequence = Sequence([region])


def add_rtstruct(file: Path, study, refers_to, **more) -> None:
    dataset = header(RTSTRUCT_STORAGE, "RTSTRUCT", study, str(file), **more)
    series, referenced_study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = uid(refers_to)
    referenced_study.RTReferencedSeriesSequence = Sequence([series])
    frame.RTReferencedStudySequence = Sequence([referenced_study])
    dataset.ReferencedFrameOfReferenceSequence = Sequence([frame])
    add_region(dataset)
    write(file, dataset)


def add_study(folder: Path, name: str, *, drug="FDG -- fluorodeoxyglucose", **more) -> None:
    add_volume(folder / "ct", "CT", name, f"{name}ct", **more)
    add_volume(folder / "pet", "PT", name, f"{name}pet", drug=drug, **more)


def test_studies_of_a_tree(tmp_path):
    add_study(tmp_path / "a" / "first", "1", patient="P1")
    add_seg(tmp_path / "a" / "first" / "seg" / "mask.dcm", "1", "1pet", patient="P1")
    add_study(tmp_path / "a" / "later", "2", patient="P1", drug="68Ga-PSMA-11")
    add_rtstruct(tmp_path / "masks" / "rs.dcm", "2", "2pet", patient="P1")
    add_study(tmp_path / "b", "3", patient="P2", drug="Solution")
    cohort = build_from_dicom(tmp_path, centre="KSB")
    rows = cohort.rows
    assert [(row["case"], row["patient"], row["tracer"], row["split"]) for row in rows] == [
        ("a_first", "a_first", "fdg", "train"),
        ("a_later", "a_first", "psma", "train"),
        ("b", "b", "", "predict"),
    ]
    first = tmp_path / "a" / "first"
    assert [rows[0][kind] for kind in ("ct", "pet", "label")] == [
        str(first / "ct"), str(first / "pet"), str(first / "seg" / "mask.dcm"),
    ]  # fmt: skip
    assert rows[1]["label"] == str(tmp_path / "masks" / "rs.dcm")
    assert cohort.left == []


def test_nothing_of_a_person_is_said(tmp_path):
    add_study(tmp_path / "study7", "1", patient="MUSTERMANN")
    add_volume(tmp_path / "study8", "PT", "2", "2pet", patient="MUSTERMANN")
    cohort = build_from_dicom(tmp_path)
    text = table_text(cohort) + summary_text(cohort)
    assert "study7" in text
    assert not any(word in text.lower() for word in ("mustermann", "erika"))
    assert cohort.notes == []


def test_a_folder_name_that_says_the_patient_is_warned_of(tmp_path):
    add_study(tmp_path / "Mustermann_1", "1", patient="MUSTERMANN")
    [note] = build_from_dicom(tmp_path).notes
    assert note.startswith("1 case names hold the patient name or identifier")
    assert "ustermann" not in note


def test_patients_without_identifier_are_not_thrown_together(tmp_path):
    add_study(tmp_path / "a", "1", patient="")
    add_study(tmp_path / "b", "2", patient="")
    assert [row["patient"] for row in build_from_dicom(tmp_path).rows] == ["a", "b"]


def test_series_in_one_folder_are_told_by_a_file(tmp_path):
    add_study(tmp_path, "1")
    for file in [*(tmp_path / "ct").iterdir(), *(tmp_path / "pet").iterdir()]:
        file.rename(tmp_path / file.name)
    [row] = build_from_dicom(tmp_path).rows
    assert row["case"] == tmp_path.name
    assert (Path(row["ct"]).name, Path(row["pet"]).name) == ("1ct_000.dcm", "1pet_000.dcm")


def test_other_series_are_left_and_named(tmp_path):
    add_study(tmp_path / "a", "1")
    add_volume(tmp_path / "a" / "bed", "PT", "1", "bed", slices=2)
    cohort = build_from_dicom(tmp_path)
    assert [what for what, _ in cohort.left] == ["a, series"]
    assert cohort.left[0][1].endswith("only 2 slices")


def test_two_studies_in_one_folder_get_numbers(tmp_path):
    for study in ("1", "2"):
        add_volume(tmp_path / "a", "CT", study, f"{study}ct")
        add_volume(tmp_path / "a", "PT", study, f"{study}pet", drug="fdg")
    assert [row["case"] for row in build_from_dicom(tmp_path).rows] == ["a", "a_2"]


def test_a_mask_on_the_ct_will_do_and_one_on_the_pet_is_better(tmp_path):
    add_study(tmp_path / "a", "1")
    add_rtstruct(tmp_path / "a" / "onct.dcm", "1", "1ct")
    assert Path(build_from_dicom(tmp_path).rows[0]["label"]).name == "onct.dcm"
    add_rtstruct(tmp_path / "a" / "onpet.dcm", "1", "1pet")
    assert Path(build_from_dicom(tmp_path).rows[0]["label"]).name == "onpet.dcm"


def test_two_masks_for_one_pet_are_the_users_choice(tmp_path):
    add_study(tmp_path / "a", "1")
    for reader in ("one", "two"):
        add_seg(tmp_path / "a" / f"{reader}.dcm", "1", "1pet")
    cohort = build_from_dicom(tmp_path, split="train")
    assert cohort.rows == []
    assert cohort.left == [("a", "2 masks belong to it (one.dcm, two.dcm); keep one, or write the table by hand")]


@pytest.mark.parametrize(
    ("split", "drug", "why"),
    [
        ("test", "fdg", "no SEG or RTSTRUCT refers to its PET, and split test needs a mask"),
        ("train", "", "no SEG or RTSTRUCT refers to its PET, and split train needs a mask"),
    ],
)
def test_what_a_split_needs(tmp_path, split, drug, why):
    add_study(tmp_path / "a", "1", drug=drug)
    assert build_from_dicom(tmp_path, split=split).left == [("a", why)]


def test_training_needs_a_tracer(tmp_path):
    add_study(tmp_path / "a", "1", drug="")
    add_seg(tmp_path / "a" / "seg.dcm", "1", "1pet")
    assert build_from_dicom(tmp_path).left == [
        ("a", "its tracer is not told, and a training case needs it; give --tracer")
    ]
    assert build_from_dicom(tmp_path, tracer="psma").rows[0]["tracer"] == "psma"
    [row] = build_from_dicom(tmp_path, split="predict").rows
    assert (row["label"], row["tracer"]) == ("", "")


def test_a_tree_without_dicom(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="holds no DICOM file; give the folder above the studies"):
        build_from_dicom(tmp_path)


def test_the_real_pair(shared_data, tmp_path):
    with tarfile.open(shared_data / "dicom" / "sts_pair_001.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    cohort = build_from_dicom(tmp_path)
    [row] = cohort.rows
    assert (row["case"], row["tracer"], row["split"]) == ("STS_001", "fdg", "train")
    assert row["ct"].endswith("STS_001/CT/image")
    assert row["pet"].endswith("STS_001/PET/image")
    assert row["label"].endswith("STS_001/PET/mask/RS.dcm")
    pet = pydicom.dcmread(next(Path(row["pet"]).iterdir()), stop_before_pixels=True)
    assert referenced_series(row["label"]) == {pet.SeriesInstanceUID}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"CorrectedImage": ["DECY"]}, r"lacks ATTN"),
        ({"Units": "BQML"}, r"weight .*\(0010,1030\)"),
        ({"Units": "PROPCNTS"}, r"\(0054,1001\) are PROPCNTS"),
        ({"slices": 24, "without": 5}, "about 1 slice is missing"),
    ],
)
def test_what_the_headers_say_is_wrong_is_found_before_the_workflow(tmp_path, change, reason):
    add_study(tmp_path / "sound", "s", patient="1")
    without = change.pop("without", None)
    add_volume(tmp_path / "odd" / "ct", "CT", "t", "tct", patient="2")
    add_volume(tmp_path / "odd" / "pet", "PT", "t", "tpet", patient="2", **change)
    for path in (tmp_path / "odd" / "pet").iterdir():
        dataset = pydicom.dcmread(path)
        for keyword, value in change.items():
            if keyword != "slices":
                setattr(dataset, keyword, value)
        dataset.save_as(path)
    if without is not None:
        sorted((tmp_path / "odd" / "pet").iterdir())[without].unlink()
    cohort = build_from_dicom(tmp_path, tracer="fdg")
    assert [row["case"] for row in cohort.rows] == ["sound"]
    [(case, why)] = cohort.left
    assert case == "odd"
    assert re.search(reason, why)


def test_a_ct_that_does_not_belong_is_left_or_told(tmp_path):
    add_study(tmp_path / "a", "a", patient="1")
    add_volume(tmp_path / "b" / "pet", "PT", "b", "bpet", patient="2")
    add_volume(tmp_path / "b" / "ct", "CT", "b", "bct", patient="3")
    for name in ("c", "d"):
        add_study(tmp_path / name, name, patient=name)
        for path in (tmp_path / name / "ct").iterdir():
            dataset = pydicom.dcmread(path)
            dataset.FrameOfReferenceUID = uid("another")
            dataset.save_as(path)
    cohort = build_from_dicom(tmp_path, tracer="fdg", split="predict")
    assert [row["case"] for row in cohort.rows] == ["a", "c", "d"]
    [(case, why)] = cohort.left
    assert case == "b"
    assert "of another patient than the PET (PatientID (0010,0020)" in why
    [note] = cohort.notes
    assert note.startswith("c: its CT lies in another frame of reference (FrameOfReferenceUID (0020,0052))")
    assert note.endswith("(and 1 more like it)")


def test_a_damaged_slice_leaves_its_study(tmp_path):
    add_study(tmp_path / "a", "a", patient="1")
    add_study(tmp_path / "b", "b", patient="2")
    (tmp_path / "b" / "pet" / "bpet_011.dcm").write_bytes(b"")
    cohort = build_from_dicom(tmp_path, tracer="fdg")
    assert [row["case"] for row in cohort.rows] == ["a"]
    [(case, why)] = cohort.left
    assert case == "b"
    assert "bpet_011.dcm: lies among the slices of a series and is empty (0 bytes)" in why


def test_masks_without_references_and_masks_of_nobody(tmp_path):
    add_study(tmp_path / "a", "a", patient="1")
    add_study(tmp_path / "b", "b", patient="2")
    bare = header(RTSTRUCT_STORAGE, "RTSTRUCT", "a", "rs")
    add_region(bare)
    write(tmp_path / "a" / "rs.dcm", bare)
    add_rtstruct(tmp_path / "other.dcm", "c", "nobody")
    cohort = build_from_dicom(tmp_path, tracer="fdg")
    assert [(row["case"], row["split"]) for row in cohort.rows] == [("a", "train"), ("b", "predict")]
    assert any("1 SEG or RTSTRUCT files belong to no study" in note and "other.dcm" in note for note in cohort.notes)


def test_a_damaged_mask_does_not_turn_a_study_into_one_to_predict(tmp_path):
    add_study(tmp_path / "a", "a")
    add_rtstruct(tmp_path / "a" / "rs.dcm", "a", "apet")
    content = (tmp_path / "a" / "rs.dcm").read_bytes()
    (tmp_path / "a" / "rs.dcm").write_bytes(content[: len(content) * 3 // 4])
    cohort = build_from_dicom(tmp_path, tracer="fdg")
    assert cohort.rows == []
    [(case, why)] = cohort.left
    assert case == "a"
    assert "rs.dcm" in why


def test_clicks_come_from_a_folder_by_case(tmp_path):
    add_study(tmp_path / "archive" / "a", "a", patient="1")
    add_study(tmp_path / "archive" / "b", "b", patient="2")
    (tmp_path / "clicks").mkdir()
    for name in ("a_clicks.json", "b.mrk.json", "c_clicks.json"):
        (tmp_path / "clicks" / name).touch()
    cohort = build_from_dicom(tmp_path / "archive", tracer="fdg", clicks=tmp_path / "clicks")
    assert [Path(row["clicks"]).name for row in cohort.rows] == ["a_clicks.json", "b.mrk.json"]
    assert any("1 clicks belong to no study that was taken (first: c_clicks.json)" in note for note in cohort.notes)
