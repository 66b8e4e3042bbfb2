"""Which cases come first, which are shown with pictures, and what they add to the page."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from clickpet.evaluate.run_results import RunResults
from clickpet.report.gallery import Cases, gallery_section, select_cases, spread, worst_first, worst_pictures
from clickpet.report.page import Gallery


def scores(*rows):
    return pd.DataFrame(rows, columns=["slug", "dice", "fpv_ml", "fnv_ml"])


SCORES = scores(
    ("good", 0.9, 0.0, 0.0),
    ("bad", 0.1, 0.0, 0.0),
    ("zero-small", 0.0, 1.0, 2.0),
    ("zero-large", 0.0, 5.0, 2.0),
    ("healthy-clean", np.nan, 0.0, np.nan),
    ("healthy-false", np.nan, 3.0, np.nan),
)


def test_worst_first_within_each_group():
    worst = worst_first(SCORES, ["new", *SCORES["slug"]])
    assert worst.with_lesions == ["zero-large", "zero-small", "bad", "good"]
    assert worst.lesion_free == ["healthy-false", "healthy-clean"]
    assert worst.without_truth == ["new"]


def test_only_cases_with_a_picture_count():
    assert worst_first(SCORES, ["bad", "healthy-clean"]) == Cases(["bad"], ["healthy-clean"], [])
    assert worst_first(pd.DataFrame(), ["a", "b"]) == Cases([], [], ["a", "b"])


def test_lesion_free_cases_take_a_quarter_while_others_wait():
    worst = Cases([f"ill{n}" for n in range(20)], [f"healthy{n}" for n in range(20)], ["new"])
    chosen = select_cases(worst, 8)
    assert (len(chosen.with_lesions), len(chosen.lesion_free), len(chosen.without_truth)) == (6, 2, 1)
    assert chosen.with_lesions == [f"ill{n}" for n in range(6)]


def test_free_places_are_filled():
    chosen = select_cases(Cases(["ill"], [f"healthy{n}" for n in range(5)], ["new"]), 5)
    assert chosen == Cases(["ill"], ["healthy0", "healthy1", "healthy2", "healthy3"], ["new"], ["healthy4"])
    assert select_cases(Cases(["ill"], [], []), 0) == Cases([], [], [])


def test_new_patients_take_no_place_of_scored_ones():
    chosen = select_cases(Cases([f"ill{n}" for n in range(9)], [], ["new1", "new2", "new3"]), 2)
    assert chosen.with_lesions == ["ill0", "ill1"]
    assert chosen.without_truth == ["new1", "new2"]


def test_the_sample_is_spread_over_the_others_and_none_of_the_worst():
    worst = Cases([f"ill{n:02d}" for n in range(40)], [], [])
    chosen = select_cases(worst, 16)
    assert chosen.sample == ["ill19", "ill25", "ill31", "ill37"]
    assert not set(chosen.sample) & set(chosen.scored)
    assert spread(["a", "b", "c"], 5) == ["a", "b", "c"]
    assert spread(["a", "b", "c"], 1) == ["b"]
    assert spread([], 3) == []


def test_pictures_of_the_worst_cases_by_their_folder():
    pictures = [f"results/cases/{slug}/mip_overlay.png" for slug in SCORES["slug"]]
    chosen = worst_pictures(SCORES, pictures, 4)
    assert list(chosen) == ["zero-large", "zero-small", "bad", "healthy-false"]
    assert [path.parent.name for path in chosen.values()] == list(chosen)


@pytest.fixture
def run(tmp_path):
    """Six scored studies with noisy pictures, whose sizes are alike."""
    pictures = {}
    for number, slug in enumerate(SCORES["slug"]):
        noise = np.random.default_rng(number).integers(0, 256, (60, 80, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{slug}.png")
        pictures[slug] = tmp_path / f"{slug}.png"
    cohort = pd.DataFrame(
        {"case": SCORES["slug"], "slug": SCORES["slug"], "tracer": "fdg", "centre": "", "split": "train"}
    )
    return RunResults({}, cohort, SCORES.assign(tracer="fdg"), case_pictures=pictures, rotations=pictures)


def shown(section):
    return [study for block in section.blocks if isinstance(block, Gallery) for study in block.studies]


def test_pictures_beyond_the_limit_are_listed_with_their_places(run):
    everything = shown(gallery_section(run, 6))
    assert len(everything) == 6
    size = everything[0].size_bytes
    assert size == len(everything[0].projections.source) + len(everything[0].rotation.source)
    section = gallery_section(run, 6, max_bytes=int(3.5 * size))
    kept = shown(section)
    assert [study.name for study in kept] == ["zero-large", "zero-small", "bad"]
    others = section.blocks[-1]
    assert [row[0] for row in others.rows] == ["good", "healthy-false", "healthy-clean"]
    assert others.folded == "The other 3 studies"
