import json

import pytest

from clickpet.errors import InputError
from clickpet.models.settings import CHECKPOINTS, folds_there, read_settings, write_settings


@pytest.fixture
def models(tmp_path):
    """Both lesion models with folds 0, 1 and all, and a discriminator; empty files."""
    for model, checkpoint in CHECKPOINTS.items():
        for fold in ("1", "all", "0"):
            (tmp_path / model / f"fold_{fold}").mkdir(parents=True)
            (tmp_path / model / f"fold_{fold}" / checkpoint).touch()
        for name in ("plans.json", "dataset.json"):
            (tmp_path / model / name).touch()
    return tmp_path


def test_without_a_record_the_folds_are_those_that_lie_there(models):
    settings = read_settings(models)
    assert settings.folds == {model: ["0", "1", "all"] for model in CHECKPOINTS}
    assert settings.heatmap is None
    assert settings.mip is None
    assert settings.tracers == ["fdg", "psma"]


def test_what_is_written_is_read_and_models_without_folds_are_left_out(models):
    heatmap, mip = {"sigma_tumor": 4}, {"spacing_mm": 6, "size": 96, "compat": "paper"}
    write_settings(models, {"fdg": [0, "all"], "psma": [1], "tracer": []}, heatmap=heatmap, mip=mip)
    settings = read_settings(models)
    assert settings.folds == {"fdg": ["0", "all"], "psma": ["1"]}
    assert (settings.heatmap, settings.mip) == (heatmap, mip)


def test_a_checkpoint_that_is_listed_must_be_there(models):
    write_settings(models, {"fdg": ["7"]}, heatmap=None, mip=None)
    with pytest.raises(InputError, match=r"fold_7.*no such checkpoint"):
        read_settings(models)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"folds": []}', '{"folds": {"liver": ["0"]}}', '{"folds": {"fdg": ["../0"]}}']
)
def test_a_record_that_is_none_is_one_line(models, text):
    (models / "settings.json").write_text(text)
    with pytest.raises(InputError, match=r"settings\.json"):
        read_settings(models)


@pytest.mark.parametrize(
    ("heatmap", "what"),
    [
        ({"sigma": 4}, "has unknown heatmap options: sigma"),
        ({"unit": "cm"}, "heatmap.unit is 'cm'"),
        ({"sigma_tumor": [1, 2]}, r"heatmap.sigma_tumor is \[1, 2\]"),
    ],
)
def test_heatmaps_that_cannot_be_drawn_are_told_with_the_file(models, heatmap, what):
    write_settings(models, {"fdg": ["0"]}, heatmap=heatmap, mip=None)
    with pytest.raises(InputError, match=rf"settings\.json: {what}"):
        read_settings(models)


def test_a_folder_without_lesion_models_is_refused(tmp_path):
    with pytest.raises(InputError, match="no lesion model"):
        read_settings(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        read_settings(tmp_path / "absent")


def test_plans_must_lie_beside_the_folds(models):
    (models / "psma" / "plans.json").unlink()
    with pytest.raises(InputError, match=r"plans\.json"):
        read_settings(models)


def test_a_study_needs_a_model_of_its_tracer_or_a_way_to_find_it(models):
    write_settings(models, {"fdg": ["0"], "psma": ["0"]}, heatmap=None, mip=None)
    settings = read_settings(models)
    settings.check_study("fdg")
    with pytest.raises(InputError, match="no discriminator"):
        settings.check_study("")
    write_settings(models, {"fdg": ["0"]}, heatmap=None, mip=None)
    settings = read_settings(models)
    settings.check_study("")
    with pytest.raises(InputError, match="no model of tracer psma"):
        settings.check_study("psma")


def test_folds_are_found_with_numbers_first(models):
    (models / "fdg" / "fold_10").mkdir()
    (models / "fdg" / "fold_10" / "checkpoint_final.pth").touch()
    assert folds_there(models)["fdg"] == ["0", "1", "10", "all"]
    assert json.dumps(folds_there(models / "absent")) == "{}"
