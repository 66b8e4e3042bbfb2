"""The whole chain through `snakemake --profile slurm` on a real cluster: the same results as without."""

import os

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.slurm,
    pytest.mark.skipif(not os.environ.get("CLICKPET_SLURM"), reason="set CLICKPET_SLURM=1: takes many minutes"),
]


def test_the_tables_are_those_of_the_local_run(on_cluster, local_run, tmp_path):
    run = on_cluster(tmp_path)
    run.finish()
    assert run.tables() == local_run.tables()
