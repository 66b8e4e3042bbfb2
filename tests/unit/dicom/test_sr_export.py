"""Measurements as TID 1500: values, codes, references to SEG and PET, tracking, identity, validity."""

import math
import tarfile

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_checks import needs_dciodvfy, standard_errors
from dicom_maker import PLANTED, uid, write_series
from pydicom.sr.codedict import codes

from clickpet.dicom.seg_export import write_seg
from clickpet.dicom.series import choose_pet_ct, find_series, load_suv
from clickpet.dicom.sr_export import write_sr
from clickpet.errors import InputError
from clickpet.evaluate.lesion_table import measure_lesions, measure_study, number_lesions


@pytest.fixture
def study(tmp_path):
    """A PET, the numbers of its lesions, their table and totals."""
    write_series(tmp_path / "pet", slices=9)
    pet = load_suv(tmp_path / "pet")[0]
    mask = np.zeros(pet.shape, bool)
    mask[2:5, 3:6, 1:4] = mask[8:10, 1:3, 6] = mask[10, 6, 2] = True
    table = measure_lesions(mask, pet.array, pet.affine)
    return tmp_path / "pet", pet, number_lesions(mask), table


def written(folder, study, **options):
    """The SEG and SR of a study."""
    pet_folder, pet, numbers, table = study
    options = {"case": "study 7", **options}
    write_seg(folder / "seg.dcm", numbers, pet.affine, pet_folder, **options)
    write_sr(
        folder / "sr.dcm", folder / "seg.dcm", table.to_dict("records"), measure_study(table), pet_folder, **options
    )
    return pydicom.dcmread(folder / "seg.dcm"), highdicom.sr.srread(folder / "sr.dcm")


def values(group) -> dict:
    """{(code, derivation): (value, unit)} of a measurement group."""
    found = {}
    for one in group.get_measurements():
        derivation = one.derivation.value if one.derivation else None
        found[one.name.value, derivation] = (one.value, one.unit.value)
    return found


def test_each_segment_has_its_measurements(tmp_path, study):
    seg, sr = written(tmp_path, study)
    table = study[3]
    groups = sr.content.get_volumetric_roi_measurement_groups()
    assert len(groups) == 3
    for row, segment, group in zip(table.to_dict("records"), seg.SegmentSequence, groups, strict=True):
        assert (group.tracking_uid, group.tracking_identifier) == (segment.TrackingUID, segment.TrackingID)
        expected = {
            ("118565006", None): (row["volume_ml"], "ml"),
            ("126401", "56851009"): (row["suv_max"], "g/ml{SUVbw}"),
            ("126401", "126031"): (row["suv_peak"], "g/ml{SUVbw}"),
            ("126401", "373098007"): (row["suv_mean"], "g/ml{SUVbw}"),
            ("126033", None): (row["tlg"], "g"),
        }
        found = values(group)
        assert found.keys() == expected.keys()
        for key, (value, unit) in expected.items():
            assert found[key] == (pytest.approx(value, rel=1e-5), unit)


def test_the_study_has_its_totals(tmp_path, study):
    _, sr = written(tmp_path, study)
    totals = measure_study(study[3])
    (group,) = sr.content.get_image_measurement_groups()
    found = values(group)
    assert found["246206008", None] == (3, "1")
    assert found["126032", "255619001"] == (pytest.approx(totals["tmtv_ml"], rel=1e-5), "ml")
    assert found["126034", "255619001"] == (pytest.approx(totals["tlg"], rel=1e-5), "g")
    assert found["121206", "56851009"] == (pytest.approx(totals["dmax_mm"], rel=1e-5), "mm")
    assert len(found) == 4


def test_template_title_and_references(tmp_path, study):
    seg, sr = written(tmp_path, study)
    (template,) = sr.ContentTemplateSequence
    assert (template.TemplateIdentifier, template.MappingResource) == ("1500", "DCMR")
    assert sr.ConceptNameCodeSequence[0].CodeValue == codes.DCM.ImagingMeasurementReport.value
    (evidence,) = sr.CurrentRequestedProcedureEvidenceSequence
    by_series = {
        str(series.SeriesInstanceUID): {str(one.ReferencedSOPInstanceUID) for one in series.ReferencedSOPSequence}
        for series in evidence.ReferencedSeriesSequence
    }
    assert by_series[str(seg.SeriesInstanceUID)] == {str(seg.SOPInstanceUID)}
    assert by_series[uid("study", "PT", "series")] == {uid("study", "PT", "series", index) for index in (1, 2, 3, 6)}
    (group, *_) = sr.content.get_volumetric_roi_measurement_groups()
    segment = group.referenced_segment
    assert segment.referenced_sop_instance_uid == seg.SOPInstanceUID
    assert segment.referenced_segment_numbers == [1]


