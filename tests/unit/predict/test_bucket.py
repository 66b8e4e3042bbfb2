"""Cases of a bucket are predicted by networks that are loaded once, kept, and predicted again when it is needed."""

import numpy as np
import pytest
from tiny_models import write_model

from clickpet.errors import InputError
from clickpet.files import write_json
from clickpet.images import read_image, write_image
from clickpet.predict.bucket import BucketCase, BucketOptions, bucket_case, predict_missing, take_prediction
from clickpet.predict.inference import predict_scan, read_heatmap, read_scan

AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])
SHAPE = (20, 18, 17)
OPTIONS = BucketOptions({"voxel_limits": [1, 2, 3]}, None, [], "1")
#: What every prediction leaves behind.
FILES = ["disagreement.npy", "lesions_raw.nii.gz", "prediction.json"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models") / "fdg", folds=(0, 1))


@pytest.fixture
def cases(tmp_path, model):
    rng = np.random.default_rng(0)
    made = []
    for slug, members in (("a", [0]), ("b", [1]), ("c", [0]), ("d", [0, 1])):
        images = {name: str(tmp_path / slug / f"{name}.nii.gz") for name in ("ct", "suv", "heatmap")}
        for path, scale in zip(images.values(), (300, 3, 0.3), strict=True):
            write_image(path, rng.normal(0, scale, SHAPE).astype(np.float32), AFFINE)
        made.append(BucketCase(slug, tracer="fdg", model=model, members=members, **images))
    return made


@pytest.fixture
def loaded(monkeypatch):
    """Folds in the order in which their networks are read from disk."""
    from clickpet.predict import ensemble

    folds, load = [], ensemble.load_network

    def counted(model, fold, **options):
        folds.append(fold)
        return load(model, fold, **options)

    monkeypatch.setattr(ensemble, "load_network", counted)
    return folds


@pytest.fixture
def predict(tmp_path):
    """Predict the cases of a bucket; the slugs of those that were not there already."""

    def run(cases, options=OPTIONS):
        lines = []
        predict_missing(cases, tmp_path / "kept", options, device="cpu", progress=lines.append)
        return [line.split(":")[0] for line in lines if "there already" not in line]

    return run


def test_each_network_is_loaded_once_and_only_if_needed(cases, predict, loaded):
    assert predict(cases[:1]) == ["a"]
    assert predict(cases) == ["b", "c", "d"]
    assert loaded == [0, 1, 0]
    assert predict(cases) == []
    assert loaded == [0, 1, 0]


def test_a_kept_prediction_is_that_of_the_case_alone(tmp_path, cases, predict):
    predict(cases)
    for case in cases:
        outputs = [tmp_path / "taken" / case.slug / name for name in FILES]
        take_prediction(case, tmp_path / "kept", OPTIONS, outputs)
        scan = read_scan(ct=case.ct, suv=case.suv)
        inputs = (scan, [read_heatmap(case.heatmap, scan)])
        alone = next(predict_scan(lambda inputs=inputs: inputs, case.model, case.members, device="cpu",
                                  voxel_limits=(1, 2, 3), disagreement="lesions"))  # fmt: skip
        assert np.array_equal(read_image(outputs[1]).array, alone.mask)
        spread = np.empty(0) if alone.disagreement is None else alone.disagreement[alone.mask != 0]
        assert np.array_equal(np.load(outputs[0]), spread)


def test_maps_are_kept_where_they_are_asked_for(tmp_path, cases, predict):
    maps = ["disagreement", "probability", "component_probability"]
    predict(cases[3:], BucketOptions(OPTIONS.predict, None, maps, "1"))
    names = {path.name for path in (tmp_path / "kept" / "d").iterdir()}
    assert names == {*FILES, "key.json", "disagreement.nii.gz", "probability.nii.gz", "component_probability.npy"}


def test_what_a_prediction_depends_on_makes_it_anew(tmp_path, cases, predict):
    predict(cases)
    write_image(cases[1].heatmap, np.ones(SHAPE, np.float32), AFFINE)
    assert predict(cases) == ["b"]
    assert predict(cases, BucketOptions(OPTIONS.predict, None, [], "2")) == ["a", "b", "c", "d"]
    assert predict(cases, BucketOptions({"voxel_limits": [1, 2, 4]}, None, [], "2")) == ["a", "b", "c", "d"]


def test_another_network_makes_its_cases_anew(tmp_path, cases, predict):
    model = write_model(tmp_path / "fdg", folds=(0, 1))
    own = [BucketCase(**{**vars(case), "model": model}) for case in cases]
    predict(own)
    write_model(tmp_path / "fdg", folds=(1,), seed=5)
    assert predict(own) == ["b", "d"]
    (model / "fold_1" / "checkpoint_final.pth").unlink()
    with pytest.raises(InputError, match=r"b: .*fold_1.*no such checkpoint.* \| d: .*fold_1"):
        predict(own)


def test_a_case_that_fails_holds_up_no_other(tmp_path, cases, predict):
    write_image(cases[0].heatmap, np.zeros((2, 2, 2), np.float32), AFFINE)
    with pytest.raises(InputError, match=r"^a: .*heatmap.*the PET is.*the other cases of this job are predicted"):
        predict(cases)
    write_image(cases[0].heatmap, np.zeros(SHAPE, np.float32), AFFINE)
    assert predict(cases) == ["a"]


def test_a_prediction_of_other_inputs_is_not_taken(tmp_path, cases, predict):
    predict(cases[:1])
    write_image(cases[0].suv, np.ones(SHAPE, np.float32), AFFINE)
    with pytest.raises(InputError, match="was made from other inputs"):
        take_prediction(cases[0], tmp_path / "kept", OPTIONS, [tmp_path / "lesions_raw.nii.gz"])
    assert not (tmp_path / "lesions_raw.nii.gz").exists()


def test_the_tracer_that_was_found_decides_the_model_and_the_split_its_folds(tmp_path):
    write_json(tmp_path / "tracer.json", {"tracer": "psma"})
    given = {
        "folds": {"fdg": ["0"], "psma": ["0", "1"]},
        "models": {"fdg": "m/fdg", "psma": "m/psma"},
        "tracer": tmp_path / "tracer.json",
        "ct": "ct", "suv": "suv", "heatmap": "heatmap",
    }  # fmt: skip
    case = bucket_case("a", split="train", case_folds={"a": 1}, **given)
    assert (case.tracer, str(case.model), case.members) == ("psma", "m/psma", [1])
    assert bucket_case("a", split="test", case_folds={}, **given).members == ["0", "1"]
