import json
from pathlib import Path

import pytest
import yaml

from clickpet.config import ConfigError, describe, read_config, resolve, schema
from clickpet.errors import InputError
from clickpet.ingest.thresholds import THRESHOLDS

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
    assert config["postprocess"] == {
        "min_voxels": 10,
        "min_suv_max": 4,
        "min_volume_mm3": None,
        "min_component_suv_max": 0,
        "min_component_probability": 0,
        "min_unclicked_ml": 0,
        "component_limits_after_click": 0,
        "honour_clicks": False,
        "grow_share": 0.5,
        "grow_ml": 10,
    }
    assert config["predict"]["voxel_limits"] == [18e6, 39e6, 90e6]
    assert config["heatmap"]["suv_gate"] == 3


def test_every_key_has_a_meaning():
    def check(part, path):
        for name, sub in part.get("properties", {}).items():
            assert sub.get("description"), f"{path}.{name} has no description"
            check(sub, f"{path}.{name}")

    check(schema(), "config")


def test_the_limits_of_the_quality_control_are_told_and_not_filled_in():
    limits = schema()["properties"]["quality"]["properties"]
    told = {name: part["x-default"] for name, part in limits.items() if name != "liver_suv_mean"}
    told["liver_suv_mean"] = {name: part["x-default"] for name, part in limits["liver_suv_mean"]["properties"].items()}
    assert told == json.loads(json.dumps(THRESHOLDS))
    assert resolve({"cohort": "x"})["quality"] == {}


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


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"heatmap": None}, "config: heatmap: the section is empty; write its keys below it, or remove the line"),
        ({"train": {"learning_rate": "1e-4"}}, "'1e-4' is text to YAML; write 0.0001 without quotes"),
        ({"train": {"weight_decay": "3E-7"}}, "'3E-7' is text to YAML; write 3.0e-07 without quotes"),
        ({"train": {"epochs": "1e3"}}, "config: train.epochs: '1e3' is text to YAML; write 1000 without quotes"),
        ({"heatmap": {"sigma_tumor": "2.5"}}, "config: heatmap.sigma_tumor: '2.5' is text to YAML; write 2.5 without"),
        ({"heatmap": {"sigma_tumor": [1, "2e0", 3]}}, "'2e0' is text to YAML; write 2 without quotes"),
        (
            {"heatmap": {"sigma_tumor": "wide"}},
            "config: heatmap.sigma_tumor: 'wide' is not valid under any of the given schemas (one number or three",
        ),
        ({"train": {"epochs": 10**4000}}, "config: train.epochs: is a number of more than 18 digits"),
        ({"train": {"learning_rate": float("nan")}}, "config: train.learning_rate: nan is not a finite number"),
        ({"predict": {"time_limit_s": float("inf")}}, "config: predict.time_limit_s: inf is not a finite number"),
        ({"heatmap": {"unit": "y" * 100_000}}, "config: heatmap.unit: 'yyy"),
        ({"x" * 100_000: 1}, "config: xxx"),
        ({"heatmap": {"unit": "\x1b[31m\nred"}}, "is not one of ['voxel', 'mm']"),
        ({"cohort": "a/{b}/cases.tsv"}, "config: cohort: 'a/{b}/cases.tsv' holds braces"),
        (
            {"train": {"training_clicks": "errors"}, "heatmap": {"compat": "released"}},
            "config: train.training_clicks: errors adds clicks to a heatmap one by one, which heatmap.compat: released",
        ),
        (
            {"train": {"training_clicks": "errors"}, "heatmap": {"keep_clicked": True}},
            "use compat: paper and keep_clicked: false, or random",
        ),
        ({"train": {"previous_mask": True}}, "config: train.previous_mask: true needs train.training_clicks: errors"),
        ({"predict": {"models": "{x}"}}, "config: predict.models: '{x}' holds braces"),
        ({"organs": {"scheme": {str(n): "x" for n in range(20_000)}}}, "config: holds more than 10000 values"),
    ],
)
def test_a_mistake_is_one_short_line(given, line):
    with pytest.raises(ConfigError) as error:
        resolve({"cohort": "x", **given})
    assert line in str(error.value)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 500


def test_a_config_that_holds_itself_is_refused():
    config = {"cohort": "x"}
    config["heatmap"] = config
    with pytest.raises(ConfigError, match="more than 10000 values"):
        resolve(config)


def test_a_section_that_may_be_null():
    assert resolve({"cohort": "x", "train": {"misalignment": None}})["train"]["misalignment"] is None


class TestReadConfig:
    @pytest.mark.parametrize(
        ("text", "what"),
        [
            ("a: [1", "config.yaml: line 1: is not valid YAML: while parsing a flow sequence"),
            ("a: 1\nb:\n\tc: 1", "config.yaml: line 3: is not valid YAML: while scanning"),
            ("a: 1\n\na: 2", "config.yaml: line 3: is not valid YAML: the key a is there twice"),
            ("heatmap: {unit: mm, unit: voxel}", "line 1: is not valid YAML: the key unit is there twice"),
            ("x: &a [1]\ny: [*a, *a]", "line 2: is not valid YAML: aliases are not read; write the value out"),
            ("a: !!python/object/apply:os.system [x]", "line 1: is not valid YAML: could not determine a constructor"),
            ("[" * 50_000, "is nested too deeply"),
            ("a: " + "9" * 5000, "cannot be read (Exceeds the limit"),
            ("a: " + "9" * 2_000_000, "is too large for a config"),
            ("- 1", "holds no config keys"),
            ("a: 1\n---\nb: 2", "expected a single document"),
        ],
    )
    def test_a_broken_file_is_one_line_with_its_place(self, tmp_path, text, what):
        (tmp_path / "config.yaml").write_text(text)
        with pytest.raises(InputError) as error:
            read_config(tmp_path / "config.yaml")
        assert what in str(error.value)
        assert str(error.value).isprintable()
        assert len(str(error.value)) < 500

    def test_a_missing_preset_is_told_with_those_that_there_are(self, tmp_path):
        with pytest.raises(InputError, match=r"no such config file; correct the path; .*config.yaml, demo.yaml, sts"):
            read_config(tmp_path / "none.yaml")
        with pytest.raises(InputError, match="cannot be read"):
            read_config(tmp_path)

    def test_a_good_file(self, tmp_path):
        (tmp_path / "config.yaml").write_text("heatmap: {unit: mm}\nfolds: [0, 1]\n")
        assert read_config(tmp_path / "config.yaml") == {"heatmap": {"unit": "mm"}, "folds": [0, 1]}
        (tmp_path / "config.yaml").write_text("# nothing\n")
        assert read_config(tmp_path / "config.yaml") == {}


@pytest.mark.parametrize("preset", sorted(path.name for path in CONFIG.glob("*.yaml")))
def test_presets_are_read_strictly(preset):
    assert read_config(CONFIG / preset) == yaml.safe_load((CONFIG / preset).read_text())


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
