"""Axial slices through the lesions of a study as one picture: missed ones first, then false ones, then found ones."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from clickpet.clicks.model import Clicks
from clickpet.evaluate.lesion_table import number_lesions
from clickpet.report.case_figure import Outcome, lesion_outcome, window_max_suv
from clickpet.report.lesion_slices import SLICE_DPI, SliceStudy, draw_lesion_slice
from clickpet.report.style import note_figure, png_bytes

#: Lesions of a study that are drawn, at most, and how many stand side by side.
MOST_LESIONS, COLUMNS = 8, 2


def draw_lesion_sheet(
    suv: np.ndarray,
    ct: np.ndarray,
    lesions: np.ndarray,
    affine: np.ndarray,
    *,
    tracer: str = "",
    truth: np.ndarray | None = None,
    clicks: Clicks | None = None,
) -> np.ndarray:
    """The slices of at most MOST_LESIONS lesions, COLUMNS side by side: uint8 (rows, columns, 3).

    suv : g/ml, ct : HU, both float (x, y, z);  lesions, truth : bool, same shape;  affine : voxel to RAS+ mm;  tracer :
    decides the SUV window;  clicks : on the same grid. The largest of each kind come first. Without
    lesions the picture says so.
    """
    numbers, titles = outcome_numbers(lesions, truth)
    shown = list(titles)[:MOST_LESIONS]
    if not shown:
        return _pixels(note_figure("No lesion: none was predicted, and none is true or known."))
    missed = frozenset(number for number, title in titles.items() if title == "missed")
    study = SliceStudy.turned(suv, ct, numbers, affine, truth=truth, clicks=clicks, missed=missed)
    slices = []
    for number in shown:
        title = f"{titles[number]} lesion" if truth is not None else f"lesion {number}"
        figure = draw_lesion_slice(study, number, window_max_suv=window_max_suv(tracer), title=title)
        slices.append(_pixels(figure))
    slices += [np.full_like(slices[0], 255)] * (-len(slices) % COLUMNS)
    rows = [np.concatenate(slices[start : start + COLUMNS], axis=1) for start in range(0, len(slices), COLUMNS)]
    return np.concatenate(rows)


def _pixels(figure: Figure) -> np.ndarray:
    with Image.open(io.BytesIO(png_bytes(figure, dpi=SLICE_DPI))) as picture:
        return np.asarray(picture.convert("RGB"))


def outcome_numbers(lesions: np.ndarray, truth: np.ndarray | None) -> tuple[np.ndarray, dict[int, str]]:
    """Numbers of the predicted lesions (uint16), and after them of the missed ones, with what became of each.

    The names ("missed", "false", "found"; "found" for all where there is no truth) are in the order of drawing: missed
    ones first, the largest of each kind before smaller ones.
    """
    numbers = number_lesions(lesions)
    predicted = int(numbers.max(initial=0))
    if truth is None:
        return numbers, dict.fromkeys(range(1, predicted + 1), "found")
    outcome: Outcome = lesion_outcome(lesions, truth)
    missed = number_lesions(outcome.missed)
    numbers[outcome.missed] = missed[outcome.missed] + predicted
    false = set(np.unique(numbers[outcome.false]).tolist())
    names = dict.fromkeys(range(predicted + 1, predicted + 1 + int(missed.max(initial=0))), "missed")
    names |= dict.fromkeys(sorted(false), "false")
    names |= {number: "found" for number in range(1, predicted + 1) if number not in false}
    return numbers, names
