"""Experiments: runs that differ from a base run in some config keys, each in a folder that begins as the base run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import yaml
from snakemake.utils import update_config

from clickpet.config import ConfigError, read_config, resolve
from clickpet.errors import InputError
from clickpet.files import link_or_copy, replacing_folder, write_text
from clickpet.slugs import output_name
from clickpet.workflow.child_run import LOG, WorkflowFailedError, require_workflow, run_workflow
from clickpet.workflow.folder_lock import locked_folder

#: The differing keys of an experiment, in its folder.
CONFIG = "experiment.yaml"
#: What a run writes at its top level; all else there is linked into the folders of the experiments.
WRITTEN = {"results", "logs", "benchmarks", LOG, CONFIG}


@dataclass(frozen=True)
class Experiment:
    """A name and the config keys that differ from the base run's."""

    name: str
    changes: Mapping

    @property
    def folder_name(self) -> str:
        """The experiment's folder below that of all experiments."""
        return output_name(self.name)


@dataclass(frozen=True)
class BaseRun:
    """The run that all experiments are compared with.

    folder : its working folder;  configs : config files, the later one wins;  profile : of Snakemake, a folder or
    None.
    """

    folder: Path
    configs: Sequence[Path]
    profile: Path | None = None

    def config(self, changes: Mapping | None = None) -> dict:
        """The resolved config of the base run with `changes`. Raises ConfigError."""
        config: dict = {}
        for given in (*map(read_config, self.configs), changes or {}):
            update_config(config, deepcopy(dict(given)))
        return resolve(config)

    def run(self, progress: Callable[[str], None]) -> None:
        """Finish the base run. Raises WorkflowFailedError."""
        with locked_folder(self.folder, progress=progress) as lock:
            run_workflow(
                self.folder.resolve(), _absolute(self.configs), [], profile=self.profile, lock=lock, progress=progress
            )


def read_experiments(path: str | Path, base: BaseRun) -> list[Experiment]:
    """Experiments of a YAML file: a name and differing config keys each.

    Raises InputError for a file that holds none, for names that share a folder, for mistakes in a config (the
    experiment's name is told) and for an experiment that does not differ from the base run.
    """
    config = _checked(base, {}, "the base run")
    experiments = []
    for name, changes in read_config(path).items():
        if not isinstance(changes, dict) or not changes:
            raise InputError(f"experiment {name!r} has no config keys", where=path, mend="write key: value lines below")
        experiment = Experiment(str(name), changes)
        if _checked(base, changes, f"experiment {experiment.name!r}") == config:
            raise InputError(
                f"experiment {experiment.name!r} does not differ from the base run",
                where=path,
                mend="take it out, or give --base the config that it is to differ from",
            )
        experiments.append(experiment)
    if not experiments:
        raise InputError("holds no experiments", where=path, mend="write a name and its config keys")
    _require_own_folders(experiments, path)
    return experiments


def chosen(experiments: Sequence[Experiment], names: Sequence[str]) -> list[Experiment]:
    """The experiments of these names, all of them for none. Raises InputError for a name that is not there."""
    known = {experiment.name: experiment for experiment in experiments}
    for name in names:
        if name not in known:
            raise InputError(f"no experiment {name!r}", mend=f"choose from: {', '.join(known)}")
    return [known[name] for name in names] or list(experiments)


def prepare_run(base: BaseRun, experiment: Experiment, folder: Path) -> None:
    """Make the folder of an experiment, as a copy of the base run that takes no space, and write its config there.

    Files of the base run's results are hard links (copies where the file system has none): rules write beside a file
    and rename, so what an experiment makes anew is its own. A folder that is there is used as it is.
    """
    if not folder.exists():
        with replacing_folder(folder) as new:
            new.mkdir(exist_ok=True)
            for entry in sorted(base.folder.resolve().iterdir()):
                inside = folder.resolve().is_relative_to(entry)
                if entry.name not in WRITTEN and not entry.name.startswith(".") and not inside:
                    (new / entry.name).symlink_to(entry)
            link_tree(base.folder / "results", new / "results")
            metadata = base.folder / ".snakemake" / "metadata"
            if metadata.is_dir():
                shutil.copytree(metadata, new / ".snakemake" / "metadata")
    write_text(folder / CONFIG, yaml.safe_dump(dict(experiment.changes), sort_keys=False, allow_unicode=True))


def link_tree(source: Path, target: Path) -> None:
    """Copy a folder by hard links; small files of trainings are copied, for nnU-Net writes those in place."""
    target.mkdir(parents=True)
    for folder, _, names in os.walk(source):
        own = target / Path(folder).relative_to(source)
        own.mkdir(exist_ok=True)
        in_place = Path(folder).is_relative_to(source / "training")
        for name in names:
            file = Path(folder, name)
            if in_place and file.suffix != ".pth":
                shutil.copy2(file, own / name)
                continue
            link_or_copy(file, own / name)


def run_experiments(
    base: BaseRun,
    experiments: Sequence[Experiment],
    out: Path,
    *,
    together: int = 1,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Path]:
    """Finish the base run, then run every experiment in its folder below `out`; `together` of them at a time.

    Returns {name: folder of results}. What was done before is not done again, so a call that was killed is repeated.
    Raises InputError if any experiment failed, when the others have ended.
    """
    require_workflow()
    progress("base run")
    base.run(lambda step: progress(f"base run: {step}"))

    def run(experiment: Experiment) -> WorkflowFailedError | None:
        folder = out / experiment.folder_name
        # held beside the folder, which is made whole or not at all
        with locked_folder(out / ".locks" / experiment.folder_name, progress=progress) as lock:
            prepare_run(base, experiment, folder)
            try:
                run_workflow(
                    folder.resolve(),
                    [*_absolute(base.configs), folder.resolve() / CONFIG],
                    [],
                    profile=base.profile,
                    lock=lock,
                    progress=lambda step: progress(f"{experiment.name}: {step}"),
                )
            except WorkflowFailedError as error:
                progress(f"{experiment.name}: failed")
                return error
        progress(f"{experiment.name}: done")
        return None

    with ThreadPoolExecutor(max(1, together)) as pool:
        errors = list(pool.map(run, experiments))
    failed = [f"{one.name}: {error}" for one, error in zip(experiments, errors, strict=True) if error]
    if failed:
        raise InputError("; ".join(failed), mend="mend it and start again: what is done stays")
    return {experiment.name: out / experiment.folder_name / "results" for experiment in experiments}


def _absolute(paths: Sequence[Path]) -> list[Path]:
    return [Path(path).resolve() for path in paths]


def _checked(base: BaseRun, changes: Mapping, whose: str) -> dict:
    try:
        return base.config(changes)
    except ConfigError as error:
        raise InputError(" | ".join(str(error).splitlines()), where=whose) from error


def _require_own_folders(experiments: Sequence[Experiment], path: str | Path) -> None:
    by_folder: dict[str, str] = {}
    for experiment in experiments:
        other = by_folder.setdefault(experiment.folder_name.casefold(), experiment.name)
        if other != experiment.name:
            raise InputError(
                f"experiments {other!r} and {experiment.name!r} would share a folder", where=path, mend="rename one"
            )
