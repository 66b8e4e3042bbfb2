"""A folder of results made by code: the tables and records a report is written from, without any image."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from clickpet.config import resolve
from clickpet.evaluate.interactive import interactive_table
from clickpet.evaluate.rounds_tables import safety_of_clicks
from clickpet.evaluate.summary import score_table, summarise, summarise_interactive
from clickpet.evaluate.tables import write_table
from clickpet.slugs import make_slug

NAN = float("nan")
ROOT = Path(__file__).parents[2]
#: A name as they are in the FDG cohort, one that HTML and LaTeX would choke on.
HARD_NAMES = (
    "fdg_0a1b2c3d4e_12-31-2001-NA-PET-CT Ganzkoerper  primaer mit KM-12345",
    "5 < 6 & <b>bold</b> \"quoted\" 'single' $x_1$ [[cohort]] 100% {{braces}}.nii",
)


@dataclass(frozen=True)
class Made:
    """Where things are. cases : slugs in the cohort's order."""

    folder: Path
    config: dict
    cases: list[str]
    names: list[str]

    def path(self, *parts: str) -> Path:
        return self.folder.joinpath(*parts)


def make_results(
    folder: Path,
    *,
    tracers: tuple[str, ...] = ("fdg", "psma"),
    centres: tuple[str, ...] = ("UKT", "LMU"),
    splits: tuple[str, ...] = ("train", "train", "test"),
    studies: int = 12,
    interactive: bool = True,
    quality: float = 0.8,
    seed: int = 0,
) -> Made:
    """Write a folder of results as the workflow does.

    splits : taken in turn by the patients;  studies : per tracer, two of every third patient;  quality : about the
    mean Dice.
    """
    rng = np.random.default_rng(seed)
    config = resolve(yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8")))
    config["evaluate"]["bootstrap_repeats"] = 200
    cohort = _cohort(tracers, centres, splits, studies)
    scores, curves = [], []
    for number, study in enumerate(cohort):
        row, lesions = _score(study, number, rng, quality)
        case = folder / "results" / "cases" / study["slug"]
        _write_json(case / "case.json", _case_record(study, number))
        _write_json(case / "prediction.json", _prediction(study, number))
        if study["split"] == "predict":
            _write_json(case / "study.json", _study_record(study, lesions))
        else:
            scores.append(row)
            write_table(case / "lesion_scores.csv", pd.DataFrame(lesions, columns=["lesion", "volume_ml", "found"]))
            curves += [_at_clicks(row, clicks, rng) for clicks in range(11)] if interactive else []
    results = folder / "results"
    write_table(results / "cohort.tsv", pd.DataFrame(cohort))
    table = score_table(scores)
    write_table(results / "scores.tsv", table)
    write_table(results / "summary.tsv", summarise(table, repeats=200, seed=seed))
    if interactive:
        over_clicks = interactive_table(curves)
        write_table(results / "interactive.tsv", over_clicks)
        write_table(results / "interactive_summary.tsv", summarise_interactive(over_clicks, repeats=200, seed=seed))
        write_table(results / "interactive_safety.tsv", safety_of_clicks(curves))
    _models(results / "models", tracers, cohort, scores)
    _benchmarks(folder / "benchmarks", cohort)
    return Made(folder, config, [study["slug"] for study in cohort], [study["case"] for study in cohort])


def _cohort(tracers, centres, splits, studies) -> list[dict]:
    cohort = []
    for tracer in tracers:
        for number in range(studies):
            patient = number - (number % 3 == 2)  # every third study is the second one of the patient before
            name = HARD_NAMES[number] if tracer == tracers[0] and number < 2 else f"{tracer}_{patient:04d}_{number}"
            split = splits[patient % len(splits)]
            cohort.append(
                {
                    "case": name,
                    "slug": make_slug(name),
                    "tracer": tracer,
                    "patient": f"{tracer}{patient:03d}",
                    "centre": centres[patient % len(centres)] if centres else "",
                    "split": split,
                    "fold": str(patient % 5) if split == "train" else "",
                    **dict.fromkeys(("ct", "pet", "label", "clicks", "organs"), ""),
                }
            )
    return cohort


def _score(study, number, rng, quality) -> tuple[dict, list[dict]]:
    healthy = number % 6 == 5
    volumes = [] if healthy else np.round(rng.lognormal(1, 1.5, rng.integers(1, 6)), 4)
    found = [bool(rng.random() < min(0.98, 0.5 + volume / 4)) for volume in volumes]
    lesions = [
        {"lesion": place + 1, "volume_ml": float(volume), "found": int(hit)}
        for place, (volume, hit) in enumerate(zip(volumes, found, strict=True))
    ]
    truth_ml = float(np.sum(volumes))
    missed_ml = float(sum(volume for volume, hit in zip(volumes, found, strict=True) if not hit))
    false_ml = float(np.round(rng.exponential(0.5), 4)) if number % 4 else 0.0
    dice = NAN if healthy else round(float(np.clip(rng.normal(quality, 0.12), 0, 1)), 6)
    return {
        "case": study["case"],
        "slug": study["slug"],
        "tracer": study["tracer"],
        "tracer_found": {"fdg": "psma", "psma": "fdg"}[study["tracer"]] if number == 4 else study["tracer"],
        "patient": study["patient"],
        "centre": study["centre"],
        "split": study["split"],
        "fold": study["fold"],
        "dice": dice,
        "fpv_ml": false_ml,
        "fnv_ml": NAN if healthy else round(missed_ml, 6),
        "truth_lesions": len(volumes),
        "predicted_lesions": sum(found) + (false_ml > 0),
        "found_lesions": sum(found),
        "false_lesions": int(false_ml > 0),
        "sensitivity": NAN if healthy else sum(found) / len(volumes),
        "precision": sum(found) / (sum(found) + (false_ml > 0)) if sum(found) + (false_ml > 0) else NAN,
        "f1": NAN if healthy else 2 * sum(found) / (len(volumes) + sum(found) + (false_ml > 0)),
        "truth_volume_ml": round(truth_ml, 6),
        "prediction_volume_ml": round(max(0.0, truth_ml - missed_ml + false_ml), 6),
    }, lesions


def _at_clicks(row, clicks, rng) -> dict:
    share = 0.6 + 0.04 * clicks
    return {
        **{name: row[name] for name in ("case", "slug", "tracer", "patient", "centre", "split", "fold")},
        "clicks": clicks,
        "dice": round(row["dice"] * share, 6),
        "fpv_ml": round(row["fpv_ml"] * (2 - 0.1 * clicks), 6),
        "fnv_ml": round(row["fnv_ml"] * (3 - 0.2 * clicks), 6),
        "points": 2 if clicks else 0,
        "tumor_points": clicks,
        "tumor_inside": clicks - (clicks > 5),
        "background_points": clicks,
        "background_outside": clicks,
        "dice_change": round(row["dice"] * 0.04, 6) if clicks else np.nan,
        "far_changed_ml": 0.5,
    }


def _case_record(study, number) -> dict:
    if number % 2:
        audit = {"source": "file", "rule": "taken as SUV (body weight) as it is"}
    else:
        audit = {"source": "dicom", "rule": "BQML, START", "weight_kg": 70.5, "factor": 0.00021, "warnings": []}
    return {"case": study["case"], "slug": study["slug"], "shape": [40, 40, 60], "spacing_mm": [4, 4, 5], "suv": audit}


def _study_record(study, lesions) -> dict:
    volumes = [lesion["volume_ml"] for lesion in lesions]
    return {
        "case": study["case"],
        "slug": study["slug"],
        "lesions": len(lesions),
        "tmtv_ml": sum(volumes),
        "tlg": 5 * sum(volumes),
        "suv_max": 9.5 if lesions else None,
        "suv_peak": 8.25 if lesions else None,
        "suv_mean": 5.0 if lesions else None,
        "largest_ml": max(volumes, default=None),
    }


def _prediction(study, number) -> dict:
    members = [int(study["fold"])] if study["fold"] else [0, 1, 2, 3, 4]
    return {
        "mirror_axes": [0, 1, 2],
        "members": members,
        "tiles": 4 + number % 3,
        "forward_passes": (4 + number % 3) * 8 * len(members),
        "tile_step": 0.6,
        "body_box": True,
        "voxels": 96000,
        "seconds": {"window": 1.5, "total": 2.25 + number},
        "disagreement": None if len(members) == 1 else 0.031,
        "mirroring": "voxels",
        "expected_s": None,
        "time_limit_s": 900,
        "device": "cpu",
        "peak_memory_mb": 812.5,
    }


def _models(folder, tracers, cohort, scores) -> None:
    for tracer in tracers:
        for fold in range(5):
            epochs = np.arange(30)
            record = {
                "fold": str(fold),
                "epochs": epochs.tolist(),
                "train_loss": (-0.9 + np.exp(-epochs / (6 + fold))).tolist(),
                "val_loss": (-0.8 + np.exp(-epochs / (6 + fold))).tolist(),
                "pseudo_dice": [None, *(0.9 - 0.9 * np.exp(-epochs[1:] / (5 + fold))).tolist()],
                "training_cases": [study["slug"] for study in cohort if study["fold"] not in ("", str(fold))],
                "validation_cases": [study["slug"] for study in cohort if study["fold"] == str(fold)],
            }
            _write_json(folder / tracer / f"fold_{fold}" / "training.json", record)
    asked = scores if len(tracers) > 1 else []
    for fold in range(5) if asked else []:
        rows = [
            {"epoch": epoch, "train_loss": 0.7 / (epoch + 1), "validation_loss": 0.8 / (epoch + 1),
             "validation_accuracy": min(1, 0.5 + 0.1 * epoch), "best": True}
            for epoch in range(8)
        ]  # fmt: skip
        record = {
            "train": 12,
            "stopping": 3,
            "held_out": 4,
            "constant": None,
            "held_out_accuracy": 0.75,
            "epochs": rows,
        }
        _write_json(folder / "tracer" / f"fold_{fold}" / "training.json", record)
    right = [row for row in asked if row["tracer"] == row["tracer_found"]]
    confusion = {
        true: {
            found: sum(row["tracer"] == true and row["tracer_found"] == found for row in asked)
            for found in ("fdg", "psma")
        }
        for true in ("fdg", "psma")
    }
    accuracy = {
        "n": len(asked),
        "not_asked": len(scores) - len(asked),
        "correct": len(right),
        "accuracy": len(right) / len(asked) if asked else None,
        "accuracy_low": 0.71 if asked else None,
        "accuracy_high": 0.99 if asked else None,
        "confusion": confusion,
        "wrong": [row["case"] for row in asked if row["tracer"] != row["tracer_found"]],
        "folds": {"0": {"n": 4, "correct": 3, "accuracy": 0.75}} if asked else {},
    }
    _write_json(folder / "tracer" / "accuracy.json", accuracy)


def _benchmarks(folder, cohort) -> None:
    header = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    for number, study in enumerate(cohort):
        path = folder / "predict_case" / f"{study['slug']}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{header}{10 + number:.4f}\t0:00:10\t{500 + number}.5\t1\t1\t1\t1\t1\t99\t{20 + number}.25\n")
    path = folder / "list_cohort" / "all.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{header}0.0100\t0:00:00\tNA\tNA\tNA\tNA\tNA\tNA\tNA\tNA\n")


def _write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
