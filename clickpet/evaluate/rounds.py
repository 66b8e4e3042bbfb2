"""Interaction in rounds: the loop of a reader and a model, and the scores of each round. Protocol of autoPET V.

Round 0 is the prediction without interaction; each further round adds what a reader marks on the mask of the round
before it, and predicts again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from clickpet.clicks.model import Clicks, Interaction
from clickpet.clicks.scribbles import scribble_kind, scribble_random, simulate_scribble
from clickpet.evaluate.matching import LesionMatches, size_of
from clickpet.evaluate.safety import answer_to
from clickpet.evaluate.scores import score_and_match
from clickpet.geometry import axial_axis

#: What a reader adds in a round (1, 2, ...), from the mask of the round before it.
Reader = Callable[[np.ndarray, int], list[Interaction]]


@dataclass(frozen=True, eq=False)
class Round:
    """clicks : all that the model saw in this round;  mask : (x, y, z), its prediction after post-processing."""

    clicks: Clicks
    mask: np.ndarray


class RoundsOfStudy:
    """The rounds of one study, with the heatmaps made as they are asked for: each needs the mask before it.

    rounds : their number, the one without interaction included;  reader : what is marked;  draw : the heatmap of
    clicks;  finish : the post-processing: the final mask, of a prediction and the clicks that it was made with.
    """

    def __init__(
        self,
        rounds: int,
        reader: Reader,
        draw: Callable[[Clicks], np.ndarray],
        finish: Callable[[Any, Clicks], np.ndarray],
    ):
        self.rounds, self.reader, self.draw, self.finish = rounds, reader, draw, finish
        self.last: Round | None = None

    def heatmaps(self) -> Iterator[np.ndarray]:
        """The heatmap of each round; the next one may be asked for when `play` has taken the mask of this one."""
        clicks = Clicks.empty()
        for number in range(self.rounds):
            if number:
                added = self.reader(self.last.mask, number)
                clicks = Clicks.from_interactions([*clicks.interactions(), *added])
            self._clicks = clicks
            yield self.draw(clicks)

    def play(self, predictions: Iterable[Any]) -> Iterator[Round]:
        """Give each round when it is done. predictions : what `finish` takes, of `heatmaps`, one after the other."""
        for prediction in predictions:
            self.last = Round(self._clicks, self.finish(prediction, self._clicks))
            yield self.last


def simulated_reader(truth: np.ndarray, affine: np.ndarray, study: str, seed: int) -> Reader:
    """A reader who knows the truth and corrects by one scribble a round (`clickpet.clicks.scribbles`).

    truth : (x, y, z), non-zero is lesion;  affine : (4, 4), which tells the axial slices;  study : its slug, which
    with `seed` decides the kind of scribble and the random numbers, whatever other studies there are.
    """
    kind = scribble_kind(study, seed)

    def read(mask: np.ndarray, number: int) -> list[Interaction]:
        random = scribble_random(study, seed, number)
        scribble = simulate_scribble(mask, truth, kind, random, axial_axis=axial_axis(affine))
        return [] if scribble is None else [scribble]

    return read


def given_reader(rounds: Sequence[Sequence[Interaction]]) -> Reader:
    """A reader who marks what was given for rounds 1, 2, ...; nothing when that is used up."""
    return lambda mask, number: list(rounds[number - 1]) if number <= len(rounds) else []


def added_in_round(rounds: Sequence[Clicks], number: int) -> list[Interaction]:
    """What round `number` added; rounds : the clicks of each round, all rounds so far."""
    before = len(rounds[number - 1].interactions()) if number else 0
    return rounds[number].interactions()[before:]


def score_rounds(
    masks: Iterable[np.ndarray], rounds: Sequence[Clicks], truth: np.ndarray, affine: np.ndarray
) -> tuple[list[dict], pd.DataFrame]:
    """Scores of each round of a study, and the true lesions of the study at each round.

    masks : (x, y, z) of each round;  rounds : the clicks of each round, all rounds so far;  truth : (x, y, z);
    affine : (4, 4), voxel to RAS mm.

    A score holds round, kind of the interactions added, `score_masks`, challenge_dice (Dice, and for studies
    without lesions 1 if the mask is empty, else 0: autoPET V in the loop), tp, fp, fn, f1_iou10
    (`clickpet.evaluate.matching`), `answer_to`, dice_change (since the round before, NaN in round 0). The table has the
    columns round, lesion, volume_ml, size, matched_iou and found, a row for each true lesion, largest first.
    """
    scores, tables, before = [], [], None
    for number, mask in enumerate(masks):
        added = added_in_round(rounds, number)
        score, matches = score_and_match(mask, truth, affine)
        empty = score["predicted_lesions"] == 0
        score["challenge_dice"] = score["dice"] if score["truth_lesions"] else float(empty)
        score |= matches.score() | answer_to(mask, rounds[number], added, affine, before)
        score["dice_change"] = score["dice"] - scores[-1]["dice"] if scores else float("nan")
        scores.append({"round": number, "kind": " ".join(one.kind for one in added), **score})
        tables.append(_lesions(matches).assign(round=number))
        before = mask
    table = pd.concat(tables, ignore_index=True)
    return scores, table[["round", *(name for name in table.columns if name != "round")]]


def _lesions(matches: LesionMatches) -> pd.DataFrame:
    order = np.argsort(-matches.truth_ml, kind="stable")
    return pd.DataFrame(
        {
            "lesion": np.arange(1, order.size + 1),
            "volume_ml": matches.truth_ml[order],
            "size": size_of(matches.truth_ml[order]),
            "matched_iou": matches.truth_iou[order],
            "found": matches.found[order].astype(np.int64),
        }
    )