def test_without_lesions_the_totals_are_zero(tmp_path, study):
    folder, pet, numbers, _ = study
    empty = measure_lesions(np.zeros(pet.shape, bool), pet.array, pet.affine)
    _, sr = written(tmp_path, (folder, pet, numbers * 0, empty))
    assert sr.content.get_volumetric_roi_measurement_groups() == []
    (group,) = sr.content.get_image_measurement_groups()
    assert {key[0]: value for key, (value, _) in values(group).items()} == {"246206008": 0, "126032": 0, "126034": 0}


def test_one_lesion_has_no_distance(tmp_path, study):
    folder, pet, numbers, _ = study
    table = measure_lesions(numbers == 1, pet.array, pet.affine)
    assert math.isnan(measure_study(table)["dmax_mm"])
    _, sr = written(tmp_path, (folder, pet, (numbers == 1).astype(np.uint16), table))
    (group,) = sr.content.get_image_measurement_groups()
    assert ("121206", "56851009") not in values(group)


def test_lesions_of_another_mask_are_refused(tmp_path, study):
    folder, pet, numbers, table = study
    write_seg(tmp_path / "seg.dcm", numbers > 0, pet.affine, folder, case="c")
    with pytest.raises(InputError, match="holds 1 lesions, not 3"):
        write_sr(tmp_path / "sr.dcm", tmp_path / "seg.dcm", table.to_dict("records"), measure_study(table), folder,
                 case="c")  # fmt: skip
    assert not (tmp_path / "sr.dcm").exists()


def test_same_input_same_bytes(tmp_path, study):
    for run in ("a", "b"):
        (tmp_path / run).mkdir()
        written(tmp_path / run, study)
    assert (tmp_path / "a" / "sr.dcm").read_bytes() == (tmp_path / "b" / "sr.dcm").read_bytes()


@pytest.mark.parametrize("identity", ["case", "source"])
def test_identity(tmp_path, study, identity):
    _, sr = written(tmp_path, study, identity=identity)
    planted = {text for text in PLANTED.values() if text.encode() in (tmp_path / "sr.dcm").read_bytes()}
    assert sr.StudyInstanceUID == uid("study")
    if identity == "case":
        assert planted == set()
        assert (str(sr.PatientName), sr.PatientIdentityRemoved, sr.StudyDate) == ("study 7", "YES", "")
        assert (sr.ContentDate, sr.get("InstanceCreationDate", "19000101")) == ("19000101", "19000101")
    else:
        assert (str(sr.PatientName), sr.StudyDate) == (PLANTED["PatientName"], PLANTED["StudyDate"])
        kept = ("OperatorsName", "InstitutionName", "PatientComments", "PatientAddress", "StationName")
        assert not {PLANTED[name] for name in kept} & planted


@needs_dciodvfy
@pytest.mark.parametrize("identity", ["case", "source"])
def test_the_object_is_valid(tmp_path, study, identity):
    written(tmp_path, study, identity=identity)
    assert standard_errors(tmp_path / "sr.dcm") == []
    assert standard_errors(tmp_path / "seg.dcm") == []


@needs_dciodvfy
def test_a_sarcoma_study(tmp_path, shared_data):
    with tarfile.open(shared_data / "dicom" / "sts_pair_001.tar.xz") as archive:
        archive.extractall(tmp_path / "sts", filter="data")
    pet_series, _, _ = choose_pet_ct(find_series(tmp_path / "sts"))
    pet = load_suv(pet_series)[0]
    numbers = number_lesions(pet.array > 3)
    numbers[numbers > 5] = 0
    table = measure_lesions(pet.array > 3, pet.array, pet.affine).head(5)
    seg, sr = written(tmp_path, (pet_series, pet, numbers, table))
    assert standard_errors(tmp_path / "sr.dcm") == []
    groups = sr.content.get_volumetric_roi_measurement_groups()
    assert [values(group)["118565006", None][0] for group in groups] == pytest.approx(table["volume_ml"], rel=1e-5)
    assert [group.tracking_uid for group in groups] == [segment.TrackingUID for segment in seg.SegmentSequence]
