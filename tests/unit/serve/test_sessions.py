"""Leases: so many at once, each by its token, gone when their clients are."""

import threading

import pytest

from clickpet.serve.sessions import CapacityError, LeaseGoneError, Leases


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Session:
    def __init__(self):
        self.closed = 0

    def close(self):
        self.closed += 1


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def leases(clock):
    return Leases(Session, capacity=2, idle_s=100, liveness_s=10, clock=clock)


def test_as_many_leases_as_there_is_room_for(leases):
    first, second = leases.claim(), leases.claim()
    assert first.token != second.token
    assert first.session is not second.session
    assert first.token not in repr(first)
    with pytest.raises(CapacityError):
        leases.claim()
    assert leases.get(first.token) is first
    assert leases.release(first.token) is True
    assert (first.session.closed, second.session.closed) == (1, 0)
    assert leases.release(first.token) is False
    with pytest.raises(LeaseGoneError):
        leases.get(first.token)
    leases.claim()
    leases.close_all()
    assert len(leases) == 0
    assert second.session.closed == 1


@pytest.mark.parametrize("token", ["", "x", "ä"])
def test_tokens_of_nobody(leases, token):
    leases.claim()
    with pytest.raises(LeaseGoneError):
        leases.get(token)


def test_a_client_that_is_not_heard_of_loses_its_lease(leases, clock):
    gone, alive = leases.claim(), leases.claim()
    for clock.now in (9, 10):
        assert leases.get(alive.token) is alive
        assert leases.expire() == 0
    clock.now = 10.1
    with pytest.raises(LeaseGoneError):
        leases.get(gone.token)
    assert gone.session.closed == 0
    assert leases.expire() == 1
    assert (gone.session.closed, alive.session.closed) == (1, 0)


def test_heartbeats_alone_do_not_keep_a_lease(leases, clock):
    lease = leases.claim()
    for clock.now in range(0, 101, 5):
        assert leases.remaining_s(leases.get(lease.token)) == 100 - clock.now
    clock.now = 100.5
    with pytest.raises(LeaseGoneError):
        leases.get(lease.token)


def test_what_runs_keeps_a_lease_and_its_end_begins_the_time_anew(leases, clock):
    lease = leases.begin(leases.claim().token)
    clock.now = 500
    assert leases.expire() == 0
    leases.end(lease)
    clock.now = 509
    assert leases.remaining_s(leases.get(lease.token)) == 91
    clock.now = 520
    assert leases.expire() == 1


def test_a_session_that_is_still_being_closed_takes_its_room(clock):
    may_close, closing = threading.Event(), threading.Event()

    class Slow(Session):
        def close(self):
            closing.set()
            may_close.wait(10)

    leases = Leases(Slow, capacity=1, idle_s=100, liveness_s=10, clock=clock)
    thread = threading.Thread(target=leases.release, args=(leases.claim().token,))
    thread.start()
    closing.wait(10)
    with pytest.raises(CapacityError):
        leases.claim()
    may_close.set()
    thread.join()
    leases.claim()
