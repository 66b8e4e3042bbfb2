"""Questions about the graph of jobs, against Snakemake's own answers and against running groups one by one."""

from types import SimpleNamespace

import pytest
import snakemake.api  # noqa: F401 (snakemake.dag cannot be the first to be imported)
from hypothesis import given
from hypothesis import strategies as st
from snakemake.dag import DAG
from snakemake.exceptions import WorkflowError

from clickpet.workflow.job_graph import check_groups, is_ready, once_a_rule

JOBS = range(8)


class Node:
    """A job, known by its identity."""

    def __init__(self, number: int):
        self.number, self.rule = number, SimpleNamespace(name=f"rule_{number}")


class Group(list):
    """As Snakemake's GroupJob."""

    __hash__ = object.__hash__
    groupid = "group"


@st.composite
def graphs(draw):
    """A small DAG of jobs, some of them in groups, some of them done."""
    jobs = [Node(number) for number in JOBS]
    edges = draw(st.lists(st.sampled_from([(late, early) for late in JOBS for early in range(late)]), max_size=14))
    places = draw(st.lists(st.sampled_from([None, 0, 1, 2]), min_size=len(jobs), max_size=len(jobs)))
    done = draw(st.sets(st.sampled_from(JOBS)))
    groups = [Group(job for job in jobs if places[job.number] == number) for number in range(3)]
    dependencies = {job: {jobs[early]: set() for late, early in edges if late == job.number} for job in jobs}
    return SimpleNamespace(
        jobs=jobs,
        _group={job: groups[places[job.number]] for job in jobs if places[job.number] is not None},
        _dependencies=dependencies,
        _n_until_ready={job: sum(other.number not in done for other in dependencies[job]) for job in jobs},
    )


def refuses(check, dag) -> bool:
    """True if a check finds a group that waits for itself."""
    try:
        check(dag)
    except WorkflowError:
        return True
    return False


def gets_stuck(dag) -> bool:
    """True if groups, each run when all that its members need from outside is there, do not come to an end."""
    left, done = [dag._group.get(job, [job]) for job in dag.jobs], set()
    while left:
        ready = [
            one for one in left if all(needed in done | set(one) for job in one for needed in dag._dependencies[job])
        ]
        if not ready:
            return True
        done.update(job for one in ready for job in one)
        left = [one for one in left if one[0] not in done]
    return False


@given(graphs())
def test_a_job_is_ready_when_snakemake_says_so(dag):
    assert [is_ready(dag, job) for job in dag.jobs] == [DAG._ready(dag, job) for job in dag.jobs]


@given(graphs())
def test_what_would_get_stuck_is_refused_and_nothing_else(dag):
    assert refuses(check_groups, dag) == gets_stuck(dag)


@given(graphs())
def test_what_snakemake_refuses_is_refused(dag):
    assert refuses(check_groups, dag) or not refuses(DAG._check_groups, dag)


def test_the_rules_are_named():
    first, between, last = (Node(number) for number in range(3))
    group = Group([first, last])
    dag = SimpleNamespace(
        jobs=[first, between, last],
        _group={first: group, last: group},
        _dependencies={first: {}, between: {first: set()}, last: {between: set()}},
    )
    with pytest.raises(WorkflowError, match="rule_0, rule_1, rule_2"):
        check_groups(dag)


def test_only_the_first_job_of_a_rule_is_looked_at_by_each_processor():
    looked = []

    class Scripts:
        process_job = once_a_rule(lambda processor, job: looked.append((type(processor).__name__, job.name)))

    class Notebooks(Scripts):
        pass

    for processor in (Scripts(), Notebooks()):
        for job in (
            SimpleNamespace(rule="a", name="a1"),
            SimpleNamespace(rule="a", name="a2"),
            SimpleNamespace(rule="b", name="b1"),
        ):
            processor.process_job(job)
    assert looked == [("Scripts", "a1"), ("Scripts", "b1"), ("Notebooks", "a1"), ("Notebooks", "b1")]


def test_what_fails_is_looked_at_again():
    def fail(processor, job):
        raise OSError(job.name)

    process = once_a_rule(fail)
    for name in ("first", "second"):
        with pytest.raises(OSError, match=name):
            process(None, SimpleNamespace(rule="a", name=name))
