"""Fixtures that many tests share."""

from pathlib import Path

import pytest
from chain import Run
from filelock import FileLock

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real PET/CT data beside the checkout; tests that need it are skipped where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real data folder ../shared/data, which is not part of the project")
    return folder


@pytest.fixture(scope="session")
def chain_run(tmp_path_factory, worker_id) -> Run:
    """The small chain, run to its end once for all test processes."""
    if worker_id == "master":
        run = Run(tmp_path_factory.mktemp("chain"))
        run.finish()
        return run
    folder = tmp_path_factory.getbasetemp().parent / "chain"
    with FileLock(folder.with_suffix(".lock")):
        folder.mkdir(exist_ok=True)
        run = Run(folder)
        if not (folder / "results" / "report.html").is_file():
            run.finish()
    return run
