"""Moments in DICOM headers: dates that may be missing or shifted by de-identification, times of day, time zones."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

DAY_S = 86400.0


@dataclass(frozen=True)
class Moment:
    """A date (day number, or None) and a time of day in seconds."""

    day: int | None
    second: float
    name: str = field(default="", compare=False)

    def later_by(self, seconds: float) -> Moment:
        total = self.second + seconds
        return Moment(None if self.day is None else self.day + int(total // DAY_S), total % DAY_S, self.name)


def gap_s(earlier: Moment, later: Moment) -> float:
    """Seconds from one to the other: by dates if those lie within a day, else the shorter way round the clock."""
    clock = later.second - earlier.second
    if earlier.day is not None and later.day is not None:
        dated = (later.day - earlier.day) * DAY_S + clock
        if abs(dated) <= DAY_S:
            return dated
    return (clock + DAY_S / 2) % DAY_S - DAY_S / 2


def seconds_of_day(value: Any) -> float | None:
    """DICOM TM (HH[MM[SS[.F]]], colons allowed) as seconds of the day.

    An offset from UTC, which no TM has by the standard, is left: times of day are local ones.
    """
    match = re.fullmatch(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(\.\d*)?)?)?(?:[+-]\d{4})?", str(value or "").strip())
    if not match:
        return None
    hours, minutes, seconds, fraction = match.groups()
    total = int(hours) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return total + float(fraction if fraction and fraction != "." else 0) if total <= DAY_S else None


def day_number(value: Any) -> int | None:
    """DICOM DA (YYYYMMDD, dots allowed) as a day number."""
    match = re.fullmatch(r"(\d{4})\.?(\d{2})\.?(\d{2})", str(value or "").strip())
    if not match:
        return None
    try:
        return int((np.datetime64("-".join(match.groups()), "D") - np.datetime64("1900-01-01", "D")).astype(int))
    except ValueError:
        return None


def date_time(value: Any, name: str, local_offset: str | None) -> Moment | None:
    """DICOM DT as a moment in the time zone `local_offset` (+HHMM); as it is written where either names no offset."""
    match = re.fullmatch(r"(\d{8})(\d{2,6}(?:\.\d*)?)([+-]\d{4})?", str(value or "").strip())
    if not match:
        return None
    day, second = day_number(match[1]), seconds_of_day(match[2])
    if day is None or second is None:
        return None
    moment = Moment(day, second, name)
    if match[3] and local_offset and re.fullmatch(r"[+-]\d{4}", local_offset):
        return moment.later_by(_offset_s(local_offset) - _offset_s(match[3]))
    return moment


def utc_offset(value: Any) -> str | None:
    """The offset from UTC (+HHMM or -HHMM) at the end of a DICOM DT, or all of the text; None where there is none."""
    match = re.fullmatch(r"(?:\d{10,14}(?:\.\d*)?)?([+-]\d{4})", str(value or "").strip())
    return match[1] if match else None


def offset_between(utc: Moment, local: Moment) -> str:
    """The offset from UTC, to the quarter of an hour, at which a moment in UTC has a local time of day."""
    quarters = round(gap_s(Moment(None, utc.second), Moment(None, local.second)) / 900)
    return f"{'-' if quarters < 0 else '+'}{abs(quarters) // 4:02d}{abs(quarters) % 4 * 15:02d}"


def clock_time(value: Any, name: str) -> Moment | None:
    second = seconds_of_day(value)
    return None if second is None else Moment(None, second, name)


def _offset_s(text: str) -> float:
    sign = -1 if text[0] == "-" else 1
    return sign * (int(text[1:3]) * 3600 + int(text[3:5]) * 60)
