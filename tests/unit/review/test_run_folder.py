"""The worklist of a finished run: its studies, its models, and clicks that go back into its cohort table."""

import json
import shutil

import numpy as np
import pytest
from phantom_patient import QUICK

from clickpet.clicks.model import Clicks
from clickpet.clicks.reading import read_clicks
from clickpet.clicks.writing import write_clicks
from clickpet.cohort import read_cohort, write_cohort
from clickpet.errors import InputError
from clickpet.evaluate.tables import write_table
from clickpet.evaluate.worklist import rank_worklist
from clickpet.files import read_json, write_json
from clickpet.images import write_image
from clickpet.models.patient import segment_patient
from clickpet.review.review import Review
from clickpet.review.run_folder import RunFolder

HEADER = "case\ttracer\tpatient\tcentre\tsplit\tct\tpet\tlabel\tclicks\torgans"
ROWS = [
    "study  1\tpsma\tp1\tc\ttrain\tin/ct\tin/pet\tin/label\t\t",
    "b\tpsma\tp2\tc\ttest\tin/ct\tin/pet\tin/label\tin/b.json\t",
    "c\t\tp3\tc\tpredict\tin/ct\tin/pet\t\t\t",
]
CONFIG = {"clicks": {"simulate": "missing"}, "heatmap": {}, "predict": QUICK["predict"], "postprocess": {}}


@pytest.fixture
def run(tmp_path, folder, scans, clicks, monkeypatch):
    """A working folder with config/cases.tsv and results/ as the workflow leaves them."""
    monkeypatch.chdir(tmp_path)
    for name in ("ct", "pet", "label"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).touch()
    (tmp_path / "in" / "b.json").touch()
    (tmp_path / "config").mkdir()
    table = tmp_path / "config" / "cases.tsv"
    table.write_text("\n".join([HEADER, *ROWS]) + "\n")
    studies = read_cohort(table, tell=lambda line: None)
    results = tmp_path / "results"
    write_cohort(results / "cohort.tsv", studies, {studies[0].slug: 1})
    shutil.copytree(folder / "models", results / "models")
    for fold in (1,):
        for tracer in ("fdg", "psma"):
            shutil.copytree(results / "models" / tracer / "fold_0", results / "models" / tracer / f"fold_{fold}")
    mask = np.zeros(scans.shape, np.uint8)
    mask[10:12, 10:12, 10:12] = 1
    for study in studies:
        case = results / "cases" / study.slug
        write_image(case / "ct.nii.gz", scans.ct, scans.affine)
        write_image(case / "suv.nii.gz", scans.suv, scans.affine)
        write_image(case / "lesions.nii.gz", mask, scans.affine)
        if study.label:
            write_image(case / "truth.nii.gz", mask, scans.affine)
        write_clicks(case / "clicks.json", clicks.first(1))
        write_json(case / "tracer.json", {"tracer": "psma"})
    worklist = rank_worklist(
        [study.as_dict() for study in studies],
        predictions={study.slug: {"disagreement": None if study.split == "train" else 0.1} for study in studies},
        scores={"b": {"dice": 0.2, "fnv_ml": 1.0, "fpv_ml": 0.0}},
        findings=[],
    )
    write_table(results / "worklist.tsv", worklist)
    write_json(results / "worklist.json", {"cohort": "config/cases.tsv", "config": CONFIG})
    return RunFolder.open(results, device="cpu")


def test_the_studies_come_worst_first_with_what_is_known_of_them(run):
    studies = run.studies()
    assert [study.name for study in studies] == ["b", "c", "study  1"]
    assert dict(studies[0].facts) == {
        "rank": 1, "tracer": "psma", "split": "test", "priority": 0.8, "why": "Dice 0.20, 1.0 ml missed, "
        "folds disagree by 0.10", "dice": 0.2, "disagreement": 0.1, "reviewed": False,
    }  # fmt: skip
    assert studies[1].facts["dice"] is None
    assert json.dumps([dict(study.facts) for study in studies])


