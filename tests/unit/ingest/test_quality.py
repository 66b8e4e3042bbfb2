"""Quality control: every finding on a study made to have it, and none on a sound one."""

import nibabel as nib
import numpy as np
import pytest

from clickpet.errors import InputError
from clickpet.files import write_json
from clickpet.geometry import Turn
from clickpet.images import read_image, resample, write_image
from clickpet.ingest import findings
from clickpet.ingest.findings import (
    CODES,
    Finding,
    as_record,
    findings_table,
    rank_findings,
    require_sound,
    require_sound_study,
    soft_lines,
)
from clickpet.ingest.lesion_quality import check_liver
from clickpet.ingest.quality import check_files, check_study
from clickpet.ingest.thresholds import THRESHOLDS

AFFINE = np.diag([-6.0, 6.0, 8.0, 1.0])
SHAPE = (60, 50, 110)  # 880 mm of patient
LIVER = 5


@pytest.fixture
def study():
    """A sound study: a body of tissue with bone in air, uptake near 1, a liver, two lesions, clicks that fit."""
    rng = np.random.default_rng(0)
    x, y, _ = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    body = np.broadcast_to(((x - 30) / 24) ** 2 + ((y - 25) / 17) ** 2 < 1, SHAPE)
    bone = np.broadcast_to(((x - 30) / 3) ** 2 + ((y - 36) / 3) ** 2 < 1, SHAPE)
    ct = np.where(bone, 700, np.where(body, 40, -1000)) + rng.normal(0, 10, SHAPE)
    suv = np.where(body, 0.8, 0.005) * rng.uniform(0.9, 1.1, SHAPE)
    organs = np.zeros(SHAPE, np.uint8)
    organs[20:32, 18:30, 55:75] = LIVER
    suv[organs == LIVER] = 2.2
    truth = np.zeros(SHAPE, np.uint8)
    truth[40:43, 20:23, 40:43] = 1
    truth[25:27, 26:28, 90:92] = 1
    suv[truth == 1] = 8
    clicks = {"tumor": [[41, 21, 41], [25, 26, 90]] * 5, "background": [[25, 22, 60]] * 10}
    return {
        "suv": suv.astype(np.float32), "ct": ct.astype(np.float32), "affine": AFFINE, "truth": truth,
        "organs": organs, "clicks": clicks, "liver": LIVER, "tracer": "fdg",
    }  # fmt: skip


def check(study, **changed):
    study = {**study, **changed}
    return check_study(**study)


def only(findings):
    assert len(findings) == 1, findings
    return findings[0]


def test_a_sound_study_has_no_finding(study):
    assert check(study) == []


def test_nothing_but_images_is_needed(study):
    assert check_study(ct=study["ct"], suv=study["suv"], affine=AFFINE) == []


def test_slabs_change_nothing(study, monkeypatch):
    study["suv"][:, :, 70:] = 0
    study["ct"][:, :, :12] = -1024
    whole = check(study)
    monkeypatch.setattr("clickpet.ingest.voxel_statistics.SLAB_VOXELS", 1)
    assert {finding.code for finding in whole} == {"ct_coverage", "empty_slices", "lesion_faint"}
    assert check(study) == whole


def test_volumes_on_different_grids(study):
    found = only(check(study, truth=study["truth"][:-1]))
    assert (found.severity, found.code) == ("hard", "grid")
    assert found.what == "truth has the shape (59, 50, 110), the PET (60, 50, 110)"


@pytest.mark.parametrize(("name", "value"), [("suv", np.nan), ("suv", np.inf), ("ct", -np.inf)])
def test_one_voxel_that_is_not_finite(study, name, value):
    study[name][30, 25, 50] = value
    found = only([finding for finding in check(study, truth=None, organs=None) if finding.severity == "hard"])
    assert found.what == f"{name} holds NaN or infinite values"


def test_swapped_ct_and_pet(study):
    found = [finding for finding in check(study, suv=study["ct"], ct=study["suv"]) if finding.code == "swapped"]
    assert only(found).severity == "hard"
    assert only(found).mend == "swap ct and pet in the cohort table"


def test_counts_instead_of_suv(study):
    found = [f for f in check(study, suv=np.rint(study["suv"] * 3000)) if f.severity == "hard"]
    assert only(found).code == "counts"


def test_becquerels_instead_of_suv(study):
    found = [f for f in check(study, suv=study["suv"] * 5132.7) if f.severity == "hard"]
    assert only(found).code == "not_suv"


