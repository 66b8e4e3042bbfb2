"""Snakemake's questions about the graph of jobs, answered in linear time.

Snakemake 9.27 walks all that lies upstream of every member of every group (profiles/slurm), once for each member of
that group, to see that no group waits for itself: minutes for 200 studies, hours for 1,600. It compares groups member
by member for every dependency of every member whenever a job ends: a third of a dry run with groups. And it opens the
script of every job: a tenth of a dry run. rules/repairs.smk puts these functions in their places; they read
Snakemake's own records of the graph and change nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from graphlib import CycleError, TopologicalSorter

from snakemake.exceptions import WorkflowError


def check_groups(dag) -> None:
    """Raise WorkflowError if a group would have to wait for itself.

    The graph whose nodes are the groups (and the jobs in none) is sorted; a cycle in it is such a group.
    """
    node = {job: dag._group.get(job, job) for job in dag.jobs}
    graph = {}
    for job in dag.jobs:
        before = graph.setdefault(id(node[job]), set())
        before.update(id(node[other]) for other in dag._dependencies[job] if node[other] is not node[job])
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        rules = sorted({job.rule.name for job in node if id(node[job]) in error.args[1]})
        raise WorkflowError(
            f"groups that depend on themselves: {', '.join(rules)}; change the profile's groups"
        ) from None


def is_ready(dag, job) -> bool:
    """True if all that a job waits for is done; in a group: all that its members wait for outside of the group."""
    group = dag._group.get(job)
    if group is None:
        return dag._n_until_ready[job] == 0
    return all(
        dag._n_until_ready[one] == sum(dag._group.get(other) is group for other in dag._dependencies[one])
        for one in group
    )


def once_a_rule(process_job: Callable) -> Callable:
    """A look at every job that is taken at the first job of each rule only.

    process_job : method (processor, job) of one of Snakemake's DAG processors whose answer is the same for all jobs
    of a rule, as whether its script is there if no wildcard is in the script's name.
    """
    seen = set()

    def process_first(processor, job) -> None:
        if (type(processor), job.rule) not in seen:
            process_job(processor, job)
            seen.add((type(processor), job.rule))

    return process_first
