"""The whole chain through `snakemake --profile slurm` on a real cluster: the same results as without."""

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.slurm]


def test_the_tables_are_those_of_the_local_run(on_cluster, tmp_path, request):
    run = on_cluster(tmp_path)
    run.finish()
    assert run.tables() == request.getfixturevalue("chain_run").tables()