def test_whole_numbers_alone_are_no_counts(study):
    assert "counts" not in {finding.code for finding in check(study, suv=np.rint(study["suv"]))}


@pytest.mark.parametrize(("factor", "codes"), [
    (0.02, {"not_suv"}),
    (0.1, {"suv_range", "suv_level"}),
    (10, {"suv_level"}),
])  # fmt: skip
def test_suv_of_a_wrong_scale(study, factor, codes):
    found = {finding.code for finding in check(study, suv=study["suv"] * np.float32(factor), truth=None, organs=None)}
    assert found == codes


@pytest.mark.parametrize(
    ("tracer", "level", "expected"),
    [("fdg", 0.99, 1), ("fdg", 1.01, 0), ("fdg", 3.9, 0), ("fdg", 4.1, 1), ("psma", 1.4, 1), ("psma", 11, 0),
     ("psma", 26, 1), ("", 11, 0), ("", 0.5, 1)],
)  # fmt: skip
def test_liver_level_by_tracer(study, tracer, level, expected):
    study["suv"][study["organs"] == LIVER] = level
    found = [finding for finding in check(study, tracer=tracer) if finding.code == "liver_level"]
    assert len(found) == expected
    if found:
        assert found[0].value == pytest.approx(level, rel=1e-5)


def test_a_liver_of_a_wrong_size(study):
    study["organs"][30:32, 18:30, 55:75] = 0
    study["organs"][20:31, 18:30, 55:75] = 0
    assert only(check(study)).code == "liver_volume"


def test_ct_that_is_not_hu(study):
    found = only(check(study, ct=study["ct"] - study["ct"].min()))
    assert (found.severity, found.code) == ("hard", "not_hu")
    assert found.mend == "subtract 1024 or convert it with its rescale intercept"
    assert only(check(study, ct=study["ct"] / 4000 + 0.25)).mend == "give the CT in HU"


def test_a_ct_without_body(study):
    assert only(check(study, ct=np.full_like(study["ct"], -1024), truth=None)).code == "ct_empty"


def test_a_windowed_ct(study):
    found = check(study, ct=np.clip(study["ct"], -800, 240))
    assert [finding.what.split(" of")[0] for finding in found] == ["no voxel", "no voxel"]
    assert {finding.code for finding in found} == {"hu_range"}


def test_a_ct_with_a_lost_intercept_for_tissue(study):
    found = only(check(study, ct=np.where(study["ct"] > -500, study["ct"] + 400, study["ct"])))
    assert found.code == "hu_range"
    assert found.value == pytest.approx(440, abs=10)


def test_a_ct_of_another_place(study):
    found = check(study, ct=np.roll(study["ct"], 25, axis=1), truth=None, organs=None)
    assert "ct_misplaced" in {finding.code for finding in found}


def test_half_a_body(study):
    half = {name: study[name][:, :, :80] for name in ("suv", "ct")}
    found = only(check(study, **half, truth=None, organs=None, clicks=None))
    assert (found.code, found.severity, found.value) == ("coverage", "soft", 640)
    assert check(study, **half, truth=None, organs=None, clicks=None, thresholds={"min_extent_mm": 640}) == []


def test_slices_without_ct_or_pet(study):
    study["ct"][:, :, 100:] = -1024
    found = only(check(study))
    assert (found.code, found.value) == ("ct_coverage", 10)
    study["suv"][:, :, 100:] = 0
    assert (only(check(study)).code, only(check(study)).value) == ("empty_slices", 10)


@pytest.mark.parametrize(
    ("affine", "code"),
    [
        (np.diag([-0.006, 0.006, 0.008, 1]), "spacing"),
        (np.diag([-6, 6, -8, 1]), "axes"),
        (np.array([[6, 0, 0, 0], [0, 0, 8, 0], [0, 6, 0, 0], [0, 0, 0, 1]]), "axes"),
    ],
)
def test_odd_geometry(study, affine, code):
    codes = {finding.code for finding in check(study, affine=affine.astype(float), organs=None)}
    assert code in codes


def test_lesions_of_another_patient(study):
    truth = np.roll(study["truth"], -36, axis=0)
    found = [finding for finding in check(study, truth=truth, clicks=None) if finding.code == "lesion_in_air"]
    assert only(found).severity == "hard"
    assert only(found).value > 0.5


def test_lesions_partly_in_air(study):
    study["truth"][0, 0, :9] = 1
    found = [finding for finding in check(study) if finding.code == "lesion_in_air"]
    assert only(found).severity == "soft"
    assert only(found).value == pytest.approx(9 / 44)


