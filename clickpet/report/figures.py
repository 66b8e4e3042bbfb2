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
from matplotlib.lines import Line2D
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
#: Characters in a line of a name above a picture, and room for it.
GALLERY_TITLE_WIDTH, GALLERY_TITLE_IN = 44, 0.25
#: Volumes whose largest is so many times their median are drawn on a logarithmic axis.
SKEWED = 10
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
        grid = figure.add_gridspec(len(rows), 2)
        for place, (model, curves) in enumerate(rows.items()):
            name = "Discriminator" if model == "tracer" else tracer_name(model)
            measure = "accuracy" if model == "tracer" else "pseudo-Dice"
            measured = any(np.isfinite(curve.quality).any() for curve in curves)
            loss = figure.add_subplot(grid[place, 0] if measured else grid[place, :])
            _draw_losses(loss, curves, name=f"{name}: loss", folds=not measured)
            if measured:
                _draw_quality(figure.add_subplot(grid[place, 1]), curves, name=name, measure=measure)
    return figure


def _curve_look(place: int, curve: TrainingCurve) -> dict:
    colour = GROUP_COLOURS[place % len(GROUP_COLOURS)]
    return {"color": colour, "linewidth": 1, "marker": "." if len(curve.epochs) < 20 else None}


def _draw_losses(panel, curves: Sequence[TrainingCurve], *, name: str, folds: bool) -> None:
    """Training loss and, where there is one, validation loss of each fold; folds : name them in the legend."""
    styles = {"training": "-"}
    if any(np.isfinite(curve.val_loss).any() for curve in curves):
        styles["validation"] = ":"
    for place, curve in enumerate(curves):
        look = _curve_look(place, curve)
        panel.plot(curve.epochs, curve.train_loss, **look)
        if "validation" in styles:
            panel.plot(curve.epochs, curve.val_loss, linestyle=":", **look)
    handles = [Line2D([], [], color=BLACK, linestyle=style, linewidth=1, label=kind) for kind, style in styles.items()]
    if folds:
        handles += [Line2D([], [], label=f"fold {curve.fold}", **_curve_look(place, curve))
                    for place, curve in enumerate(curves)]  # fmt: skip
    panel.legend(handles=handles, loc="upper right")
    _label_epochs(panel, name, "loss")


def _draw_quality(panel, curves: Sequence[TrainingCurve], *, name: str, measure: str) -> None:
    for place, curve in enumerate(curves):
        panel.plot(curve.epochs, curve.quality, **_curve_look(place, curve), label=f"fold {curve.fold}")
    panel.set_ylim(0, 1.02)
    panel.legend(loc="best", ncols=2)
    _label_epochs(panel, f"{name}: {measure}", measure)


def _label_epochs(panel, title: str, measure: str) -> None:
    panel.set_title(title)
    panel.set_xlabel("epoch")
    panel.set_ylabel(measure)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))


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
        figure = new_figure(3.2)
        panels = figure.subplots(1, len(tracers), squeeze=False)[0]
        for tracer, panel in zip(tracers, panels, strict=True):
            rows = scores[scores["tracer"] == tracer]
            difference = rows["prediction_volume_ml"] - rows["truth_volume_ml"]
            mean = (rows["prediction_volume_ml"] + rows["truth_volume_ml"]) / 2
            panel.scatter(
                mean, difference, s=14, linewidths=0, alpha=0.75, color=TRACER_COLOURS.get(tracer),
                marker=TRACER_MARKERS.get(tracer, "s"), clip_on=False, zorder=3,
            )  # fmt: skip
            bias, low, high = agreement(difference.to_numpy())
            panel.axhline(0, color=LIGHT_GREY, linewidth=0.8)
            for value, style, name in ((bias, "-", "bias"), (low, "--", f"{MINUS}1.96 SD"), (high, "--", "+1.96 SD")):
                if np.isfinite(value):
                    panel.axhline(value, color=BLACK, linewidth=1, linestyle=style)
                    panel.annotate(
                        f"{name}\n{number(value, 1).text} ml", (1.01, value), xycoords=("axes fraction", "data"),
                        ha="left", va="center", fontsize=6.5,
                    )  # fmt: skip
            _volume_axis(panel, mean)
            panel.set_title(_label(tracer, rows))
            panel.set_xlabel("mean of predicted and true TMTV (ml)")
        panels[0].set_ylabel("predicted minus true TMTV (ml)")
    return figure


def _volume_axis(panel, volumes_ml: pd.Series) -> None:
    """An axis from 0 that spreads the volumes: logarithmic above 1 ml where most are far below the largest."""
    known = volumes_ml[volumes_ml > 0]
    largest = known.max() if len(known) else 1.0
    if len(known) and largest > SKEWED * known.median():
        logarithmic(panel, "x", linear_below=1)
        panel.set_xlim(0, largest * 1.5)
    else:
        panel.set_xlim(0, largest * 1.05)


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


def draw_gallery(pictures: Mapping[str, str | Path]) -> Figure:
    """Case pictures side by side, in the given order, each under its name."""
    from matplotlib.image import imread

    if not pictures:
        return note_figure("No case picture was drawn.")
    images = {name: imread(path) for name, path in pictures.items()}
    n_rows = -(-len(images) // GALLERY_COLUMNS)
    with figure_style():
        tallest = max(image.shape[0] / image.shape[1] for image in images.values())
        figure = new_figure((PAGE_WIDTH_IN / GALLERY_COLUMNS * tallest + GALLERY_TITLE_IN) * n_rows)
        panels = figure.subplots(n_rows, GALLERY_COLUMNS, squeeze=False)
        for panel in panels.flat:
            panel.set_axis_off()
        for panel, (name, image) in zip(panels.flat, images.items(), strict=False):
            panel.imshow(image, interpolation="antialiased")
            lines = [name[start : start + GALLERY_TITLE_WIDTH] for start in range(0, len(name), GALLERY_TITLE_WIDTH)]
            panel.set_title("\n".join(lines), fontsize=5.5, fontweight="normal")
    return figure


def _label(group: str, rows: pd.DataFrame) -> str:
    tracer, _, centre = group.partition(" ")
    name = f"{tracer_name(tracer)} {centre}".strip()
    studies = rows["slug"].nunique()
    return f"{name} (n = {studies}; {rows['patient'].nunique()} patients)"
