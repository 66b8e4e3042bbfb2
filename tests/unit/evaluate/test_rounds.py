"""Interaction in rounds: the loop of a reader and a model, its scores and its tables."""

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from clickpet.clicks.model import Clicks, Interaction
from clickpet.clicks.scribbles import SCRIBBLE_KINDS, scribble_kind
from clickpet.errors import InputError
from clickpet.evaluate.matching import match_lesions
from clickpet.evaluate.rounds import RoundsOfStudy, added_in_round, given_reader, score_rounds, simulated_reader
from clickpet.evaluate.rounds_tables import (
    lesion_free_table,
    rounds_table,
    safety_of_clicks,
    safety_table,
    sizes_table,
    summarise_rounds,
)
from clickpet.evaluate.scores import score_masks

AFFINE = np.diag([-10.0, 10.0, 10.0, 1.0])  # a voxel of 1 ml
NAN = float("nan")


def learner(truth, start):
    """A "model" that marks what it was told: scribbled tumour voxels are added, background ones taken away."""

    def predict(heatmaps):
        for heatmap in heatmaps:
            yield (start | (heatmap > 0)) & ~(heatmap < 0)

    return predict


def draw(shape):
    def heatmap(clicks):
        drawn = np.zeros(shape)
        drawn[tuple(clicks.tumor.T)] = 1
        drawn[tuple(clicks.background.T)] = -1
        return drawn

    return heatmap


def play(truth, start, rounds=6, reader=None, finish=lambda mask, clicks: mask):
    reader = reader or simulated_reader(truth, AFFINE, "study", 42)
    game = RoundsOfStudy(rounds, reader, draw(truth.shape), finish)
    return list(game.play(learner(truth, start)(game.heatmaps())))


class TestLoop:
    TRUTH = np.zeros((20, 20, 4), bool)
    TRUTH[3:9, 3:9, 1] = True
    START = np.zeros((20, 20, 4), bool)
    START[12:17, 12, 2] = True

    def test_each_round_adds_one_scribble_into_an_error_of_the_round_before(self):
        done = play(self.TRUTH, self.START)
        assert len(done) == 6
        assert done[0].clicks == Clicks.empty()
        for before, after in pairwise(done):
            *kept, added = after.clicks.interactions()
            assert kept == before.clicks.interactions()
            error = self.TRUTH & ~before.mask if added.kind == "tumor" else before.mask & ~self.TRUTH
            assert error[tuple(added.points.T)].all()
        wrong = [int((one.mask != self.TRUTH).sum()) for one in done]
        assert all(later < earlier for earlier, later in pairwise(wrong) if earlier)

    def test_the_errors_are_those_after_post_processing(self):
        """What post-processing takes away is missed, though the model had marked it."""
        done = play(
            self.TRUTH, self.TRUTH, rounds=2, finish=lambda mask, clicks: mask & (np.arange(20) < 5)[:, None, None]
        )
        (added,) = done[1].clicks.interactions()
        assert added.kind == "tumor"
        assert (added.points[:, 0] >= 5).all()

    def test_post_processing_gets_the_clicks_of_its_round(self):
        seen = []
        play(self.TRUTH, self.START, rounds=3, finish=lambda mask, clicks: seen.append(len(clicks.groups)) or mask)
        assert seen == [0, 1, 2]

    def test_no_error_and_no_lesion_add_nothing(self):
        for truth, start in ((self.TRUTH, self.TRUTH), (np.zeros_like(self.TRUTH), self.START)):
            done = play(truth, start)
            assert all(one.clicks == Clicks.empty() and np.array_equal(one.mask, start) for one in done)

    def test_the_same_again(self):
        one, other = (play(self.TRUTH, self.START) for _ in range(2))
        assert all(a.clicks == b.clicks and np.array_equal(a.mask, b.mask) for a, b in zip(one, other, strict=True))

    def test_axial_slices_follow_the_affine(self):
        """A study stored with its slices across the first axis."""
        turned = np.array([[0, -10.0, 0, 0], [0, 0, 10.0, 0], [10.0, 0, 0, 0], [0, 0, 0, 1]])
        truth = np.moveaxis(self.TRUTH, 2, 0)
        (scribble,) = simulated_reader(truth, turned, "study", 42)(np.zeros_like(truth), 1)
        assert set(scribble.points[:, 0].tolist()) == {1}

    def test_given_interactions(self):
        rounds = [[Interaction("tumor", [[3, 3, 1]])], [], [Interaction("background", [[12, 12, 2]])]]
        done = play(self.TRUTH, self.START, reader=given_reader(rounds))
        assert [len(one.clicks.groups) for one in done] == [0, 1, 1, 2, 2, 2]
        assert [added_in_round([one.clicks for one in done], number) for number in range(5)] == [[], *rounds, []]