def test_faint_lesions_are_counted(study):
    study["suv"][25:27, 26:28, 90:92] = 1.4
    found = only(check(study))
    assert found.what == "1 of 2 lesions stay below SUV 1.5"


def test_too_many_lesions_and_too_much(study):
    found = check(study, thresholds={"max_lesions": 1, "max_lesion_ml": 9.0})
    assert [finding.code for finding in found] == ["lesion_count", "lesion_volume"]
    assert found[1].value == pytest.approx((27 + 8) * 6 * 6 * 8 / 1000)


def test_a_truth_that_is_not_binary(study):
    found = check(study, truth=study["truth"] * 2, clicks=None)
    assert (only(found).severity, only(found).code) == ("hard", "truth_values")


def test_no_lesions_and_no_clicks_are_fine(study):
    empty = np.zeros(SHAPE, np.uint8)
    assert check(study, truth=empty, clicks={"tumor": [], "background": study["clicks"]["background"]}) == []
    assert check(study, clicks={}) == []


def test_clicks_outside_the_grid(study):
    found = only(check(study, clicks={"tumor": [[41, 21, 110], [-1, 0, 0], [59, 49, 109]], "background": []}))
    assert (found.severity, found.code, found.value) == ("hard", "click_outside", 2)


def test_clicks_in_reverse_order_are_recognised(study):
    clicks = {"tumor": [[90, 26, 25]], "background": []}
    assert only(check(study, clicks=clicks)).mend.endswith("(they fit as z, y, x)")


@pytest.mark.parametrize(
    ("tumour", "background", "expected"),
    [
        ([[41, 21, 41]] * 8 + [[5, 5, 5]] * 2, [], None),  # a fifth may be off
        ([[41, 21, 41]] * 7 + [[5, 5, 5]] * 3, [], ("soft", "3 of 10 tumour clicks are not on a lesion")),
        ([[5, 5, 5]] * 10, [], ("hard", "10 of 10 tumour clicks are not on a lesion")),
        ([[5, 5, 5]] * 4, [], ("soft", "4 of 4 tumour clicks are not on a lesion")),
        ([[41, 21, 41]], [[41, 21, 41]], ("soft", "1 of 1 background clicks are on a lesion")),
        ([], [[5, 5, 5]], ("soft", "a study with lesions has background clicks but no tumour click")),
    ],
)
def test_clicks_where_they_should_not_be(study, tumour, background, expected):
    found = check(study, clicks={"tumor": tumour, "background": background})
    assert [(finding.severity, finding.what) for finding in found] == ([expected] if expected else [])


def test_findings_of_a_cohort_are_ranked_worst_first():
    hard, soft, softer = (
        Finding("hard", "lesion_in_air", "x", 0.7, "m"),
        Finding("soft", "suv_level", "y", 4.0, "m"),
        Finding("soft", "spacing", "z", None, "m"),
    )
    records = [
        as_record("b", "b", [softer, soft], orientation="LAS"),
        as_record("a", "a", [soft], orientation="LAS"),
        as_record("c", "c", [hard], orientation="RAS"),
        as_record("d", "d", [], orientation="LAS"),
    ]
    assert (records[0]["hard"], records[0]["soft"], records[2]["hard"]) == (0, 2, 1)
    rows = rank_findings(records)
    assert [(row["severity"], row["code"], row["case"]) for row in rows] == [
        ("hard", "lesion_in_air", "c"),
        ("soft", "suv_level", "a"),
        ("soft", "suv_level", "b"),
        ("soft", "orientation", "c"),
        ("soft", "spacing", "b"),
    ]
    assert rows[3]["what"] == "its axes are RAS, those of 3 others LAS"
    table = findings_table(rows).splitlines()
    assert table[0] == "severity\tcode\tcase\tslug\twhat\tvalue\tmend"
    assert table[1] == "hard\tlesion_in_air\tc\tc\tx\t0.7\tm"
    assert table[5].split("\t")[5] == ""
    with pytest.raises(InputError, match=r"1 hard findings: c: x; mend these studies or take them out"):
        require_sound(rows)
    require_sound(rows[1:])


def test_a_scan_that_two_cases_have_is_told_of_both():
    records = [
        as_record(name, name, [], scan=scan) for name, scan in zip("abcde", ["1", "2", "1", "", ""], strict=True)
    ]
    rows = rank_findings(records)
    assert [(row["severity"], row["code"], row["case"], row["what"]) for row in rows] == [
        ("soft", "same_scan", "a", "its PET is also that of c"),
        ("soft", "same_scan", "c", "its PET is also that of a"),
    ]
    del records[0]["scan"]  # a record of an earlier version
    assert rank_findings(records) == []


