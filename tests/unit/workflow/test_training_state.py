"""What a training will do, from small files as the workflow leaves them, and checkpoints that earlier settings left."""

from dataclasses import replace

import pytest

from clickpet.errors import InputError
from clickpet.files import write_json, write_text
from clickpet.train.checkpoints import FINAL, LATEST
from clickpet.train.key import CURRENT, fold_cases, training_key
from clickpet.train.options import TrainingOptions
from clickpet.workflow.training_state import (
    FROM_START,
    GOES_ON,
    NOT_KNOWN,
    TAKEN_OVER,
    drop_superseded,
    superseded,
    training_state,
)

CASES = ["a", "b", "c"]
SPLITS = {"cases": {"a": 0, "b": 1, "c": 1}}
FILES = {"plans": {"plans_name": "p"}, "dataset": {"labels": {}}, "training_set": {"a": "1", "b": "2", "c": "3"}}
OPTIONS = TrainingOptions(epochs=3)


@pytest.fixture
def results(tmp_path):
    """A folder of results before its first training."""
    write_json(tmp_path / "splits.json", SPLITS)
    for name, content in FILES.items():
        write_json(tmp_path / "models" / "fdg" / f"{name}.json", content)
    return tmp_path


def state(results, options=OPTIONS, method="m"):
    return training_state(results, "fdg", "0", cases=CASES, options=options, method=method, pretrained=None)


def leave(results, file, *, options=OPTIONS, current=True):
    """A checkpoint as a training of these options leaves it; returns its folder."""
    split = fold_cases(SPLITS, CASES, "0")
    key = training_key(
        FILES["plans"], FILES["dataset"], options, split, FILES["training_set"], method="m", pretrained=None
    )
    folder = results / "training" / "fdg" / "fold_0" / key
    (folder / "deep").mkdir(parents=True, exist_ok=True)
    (folder / "deep" / file).write_bytes(bytes(100))
    if current:
        write_text(folder.parent / CURRENT, key)
    return folder


def test_states(results):
    assert state(results) == FROM_START
    leave(results, LATEST)
    assert state(results) == GOES_ON
    leave(results, FINAL)
    assert state(results) == TAKEN_OVER
    assert state(results, replace(OPTIONS, save_every=99)) == TAKEN_OVER
    assert state(results, replace(OPTIONS, seed=7)) == FROM_START
    assert state(results, method="other") == FROM_START


@pytest.mark.parametrize("missing", ["splits.json", "models/fdg/plans.json", "models/fdg/training_set.json"])
def test_without_data_or_plans_it_is_not_known(results, missing):
    leave(results, FINAL)
    (results / missing).unlink()
    assert state(results) == NOT_KNOWN


def test_only_checkpoints_of_earlier_settings_are_dropped(results):
    old = leave(results, FINAL, options=replace(OPTIONS, seed=1))
    half = leave(results, LATEST, options=replace(OPTIONS, seed=2))
    new = leave(results, FINAL)
    found = {one.folder: one for one in superseded(results)}
    assert set(found) == {old, half}
    assert (found[old].finished, found[half].finished) == (True, False)
    assert {one.size for one in found.values()} == {100}
    drop_superseded(results)
    assert not old.exists()
    assert not half.exists()
    assert (new / "deep" / FINAL).is_file()
    assert superseded(results) == []


def test_where_nothing_says_which_is_the_newest_nothing_is_dropped(results):
    old = leave(results, FINAL, current=False)
    assert drop_superseded(results) == []
    assert old.exists()


def test_a_case_without_a_fold_is_refused():
    with pytest.raises(InputError, match="has no fold for z; delete it"):
        fold_cases(SPLITS, [*CASES, "z"], "0")
