"""Figures, provenance and report of a made folder of results, by the workflow's own scripts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jobs import run_script
from PIL import Image
from results_maker import Made

FIGURES = (
    "interactive_curves",
    "training_curves",
    "dice_by_case",
    "bland_altman_tmtv",
    "sensitivity_by_volume",
    "mip_gallery",
)
CASE_PICTURES = {
    "case_pictures": "mip_overlay.png",
    "rotations": "mip_rotation.png",
    "lesion_slices": "lesion_slices.png",
}
BOOTSTRAP = {"repeats": 50, "confidence": 0.95, "seed": 42}


def write_report(
    made: Made, *, worst_cases: int = 6, pictures: bool = True, figures: bool = True, quality: Path | None = None
) -> Path:
    """Run draw_figures and write_provenance (once), write_report, write_crate; returns the path of report.html."""
    results, log = made.path("results"), made.path("log")
    cases = [results / "cases" / slug for slug in made.cases]
    if pictures:
        for number, case in enumerate(cases):
            for name in [name for name in CASE_PICTURES.values() if not (case / name).exists()]:
                Image.fromarray(np.full((30, 48, 3), 5 * number % 256, np.uint8)).save(case / name)
    pictures_of = {kind: [case / name for case in cases] if pictures else [] for kind, name in CASE_PICTURES.items()}
    tables = {
        name: results / f"{name}.tsv"
        for name in ("scores", "interactive", "interactive_summary", "interactive_safety", "summary")
        if (results / f"{name}.tsv").exists()
    }
    models = {
        "training": sorted(results.glob("models/*/fold_*/training.json")),
        "tracer_training": [],
        "lesion_tables": [case / "lesion_scores.csv" for case in cases if (case / "lesion_scores.csv").exists()],
    }
    if figures and not (results / "figures").exists():
        run_script(
            "draw_figures",
            input={"scores": tables["scores"], **tables, **models, "case_pictures": pictures_of["case_pictures"]},
            output={
                "pictures": [results / "figures" / f"{name}.png" for name in FIGURES],
                "drawings": [results / "figures" / f"{name}.{kind}" for name in FIGURES for kind in ("svg", "pdf")],
            },
            params=BOOTSTRAP,
            log=log / "draw_figures.log",
        )
    if not (results / "provenance.json").exists():
        run_script(
            "write_provenance",
            input={"cohort": results / "cohort.tsv", **{name: tables[name] for name in ("scores",) if name in tables}},
            output={"provenance": results / "provenance.json"},
            params={"config": made.config, "benchmarks": str(made.path("benchmarks"))},
            log=log / "write_provenance.log",
        )
    run_script(
        "write_report",
        input={
            "cohort": results / "cohort.tsv",
            "provenance": results / "provenance.json",
            "accuracy": results / "models" / "tracer" / "accuracy.json",
            "case_json": [case / "case.json" for case in cases],
            "predictions": [case / "prediction.json" for case in cases],
            "studies": [case / "study.json" for case in cases if (case / "study.json").exists()],
            **pictures_of,
            "figures": [results / "figures" / f"{name}.png" for name in FIGURES] if figures else [],
            "quality": quality or [],
            "rounds": [path for name in ("rounds", "replay") for path in sorted(results.glob(f"{name}*.tsv"))],
            "rounds_pictures": sorted(results.glob("cases/*/*/rounds.png")),
            **tables,
            **models,
        },
        output={"report": results / "report.html"},
        params={"worst_cases": worst_cases},
        log=log / "write_report.log",
    )
    run_script(
        "write_crate",
        input={
            "provenance": results / "provenance.json",
            "report": results / "report.html",
            "outputs": [results / "cohort.tsv", *tables.values()],
        },
        output={"crate": results / "ro-crate-metadata.json"},
        log=log / "write_crate.log",
    )
    return results / "report.html"
