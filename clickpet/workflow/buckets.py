"""Cases shared out among jobs, where loading a model costs more than using it; a new case moves no other."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

#: Cases of a job, about: between this and twice as many.
CASES_A_BUCKET = 16


def bucket_count(cases: int) -> int:
    """Jobs for a cohort: a power of two, so that cases change their bucket only when the cohort doubles."""
    return 2 ** max(0, math.floor(math.log2(max(1, cases / CASES_A_BUCKET))))


def bucket_of(slug: str, buckets: int) -> int:
    """The bucket of a case; a function of its slug and of the number of buckets alone."""
    return int(hashlib.sha256(slug.encode()).hexdigest()[:8], 16) % buckets


def members_of(buckets: Mapping[str, str]) -> dict[str, list[str]]:
    """Cases of each bucket, in the order of `buckets`, {case: bucket}."""
    members: dict[str, list[str]] = {}
    for case, bucket in buckets.items():
        members.setdefault(bucket, []).append(case)
    return members
