"""DICOM studies through the workflow to everything that training needs, with TotalSegmentator's own code on their CTs.

The models of TotalSegmentator are stand-ins in its folder layout; the studies are made by code and hold planted names.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]

from dicom_maker import PLANTED, expected_suv_factor, uid, write_rtstruct, write_series  # noqa: E402
from organ_stand_in import write_stand_in  # noqa: E402

from clickpet.cohort import read_cohort  # noqa: E402
from clickpet.dicom.seg_export import write_seg  # noqa: E402
from clickpet.dicom.series import load_suv  # noqa: E402
from clickpet.images import read_image  # noqa: E402
from clickpet.ingest.study import read_ct  # noqa: E402
from clickpet.organs.totalsegmentator import TASKS, OrganSegmenter, find_task, needed_models  # noqa: E402
from clickpet.report.data_section import suv_blocks  # noqa: E402

pytestmark = pytest.mark.slow
SLICES, EDGE, PITCH_MM, GAP_MM = 12, 16, 4.0, 4.0
LESION = (slice(5, 8), slice(7, 10), slice(5, 8))  # slices, rows, columns as they are stored
CONFIG = "cohort: cases.tsv\nfolds: [0, 1]\norgans: {{fast: true, weights: {weights}}}\n"


def write_study(folder: Path, name: str, mask: str) -> None:
    """PET (Bq/ml), CT on a grid of its own, and the lesion as SEG or RTSTRUCT."""
    body = np.zeros((SLICES, EDGE, EDGE), bool)
    body[:, 3:13, 3:13] = True
    factor = expected_suv_factor()
    suv = np.where(body, 1.0, 0.02)
    suv[LESION] = 8.0
    geometry = {
        "study": name,
        "PatientID": f"{PLANTED['PatientID']} {name}",
        "pitch_mm": (PITCH_MM, PITCH_MM),
        "gap_mm": GAP_MM,
        "origin": (-30.0, -30.0, 0.0),
    }
    write_series(folder / "pet", pixels=np.rint(suv * 1000).astype(np.int16), slices=SLICES, slopes=0.001 / factor,
                 **geometry)  # fmt: skip
    hu = np.full((SLICES, 2 * EDGE, 2 * EDGE), -1000, np.int16)
    hu[:, 6:26, 6:26] = 40
    hu[:, 14:18, 14:18] = 500
    geometry |= {"pitch_mm": (PITCH_MM / 2, PITCH_MM / 2), "origin": (-31.0, -31.0, 0.0)}
    write_series(folder / "ct", modality="CT", pixels=hu, slices=SLICES, number=2, **geometry)
    if mask == "SEG":
        pet = load_suv(folder / "pet")[0]
        write_seg(folder / "mask.dcm", pet.array > 4, pet.affine, folder / "pet", case="x", identity="source")
    else:
        low, high = (-30.0 + PITCH_MM * edge for edge in (4.5, 7.5))
        top, bottom = (-30.0 + PITCH_MM * edge for edge in (6.5, 9.5))
        square = [(low, top), (high, top), (high, bottom), (low, bottom)]
        contours = [np.array([(*point, GAP_MM * z) for point in square]) for z in range(5, 8)]
        write_rtstruct(folder / "mask.dcm", {"GTV 1": contours, "BODY": [contour * 1.5 for contour in contours]},
                       study=name, drawn_on=uid(name, "PT", "series"))  # fmt: skip


class Run:
    """An archive, the workflow and its results in one folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("rules", "config", "envs", "profiles", "scripts", "clickpet", "Snakefile"):
            (folder / name).symlink_to(ROOT / name)
        for model in needed_models([find_task(name, fast=True) for name in TASKS]):
            favour = "skull" if model.task_id == 298 else None
            write_stand_in(model, folder / "weights", seed=model.task_id, favour=favour)
        (folder / "mine.yaml").write_text(
            CONFIG.format(weights="weights") + 'ingest: {label_regions: ["GTV*", Les*]}\n'
        )
        for case, mask in (("Case A  1.x", "SEG"), ("case_b", "RTSTRUCT")):
            write_study(folder / "archive" / case, case, mask)

    def cohort(self) -> str:
        command = [
            str(Path(sys.executable).with_name("clickpet")),
            "cohort",
            "dicom",
            "archive",
            "--tracer",
            "fdg",
            "--force",
        ]
        return self.run([*command, "--out", "cases.tsv"])

    def snakemake(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "snakemake", "--nolock", "--cores", "2", "--configfile", "config/config.yaml"]
        return self.run([*command, "mine.yaml", *arguments])

    def run(self, command: list[str]) -> str:
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
        return done.stdout + done.stderr

    def targets(self) -> list[str]:
        files = ("heatmap.nii.gz", "mip.png", "organs.nii.gz")
        return [f"results/cases/{study.slug}/{file}" for study in self.studies() for file in files]

    def studies(self):
        kept = Path.cwd()
        try:
            return read_cohort(self.folder / "cases.tsv")
        finally:
            assert Path.cwd() == kept

    def case(self, study, name: str):
        return read_image(self.folder / "results" / "cases" / study.slug / f"{name}.nii.gz")

    def record(self, study) -> dict:
        return json.loads((self.folder / "results" / "cases" / study.slug / "case.json").read_text())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("dicom"))
    run.said = run.cohort()
    run.said += run.snakemake("--", "results/quality.tsv", "results/organ_quality.tsv", *run.targets())
    return run


