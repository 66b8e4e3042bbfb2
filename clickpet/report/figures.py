"""Figures of a whole run: scores over clicks, per study and per lesion. Each function returns a matplotlib Figure.

Tables come as pandas frames with the columns of `scores.tsv`, `interactive.tsv` and `lesion_table.csv`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from clickpet.evaluate.agreement import agreement, volume_class
from clickpet.evaluate.bootstrap import bootstrap_mean
from clickpet.evaluate.training_curves import TrainingCurve
from clickpet.report.page import MINUS, number
from clickpet.report.style import (
    BLACK,
    GROUP_COLOURS,
    LIGHT_GREY,
    PAGE_WIDTH_IN,
    TRACER_COLOURS,
    TRACER_MARKERS,
    figure_style,
    logarithmic,
    new_figure,
    note_figure,
    tracer_name,
)

#: Pictures side by side in a gallery.
GALLERY_COLUMNS = 3
#: Scores of the official evaluation: column, name, unit.
METRICS = (
    ("dice", "Dice", ""),
    ("fpv_ml", "False positive volume", "ml"),
    ("fnv_ml", "False negative volume", "ml"),
)


def draw_interactive_curves(interactive: pd.DataFrame, *, repeats: int, confidence: float, seed: int) -> Figure:
    """Mean Dice, FPV and FNV over the number of clicks of each kind, with confidence bands: a row of panels per
    tracer and, where there is more than one centre, a row per tracer and centre."""
    if interactive.empty:
        return note_figure("The interactive evaluation was not run: there are no scores over clicks.")
    rows = [("By tracer", ["tracer"])]
    if interactive["centre"].replace("", np.nan).nunique() > 1:
        rows.append(("By tracer and centre", ["tracer", "centre"]))
    styles = dict(zip(sorted(interactive["centre"].unique()), cycle(("-", "--", ":", "-."))))
    steps = sorted(interactive["clicks"].unique())
    with figure_style():
        figure = new_figure(2.5 * len(rows))
        for (title, columns), part in zip(rows, np.atleast_1d(figure.subfigures(len(rows))), strict=True):
            part.suptitle(title, fontsize=8.5, fontweight="bold", x=0.01, ha="left")
            panels = part.subplots(1, len(METRICS))
            for key, studies in interactive.groupby(columns):
                style = styles[key[1]] if len(key) > 1 else "-"
                look = {"color": TRACER_COLOURS.get(key[0]), "marker": TRACER_MARKERS.get(key[0]), "linestyle": style}
                for (metric, _, _), panel in zip(METRICS, panels, strict=True):
                    band = curve_band(studies, metric, repeats=repeats, confidence=confidence, seed=seed)
                    label = _label(" ".join(key), studies)
                    panel.plot(band.index, band["mean"], markersize=2.5, linewidth=1.2, label=label, **look)
                    panel.fill_between(
                        band.index, band["low"], band["high"], color=look["color"], alpha=0.13, linewidth=0
                    )
            for (metric, name, unit), panel in zip(METRICS, panels, strict=True):
                panel.set_ylabel(f"{name} ({unit})" if unit else name)
                panel.set_xlabel("clicks of each kind")
                panel.set_xticks(steps)
                panel.set_ylim(0, 1 if metric == "dice" else None)
            part.legend(handles=panels[0].get_legend_handles_labels()[0], loc="outside lower center", ncols=2)
    return figure


def curve_band(studies: pd.DataFrame, metric: str, *, repeats: int, confidence: float, seed: int) -> pd.DataFrame:
    """Mean of `metric` at every number of clicks with a bootstrap interval over patients.

    Returns a frame indexed by clicks with mean, low, high; steps at which no study has a value are NaN.
    """
    steps = {}
    for clicks, rows in studies.groupby("clicks"):
        steps[clicks] = bootstrap_mean(
            rows[metric].to_numpy(float), rows["patient"].tolist(), repeats=repeats, confidence=confidence, seed=seed
        )
    return pd.DataFrame.from_dict(steps, orient="index", columns=["mean", "low", "high"]).sort_index()


def draw_training_curves(training: Mapping[str, Sequence[TrainingCurve]]) -> Figure:
    """Loss and pseudo-Dice (discriminator: accuracy) over epochs, a line per fold and a row of panels per model.

    training : {"fdg": [...], "psma": [...], "tracer": [...]}, "tracer" being the discriminator.
    """
    rows = {model: [curve for curve in curves if len(curve.epochs)] for model, curves in training.items()}
    rows = {model: curves for model, curves in rows.items() if curves}
    if not rows:
        return note_figure("No model was trained in this run: there are no training curves.")
    with figure_style():
        figure = new_figure(1.9 * len(rows))
        panels = figure.subplots(len(rows), 2, squeeze=False)
        for (model, curves), (loss, quality) in zip(rows.items(), panels, strict=True):
            name = "Discriminator" if model == "tracer" else tracer_name(model)
            measure = "accuracy" if model == "tracer" else "pseudo-Dice"
            for index, curve in enumerate(curves):
                look = {"color": GROUP_COLOURS[index % len(GROUP_COLOURS)], "linewidth": 1}
                marker = "." if len(curve.epochs) < 20 else None
                loss.plot(curve.epochs, curve.train_loss, marker=marker, **look)
                loss.plot(curve.epochs, curve.val_loss, linestyle=":", marker=marker, **look)
                quality.plot(curve.epochs, curve.quality, marker=marker, **look, label=f"fold {curve.fold}")
            loss.set_title(f"{name}: loss")
            quality.set_title(f"{name}: {measure}")
            for panel in (loss, quality):
                panel.set_xlabel("epoch")
                panel.xaxis.set_major_locator(MaxNLocator(integer=True))
            loss.set_ylabel("loss")
            quality.set_ylabel(measure)
            lines = [loss.plot([], [], color=BLACK, linestyle=style, linewidth=1)[0] for style in ("-", ":")]
            loss.legend(lines, ["training", "validation"], loc="upper right")
            quality.set_ylim(0, 1.02)
            quality.legend(loc="best", ncols=2)
    return figure


def draw_dice_by_case(scores: pd.DataFrame) -> Figure:
    """Dice of every study with lesions over its true lesion volume, and all Dice per tracer side by side."""
    scored = scores if scores.empty else scores.dropna(subset=["dice"])
    if scored.empty:
        return note_figure("No study with lesions has a truth to be scored against: there is no Dice.")
    tracers = sorted(scored["tracer"].unique())
    with figure_style():
        figure = new_figure(2.9)
        cloud, strip = figure.subplots(1, 2, width_ratios=[3, 1.2], sharey=True)
        for place, tracer in enumerate(tracers):
            rows = scored[scored["tracer"] == tracer]
            look = {"color": TRACER_COLOURS.get(tracer), "marker": TRACER_MARKERS.get(tracer, "s"), "alpha": 0.75}
            cloud.scatter(rows["truth_volume_ml"], rows["dice"], s=16, linewidths=0, **look, label=_label(tracer, rows))
            spread = np.linspace(-0.25, 0.25, len(rows)) if len(rows) > 1 else [0.0]
            strip.scatter(place + np.asarray(spread), rows["dice"].sort_values(), s=10, linewidths=0, **look)
            strip.hlines(rows["dice"].mean(), place - 0.35, place + 0.35, color=BLACK, linewidth=1.4)
            strip.hlines(rows["dice"].median(), place - 0.35, place + 0.35, color=BLACK, linewidth=1, linestyle=":")
        logarithmic(cloud, "x")
        cloud.set_xlabel("true lesion volume of the study (ml)")
        cloud.set_ylabel("Dice")
        cloud.set_ylim(-0.03, 1.03)
        cloud.set_title("A")
        cloud.legend(loc="lower right")
        strip.set_xticks(range(len(tracers)), [tracer_name(tracer) for tracer in tracers])
        strip.set_xlim(-0.6, len(tracers) - 0.4)
        strip.set_title("B")
    return figure


def draw_bland_altman(scores: pd.DataFrame) -> Figure:
    """Predicted minus true total lesion volume (TMTV) over their mean, per tracer, with limits of agreement."""
    if scores.empty:
        return note_figure("No study has a truth to compare its total lesion volume with.")
    tracers = sorted(scores["tracer"].unique())
    with figure_style():
        figure = new_figure(2.9)
        panels = figure.subplots(1, len(tracers), squeeze=False)[0]
        for tracer, panel in zip(tracers, panels, strict=True):
            rows = scores[scores["tracer"] == tracer]
            difference = rows["prediction_volume_ml"] - rows["truth_volume_ml"]
            mean = (rows["prediction_volume_ml"] + rows["truth_volume_ml"]) / 2
            panel.scatter(
                mean, difference, s=14, linewidths=0, alpha=0.75, color=TRACER_COLOURS.get(tracer),
                marker=TRACER_MARKERS.get(tracer, "s"),
            )  # fmt: skip
            bias, low, high = agreement(difference.to_numpy())
            panel.axhline(0, color=LIGHT_GREY, linewidth=0.8)
            for value, style, name in ((bias, "-", "bias"), (low, "--", f"{MINUS}1.96 SD"), (high, "--", "+1.96 SD")):
                if np.isfinite(value):
                    panel.axhline(value, color=BLACK, linewidth=1, linestyle=style)
                    panel.annotate(
                        f"{name} {number(value, 1).text} ml", (1, value), xycoords=("axes fraction", "data"),
                        ha="right", va="bottom", fontsize=6.5,
                    )  # fmt: skip
            logarithmic(panel, "x", linear_below=1)
            panel.set_xlim(left=0)
            panel.set_title(_label(tracer, rows))
            panel.set_xlabel("mean of predicted and true TMTV (ml)")
        panels[0].set_ylabel("predicted minus true TMTV (ml)")
    return figure


def draw_sensitivity_by_volume(sensitivity: pd.DataFrame) -> Figure:
    """Lesion-wise sensitivity per class of lesion volume with confidence intervals and numbers of lesions."""
    if sensitivity.empty:
        return note_figure("There is no true lesion in the scored studies: no lesion-wise sensitivity.")
    edges = sorted({(low, high) for low, high in zip(sensitivity["low_ml"], sensitivity["high_ml"], strict=True)})
    tracers = sorted(sensitivity["tracer"].unique())
    width = 0.8 / len(tracers)
    with figure_style():
        figure = new_figure(2.8)
        panel = figure.subplots()
        for index, tracer in enumerate(tracers):
            rows = sensitivity[sensitivity["tracer"] == tracer]
            places = np.array([edges.index((row.low_ml, row.high_ml)) for row in rows.itertuples()], float)
            places += (index - (len(tracers) - 1) / 2) * width
            total = f"{tracer_name(tracer)} ({rows['found'].sum()} of {rows['lesions'].sum()} lesions)"
            panel.bar(
                places, rows["sensitivity"], width * 0.9, color=TRACER_COLOURS.get(tracer), alpha=0.8, label=total
            )
            bounds = rows.dropna(subset=["low", "high"])
            bounded = places[rows[["low", "high"]].notna().all(axis=1).to_numpy()]
            panel.vlines(bounded, bounds["low"], bounds["high"], color=BLACK, linewidth=1)
            for place, row in zip(places, rows.itertuples(), strict=True):
                panel.text(place, 1.03, f"{row.found}/{row.lesions}", ha="center", fontsize=6)
        panel.set_xticks(range(len(edges)), [volume_class(*edge) for edge in edges])
        panel.set_xlabel("volume of the lesion (ml)")
        panel.set_ylabel("sensitivity")
        panel.set_ylim(0, 1.1)
        panel.grid(axis="x", visible=False)
        figure.legend(loc="outside upper right", ncols=2)
    return figure


def draw_gallery(pictures: Sequence[str | Path]) -> Figure:
    """Case pictures side by side, in the given order."""
    from matplotlib.image import imread

    if not pictures:
        return note_figure("No case picture was drawn.")
    images = [imread(path) for path in pictures]
    n_rows = -(-len(images) // GALLERY_COLUMNS)
    with figure_style():
        tallest = max(image.shape[0] / image.shape[1] for image in images)
        figure = new_figure(PAGE_WIDTH_IN / GALLERY_COLUMNS * tallest * n_rows)
        panels = figure.subplots(n_rows, GALLERY_COLUMNS, squeeze=False)
        for panel in panels.flat:
            panel.set_axis_off()
        for panel, image in zip(panels.flat, images, strict=False):
            panel.imshow(image, interpolation="antialiased")
    return figure


def _label(group: str, rows: pd.DataFrame) -> str:
    tracer, _, centre = group.partition(" ")
    name = f"{tracer_name(tracer)} {centre}".strip()
    studies = rows["slug"].nunique()
    return f"{name} (n = {studies}; {rows['patient'].nunique()} patients)"