def test_scans_are_told_apart_by_their_voxels(tmp_path):
    rng = np.random.default_rng(0)
    suv, affine = rng.random((12, 11, 13)).astype(np.float32), np.diag([4.0, 4, 4, 1])
    scans = {}
    for name, array in {"one": suv, "copy": suv, "other": suv + 0.1, "turned": suv.transpose(1, 0, 2)}.items():
        write_image(tmp_path / f"{name}.nii.gz", array, affine)
        write_image(tmp_path / f"{name}_ct.nii.gz", np.zeros(array.shape, np.int16), affine)
        files = {"ct": tmp_path / f"{name}_ct.nii.gz", "suv": tmp_path / f"{name}.nii.gz"}
        scans[name] = check_files(name, name, **files)["scan"]
    assert scans["one"] == scans["copy"]
    assert len(set(scans.values())) == 3


def test_findings_are_no_formulas():
    table = findings_table(rank_findings([as_record("=1+1", "a", [Finding("soft", "spacing", "x\ty", None, "m")])]))
    assert table.splitlines()[1].split("\t")[2:5] == ["'=1+1", "a", "x y"]


def test_no_findings_give_an_empty_table():
    assert findings_table(rank_findings([as_record("a", "a", [])])).count("\n") == 1


def test_every_code_is_ranked():
    import ast
    import inspect

    from clickpet.ingest import click_quality, grid_quality, lesion_quality, quality, value_quality

    used = {
        node.args[1].value
        for module in (click_quality, findings, grid_quality, lesion_quality, quality, value_quality)
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding"
    }
    assert used == set(CODES)


@pytest.mark.parametrize("patient", ["STS_001", "STS_003", "STS_051"])
def test_real_cropped_studies_are_sound_but_short(shared_data, patient):
    folder = shared_data / "sts_nifti" / patient
    pet = read_image(folder / "PET_image.nii.gz", np.float32)
    ct = read_image(folder / "CT_image.nii.gz", np.float32)
    truth = read_image(folder / "PET_mask.nii.gz")
    ct_on_pet = resample(ct, pet.shape, pet.affine, outside=-1024)
    assert "".join(nib.aff2axcodes(pet.affine)) == "LPS"
    found = check_study(ct=ct_on_pet, suv=pet.array, affine=pet.affine, truth=truth.array, tracer="fdg")
    assert [finding for finding in found if finding.severity == "hard"] == []
    assert "coverage" in {finding.code for finding in found}
    swapped = check_study(ct=pet.array, suv=ct_on_pet, affine=pet.affine, truth=truth.array)
    assert "swapped" in {finding.code for finding in swapped if finding.severity == "hard"}


def test_thresholds_are_documented_defaults():
    assert set(THRESHOLDS["liver_suv_mean"]) == {"fdg", "psma"}


def test_the_liver_alone():
    suv = np.full((10, 10, 10), 2.0)
    liver = np.ones((10, 10, 10), bool)
    affine = np.diag([10.0, 10.0, 10.0, 1.0])  # 1000 ml
    assert check_liver(suv=suv, liver=liver, affine=affine, tracer="fdg") == []
    assert [found.code for found in check_liver(suv=suv * 10, liver=liver, affine=affine, tracer="fdg")] == [
        "liver_level"
    ]
    assert check_liver(suv=suv * 10, liver=liver, affine=affine, tracer="psma") == []
    assert [found.code for found in check_liver(suv=suv, liver=liver & False, affine=affine)] == ["liver_volume"]


# --- units, offsets, padding and coverage; records; new patients ---------------------------------------------


@pytest.mark.parametrize(
    ("factor", "severity"), [(380, "hard"), (26, "hard"), (24, "soft"), (5, "soft"), (0.03, "soft")]
)
def test_the_mean_of_the_body_tells_other_units(study, factor, severity):
    """Bq/ml with a highest value below 5000 is none; kBq/ml is some times too high, which may be a small patient."""
    found = check(
        study, suv=study["suv"] * np.float32(factor), truth=None, organs=None, thresholds={"suv_max_hard": (0, 5000)}
    )
    level = only([finding for finding in found if finding.code in ("not_suv", "suv_level")])
    assert (level.severity, level.code) == (severity, "not_suv" if severity == "hard" else "suv_level")
    assert level.value == pytest.approx(0.81 * factor, rel=0.05)


