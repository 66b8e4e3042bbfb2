"""Slugs: safe, readable, unique, and a function of the one name only."""

import csv
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickpet.errors import InputError
from clickpet.slugs import MAX_SLUG_LENGTH, SLUG_PATTERN, make_slug, make_slugs, output_name

NASTY = [
    "",
    " ",
    "  ",
    "\t",
    ".",
    "..",
    "-",
    "--",
    "-rf",
    ".hidden",
    "a/b",
    "a\\b",
    "a:b",
    "a b",
    "a  b",
    "a-b",
    "a--b",
    "Ab-c",
    "a-b ",
    "a-b.",
    "é",
    "e\u0301",
    "e",
    "F",
    "日本語",
    "Ⅷ",
    "con",
    "CON",
    "con.txt",
    "nul",
    "{case}",
    "a\nb",
    "a\0b",
    "x" * 100,
    "x" * 101,
    "x" * 300,
    "x" * 299 + "y",
    "X" * 300,
    "caseA",
    "STS_001",
    "COM1.nii",
    "$(rm -rf ~)",
    "'; drop table",
    "\ud800",
]


@pytest.mark.parametrize("name", NASTY)
def test_a_slug_is_one_safe_path_part(name):
    slug = make_slug(name)
    assert re.fullmatch(SLUG_PATTERN, slug)
    assert 1 <= len(slug) <= MAX_SLUG_LENGTH
    assert not slug.endswith((".", "-"))


@pytest.mark.parametrize(
    "name",
    [
        "psma_28f9ecc106933531_2017-10-28",
        "phantom_fdg_01",
        "a",
        "_",
        "7",
        "a.b-c",
        "x" * 100,
        "caseA",
        "STS_001",
        "A",
        "B7.Z",
    ],
)
def test_a_safe_name_is_its_own_slug(name):
    assert make_slug(name) == name


@pytest.mark.parametrize(
    ("name", "readable"),
    [
        ("fdg_0011f3deaf_03-23-2003-NA-PET-CT Ganzkoerper  primaer mit KM-10445",
         "fdg_0011f3deaf_03-23-2003-NA-PET-CT-Ganzkoerper-primaer-mit-KM-10445"),
        ("STS 001", "STS-001"),
        ("Con", "Con"),
        ("X" * 101, "X" * 88),
        ("A--B", "A-B"),
        ("Müller, Fall 3", "Muller-Fall-3"),
        ("../../etc/passwd", "etc-passwd"),
        ("   ", "case"),
        ("日本語", "case"),
        ("y" * 300, "y" * 88),
    ],
)  # fmt: skip
def test_any_other_name_stays_readable_and_gets_a_hash(name, readable):
    assert re.fullmatch(re.escape(readable) + "--[0-9a-f]{10}", make_slug(name))


def test_slugs_never_change_between_versions():
    assert make_slug("STS_001") == "STS_001"
    assert make_slug("a b") == "a-b--c8687a08aa"


def test_nasty_names_get_different_slugs():
    slugs = make_slugs(NASTY)
    assert len({slug.lower() for slug in slugs}) == len(NASTY)


@given(st.lists(st.text(max_size=120) | st.text("aAbB.-_ é/", max_size=6), unique_by=str.lower, max_size=40))
def test_names_that_differ_in_more_than_capitals_get_different_slugs(names):
    slugs = make_slugs(names)
    assert len({slug.lower() for slug in slugs}) == len(names)
    assert all(re.fullmatch(SLUG_PATTERN, slug) and len(slug) <= MAX_SLUG_LENGTH for slug in slugs)


@given(st.lists(st.text("aAbB.-_ é/", max_size=6), unique_by=str.lower, min_size=1, max_size=20), st.randoms())
def test_a_slug_does_not_depend_on_its_neighbours(names, random):
    slug_of = dict(zip(names, make_slugs(names), strict=True))
    some = random.sample(names, random.randint(1, len(names)))
    assert make_slugs(some) == [slug_of[name] for name in some]


@given(st.text(max_size=150))
def test_a_slug_of_a_slug_collides_with_nothing(name):
    slug = make_slug(name)
    if slug != name:
        assert make_slug(slug) != slug


def test_a_name_that_is_there_twice_is_an_error():
    with pytest.raises(InputError, match=r"case 'a b' is there twice; give every case a name of its own"):
        make_slugs(["a b", "c", "a b"])


@pytest.mark.parametrize(("one", "other"), [("caseA", "casea"), ("A-B", "a-b"), ("E", "e")])
def test_safe_names_that_differ_only_in_capitals_are_an_error(one, other):
    with pytest.raises(InputError, match=f"cases '{one}' and '{other}' differ only in capitals"):
        make_slugs(["x", one, other])


def test_hashed_names_that_differ_only_in_capitals_are_told_apart():
    assert len({slug.lower() for slug in make_slugs(["Case 1", "case 1", "CASE 1"])}) == 3


@pytest.mark.parametrize("name", ["Jane 1", "caseA", "Müller", "a{b}c", "x" * 200, "fdg 1.x"])
def test_output_files_have_the_case_name(name):
    assert output_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["a/b", "a\\b", "", ".", "..", ".hidden", "a ", " a", "a.", "a\x1b[31m", "a\tb", "x" * 201, "é" * 101, "x" * 9999],
)
def test_output_files_have_the_slug_where_no_file_can_have_the_name(name):
    assert output_name(name) == make_slug(name)
    assert len(output_name(name)) <= MAX_SLUG_LENGTH


def test_all_real_names(shared_data):
    with open(shared_data / "autopet" / "cohort.tsv", newline="") as file:
        names = [row["case"] for row in csv.DictReader(file, delimiter="\t")]
    back = dict(zip(make_slugs(names), names, strict=True))
    assert len(names) == len(back) == 1611
    assert len({slug.lower() for slug in back}) == 1611
    assert all(re.fullmatch(SLUG_PATTERN, slug) and len(slug) <= MAX_SLUG_LENGTH for slug in back)
    assert sum(slug == name for slug, name in back.items()) == 597  # the PSMA names are safe as they are
