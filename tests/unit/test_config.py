from pathlib import Path

import pytest
import yaml

from clickpet.config import ConfigError, describe, resolve, schema

CONFIG = Path(__file__).parents[2] / "config"


def test_the_papers_config_is_the_schemas_defaults():
    written = yaml.safe_load((CONFIG / "config.yaml").read_text())
    assert resolve(written) == resolve({"cohort": "config/cases.tsv"})
    assert resolve(written) == {**resolve({"cohort": "x"}), "cohort": "config/cases.tsv"}


def test_the_papers_values():
    config = resolve({"cohort": "x"})
    assert config["train"]["epochs"] == 1500
    assert config["train"]["iterations_per_epoch"] == {"fdg": 350, "psma": 250}
    assert config["train"]["patch_size"] == [192, 192, 192]
    assert config["postprocess"] == {"min_voxels": 10, "min_suv_max": 4, "min_volume_mm3": None}
    assert config["predict"]["voxel_limits"] == [18e6, 39e6, 90e6]
    assert config["heatmap"]["suv_gate"] == 3


def test_every_key_has_a_meaning():
    def check(part, path):
        for name, sub in part.get("properties", {}).items():
            assert sub.get("description"), f"{path}.{name} has no description"
            check(sub, f"{path}.{name}")

    check(schema(), "config")


def test_the_readme_explains_every_key():
    text = (CONFIG / "README.md").read_text(encoding="utf-8")
    missing = [row for row in describe() if row not in text]
    assert not missing, "write them anew with clickpet.config.describe()"


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            {"cohort": "x", "heatmap": {"sigma_tumour": 3}},
            "config: heatmap.sigma_tumour: no such key; did you mean sigma_tumor?",
        ),
        ({"cohort": "x", "trian": {}}, "config: trian: no such key; did you mean train?"),
        ({"cohort": "x", "train": {"iterations_per_epoch": {"fgd": 3}}}, "did you mean fdg?"),
        ({"cohort": "x", "heatmap": {"unit": "cm"}}, "config: heatmap.unit: 'cm' is not one of ['voxel', 'mm']"),
        ({"cohort": "x", "train": {"epochs": 0}}, "config: train.epochs: 0 is less than the minimum of 1"),
        ({"cohort": "x", "heatmap": {"sigma_tumor": -1}}, "config: heatmap.sigma_tumor: -1 is"),
        ({"cohort": "x", "folds": [0]}, "config: folds: [0] must hold 0 to n-1"),
        ({"cohort": "x", "folds": [0, 2]}, "config: folds: [0, 2] must hold 0 to n-1"),
        ({"cohort": "x", "predict": {"voxel_limits": [3, 2, 1]}}, "config: predict.voxel_limits: [3, 2, 1] must rise"),
        ({}, "'cohort' is a required property"),
    ],
)
def test_a_mistake_is_one_clear_line(given, line):
    with pytest.raises(ConfigError) as error:
        resolve(given)
    assert line in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_all_mistakes_are_told_at_once():
    with pytest.raises(ConfigError) as error:
        resolve({"cohort": "x", "sed": 1, "train": {"epochs": 0, "batchsize": 2}})
    assert len(str(error.value).splitlines()) == 3


def test_the_given_config_is_left_alone():
    given = {"cohort": "x", "train": {"epochs": 3}}
    resolve(given)["train"]["iterations_per_epoch"]["fdg"] = 1
    assert given == {"cohort": "x", "train": {"epochs": 3}}


@pytest.mark.parametrize("preset", sorted(path.name for path in CONFIG.glob("*.yaml") if path.name != "config.yaml"))
def test_presets_hold_differences_only(preset):
    paper = resolve({"cohort": "x"})

    def check(given, default, path):
        for name, value in given.items():
            if isinstance(value, dict) and isinstance(default.get(name), dict):
                check(value, default[name], f"{path}.{name}")
            else:
                assert value != default.get(name, object()), f"{path}.{name} is the paper's value already"

    check(yaml.safe_load((CONFIG / preset).read_text()), paper, "config")
