"""One patient in this process: the same masks and tables as `clickpet predict`, and its errors."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from phantom_patient import HEATMAP, QUICK, check_same, new_patient, patient_files, write_models, write_patient

from clickpet.clicks.heatmap import draw_heatmap
from clickpet.clicks.heatmap_options import HeatmapOptions
from clickpet.clicks.model import Clicks
from clickpet.clicks.reading import read_clicks
from clickpet.errors import InputError
from clickpet.images import read_image, write_image
from clickpet.ingest.petct import PetCt, read_study
from clickpet.models.patient import identify_tracer, segment_patient
from clickpet.models.settings import write_settings
from clickpet.workflow.new_patient import NewPatient, predict_patient


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The demo's new patient and models of both tracers."""
    folder = tmp_path_factory.mktemp("patient")
    write_patient(folder)
    write_models(folder / "models")
    return folder


@pytest.fixture(scope="module")
def files(folder):
    return patient_files(folder)


@pytest.fixture(scope="module")
def study(files):
    return read_study(ct=files["ct"], pet=files["pet"])


@pytest.fixture(scope="module")
def clicks(files, study):
    return read_clicks(files["clicks"], shape=study.shape, affine=study.affine)


def test_other_grids_no_clicks_and_one_fold_are_segmented_as_the_workflow_does(tmp_path):
    """CT on a grid of its own, PET oblique and as .mha, models of one tracer no settings. The rest is in tests/e2e."""
    patient = replace(new_patient(), case="turned", ct_own_grid=True)
    files = write_patient(tmp_path, patient)
    models = write_models(tmp_path / "models", folds=(3,), tracers=("psma",))
    (models / "settings.json").unlink()
    turn = np.eye(4)
    turn[:3, :3] = [[np.cos(0.1), -np.sin(0.1), 0], [np.sin(0.1), np.cos(0.1), 0], [0, 0, 1]]
    for name, file in (("ct", tmp_path / "ct.nii.gz"), ("pet", tmp_path / "pet.mha")):
        image = read_image(files[name])
        write_image(file, image.array, turn @ image.affine)
    config = {**QUICK, "postprocess": {"min_suv_max": 8, "min_volume_mm3": 4000}}
    predict_patient(
        NewPatient("turned", tmp_path / "ct.nii.gz", tmp_path / "pet.mha"),
        models,
        tmp_path / "out",
        work=tmp_path / "work",
        config=config,
        cores=1,
    )
    study = read_study(ct=tmp_path / "ct.nii.gz", pet=tmp_path / "pet.mha")
    with pytest.warns(UserWarning, match=r"has no settings\.json"):
        found = segment_patient(study, models=models, config=config)
    assert found.tracer.source == "only"
    assert 0 < found.mask.sum() < found.raw_mask.sum() < found.mask.size
    assert found.lesions["disagreement"].isna().all()
    assert not found.heatmap.any()
    check_same(found, tmp_path / "work" / "results" / "cases" / "turned")


def test_clicks_are_honoured_as_the_workflow_does(tmp_path, folder, files, study, clicks):
    wanted = {"honour_clicks": True, "grow_ml": 2, "min_component_probability": 0.5001, "min_unclicked_ml": 1}
    config = {**QUICK, "postprocess": wanted}
    patient = NewPatient("clicked", files["ct"], files["pet"], clicks=files["clicks"], tracer="fdg")
    options = {"work": tmp_path / "work", "config": config, "cores": 1}
    predict_patient(patient, folder / "models", tmp_path / "out", **options)
    found = segment_patient(study, clicks, models=folder / "models", tracer="fdg", config=config)
    check_same(found, tmp_path / "work" / "results" / "cases" / "clicked")
    assert found.mask[tuple(clicks.tumor.T)].all()
    assert not found.mask[tuple(clicks.background.T)].any()
    assert found.probability is None
    plain = segment_patient(study, clicks, models=folder / "models", tracer="fdg", config=QUICK)
    assert not plain.mask[tuple(clicks.tumor.T)].all() or plain.mask[tuple(clicks.background.T)].any()


def test_arrays_of_ones_own_give_what_their_files_give(folder, study, clicks):
    own = PetCt(ct=study.ct.copy(order="C"), suv=study.suv.astype(float, order="C"), affine=study.affine)
    options = {"models": folder / "models", "tracer": "psma", "config": QUICK}
    np.testing.assert_array_equal(
        segment_patient(own, clicks, **options).mask, segment_patient(study, clicks, **options).mask
    )


def test_a_given_tracer_is_not_asked_for(folder, study):
    for tracer in ("fdg", "psma"):
        decision = identify_tracer(study, models=folder / "models", tracer=tracer)
        assert (decision.tracer, decision.source, decision.votes) == (tracer, "given", None)


def test_the_discriminator_votes_with_all_its_folds(folder, study):
    decision = identify_tracer(study, models=folder / "models")
    assert decision.source == "found"
    assert len(decision.probability_psma) == sum(decision.votes.values()) == 2
    assert decision.votes[decision.tracer] >= 1


def test_heatmaps_are_drawn_as_the_models_know_them_whatever_the_config_says(folder, study, clicks):
    config = {**QUICK, "heatmap": {"sigma_tumor": 5}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = segment_patient(study, clicks, models=folder / "models", tracer="fdg", config=config)
    np.testing.assert_array_equal(found.heatmap, draw_heatmap(study.suv, clicks, HeatmapOptions(**HEATMAP)))


def test_clicks_change_the_mask(folder, study, clicks):
    options = {"models": folder / "models", "tracer": "fdg", "config": QUICK}
    with_clicks, without = segment_patient(study, clicks, **options), segment_patient(study, **options)
    assert (with_clicks.raw_mask != without.raw_mask).any()
    assert isinstance(without.lesions, pd.DataFrame)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"models": "absent"}, "no such folder of models"),
        ({"tracer": "dota"}, "holds no model of tracer dota"),
        ({"config": {"predict": {"tile_stp": 1}}}, "did you mean tile_step"),
        ({"config": {"predict": {"mirroring": "budget"}}}, "nothing was measured"),
        ({"clicks": Clicks([(999, 0, 0)], [])}, "outside the grid"),
    ],
)
def test_what_makes_no_sense_is_one_line(folder, study, changed, message):
    given = {"clicks": None, "models": folder / "models", "tracer": "fdg", "config": None, **changed}
    with pytest.raises(InputError, match=message) as error:
        segment_patient(study, given.pop("clicks"), **given)
    assert "\n" not in str(error.value)


def test_a_config_may_be_a_file_of_keys(folder, study, tmp_path):
    (tmp_path / "mine.yaml").write_text("cohort: my.tsv\npredict: {tile_step: 1, voxel_limits: [1, 2, 3]}\n")
    options = {"models": folder / "models", "tracer": "fdg"}
    found = [segment_patient(study, config=config, **options) for config in (tmp_path / "mine.yaml", QUICK)]
    assert found[0].details["mirror_axes"] == []
    assert found[0].details["tiles"] == found[1].details["tiles"]
    np.testing.assert_array_equal(found[0].mask, found[1].mask)
    (tmp_path / "mine.yaml").write_text("[")
    with pytest.raises(InputError, match=r"mine\.yaml: "):
        segment_patient(study, config=str(tmp_path / "mine.yaml"), **options)


def test_models_of_two_tracers_without_a_discriminator_need_to_be_told(tmp_path, study):
    models = write_models(tmp_path / "models")
    write_settings(models, {"fdg": (0, 1), "psma": (0, 1)}, heatmap=None, mip=None)
    with pytest.raises(InputError, match="no discriminator"):
        segment_patient(study, models=models)
