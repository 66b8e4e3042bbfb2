import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickpet.errors import InputError
from clickpet.ingest.splits import draw_splits, given_splits, read_splits


def case(number, patient, tracer="fdg", lesions=1):
    return {"case": f"case {number}", "slug": f"c{number}", "patient": patient, "tracer": tracer, "lesions": lesions}


COHORTS = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from(["fdg", "psma"]), st.integers(0, 2)), min_size=1, max_size=60
).map(lambda rows: [case(n, f"p{patient}", tracer, lesions) for n, (patient, tracer, lesions) in enumerate(rows)])


@given(COHORTS, st.integers(2, 5), st.integers(0, 9))
def test_a_patient_is_in_one_fold_and_every_case_has_one(cases, n_folds, seed):
    n_patients = len({item["patient"] for item in cases})
    if n_patients < n_folds:
        with pytest.raises(InputError, match="folds"):
            draw_splits(cases, n_folds=n_folds, seed=seed)
        return
    splits = draw_splits(cases, n_folds=n_folds, seed=seed)
    assert set(splits["cases"]) == {item["slug"] for item in cases}
    folds_of = {}
    for item in cases:
        folds_of.setdefault(item["patient"], set()).add(splits["cases"][item["slug"]])
    assert all(len(folds) == 1 for folds in folds_of.values())
    assert sorted(p for fold in splits["folds"].values() for p in fold) == sorted(folds_of)
    assert splits == draw_splits(cases, n_folds=n_folds, seed=seed)


@given(st.integers(2, 5), st.integers(5, 40), st.integers(0, 9))
def test_tracers_and_lesions_are_spread_evenly(n_folds, n_patients, seed):
    kinds = [("fdg", 0), ("fdg", 1), ("psma", 0), ("psma", 1)]
    cases = [case(4 * n + k, f"p{4 * n + k}", *kind) for n in range(n_patients) for k, kind in enumerate(kinds)]
    splits = draw_splits(cases, n_folds=n_folds, seed=seed)
    for tracer, lesions in kinds:
        counts = [0] * n_folds
        for item in cases:
            if (item["tracer"], item["lesions"]) == (tracer, lesions):
                counts[splits["cases"][item["slug"]]] += 1
        assert max(counts) - min(counts) <= 1


@given(COHORTS, st.integers(2, 5), st.randoms())
def test_the_order_of_the_table_changes_nothing(cases, n_folds, random):
    if len({item["patient"] for item in cases}) < n_folds:
        return
    shuffled = random.sample(cases, len(cases))
    assert draw_splits(shuffled, n_folds=n_folds, seed=1) == draw_splits(cases, n_folds=n_folds, seed=1)


@given(COHORTS, COHORTS, st.integers(2, 5))
def test_new_patients_move_no_other(cases, more, n_folds):
    if len({item["patient"] for item in cases}) < n_folds:
        return
    before = draw_splits(cases, n_folds=n_folds, seed=1)
    new = [{**item, "slug": f"n{item['slug']}", "patient": f"n{item['patient']}"} for item in more]
    after = draw_splits([*new, *cases], n_folds=n_folds, seed=1, kept=before)
    assert {slug: after["cases"][slug] for slug in before["cases"]} == before["cases"]
    sizes = [len(after["folds"][str(fold)]) for fold in range(n_folds)]
    assert sum(sizes) == len({item["patient"] for item in [*new, *cases]})


def test_new_patients_come_where_their_kind_is_rarest():
    cases = [case(n, f"p{n}") for n in range(3)]
    kept = {"seed": 1, "folds": {"0": ["p0", "p1"], "1": ["p2"]}, "cases": {"c0": 0, "c1": 0, "c2": 1}}
    assert draw_splits([*cases, case(9, "new")], n_folds=2, seed=1, kept=kept)["folds"]["1"] == ["new", "p2"]


