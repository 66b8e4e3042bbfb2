"""The report's words and listing for every value that the schema of the config allows."""

from types import SimpleNamespace

import pytest
import yaml

from clickpet.config import ConfigError, resolve, schema
from clickpet.report.method_section import methods_section
from clickpet.report.page import Definitions, Listing
from clickpet.report.run_section import provenance_section

#: Keys with limits that the schema cannot say: 0..n-1; rising.
CONTRADICTORY = ("folds", "predict.voxel_limits")


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
        methods = methods_section(config)
        (words,) = [block for block in methods.blocks if isinstance(block, Definitions)]
        assert all("None" not in text and "nan" not in text for _, text in words.entries)
        (listing,) = [block for block in provenance_section(a_run(config)).blocks if isinstance(block, Listing)]
        assert yaml.safe_load(listing.text) == config
        rendered += 1
    assert rendered or key == "folds"


def a_run(config: dict) -> SimpleNamespace:
    provenance = {
        "clickpet": "1", "git": None, "platform": {"python": "3", "system": "x"}, "seeds": {}, "versions": {},
        "cohort": {"table_sha256": "0", "cohort_tsv_sha256": "0"}, "rules": [],
    }  # fmt: skip
    return SimpleNamespace(config=config, provenance=provenance)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("heatmap.sigma_tumor", [3, 3, 2], "tumour clicks as Gaussians of sigma = 3 x 3 x 2 voxels"),
        ("heatmap.sigma_background", [6.5, 6, 4], "background clicks as Gaussians of sigma = 6.5 x 6 x 4 voxels"),
        ("heatmap.sigma_tumor", 2.5, "sigma = 2.5 voxels"),
        ("heatmap.keep_clicked", True, "map is positive, but for the clicked voxels."),
        ("postprocess.min_volume_mm3", 0, "smaller than 0 mm³"),
        ("postprocess.min_volume_mm3", None, "fewer than 10 voxels"),
    ],
)
def test_words_for_values(key, value, words):
    (block,) = [block for block in methods_section(config_with(key, value)).blocks if isinstance(block, Definitions)]
    assert words in " ".join(text for _, text in block.entries)
