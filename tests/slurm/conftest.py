"""A cluster, and runs of the small chain on it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from chain import ROOT, Run
from cluster import Cluster, missing

#: What differs from profiles/slurm here: as many threads as the local run (other counts give other last bits), few jobs
#: at once on few cores, and a quick look at what became of them.
SETTINGS = {
    "jobs": 6,
    "latency-wait": 5,
    "seconds-between-status-checks": 2,
    "slurm-init-seconds-before-status-checks": 3,
    "set-threads": {"train_lesion_fold": 1, "predict_bucket": 1, "predict_interactive": 1},
}


@pytest.fixture(scope="session")
def cluster():
    if missing():
        pytest.skip(missing())
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(Cluster())
        except (AssertionError, OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"SLURM is installed, but no cluster comes up on this machine: {error}")
        yield cluster


@pytest.fixture(scope="session")
def on_cluster(cluster) -> Callable[..., Run]:
    """Makes a run on the cluster: folder, resources by rule that differ from profiles/slurm, options of Run."""

    def make(folder: Path, resources: dict[str, dict] | None = None, **options) -> Run:
        run = Run(folder, "slurm", cluster.environment, **options)
        settings = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text()) | SETTINGS
        for values in settings["set-resources"].values():  # the cluster's GPUs are made up: torch would find none
            if "gpu" in values:
                values["gpu"] = 0
        for rule, values in (resources or {}).items():
            settings["set-resources"][rule] = settings["set-resources"].get(rule, {}) | values
        (folder / "slurm").mkdir()
        (folder / "slurm" / "config.yaml").write_text(yaml.safe_dump(settings))
        return run

    return make
