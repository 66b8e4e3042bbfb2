"""Report sections on the models: accuracy of the tracer discriminator, and training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from clickpet.evaluate.run_results import RunResults
from clickpet.report.method_section import discriminator_curves, lesion_curves
from clickpet.report.page import Section, Table, Text, figure_blocks, number, study_cell
from clickpet.report.style import tracer_name


def tracer_section(run: RunResults) -> Section | None:
    """How often the discriminator was right, in all, per true tracer and per fold, and where it was wrong; None where
    it was asked about no study."""
    accuracy = run.accuracy
    if not accuracy.get("n"):
        return None
    names = list(accuracy["confusion"])
    blocks: list = [
        Text(accuracy_sentence(accuracy)),
        Table(
            "confusion",
            "Studies by true tracer (rows) and found tracer (columns).",
            [("True tracer", "text"), *((f"Found {tracer_name(name)}", "number") for name in names)],
            [[tracer_name(true), *(int(row[name]) for name in names)] for true, row in accuracy["confusion"].items()],
        ),
        Table(
            "tracer-folds",
            "Accuracy per fold on studies it did not see; “ensemble”: majority of all folds on studies that none saw.",
            [("Fold", "text"), ("Studies", "number"), ("Right", "number"), ("Accuracy", "number")],
            [[fold, row["n"], row["correct"], number(row["accuracy"], 3)] for fold, row in accuracy["folds"].items()],
        ),
    ]
    if accuracy["wrong"]:
        rows = run.scores[run.scores["case"].isin(accuracy["wrong"])].to_dict("records")
        blocks.append(
            Table(
                "wrong-tracer",
                "Studies taken for the other tracer. They are segmented by the wrong lesion model and scored so.",
                [("Study", "text"), ("True", "text"), ("Found", "text")],
                [
                    [study_cell(row["case"], row["slug"]), tracer_name(row["tracer"]), tracer_name(row["tracer_found"])]
                    for row in rows
                ],
            )
        )
    else:
        blocks.append(Text("No study was taken for the other tracer."))
    return Section("discriminator", "Tracer discriminator", blocks)


def accuracy_sentence(accuracy: Mapping) -> str:
    """Accuracy with its numbers and interval, in words."""
    low, high = accuracy["accuracy_low"], accuracy["accuracy_high"]
    text = (
        f"{accuracy['correct']} of {accuracy['n']} studies were given the right tracer: accuracy "
        f"{accuracy['accuracy'] * 100:.1f} % (95 % Wilson interval {low * 100:.1f} % to {high * 100:.1f} %)."
    )
    if accuracy["not_asked"]:
        text += f" For {accuracy['not_asked']} studies the discriminator was not asked."
    return text


def training_section(run: RunResults) -> Section | None:
    """Curves per tracer and fold, and where they ended; None where nothing was trained."""
    curves = [(model, curve) for model, folds in run.training.items() for curve in folds]
    if not curves:
        return None
    blocks: list = figure_blocks(
        run.figures,
        (
            "training_curves",
            curves_caption(run),
            "Loss and pseudo-Dice over epochs, a line per fold",
            "curves that still fall when they end (more epochs may help), a fold that parts from the others (its "
            "patients differ, or its split is unlucky), and a validation loss that rises while the training loss falls "
            "(overfitting).",
        ),
    )
    columns = [("Model", "text"), ("Fold", "text"), ("Training studies", "number"), ("Held-out studies", "number")]
    columns += [("Epochs", "number"), ("Last training loss", "number"), ("Last validation loss", "number")]
    columns += [("Last pseudo-Dice", "number"), ("Held-out accuracy", "number")]
    rows = []
    for model, curve in curves:
        is_lesion = model != "tracer"
        rows.append(
            [
                tracer_name(model) if is_lesion else "discriminator",
                curve.fold,
                curve.training_cases,
                curve.held_out_cases,
                len(curve.epochs),
                number(_last(curve.train_loss), 3),
                number(_last(curve.val_loss), 3),
                number(_last(curve.quality), 3) if is_lesion else None,
                number(curve.held_out_quality, 3),
            ]
        )
    blocks.append(Table("training-ends", "Where each training ended.", columns, rows))
    constant = [curve.fold for model, curve in curves if curve.constant]
    if constant:
        blocks.append(
            Text(f"Discriminator, folds {', '.join(constant)}: all training studies have one tracer; nothing to train.")
        )
    return Section("training", "Training", blocks)


def curves_caption(run: RunResults) -> str:
    """Caption of the training curves: of what was trained, and how."""
    parts = ["Training of each fold."]
    if lesion_curves(run):
        if run.config["organs"]["provider"] != "none":
            parts.append(
                "The training loss of a lesion model is that of both heads, its validation loss that of the lesions "
                "alone: they are not on one scale."
            )
        parts.append(
            "Pseudo-Dice is nnU-Net's: over random patches of the held-out fold, not over whole studies; the last "
            "checkpoint is used, whatever the curve."
        )
    if any(curve.stopping_cases for curve in discriminator_curves(run)):
        parts.append(
            "The discriminator is watched on patients drawn from its training studies, so its validation curves know "
            "nothing of the held-out fold."
        )
    return " ".join(parts)


def _last(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known[-1]) if known.size else float("nan")
