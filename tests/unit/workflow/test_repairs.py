"""Repairs are applied to the versions that they were written for, and to no other."""

from importlib.metadata import PackageNotFoundError

import pytest
import snakemake.api  # noqa: F401 (snakemake.dag cannot be the first to be imported)
import snakemake_executor_plugin_slurm as slurm
from snakemake.dag import DAG, ScriptProcessor

from clickpet.workflow.job_graph import check_groups, is_ready
from clickpet.workflow.repairs import REPAIRS, apply_repairs

PLACES = [
    (DAG, "_check_groups"),
    (DAG, "validate_group"),
    (DAG, "_ready"),
    (ScriptProcessor, "process_job"),
    (slurm, "query_job_status"),
]


@pytest.fixture
def replaced(monkeypatch):
    """Names of the functions that were replaced since; they are put back afterwards."""
    before = {name: getattr(owner, name) for owner, name in PLACES}
    for owner, name in PLACES:
        monkeypatch.setattr(owner, name, before[name])
    return lambda: {name for owner, name in PLACES if getattr(owner, name) is not before[name]}


def test_the_installed_versions_are_those_they_were_written_for(replaced):
    assert apply_repairs() == []
    assert replaced() == {name for _, name in PLACES}
    assert DAG._check_groups is check_groups
    assert DAG._ready is is_ready


@pytest.mark.parametrize(
    ("versions", "warned", "applied"),
    [
        ({"snakemake": "9.28.1"}, ["snakemake 9.28.1"], {"query_job_status"}),
        ({"snakemake": "9.270.0"}, ["snakemake 9.270.0"], {"query_job_status"}),
        (
            {"snakemake-executor-plugin-slurm": "2.9.0"},
            ["snakemake-executor-plugin-slurm 2.9.0"],
            {"_check_groups", "validate_group", "_ready", "process_job"},
        ),
        (
            {"snakemake": "10.0", "snakemake-executor-plugin-slurm": "3.0"},
            ["snakemake 10.0", "snakemake-executor-plugin-slurm 3.0"],
            set(),
        ),
        ({"snakemake-executor-plugin-slurm": None}, [], {"_check_groups", "validate_group", "_ready", "process_job"}),
    ],
)
def test_other_versions_run_without_them_and_are_told_of(replaced, versions, warned, applied):
    def version_of(package):
        version = versions.get(package, {"snakemake": "9.27.1", "snakemake-executor-plugin-slurm": "2.8.0"}[package])
        if version is None:
            raise PackageNotFoundError(package)
        return version

    warnings = apply_repairs(version_of)
    assert [" ".join(warning.split()[:2]) for warning in warnings] == warned
    assert all("runs without the repairs" in warning and "\n" not in warning for warning in warnings)
    assert replaced() == applied


def test_each_says_what_how_and_until_when():
    for repair in REPAIRS:
        assert min(len(repair.mends), len(repair.measured), len(repair.until)) > 20
