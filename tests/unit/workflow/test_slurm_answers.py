"""An executor that asks SLURM in vain keeps its jobs."""

import asyncio
import logging
from types import SimpleNamespace

import pytest
import snakemake.api  # noqa: F401 (the plugin cannot be the first to be imported)
import snakemake_executor_plugin_slurm as plugin

from clickpet.workflow.slurm_answers import keep_asking


async def no_answer(command, logger):
    return None, None


async def answer(command, logger):
    return {"7": "RUNNING"}, 0.5


@pytest.fixture
def executor(monkeypatch):
    """The plugin's executor with what it uses to check on jobs."""
    monkeypatch.setattr(plugin, "get_min_job_age", lambda: 300)
    return SimpleNamespace(
        workflow=SimpleNamespace(executor_settings=SimpleNamespace(status_attempts=2)),
        status_rate_limiter=asyncio.Semaphore(),
        logger=logging.getLogger("test"),
        get_status_command=lambda: "squeue",
        run_uuid="run",
        next_seconds_between_status_checks=1,
        _status_query_failures=0,
        _status_query_calls=0,
        _status_query_total_seconds=0.0,
        _status_query_min_seconds=None,
        _status_query_max_seconds=0.0,
        _status_query_cycle_rows=[],
    )


def kept(executor) -> list:
    """Jobs that the executor still knows after a check."""
    job = SimpleNamespace(external_jobid="7", aux={})

    async def check():
        return [job async for job in plugin.Executor.check_active_jobs(executor, [job])]

    return asyncio.run(check())


def test_without_it_jobs_are_forgotten_when_slurm_does_not_answer(executor, monkeypatch):
    monkeypatch.setattr(plugin, "query_job_status", no_answer)
    assert not kept(executor)


@pytest.mark.parametrize("query", [no_answer, answer])
def test_with_it_they_are_kept(executor, monkeypatch, query):
    monkeypatch.setattr(plugin, "query_job_status", keep_asking(query))
    assert len(kept(executor)) == 1


def test_an_answer_passes_unchanged():
    assert asyncio.run(keep_asking(answer)("squeue", None)) == ({"7": "RUNNING"}, 0.5)
