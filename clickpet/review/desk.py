"""The studies that may be reviewed, and those that are open: few at a time, and none that nobody looks at."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from clickpet.clicks.model import Clicks
from clickpet.review.review import Review
from clickpet.review.source import OpenedStudy, ReviewedStudy

#: Open studies; each holds its scans and what its session keeps.
MOST_OPEN = 2
#: A page asks for its study every half minute; one that has not for so long has gone.
IDLE_S = 600.0


class NotOpenError(Exception):
    """The study is not open (any more): the page opens it again."""


class Desk:
    """Studies by their number, opened and closed. Clicks that were not saved outlive the closing of their study."""

    def __init__(self, studies: Sequence[ReviewedStudy], *, most_open: int = MOST_OPEN, idle_s: float = IDLE_S):
        self.studies = list(studies)
        self.most_open, self.idle_s = most_open, idle_s
        self._open: dict[int, Review] = {}
        self._unsaved: dict[int, Clicks] = {}
        self._lock = threading.RLock()

    def rows(self) -> list[dict]:
        """The list for the page: number, name, facts, whether there are clicks that are not saved."""
        unsaved = self.unsaved
        return [
            {"number": number, "name": study.name, **study.facts, "unsaved": number in unsaved}
            for number, study in enumerate(self.studies)
        ]

    @property
    def unsaved(self) -> list[int]:
        """Numbers of the studies, open or closed, that have clicks which were not saved."""
        with self._lock:
            return sorted({number for number, review in self._open.items() if not review.saved} | set(self._unsaved))

    def open(self, number: int) -> Review:
        """Open a study, or find it open. The one that was used least recently makes room where too many are open."""
        if not 0 <= number < len(self.studies):
            raise NotOpenError
        with self._lock:
            self.close_idle()
            if number not in self._open:
                while len(self._open) >= self.most_open:
                    self.close(min(self._open, key=lambda other: self._open[other].used))
                kept = self._unsaved.get(number)
                review = Review(self.studies[number] if kept is None else _WithClicks(self.studies[number], kept))
                review.saved = kept is None
                self._open[number] = review
                self._unsaved.pop(number, None)
            return self.get(number)

    def get(self, number: int) -> Review:
        """An open study. Raises NotOpenError if it is not."""
        with self._lock:
            if number not in self._open:
                raise NotOpenError
            review = self._open[number]
            review.used = time.monotonic()
            return review

    def close(self, number: int) -> None:
        """Give a study's memory back; clicks that were not saved are kept."""
        with self._lock:
            review = self._open.pop(number, None)
            if review is not None:
                clicks = review.close()
                if not review.saved:
                    self._unsaved[number] = clicks

    def close_idle(self) -> None:
        """Close the studies that no page has asked for."""
        with self._lock:
            now = time.monotonic()
            for number in [number for number, review in self._open.items() if now - review.used > self.idle_s]:
                self.close(number)

    def close_all(self) -> None:
        """Close every study."""
        with self._lock:
            for number in list(self._open):
                self.close(number)


@dataclass(frozen=True, eq=False)
class _WithClicks:
    """A study with the clicks that it was closed with."""

    study: ReviewedStudy
    clicks: Clicks

    def __getattr__(self, name: str):
        return getattr(self.study, name)

    def read(self) -> OpenedStudy:
        return replace(self.study.read(), clicks=self.clicks)
