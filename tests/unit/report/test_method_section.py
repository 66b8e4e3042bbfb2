"""The report's words for what was run, and for every value that the schema of the config allows."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import yaml

from clickpet.config import ConfigError, resolve, schema
from clickpet.evaluate.run_results import RunResults
from clickpet.evaluate.training_curves import TrainingCurve
from clickpet.report.method_section import methods_section
from clickpet.report.model_section import curves_caption
from clickpet.report.page import Definitions, Listing
from clickpet.report.run_section import provenance_section

#: Keys with limits that the schema cannot say: 0..n-1; rising; with another key only.
CONTRADICTORY = ("folds", "predict.voxel_limits", "train.previous_mask")


def values_of(part: dict) -> list:
    """Values at the edges of what a part of the schema allows, one of each type at least."""
    if "$ref" in part:
        part = {**schema()["$defs"][part["$ref"].rpartition("/")[2]], **part}
        return values_of({name: value for name, value in part.items() if name != "$ref"})
    if "anyOf" in part:
        return [value for one in part["anyOf"] for value in values_of(one)]
    if "const" in part:
        return [part["const"]]
    if "enum" in part:
        return list(part["enum"])
    kinds = part["type"] if isinstance(part["type"], list) else [part["type"]]
    return [value for kind in kinds for value in _values_of_type(kind, part)]


def _values_of_type(kind: str, part: dict) -> list:
    if kind == "null":
        return [None]
    if kind == "boolean":
        return [True, False]
    if kind == "string":
        return ["x", "=a: <b> & \u00e9 " + "y" * 300]
    if kind == "array":
        return [[item] * part.get("minItems", 1) for item in values_of(part["items"])]
    if kind == "object":
        return [{"1": "liver"}] if part.get("additionalProperties") else [{}]
    least, most = part.get("minimum"), part.get("maximum")
    if "exclusiveMinimum" in part:
        least = part["exclusiveMinimum"] + 1e-6
    if "exclusiveMaximum" in part:
        most = part["exclusiveMaximum"] - 1e-6
    edges = [-1e6 if least is None else least, 1e15 if most is None else most]
    return [int(edge) for edge in edges] if kind == "integer" else [*edges, (least or 0) + 0.123456]


def keys(part: dict, path: str = "") -> list[tuple[str, object]]:
    """(key, value) of every value of every key and section."""
    found = []
    for name, sub in part["properties"].items():
        found += [(f"{path}{name}", value) for value in values_of(sub)]
        if "properties" in sub:
            found += keys(sub, f"{path}{name}.")
    return found


def config_with(key: str, value: object) -> dict:
    given: dict = {"cohort": "cases.tsv"}
    *sections, name = key.split(".")
    inner = given
    for section in sections:
        inner = inner.setdefault(section, {})
    inner[name] = value
    return resolve(given)


def test_the_walk_reaches_every_key():
    walked = {key for key, _ in keys(schema())}
    assert {"heatmap.sigma_tumor", "train.topology.max_stages", "quality.liver_suv_mean.fdg", "phantom.seed"} <= walked
    assert [1e-6, 1e-6, 1e-6] in [value for key, value in keys(schema()) if key == "heatmap.sigma_tumor"]
    assert len(walked) > 80


@pytest.mark.parametrize("key", sorted({key for key, _ in keys(schema())}))
def test_every_value_is_rendered(key):
    rendered = 0
    for value in [value for one, value in keys(schema()) if one == key]:
        try:
            config = config_with(key, value)
        except ConfigError:
            assert key in CONTRADICTORY
            continue
        words = words_of(whole_run(config))
        assert all("None" not in text.replace("None:", "") and "nan" not in text for text in words.values())
        (listing,) = [block for block in provenance_section(a_run(config)).blocks if isinstance(block, Listing)]
        assert yaml.safe_load(listing.text) == config
        rendered += 1
    assert rendered or key == "folds"


def a_run(config: dict, **records) -> RunResults:
    """A run of one train and one new study; without other records nothing else was run."""
    provenance = {
        "clickpet": "1", "git": None, "platform": {"python": "3", "system": "x"}, "seeds": {}, "versions": {},
        "cohort": {"table_sha256": "0", "cohort_tsv_sha256": "0"}, "rules": [],
    }  # fmt: skip
    columns = ["case", "slug", "tracer", "split", "clicks"]
    cohort = pd.DataFrame([["a", "a", "fdg", "train", None], ["b", "b", "", "predict", "b.json"]], columns=columns)
    return RunResults({**provenance, "config": config}, cohort, records.pop("scores", pd.DataFrame()), **records)


def whole_run(config: dict) -> RunResults:
    """A run in which everything was run."""
    epochs = np.arange(3.0)
    lesion = TrainingCurve("0", epochs, epochs, epochs, epochs)
    tracer = TrainingCurve("0", epochs, epochs, epochs, epochs, stopping_cases=2)
    predictions = {
        "a": {"mirror_axes": [0, 1, 2], "members": ["0"]},
        "b": {"mirror_axes": [2], "members": ["0", "1", "2"]},
    }
    return a_run(
        config,
        scores=pd.DataFrame({"slug": ["a"], "dice": [0.5], "split": ["train"]}),
        interactive=pd.DataFrame({"clicks": [0, 5, 0, 5]}),
        training={"fdg": [lesion], "psma": [lesion], "tracer": [tracer]},
        accuracy={"n": 2, "folds": {"0": {}, "ensemble": {}}},
        predictions=predictions,
    )


def words_of(run: RunResults) -> dict[str, str]:
    (block,) = [block for block in methods_section(run).blocks if isinstance(block, Definitions)]
    return dict(block.entries)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("heatmap.sigma_tumor", [3, 3, 2], "tumour clicks as Gaussians of sigma = 3 x 3 x 2 voxels"),
        ("heatmap.sigma_background", [6.5, 6, 4], "background clicks as Gaussians of sigma = 6.5 x 6 x 4 voxels"),
        ("heatmap.sigma_tumor", 2.5, "sigma = 2.5 voxels"),
        ("heatmap.keep_clicked", True, "map is positive, but for the clicked voxels."),
        ("postprocess.min_volume_mm3", 0, "smaller than 0 mm³"),
        ("postprocess.min_volume_mm3", None, "fewer than 10 voxels"),
        ("postprocess.min_component_suv_max", 5, "of any size whose SUVmax is below 5 g/ml were removed."),
        ("postprocess.min_component_probability", 0.8, "whose mean lesion probability is below 0.8 were removed."),
        ("postprocess.honour_clicks", True, "connected uptake above 50 % of its local maximum, at most 10 ml;"),
        ("postprocess.min_unclicked_ml", 6, "smaller than 6 ml were emptied where no tumour was clicked."),
    ],
)
def test_words_for_values(key, value, words):
    assert words in " ".join(words_of(whole_run(config_with(key, value))).values())


def test_what_was_not_run_is_not_told():
    config = resolve({"cohort": "x", "report": {"interactive": True}})
    assert list(words_of(a_run(config))) == ["Clicks", "Heatmaps", "Lesion models", "Post-processing"]
    words = words_of(whole_run(config))
    assert list(words) == [
        "Clicks", "Heatmaps", "Organs", "Tracer discriminator", "Lesion models", "Inference", "Post-processing",
        "Evaluation",
    ]  # fmt: skip
    assert words["Evaluation"].endswith("Interactive evaluation with 0, 5 clicks of each kind.")
    assert "No lesion model was trained in this run" in words_of(a_run(config))["Lesion models"]


def test_clicks_by_where_they_came_from():
    config = resolve({"cohort": "x"})
    words = words_of(a_run(config))["Clicks"]
    assert words.startswith("Tumour and background clicks of 1 study were taken from click files.")
    assert "Clicks of 1 study were simulated" in words
    never = words_of(a_run(resolve({"cohort": "x", "clicks": {"simulate": "never"}})))["Clicks"]
    assert never.endswith("1 study had no clicks.")
    assert "simulated" not in never


def test_one_tracer_is_told_with_its_own_iterations_only():
    run = whole_run(resolve({"cohort": "x"}))
    words = words_of(dataclasses.replace(run, training={"fdg": run.training["fdg"]}, accuracy={}))
    assert "one per tracer (FDG)" in words["Lesion models"]
    assert "3 epochs of 350 (FDG) iterations" in words["Lesion models"]
    assert "PSMA" not in " ".join(words.values())
    assert words["Tracer discriminator"] == "None was trained: all train studies have one tracer."
    assert "discriminator found" not in words["Inference"]


def test_iterations_are_those_that_the_training_recorded():
    run = whole_run(resolve({"cohort": "x"}))
    options = {"iterations_per_epoch": 7, "learning_rate": 0.25, "training_clicks": "random"}
    curve = dataclasses.replace(run.training["fdg"][0], options=options, pretrained={"file": "x"})
    words = words_of(dataclasses.replace(run, training={"fdg": [curve]}))["Lesion models"]
    assert "epochs of 7 (FDG) iterations" in words
    assert "learning rate 0.25, a random number of clicks" in words
    assert "from a pretrained CT/PET checkpoint" in words


@pytest.mark.parametrize(
    ("epochs", "stopping", "words"),
    [
        (3, 2, "1 of 1 trainings stopped early, after 3 epochs"),
        (100, 2, "none stopped early"),
        (100, 0, "no study was set aside to stop early"),
    ],
)
def test_early_stopping_is_told_as_it_happened(epochs, stopping, words):
    run = whole_run(resolve({"cohort": "x"}))
    values = np.zeros(epochs)
    curve = TrainingCurve("0", values, values, values, values, stopping_cases=stopping)
    text = words_of(dataclasses.replace(run, training={**run.training, "tracer": [curve]}))["Tracer discriminator"]
    assert words in text


def test_without_organs_nothing_is_said_of_a_second_head():
    run = whole_run(resolve({"cohort": "x", "organs": {"provider": "none"}}))
    assert words_of(run)["Organs"] == "None: the lesion models were trained without a second head."
    assert "both heads" not in curves_caption(run)
    assert "both heads" in curves_caption(whole_run(resolve({"cohort": "x"})))


def test_mirroring_is_told_as_used():
    words = words_of(whole_run(resolve({"cohort": "x"})))["Inference"]
    assert "three axes in 1 study, one axis in 1 study." in words
    assert "Other studies: the mean softmax of 3 folds." in words
