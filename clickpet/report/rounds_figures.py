"""Figures of interaction in rounds, as matplotlib Figures: scores over rounds, and the rounds of one study."""

from __future__ import annotations

from collections.abc import Sequence

import nibabel as nib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from clickpet.clicks.model import Interaction
from clickpet.evaluate.rounds import Round, added_in_round
from clickpet.geometry import spacing_mm
from clickpet.report.case_figure import CLICK_MARKS, OPACITY, OUTCOME_COLOURS, body_box, lesion_outcome, window_max_suv
from clickpet.report.style import (
    BLACK,
    TRACER_COLOURS,
    TRACER_MARKERS,
    VERMILION,
    figure_style,
    new_figure,
    tracer_name,
)

#: Scores over rounds: column, name, unit.
CURVES = (
    ("dice", "Dice", ""),
    ("f1_iou10", "Lesion F1 (IoU ≥ 0.1)", ""),
    ("fpv_ml", "False positive volume", "ml"),
    ("fnv_ml", "False negative volume", "ml"),
)
#: Inches that the rounds of a study take in height.
ROUNDS_HEIGHT_IN = 2.9


def draw_round_curves(summary: pd.DataFrame) -> Figure:
    """Dice, lesion F1, FPV and FNV at every round, with confidence bands: a line per tracer and one of all studies.

    summary : as `rounds_summary.tsv`.
    """
    values = summary[summary["measure"] == "value"]
    groups = values[values["group"].isin(["overall", "tracer"])]
    if groups.loc[groups["group"] == "tracer", "level"].nunique() == 1:
        groups = groups[groups["group"] == "tracer"]
    with figure_style():
        figure = new_figure(4.4)
        panels = figure.subplots(2, 2, sharex=True)
        for (group, level), rows in groups.groupby(["group", "level"], sort=False):
            rows = rows.sort_values("round")
            colour = TRACER_COLOURS.get(level, BLACK)
            name = "all" if group == "overall" else tracer_name(level)
            look = {
                "color": colour,
                "marker": TRACER_MARKERS.get(level),
                "linestyle": "--" if group == "overall" else "-",
            }
            for (metric, _, _), panel in zip(CURVES, panels.flat, strict=True):
                label = f"{name} (n = {rows['studies'].iloc[0]})"
                panel.plot(rows["round"], rows[f"{metric}_mean"], markersize=2.5, linewidth=1.2, label=label, **look)
                bounds = rows["round"], rows[f"{metric}_low"], rows[f"{metric}_high"]
                panel.fill_between(*bounds, color=colour, alpha=0.13, linewidth=0)
        for (metric, name, unit), panel in zip(CURVES, panels.flat, strict=True):
            panel.set_ylabel(f"{name} ({unit})" if unit else name)
            panel.set_ylim(0, 1 if metric in ("dice", "f1_iou10") else None)
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        for panel in panels[1]:
            panel.set_xlabel("round")
        figure.legend(handles=panels[0, 0].get_legend_handles_labels()[0], loc="outside lower center", ncols=3)
    return figure


def draw_rounds_of_case(
    suv: np.ndarray, truth: np.ndarray, rounds: Sequence[Round], affine: np.ndarray, *, tracer: str = ""
) -> Figure:
    """Coronal projections of the rounds of one study side by side: truth, prediction, and what was added in each.

    suv : g/ml (x, y, z);  truth : bool, same shape;  rounds : mask and clicks of each;  affine : voxel to RAS+ mm;
    tracer : decides the SUV window.
    """
    to_ras = nib.orientations.io_orientation(affine)
    turned_affine = affine @ nib.orientations.inv_ornt_aff(to_ras, suv.shape)
    edges_mm = spacing_mm(turned_affine)

    def turned(array):
        return nib.orientations.apply_orientation(array, to_ras)

    volume = turned(suv)
    box = body_box(volume, edges_mm)
    corner = np.array([part.start for part in box])
    to_turned = np.linalg.inv(turned_affine) @ affine
    extent = (0, (box[0].stop - box[0].start) * edges_mm[0], 0, (box[2].stop - box[2].start) * edges_mm[2])

    def coronal(array):
        return array[box].any(axis=1).T[:, ::-1]

    clicks = [one.clicks for one in rounds]
    background = volume[box].max(axis=1).T[:, ::-1]
    outline = coronal(turned(truth))
    with figure_style():
        figure = new_figure(ROUNDS_HEIGHT_IN)
        for number, (one, view) in enumerate(zip(rounds, np.atleast_1d(figure.subplots(1, len(rounds))), strict=True)):
            view.imshow(
                background,
                cmap="gray_r",
                vmin=0,
                vmax=window_max_suv(tracer),
                origin="lower",
                extent=extent,
                aspect="equal",
            )
            for name, mask in vars(lesion_outcome(one.mask != 0, truth)).items():
                _shade(view, coronal(turned(mask)), OUTCOME_COLOURS[name], extent)
            if outline.any():
                view.contour(outline.astype(float), levels=[0.5], colors=[VERMILION], linewidths=0.7, extent=extent)
            added = added_in_round(clicks, number)
            for interaction in added:
                points = nib.affines.apply_affine(to_turned, interaction.points) - corner
                _mark(view, interaction, points, edges_mm, extent)
            view.set_title(_title(number, added), fontsize=7, fontweight="normal", loc="center")
            view.set_axis_off()
    return figure


def _mark(view, interaction: Interaction, points: np.ndarray, edges_mm, extent) -> None:
    marker, colour, _ = CLICK_MARKS[interaction.kind]
    view.plot(
        extent[1] - (points[:, 0] + 0.5) * edges_mm[0],
        (points[:, 2] + 0.5) * edges_mm[2],
        marker,
        color=colour,
        markersize=4,
        markeredgewidth=0.9,
        path_effects=[withStroke(linewidth=2, foreground="white")],
    )


def _title(number: int, added: Sequence[Interaction]) -> str:
    kinds = {"tumor": "tumour", "background": "background"}
    what = ", ".join(f"{kinds[one.kind]}, {len(one.points)} points" for one in added)
    return f"round {number}\n{what or ('no interaction' if number == 0 else 'nothing added')}"


def _shade(view, mask: np.ndarray, colour: str, extent) -> None:
    shade = np.zeros((*mask.shape, 4))
    shade[mask] = (*(int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)), OPACITY)
    view.imshow(shade, origin="lower", extent=extent, interpolation="nearest", aspect="equal")