@pytest.mark.parametrize("changes", [{"seed": 2}, {"n_folds": 3}])
def test_another_seed_or_number_of_folds_draws_anew(changes):
    cases = [case(n, f"p{n}") for n in range(30)]
    kept = draw_splits(cases, n_folds=2, seed=1)
    options = {"n_folds": 2, "seed": 1, **changes}
    assert draw_splits(cases, **options, kept=kept) == draw_splits(cases, **options)
    assert draw_splits(cases, **options)["cases"] != kept["cases"]


def test_a_patient_that_is_gone_is_forgotten():
    cases = [case(n, f"p{n}") for n in range(8)]
    kept = draw_splits(cases, n_folds=2, seed=1)
    after = draw_splits(cases[1:], n_folds=2, seed=1, kept=kept)
    assert after["cases"] == {slug: fold for slug, fold in kept["cases"].items() if slug != "c0"}
    assert "p0" not in after["folds"]["0"] + after["folds"]["1"]


CASES = [case(0, "a"), case(1, "a"), case(2, "b"), case(3, "c")]


def splits_file(tmp_path, *folds):
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps([{"train": [], "val": list(fold)} for fold in folds]))
    return path


def test_own_splits_by_name_or_slug(tmp_path):
    splits = given_splits(splits_file(tmp_path, ["case 0", "c1"], ["case 2", "case 3"]), CASES, n_folds=2)
    assert splits["cases"] == {"c0": 0, "c1": 0, "c2": 1, "c3": 1}
    assert splits["folds"] == {"0": ["a"], "1": ["b", "c"]}


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([["c0", "c1"], ["c2"]], "holds train case 'case 3' out in 0 folds"),
        ([["c0", "c1", "c2"], ["c2", "c3"]], "in 2 folds"),
        ([["c0", "c2"], ["c1", "c3"]], "puts patient 'a' into several folds"),
        ([["c0", "c1", "c2", "c3"]], "has 1 folds, the config 2"),
    ],
)
def test_own_splits_that_leak_or_miss_are_refused(tmp_path, folds, message):
    with pytest.raises(InputError) as error:
        given_splits(splits_file(tmp_path, *folds), CASES, n_folds=2)
    assert message in str(error.value)


def own(tmp_path, folds):
    path = tmp_path / "own.json"
    path.write_text(folds if isinstance(folds, str) else json.dumps(folds))
    return given_splits(path, CASES, n_folds=2)


A, B = ["c0", "c1"], ["c2", "c3"]


@pytest.mark.parametrize(
    "folds",
    [
        [{"train": B, "val": A}, {"train": A, "val": B}],
        [{"val": A}, {"val": B}],
        [{"train": [*B, *B], "val": [*A, "c0"]}, {"train": ["case 0", "case 1"], "val": B}],
        [{"train": [*B, "elsewhere"], "val": A}, {"train": A, "val": [*B, "another"]}],
        [{"train": B, "val": ["case 0", "c0", "c1"]}, {"train": A, "val": B}],
    ],
)
def test_own_splits_in_every_form_that_is_right(tmp_path, folds):
    assert own(tmp_path, folds)["cases"] == {"c0": 0, "c1": 0, "c2": 1, "c3": 1}


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([{"train": ["c2"], "val": A}, {"train": A, "val": B}], "fold 0 neither trains on nor holds out 'case 3';"),
        (
            [{"train": B, "val": A}, {"train": ["x"], "val": B}],
            "fold 1 neither trains on nor holds out 'case 0' and 1 more",
        ),
        ([{"train": [*B, "c0"], "val": A}, {"val": B}], "fold 0 trains on 'c0', which it holds out"),
        ([{"val": "c0"}, {"val": B}], '"val" of fold 0 is no list of names; write "val": ["case a", "case b"]'),
        ([{"val": A}, {"train": "c0 c1", "val": B}], '"train" of fold 1 is no list of names'),
        ([{"val": A}, {"val": {"c2": 1}}], '"val" of fold 1 is no list of names'),
        ([{"val": A}, {"val": [["c2"], "c3"]}], '"val" of fold 1 is no list of names'),
        ([{"val": A}, {"val": [2, 3]}], '"val" of fold 1 is no list of names'),
        ([{"val": A}, {"val": None}], '"val" of fold 1 is no list of names'),
        ([{"val": ["case 0", "c1"]}, {"val": ["c0", *B]}], "holds train case 'case 0' out in 2 folds"),
        ([A, B], "is no splits_final.json; give nnU-Net's list"),
        ({"val": A}, "is no splits_final.json"),
        ("null", "is no splits_final.json"),
        ("", "cannot be read"),
        ('[{"val": ["c0"', "cannot be read"),
        ("\x00\xff", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_own_splits_that_are_broken_are_one_line(tmp_path, folds, message):
    with pytest.raises(InputError) as error:
        own(tmp_path, folds)
    assert message in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "own.json"))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("missing", ["absent.json", "."])
