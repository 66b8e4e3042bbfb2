"""The whole chain through `snakemake --profile slurm` on a real cluster: the same results as without."""

import os

import pytest
from chain import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.slurm,
    pytest.mark.skipif(not os.environ.get("CLICKPET_SLURM"), reason="set CLICKPET_SLURM=1: takes many minutes"),
]


def test_the_tables_are_those_of_the_local_run(on_cluster, tmp_path_factory):
    run, local = on_cluster(tmp_path_factory.mktemp("slurm")), Run(tmp_path_factory.mktemp("local"))
    run.finish()
    local.finish()
    assert run.tables() == local.tables()
