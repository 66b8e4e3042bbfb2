"""Scores of a study at every number of clicks, and how each step answered the clicks that it added."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from clickpet.clicks.model import Clicks
from clickpet.evaluate.safety import added_clicks, answer_to
from clickpet.evaluate.scores import score_masks


def score_click_steps(
    masks: Iterable[np.ndarray], steps: Sequence[int], clicks: Clicks, truth: np.ndarray, affine: np.ndarray
) -> Iterator[dict]:
    """The score of each step k, whose mask was made with `clicks.first(k)`.

    masks : (x, y, z) of each of `steps`;  truth : (x, y, z);  affine : (4, 4), voxel to RAS mm.

    A score holds clicks (k), `score_masks`, `answer_to` the clicks that the step before had not, and dice_change since
    that step. The first step, and one with fewer clicks than the one before, has no step before it: NaN.
    """
    last_step, last_mask, last_dice = 0, None, float("nan")
    for step, mask in zip(steps, masks, strict=True):
        if step < last_step:
            last_step, last_mask, last_dice = 0, None, float("nan")
        score = score_masks(mask, truth, affine)
        added = added_clicks(clicks, last_step, step)
        score |= answer_to(mask, clicks.first(step), added, affine, last_mask)
        score["dice_change"] = score["dice"] - last_dice
        yield {"clicks": int(step), **score}
        last_step, last_mask, last_dice = step, mask, score["dice"]
