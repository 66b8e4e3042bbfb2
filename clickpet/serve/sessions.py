"""Leases of sessions: at most so many at once, each with a token of its own, given back when its client is gone."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """A session that gives its memory back when it is closed."""

    def close(self) -> None:
        """Give the memory back."""


S = TypeVar("S", bound=Closable)


class CapacityError(Exception):
    """All sessions are taken."""


class LeaseGoneError(Exception):
    """There is no such lease: it was given back, ran out, or never was."""


@dataclass(eq=False)
class Lease(Generic[S]):
    """One client's hold on a session.

    token : tells the client;  acted, seen : when it last did something, and when it was last heard of, seconds of the
    leases' clock;  busy : requests of it that run.
    """

    token: str = field(repr=False)
    session: S
    acted: float
    seen: float
    busy: int = 0


class Leases(Generic[S]):
    """The sessions that are open, each for the client that knows its lease's token. Safe for several threads.

    new_session : makes one;  capacity : most at once;  idle_s : a client that does nothing for so long loses its
    lease;  liveness_s : so does one that is not heard of, not even by a heartbeat;  clock : seconds.

    A lease with a request that runs is not idle. A lost lease's session is closed: `close` may have to wait for the
    request that runs in it, so call `expire` and `release` where waiting harms nobody.
    """

    def __init__(
        self,
        new_session: Callable[[], S],
        *,
        capacity: int,
        idle_s: float,
        liveness_s: float,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.new_session, self.capacity = new_session, capacity
        self.idle_s, self.liveness_s, self.clock = idle_s, liveness_s, clock
        self._lock = threading.Lock()
        self._leases: dict[str, Lease[S]] = {}
        self._closing = 0

    def __len__(self) -> int:
        return len(self._leases)

    def claim(self) -> Lease[S]:
        """A new lease; CapacityError where all are taken (a session that is still being closed counts)."""
        with self._lock:
            if len(self._leases) + self._closing >= self.capacity:
                raise CapacityError
            now = self.clock()
            lease = Lease(secrets.token_urlsafe(32), self.new_session(), now, now)
            self._leases[lease.token] = lease
            return lease

    def get(self, token: str) -> Lease[S]:
        """The lease of a client, which is heard of by that; LeaseGoneError where there is none.

        Tokens are random and looked up by their hash, so that the time it takes tells nothing of others' tokens.
        """
        with self._lock:
            return self._heard_of(token)

    def begin(self, token: str) -> Lease[S]:
        """`get` for a request that does something: the lease is busy until `end`."""
        with self._lock:
            lease = self._heard_of(token)
            lease.busy += 1
            return lease

    def _heard_of(self, token: str) -> Lease[S]:
        lease = self._leases.get(token)
        if lease is None or self._is_over(lease):
            raise LeaseGoneError
        lease.seen = self.clock()
        return lease

    def end(self, lease: Lease[S]) -> None:
        """What `begin` began has ended."""
        with self._lock:
            lease.busy -= 1
            lease.acted = lease.seen = self.clock()

    def remaining_s(self, lease: Lease[S]) -> float:
        """Seconds until the lease ends if its client does nothing."""
        return max(0.0, self.idle_s - (self.clock() - lease.acted))

    def release(self, token: str) -> bool:
        """End a lease and close its session; False where there is none."""
        return self._close([token]) == 1

    def expire(self) -> int:
        """End the leases that have run out; returns how many."""
        with self._lock:
            over = [token for token, lease in self._leases.items() if self._is_over(lease)]
        return self._close(over)

    def close_all(self) -> None:
        """End all leases."""
        self._close(list(self._leases))

    def _is_over(self, lease: Lease[S]) -> bool:
        now = self.clock()
        return not lease.busy and (now - lease.acted > self.idle_s or now - lease.seen > self.liveness_s)

    def _close(self, tokens: list[str]) -> int:
        with self._lock:
            leases = [self._leases.pop(token) for token in tokens if token in self._leases]
            self._closing += len(leases)
        for lease in leases:
            try:
                lease.session.close()
            finally:
                with self._lock:
                    self._closing -= 1
        return len(leases)