@pytest.mark.parametrize("offset", [1000, 1024])
@pytest.mark.parametrize("padding", [-1024, -2000])
def test_a_ct_with_an_offset_whose_padding_looks_like_air(study, offset, padding):
    ct = study["ct"] + offset
    ct[:6] = ct[-6:] = padding
    found = only([finding for finding in check(study, ct=ct) if finding.severity == "hard"])
    assert (found.code, found.mend) == ("not_hu", "subtract 1024 or convert it with its rescale intercept")
    assert found.value == pytest.approx(40 + offset, abs=10)


@pytest.mark.parametrize(
    ("slices", "severity"), [(slice(0, 50), "hard"), (slice(60, 61), "hard"), (slice(0, 80), "soft")]
)
@pytest.mark.parametrize("axes", ["LAS", "PIR", "ASR"])
def test_a_ct_of_few_slices(study, slices, severity, axes):
    ct = np.full_like(study["ct"], -1024)
    ct[:, :, slices] = study["ct"][:, :, slices]
    turn = Turn.between(AFFINE, axes)
    found = check_study(
        ct=turn.array(ct),
        suv=turn.array(study["suv"]),
        affine=turn.affine(SHAPE, AFFINE),
        thresholds={"min_extent_mm": 0},
    )
    covered = only([finding for finding in found if finding.code == "ct_coverage"])
    assert covered.severity == severity
    assert covered.value == 110 - (slices.stop - slices.start)


def test_a_ct_of_another_patient_whose_air_is_where_the_uptake_is(study):
    ct = np.full_like(study["ct"], -1000)
    ct[:20, :20] = 40
    found = only([finding for finding in check(study, ct=ct, truth=None) if finding.code == "ct_misplaced"])
    assert found.severity == "hard"


@pytest.mark.parametrize("axes", ["LAS", "RAS", "LPS", "PIR", "SAL", "IPR", "ASR", "LSA", "RIP"])
def test_findings_do_not_depend_on_the_order_of_axes(study, axes):
    """Coverage runs along the body, whichever axis that is; only the axes themselves are told."""
    half = {name: study[name][:, :, :80] for name in ("ct", "suv", "truth")}
    half["ct"][:, :, 75:] = -1024
    expected = check_study(**half, affine=AFFINE)
    assert {finding.code for finding in expected} == {"coverage", "ct_coverage"}
    turn = Turn.between(AFFINE, axes)
    turned = {name: turn.array(volume) for name, volume in half.items()}
    found = check_study(**turned, affine=turn.affine(half["ct"].shape, AFFINE))
    assert [finding for finding in found if finding.code != "axes"] == expected
    told = [finding.what for finding in found if finding.code == "axes"]
    assert len(told) == (axes[2] != "S")
    assert not told or f"its axes are {axes}, not LAS" in told[0]


def test_warnings_in_records_are_soft_findings(study, tmp_path):
    write_image(tmp_path / "ct.nii.gz", study["ct"], AFFINE)
    write_image(tmp_path / "suv.nii.gz", study["suv"], AFFINE)
    write_json(
        tmp_path / "case.json", {"suv": {"warnings": ["odd weight"]}, "ct": {"warnings": ["odd frame", "padding"]}}
    )
    write_json(tmp_path / "truth.json", {"label": {"warnings": ["specks"]}, "lesions": 2})
    files = {"ct": tmp_path / "ct.nii.gz", "suv": tmp_path / "suv.nii.gz"}
    assert check_files("a", "a", **files)["findings"] == []
    record = check_files("a", "a", **files, records=[tmp_path / "case.json", tmp_path / "truth.json"])
    assert (record["hard"], record["soft"]) == (0, 4)
    assert {found["code"] for found in record["findings"]} == {"header"}
    told = [found["what"] for found in record["findings"]]
    assert told == ["PET: odd weight", "CT: odd frame", "CT: padding", "label: specks"]
    assert len(rank_findings([record])) == 4


def test_a_new_patient_with_a_hard_finding_stops(capsys):
    soft, hard = Finding("soft", "spacing", "wide", 9.0, "look"), Finding("hard", "not_suv", "hot", 1.0, "give SUV")
    require_sound_study(as_record("Jane 1", "jane", [soft]))
    assert capsys.readouterr().out == "warning: wide; look\n"
    assert soft_lines(as_record("Jane 1", "jane", [hard, soft])) == ["warning: wide; look"]
    with pytest.raises(InputError, match=r"^case Jane 1: hot; give SUV$"):
        require_sound_study(as_record("Jane 1", "jane", [hard, soft]))