def test_the_cohort_command_finds_series_masks_and_regions(run):
    first, second = run.studies()
    assert (first.case, second.case) == ("Case A  1.x", "case_b")
    assert [Path(study.label).name for study in (first, second)] == ["mask.dcm"] * 2
    assert "1 masks hold several regions (case_b: GTV 1, BODY)" in run.said


def test_suv_ct_and_truth_are_those_of_the_dicom(run):
    expected = np.zeros((SLICES, EDGE, EDGE), bool)
    expected[LESION] = True
    for study in run.studies():
        suv, ct, truth = (run.case(study, name) for name in ("suv", "ct", "truth"))
        stored = expected.transpose(2, 1, 0)[:, ::-1]  # LAS: rows run from posterior to anterior
        np.testing.assert_array_equal(truth.array > 0, stored)
        assert suv.array[stored] == pytest.approx(8.0, rel=1e-3)
        assert suv.spacing_mm == (PITCH_MM, PITCH_MM, GAP_MM)
        assert [ct.array[place, place, 5] for place in (0, 4, 8)] == pytest.approx([-1000, 40, 500])


def test_the_suv_record_is_in_the_folder_and_in_the_report(run):
    studies = run.studies()
    for study in studies:
        audit = run.record(study)["suv"]
        assert (audit["source"], audit["units"], audit["decay_correction"]) == ("DICOM", "BQML", "START")
        assert audit["factor"] == pytest.approx(expected_suv_factor(), rel=1e-9)
        assert (audit["delta_t_s"], audit["half_life_s"]) == (3600, 6586.2)
        assert "RadionuclideTotalDose (0018,1074)" in audit["tags"]
    results = type("Results", (), {})()
    results.cases = {study.slug: run.record(study) for study in studies}
    results.names = {study.slug: study.case for study in studies}
    shown = repr(suv_blocks(results))
    for text in ("Case A  1.x", "decay-corrected to SeriesTime", "RadionuclideTotalDose (0018,1074)", "6,586.20"):
        assert text in shown, text
    assert not [secret for secret in PLANTED.values() if secret in shown]


def test_organs_are_those_of_the_original_ct_on_the_pets_grid(run):
    segmenter = OrganSegmenter(fast=True, weights=run.folder / "weights")
    study = run.studies()[0]
    suv, organs = run.case(study, "suv"), run.case(study, "organs")
    expected = segmenter.organ_map_on(read_ct(study.ct), suv.shape, suv.affine)
    assert len(np.unique(expected)) > 3
    np.testing.assert_array_equal(organs.array, expected)
    findings = (run.folder / "results" / "organ_quality.tsv").read_text().splitlines()
    assert len(findings) == 3  # the field of view is too small for a liver
    assert all("liver_volume" in line for line in findings[1:])


def test_nothing_of_a_person_is_in_any_file_that_was_written(run):
    secrets = [secret.encode() for secret in PLANTED.values()]
    places = [run.folder / name for name in ("results", "logs", "benchmarks", ".snakemake", "cases.tsv")]
    files = [path for place in places for path in ([place] if place.is_file() else place.rglob("*")) if path.is_file()]
    assert len(files) > 40
    for path in files:
        content = path.read_bytes()
        content += gzip.decompress(content) if path.suffix == ".gz" else b""
        assert not [secret for secret in secrets if secret in content], path
    assert not [secret for secret in PLANTED.values() if secret in run.said]


def test_a_case_that_is_added_redoes_no_other_case(run):
    """Last, because it adds to the run: the bucket's job runs again, and segments the new case only."""
    write_study(run.folder / "archive" / "case_c", "case_c", "SEG")
    run.cohort()
    before = {study.slug: (run.folder / "results" / "cases" / study.slug / "organs.nii.gz").stat().st_mtime_ns
              for study in run.studies()[:2]}  # fmt: skip
    said = run.snakemake("--", *run.targets())
    for study in run.studies()[:2]:
        path = run.folder / "results" / "cases" / study.slug / "organs.nii.gz"
        assert path.stat().st_mtime_ns == before[study.slug]
    assert said.count("rule keep_organs:") == 1
    assert said.count("rule segment_organs:") == 1
    log = (run.folder / "logs" / "segment_organs" / "bucket_000.log").read_text()
    assert log.count("map is there already") == 2
    assert log.count(": segmented") == 1
    assert "case_c: segmented" in log