def scored(slug="a", tracer="fdg", centre="X", patient=None, seed=0, healthy=False):
    """Scores and lesions of a study whose rounds were played."""
    rng = np.random.default_rng(seed)
    truth, start = np.zeros((24, 24, 5), bool), np.zeros((24, 24, 5), bool)
    for mask, kept in ((truth, not healthy), (start, True)):
        for x, y, z in rng.integers(0, (20, 20, 5), (3 * kept, 3)):
            mask[x : x + 4, y : y + 3, z] = True
    done = play(truth, start)
    scores, lesions = score_rounds([one.mask for one in done], [one.clicks for one in done], truth, AFFINE)
    labels = {"case": slug, "slug": slug, "tracer": tracer, "tracer_found": tracer, "patient": patient or slug}
    labels |= {"centre": centre, "split": "train", "fold": "0"}
    return [{**labels, **score} for score in scores], lesions.assign(slug=slug, tracer=tracer), done, truth


class TestScores:
    def test_each_round_by_itself(self):
        scores, lesions, done, truth = scored()
        assert [score["round"] for score in scores] == list(range(6))
        for number, (score, one) in enumerate(zip(scores, done, strict=True)):
            expected = score_masks(one.mask, truth, AFFINE)
            matches = match_lesions(one.mask, truth, AFFINE)
            assert {name: score[name] for name in expected} == pytest.approx(expected, nan_ok=True)
            assert {name: score[name] for name in matches.score()} == matches.score()
            assert score["challenge_dice"] == score["dice"]
            assert score["tumor_inside"] == score["tumor_points"] == len(one.clicks.tumor)
            part = lesions[lesions["round"] == number]
            assert part["volume_ml"].is_monotonic_decreasing
            assert part["found"].sum() == score["tp"]
        assert math.isnan(scores[0]["dice_change"])
        assert scores[1]["dice_change"] == pytest.approx(scores[1]["dice"] - scores[0]["dice"])
        assert scores[1]["points"] == (done[1].mask != done[0].mask).sum() == scores[1]["changed_ml"]

    @pytest.mark.parametrize(("empty", "dice"), [(True, 1.0), (False, 0.0)])
    def test_a_study_without_lesions(self, empty, dice):
        truth = np.zeros((5, 5, 5))
        mask = truth if empty else truth + 1
        (score,), lesions = score_rounds([mask], [Clicks.empty()], truth, AFFINE)
        assert score["challenge_dice"] == dice
        assert math.isnan(score["dice"])
        assert math.isnan(score["f1_iou10"])
        assert len(lesions) == 0


