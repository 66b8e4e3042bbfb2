"""Job states from SLURM for the executor: a query that SLURM does not answer leaves the jobs as they are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

Query = Callable[..., Awaitable[tuple[dict[str, str] | None, float | None]]]


def keep_asking(query: Query) -> Query:
    """The SLURM executor's `query_job_status`, except that no answer is no news: ({}, 0.0) instead of (None, None).

    query : (command, logger) -> ({SLURM id: state}, seconds).  Jobs without news are asked about again. After
    (None, None) a few times in a row, as when the controller restarts, snakemake-executor-plugin-slurm 2.8 forgets
    every job that it has submitted, and Snakemake waits for them forever.
    """

    async def ask(*arguments, **options):
        states, seconds = await query(*arguments, **options)
        return ({}, 0.0) if states is None else (states, seconds)

    return ask
