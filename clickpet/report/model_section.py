"""Report sections on the models: accuracy of the tracer discriminator, and training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from clickpet.evaluate.run_results import RunResults
from clickpet.report.page import Section, Table, Text, figure_blocks, number
from clickpet.report.style import tracer_name


def tracer_section(run: RunResults) -> Section:
    """How often the discriminator was right, in all, per true tracer and per fold, and where it was wrong."""
    accuracy = run.accuracy
    title = "Tracer discriminator"
    if not accuracy.get("n"):
        n_not_asked = accuracy.get("not_asked", 0)
        text = "The discriminator was asked about no study"
        text += (
            f": the tracer of {n_not_asked} studies follows from the cohort (one tracer only)." if n_not_asked else "."
        )
        return Section("discriminator", title, [Text(text)])
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
                [[row["case"], tracer_name(row["tracer"]), tracer_name(row["tracer_found"])] for row in rows],
            )
        )
    else:
        blocks.append(Text("No study was taken for the other tracer."))
    return Section("discriminator", title, blocks)


def accuracy_sentence(accuracy: Mapping) -> str:
    """Accuracy with its numbers and interval, in words."""
    low, high = accuracy["accuracy_low"], accuracy["accuracy_high"]
    text = (
        f"{accuracy['correct']} of {accuracy['n']} studies were given the right tracer: accuracy "
        f"{accuracy['accuracy'] * 100:.1f} % (95 % Wilson interval {low * 100:.1f} % to {high * 100:.1f} %). Train "
        "studies are told by the fold that did not see their patient, others by the majority of all folds."
    )
    if accuracy["not_asked"]:
        text += f" For {accuracy['not_asked']} studies the discriminator was not asked."
    return text


def training_section(run: RunResults) -> Section:
    """Curves per tracer and fold, and where they ended."""
    curves = [(model, curve) for model, folds in run.training.items() for curve in folds]
    if not curves:
        return Section("training", "Training", [Text("No model was trained in this run.")])
    blocks: list = figure_blocks(
        run.figures,
        (
            "training_curves",
            "Training of each fold. The training loss of a lesion model is that of both heads, its validation loss "
            "that of the lesions alone: they are not on one scale. Pseudo-Dice is nnU-Net's: over random patches of "
            "the held-out fold, not over whole studies; the last checkpoint is used, whatever the curve. The "
            "discriminator stops early on patients drawn from its training studies, so its curve knows nothing of the "
            "held-out fold.",
            "Loss and pseudo-Dice over epochs, a line per fold",
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


def _last(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known[-1]) if known.size else float("nan")
