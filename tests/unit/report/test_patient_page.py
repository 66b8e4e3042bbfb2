"""The page of one patient: its numbers, pictures, clicks and checks; complete without network; no path in it."""

import re

import numpy as np
import pytest

from clickpet.clicks.model import Clicks
from clickpet.evaluate.lesion_table import measure_lesions, measure_study, number_lesions
from clickpet.report import patient_page
from clickpet.report.patient_page import PatientResults, build_patient_page, click_rows

AFFINE = np.array([[-4.0, 0, 0, 60], [0, 4, 0, -50], [0, 0, 5, 100], [0, 0, 0, 1]])
SHAPE = (30, 26, 20)


def patient(*, truth: bool = False, disagreement: bool = True, **changed) -> PatientResults:
    ct = np.full(SHAPE, -1000.0, np.float32)
    ct[4:26, 4:22] = 40
    suv = np.full(SHAPE, 0.5, np.float32)
    mask = np.zeros(SHAPE, np.uint8)
    mask[6:10, 8:12, 5:9] = mask[20:22, 15, 3] = 1
    suv[mask > 0] = 9
    spread = np.where(mask > 0, 0.3, 0).astype(np.float32) if disagreement else None
    table = measure_lesions(mask, suv, AFFINE, truth=mask if truth else None, disagreement=spread)
    options = {
        "case": "Jane <1>",
        "suv": suv,
        "ct": ct,
        "lesions": mask,
        "affine": AFFINE,
        "clicks": Clicks(tumor=np.array([[7, 9, 6], [2, 2, 2]]), background=np.array([[15, 20, 6], [20, 15, 3]])),
        "table": table,
        "totals": measure_study(table),
        "tracer": {"tracer": "psma", "source": "found", "votes": {"fdg": 1, "psma": 4}},
        "prediction": {"members": [0, 1, 2], "mirror_axes": [1, 2], "tiles": 8, "seconds": {"total": 12.3},
                       "device": "cpu"},
        "quality": {"findings": [{"severity": "soft", "code": "spacing", "what": "voxels of 4 mm are unusual"}]},
        "case_record": {"suv": {"rule": "START", "warnings": ["odd clock"]}, "ct": {"warnings": []},
                        "spacing_mm": [4, 4, 5]},
        "truth": mask > 0 if truth else None,
    }  # fmt: skip
    return PatientResults(**{**options, **changed})


def text_of(page: str) -> str:
    body = re.sub(r"<(style|script).*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body))


def test_numbers_of_the_study_and_of_each_lesion():
    found = patient()
    text = text_of(build_patient_page(found))
    assert "PSMA PET/CT. 2 lesions were found, with 2 tumour and 2 background clicks." in text
    assert f"Total volume (TMTV) {66 * 0.08:.1f} ml" in text
    assert f"Spread (Dmax) {found.totals['dmax_mm']:.0f} mm" in text
    assert "1 5.12 9.0" in text
    assert "2 0.16 9.0" in text
    assert "Lesion 2 0.16 ml, SUVmax 9.0, disagreement 0.30" in text


def test_it_is_said_that_this_is_no_medical_device():
    assert "Not a medical device" in text_of(build_patient_page(patient()))


def test_clicks_and_what_is_there():
    found = patient()
    rows = click_rows(found.clicks, number_lesions(found.lesions), found.suv, AFFINE)
    assert [(row["click"], row["lesion"], row["odd"]) for row in rows] == [
        ("tumour 1", "lesion 1", False),
        ("tumour 2", "none", True),
        ("background 1", "none", False),
        ("background 2", "lesion 2", True),
    ]
    assert rows[0]["volume_ml"] == pytest.approx(64 * 0.08)
    assert np.isnan(rows[1]["volume_ml"])
    assert (rows[0]["suv"], rows[0]["voxel"], rows[0]["mm"]) == (9, "7, 9, 6", "32, -14, 130")
    text = text_of(build_patient_page(found))
    assert "2 of 4 clicks got the opposite of what they say." in text
    assert "No clicks were given" in text_of(build_patient_page(patient(clicks=Clicks.empty())))


def test_findings_doubts_and_disagreement_are_to_be_checked():
    text = text_of(build_patient_page(patient()))
    assert "soft: voxels of 4 mm are unusual" in text
    assert "PET: odd clock" in text
    assert "The models disagree (mean of 0.25 or more) about lesion 1, 2." in text
    alone = {**patient().prediction, "members": [1]}
    record = {"suv": {"rule": "START"}, "spacing_mm": [4, 4, 5]}
    quiet = patient(disagreement=False, quality={"findings": []}, case_record=record, prediction=alone)
    text = text_of(build_patient_page(quiet))
    assert "found nothing odd" in text
    assert "One model predicted" in text


def test_how_it_was_made():
    text = text_of(build_patient_page(patient(threshold=0.4)))
    assert "PSMA, found by the discriminator on the MIP (votes: FDG 1, PSMA 4)" in text
    assert "mean of folds 0, 1, 2" in text
    assert "above a probability of 0.4" in text


def test_a_study_with_a_truth_says_so():
    text = text_of(build_patient_page(patient(truth=True)))
    assert "true positive" in text
    assert "The dashed line is the truth." in text
    assert "truth" not in text_of(build_patient_page(patient()))


def test_the_page_needs_nothing_else():
    page = build_patient_page(patient())
    assert "Jane &lt;1&gt;" in page
    assert not re.search(r"(src|href)=.(?!data:|#)", page)
    assert page.count("data:image/") >= 3
    assert not re.search(r"/(home|tmp|work|data|results)/", page)


def test_many_lesions_have_pictures_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(patient_page, "MOST_PICTURES", 1)
    text = text_of(build_patient_page(patient()))
    assert "The 1 smallest have no picture." in text
    assert "Lesion 1 5.12 ml" in text
    assert "Lesion 2 0.16 ml" not in text


def test_no_lesions():
    empty = np.zeros(SHAPE, np.uint8)
    table = measure_lesions(empty, patient().suv, AFFINE)
    text = text_of(build_patient_page(patient(lesions=empty, table=table, totals=measure_study(table))))
    assert "No lesion was found" in text
    assert "no lesions" in text
    assert "One model predicted" not in text  # three did