def test_own_splits_that_are_not_there_are_one_line(tmp_path, missing):
    with pytest.raises(InputError, match="cannot be read"):
        given_splits(tmp_path / missing, CASES, n_folds=2)


def test_drawn_splits_are_read_again(tmp_path):
    splits = draw_splits(CASES, n_folds=2, seed=3)
    (tmp_path / "splits.json").write_text(json.dumps(splits))
    assert read_splits(tmp_path / "splits.json") == splits
    (tmp_path / "splits.json").write_text('{"cases": {"c0": 1}}')
    assert read_splits(tmp_path / "splits.json") == {"seed": None, "folds": {}, "cases": {"c0": 1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ('{"cases": {"c0": 0', "cannot be read"),
        ("[]", 'holds no "cases"'),
        ("null", 'holds no "cases"'),
        ("{}", 'holds no "cases"'),
        ('{"cases": ["c0"]}', 'holds no "cases"'),
        ('{"cases": {"c0": "0"}}', "the fold of 'c0' is '0', no number"),
        ('{"cases": {"c0": true}}', "the fold of 'c0' is 'True', no number"),
        ('{"cases": {"c0": -1}}', "the fold of 'c0' is '-1', no number"),
        ('{"cases": {"c0": 0}, "folds": {"0": "p0"}}', 'its "folds" are no lists of patients'),
        ('{"cases": {"c0": 0}, "folds": {"a": ["p0"]}}', 'its "folds" are no lists of patients'),
        ('{"cases": {"c0": 0}, "folds": [["p0"]]}', 'its "folds" are no lists of patients'),
    ],
)
def test_broken_splits_are_one_line(tmp_path, text, message):
    (tmp_path / "splits.json").write_text(text)
    with pytest.raises(InputError) as error:
        read_splits(tmp_path / "splits.json")
    assert message in str(error.value)
    assert "; delete it: the folds are drawn again" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_patient_in_several_spellings_stays_in_one_fold(tmp_path):
    cases = [case(n, name) for n, name in enumerate(["p1", "P1", " p1", "M\u00fcller", "Mu\u0308ller", "q", "r"])]
    splits = draw_splits(cases, n_folds=4, seed=1)
    assert len({splits["cases"][slug] for slug in ("c0", "c1", "c2")}) == 1
    assert splits["cases"]["c3"] == splits["cases"]["c4"]
    assert sorted(name for fold in splits["folds"].values() for name in fold) == ["M\u00fcller", "P1", "q", "r"]
    kept = draw_splits(cases[:1] + cases[5:] + [case(9, "s")], n_folds=4, seed=1)
    assert draw_splits(cases, n_folds=4, seed=1, kept=kept)["cases"]["c1"] == kept["cases"]["c0"]
    folds = [{"train": [], "val": ["case 0"]}, {"train": [], "val": ["case 1"]}]
    (tmp_path / "splits.json").write_text(json.dumps(folds))
    with pytest.raises(InputError, match="puts patient 'P1' into several folds"):
        given_splits(tmp_path / "splits.json", cases[:2], n_folds=2)