class TestTables:
    STUDIES = (
        scored("a", "fdg", "X", seed=1),
        scored("b", "fdg", "X", seed=2, patient="p"),
        scored("c", "fdg", "X", seed=3, patient="p"),
        scored("d", "psma", "Y", seed=4),
        scored("e", "psma", "Y", seed=5, healthy=True),
    )
    TABLE = rounds_table(score for scores, *_ in STUDIES[::-1] for score in scores)
    SUMMARY = summarise_rounds(TABLE, repeats=50, seed=1)

    def row(self, group, level, measure, number):
        wanted = (group, level, measure, number)
        (row,) = [
            row
            for row in self.SUMMARY.to_dict("records")
            if (row["group"], row["level"], row["measure"], row["round"]) == wanted
        ]
        return row

    def test_rows(self):
        assert self.TABLE["slug"].tolist() == [slug for slug in "abcde" for _ in range(6)]
        assert self.TABLE["round"].tolist() == list(range(6)) * 5

    def test_a_round_that_is_missing(self):
        with pytest.raises(InputError, match="b: has scores of the rounds"):
            rounds_table([*self.STUDIES[0][0], *self.STUDIES[1][0][:4]])

    def test_means_and_pooled_f1(self):
        last = self.TABLE[self.TABLE["round"] == 5]
        row = self.row("overall", "all", "value", 5)
        assert (row["studies"], row["patients"]) == (5, 4)
        assert row["dice_mean"] == pytest.approx(last["dice"].mean())
        assert row["challenge_dice_mean"] == pytest.approx(last["challenge_dice"].mean())
        ill = last[last["slug"] != "e"]
        pooled = 2 * ill["tp"].sum() / (2 * ill["tp"] + ill["fp"] + ill["fn"]).sum()
        assert row["f1_iou10_mean"] == pytest.approx(pooled)
        assert row["dice_low"] <= row["dice_mean"] <= row["dice_high"]

    def test_areas(self):
        dice = self.TABLE["dice"].to_numpy().reshape(5, 6)[:4]
        assert self.row("overall", "all", "area", 5)["dice_mean"] == pytest.approx(np.trapezoid(dice, axis=1).mean())

    def test_the_weighted_mean_is_that_of_tracer_and_centre(self):
        parts = [self.row("tracer x centre", level, "value", 5) for level in ("fdg X", "psma Y")]
        weighted = self.row("weighted", "all", "value", 5)
        for metric in ("dice", "challenge_dice", "f1_iou10", "fpv_ml", "fnv_ml"):
            assert weighted[f"{metric}_mean"] == pytest.approx(np.mean([part[f"{metric}_mean"] for part in parts]))

    def test_safety(self):
        table = self.TABLE.assign(dice_change=np.where(self.TABLE["round"] == 2, -0.1, 0.2), far_changed_ml=3.0)
        safety = safety_table(table)
        safety = safety[safety["group"] == "overall"].set_index("round")
        made = table[(table["round"] > 0) & (table["points"] > 0)]
        assert safety.loc["all", "studies"] == 4
        assert safety.loc["all", "falls"] == (made["round"] == 2).sum() == safety.loc[2, "falls"]
        assert safety.loc[2, "mean_fall"] == pytest.approx(0.1)
        assert safety.loc[1, "falls"] == 0
        assert math.isnan(safety.loc[1, "largest_fall"])
        assert safety.loc["all", "far_changed_ml"] == 3.0
        assert safety.loc[1, "tumor_inside"] == 1.0

    def test_safety_of_clicks(self):
        scores = [{**row, "clicks": row["round"]} for row in self.TABLE.to_dict("records")]
        expected = safety_table(self.TABLE).rename(columns={"round": "clicks"})
        pd.testing.assert_frame_equal(safety_of_clicks(scores), expected)
        assert len(safety_of_clicks([{"slug": "a", "clicks": 0}])) == 0

    def test_sizes(self):
        lesions = pd.DataFrame(
            {
                "round": [0, 0, 0, 1],
                "volume_ml": [0.5, 0.6, 20.0, 0.5],
                "size": ["under 1 ml", "under 1 ml", "10 ml and more", "under 1 ml"],
                "matched_iou": [0.0, 0.4, 0.9, 0.3],
                "found": [0, 1, 1, 1],
                "tracer": ["fdg", "fdg", "psma", "fdg"],
            }
        )
        sizes = sizes_table(lesions)
        rows = sizes[sizes["group"] == "overall"].to_dict("records")
        assert [(row["round"], row["size"], row["lesions"], row["found"], row["sensitivity"]) for row in rows] == [
            (0, "under 1 ml", 2, 1, 0.5),
            (0, "10 ml and more", 1, 1, 1.0),
            (1, "under 1 ml", 1, 1, 1.0),
        ]
        assert [row["median_iou"] for row in rows] == [0.2, 0.9, 0.3]
        assert len(sizes_table(lesions[:0])) == 0

    def test_lesion_free_studies(self):
        table = pd.DataFrame(
            {
                "slug": list("abcd"),
                "patient": list("abcd"),
                "tracer": ["fdg", "fdg", "psma", "psma"],
                "centre": "",
                "truth_volume_ml": [0.0, 0.0, 0.0, 5.0],
                "prediction_volume_ml": [0.0, 4.0, 2.0, 9.0],
            }
        )
        rows = lesion_free_table(table).set_index(["group", "level"])
        assert rows.loc[("overall", "all")].tolist() == [3, 1, 3.0, 4.0]
        assert rows.loc[("tracer", "psma")].tolist() == [1, 0, 2.0, 2.0]
        assert len(lesion_free_table(table[3:])) == 0


def test_kinds_of_the_studies_differ():
    assert {scribble_kind(slug, 42) for slug in ("a", "b", "c", "d", "e", "f", "g", "h")} == set(SCRIBBLE_KINDS)
