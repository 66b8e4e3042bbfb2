"""Buckets are stable and even."""

import collections

import pytest

from clickpet.workflow.buckets import CASES_A_BUCKET, bucket_count, bucket_of


@pytest.mark.parametrize(("cases", "buckets"), [(0, 1), (1, 1), (31, 1), (32, 2), (63, 2), (64, 4), (1611, 64)])
def test_number_of_buckets(cases, buckets):
    assert bucket_count(cases) == buckets


def test_cases_are_shared_out_evenly_and_for_good():
    slugs = [f"fdg_{number:05d}" for number in range(1611)]
    sizes = collections.Counter(bucket_of(slug, 64) for slug in slugs)
    assert set(sizes) == set(range(64))
    assert max(sizes.values()) < 3 * CASES_A_BUCKET
    assert bucket_of("fdg_00000", 64) == 24


def test_doubling_splits_every_bucket_in_two():
    for number in range(200):
        slug = f"psma_{number}"
        assert bucket_of(slug, 16) % 8 == bucket_of(slug, 8)
