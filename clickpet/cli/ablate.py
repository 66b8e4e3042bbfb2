"""`clickpet ablate`: experiments that differ from a base run in some config keys, run and compared by one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml


def ablate(
    experiments: Annotated[Path, typer.Argument(help="YAML file: a name and differing config keys each.")],
    base: Annotated[
        list[Path], typer.Option(help="Config files of the base run, the later one wins; give it once a file.")
    ] = [Path("config/config.yaml")],  # noqa: B006 - typer copies it
    only: Annotated[list[str], typer.Option(help="Name of an experiment to run; all without it.")] = [],  # noqa: B006
    profile: Annotated[Path | None, typer.Option(help="Profile of Snakemake, such as profiles/slurm.")] = None,
    directory: Annotated[Path, typer.Option(help="Working folder of the base run.")] = Path(),
    out: Annotated[Path, typer.Option(help="Folder for the experiments and their comparison.")] = Path("ablations"),
    together: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time; by default all on a cluster, else one.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only tell jobs, hours and storage of each run.")] = False,
) -> None:
    """Run experiments beside a base run, sharing what they do not touch, and compare all with it, study by study."""
    from clickpet.evaluate.comparison import read_run_folder
    from clickpet.report.comparison_page import write_comparison
    from clickpet.workflow.experiment_plan import plan_experiments, plan_table
    from clickpet.workflow.experiments import BaseRun, chosen, read_experiments, run_experiments

    base_run = BaseRun(directory, base, profile.resolve() if profile else None)
    todo = chosen(read_experiments(experiments, base_run), only)
    if plan:
        typer.echo(plan_table(plan_experiments(base_run, todo, together=together or 2)))
        return
    together = together or (len(todo) if _on_cluster(profile) else 1)
    results = run_experiments(base_run, todo, out, together=together, progress=lambda line: typer.echo(line, err=True))
    config = base_run.config()
    runs = {"base": directory / "results", **results}
    write_comparison(
        [read_run_folder(name, folder) for name, folder in runs.items()],
        page=out / "comparison.html",
        table=out / "comparison.tsv",
        latex=out / "comparison.tex",
        repeats=config["evaluate"]["bootstrap_repeats"],
        confidence=config["evaluate"]["confidence"],
        seed=config["seed"],
    )
    typer.echo(f"comparison is in {out / 'comparison.html'}")


def _on_cluster(profile: Path | None) -> bool:
    """True if a profile hands its jobs to a cluster."""
    file = profile / "config.yaml" if profile else None
    if file is None or not file.is_file():
        return False
    return yaml.safe_load(file.read_text(encoding="utf-8")).get("executor", "local") != "local"