def test_a_study_is_read_as_the_run_has_it(run, scans, clicks):
    first, second, third = (study.read() for study in run.studies())
    np.testing.assert_array_equal(first.scans.suv, scans.suv)
    assert first.clicks == clicks.first(1)
    assert first.mask.sum() == first.truth.sum() == 8
    assert second.truth is None
    assert not first.notes
    assert "trains the models again" in third.notes[-1]


def test_the_mask_is_that_of_the_runs_own_networks(run, scans, clicks):
    review = Review(run.studies()[0])
    review.predict()
    expected = segment_patient(
        scans, clicks.first(1), models=run.results / "models", tracer="psma", config=QUICK, device="cpu"
    )
    np.testing.assert_array_equal(review.session.result.mask, expected.mask)


def test_a_train_case_sees_only_the_network_of_the_fold_that_held_it_out(run):
    test, _, train = run.studies()
    record = read_json(run.results / "models" / "settings.json")
    record["folds"]["psma"] = ["0", "1"]
    write_json(run.results / "models" / "settings.json", record)
    assert [str(fold) for fold in train.models().ensembles["psma"].folds] == ["1"]
    assert [str(fold) for fold in test.models().ensembles["psma"].folds] == ["0", "1"]
    assert test.models() is test.models()


def test_a_joint_model_serves_its_tracers(run):
    models = run.results / "models"
    (models / "psma").rename(models / "joint")
    shutil.rmtree(models / "fdg")
    record = read_json(models / "settings.json")
    write_json(models / "settings.json", {**record, "folds": {"joint": ["0"], "tracer": ["0"]}})
    review = Review(run.studies()[0])
    assert review.predict()["predicted"]
    assert review.source.models().ensembles["psma"].model.path == models / "joint"


def test_saved_clicks_are_entered_into_the_table_of_the_cohort(run, scans, clicks, tmp_path):
    review = Review(run.studies()[1])
    voxel = review.grid.to_viewer([[7, 8, 9]]).tolist()
    review.add("background", voxel)
    lines = review.save()
    assert review.saved
    assert [one.facts["reviewed"] for one in run.studies()] == [False, True, False]
    assert review.source.facts["reviewed"]
    (study,) = [one for one in read_cohort("config/cases.tsv", tell=lambda line: None) if one.case == "c"]
    assert study.clicks == "config/reviewed_clicks/c.json"
    kept = read_clicks(study.clicks, shape=scans.shape, affine=scans.affine)
    assert kept == Clicks(clicks.tumor[:1], [*clicks.background[:1], [7, 8, 9]])
    assert (tmp_path / "results" / "review" / "c" / "interaction.json").is_file()
    assert "Entered in" in lines[1]
    others = [
        line for line in (tmp_path / "config" / "cases.tsv").read_text().splitlines() if not line.startswith("c\t")
    ]
    assert others == [HEADER, *ROWS[:2]]


def test_where_the_run_always_simulates_nothing_is_saved(run):
    run.config["clicks"]["simulate"] = "always"
    review = Review(run.studies()[1])
    review.predict()
    with pytest.raises(InputError, match="simulate is 'always'"):
        review.save()
    assert not (run.cohort.parent / "reviewed_clicks").exists()
    run.config["clicks"]["simulate"] = "missing"


@pytest.mark.parametrize("name", ["worklist.tsv", "worklist.json", "cohort.tsv"])
def test_a_run_without_a_worklist_is_a_line(run, name):
    (run.results / name).unlink()
    with pytest.raises(InputError, match=f"has no {name}"):
        RunFolder.open(run.results)


def test_a_moved_table_is_a_line_and_can_be_named(run, tmp_path):
    moved = tmp_path / "moved.tsv"
    (tmp_path / "config" / "cases.tsv").rename(moved)
    with pytest.raises(InputError, match="--cohort"):
        RunFolder.open(run.results)
    review = Review(RunFolder.open(run.results, cohort=moved, device="cpu").studies()[1])
    review.save()
    assert (tmp_path / "reviewed_clicks" / "c.json").is_file()
    assert f"{tmp_path}/reviewed_clicks/c.json" in moved.read_text()
