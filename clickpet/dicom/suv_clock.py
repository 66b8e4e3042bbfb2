"""Clocks of a PET series: when it was injected, started and measured. Seconds from the injection to a reference.

DICOM PS3.3 C.8.9.1.1.4 (decay correction) and C.8.9.4.1.5 (FrameReferenceTime); FrameReferenceTime is the moment,
counted from the series' reference, at which the activity is the mean over the frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clickpet.dicom.suv_header import SeriesHeader
from clickpet.dicom.suv_tags import PRIVATE_TAGS, label
from clickpet.dicom.times import (
    DAY_S,
    Moment,
    clock_time,
    date_time,
    day_number,
    gap_s,
    offset_between,
    seconds_of_day,
    utc_offset,
)
from clickpet.dicom.values import number_of
from clickpet.errors import InputError

#: Longest uptake that is believed for short-lived nuclides, and in half-lives for long-lived ones (Zr-89, I-124).
LONGEST_UPTAKE_S = 12 * 3600.0
LONGEST_UPTAKE_HALF_LIVES = 5.0
#: Disagreement of the header's own clocks that is worth a warning.
CLOCK_WARNING_S = 60.0
#: A local and a UTC clock that are this far apart may belong to different time zones.
UTC_WARNING_S = 50 * 60.0


def mean_moment_s(duration_s: float, half_life_s: float) -> float:
    """When, after the start of a frame, the decaying activity equals its mean over the frame; about half of it."""
    decays = np.log(2) * duration_s / half_life_s
    return float(np.log(decays / -np.expm1(-decays)) * half_life_s / np.log(2))


def scan_start(series: SeriesHeader, half_life_s: float) -> tuple[list[Moment], str]:
    """The moment that DecayCorrection START refers to, for every slice, and the rule that found it.

    SeriesTime if that is not after the earliest AcquisitionTime; else GE's (0009,100D) or Siemens' (0071,1022); else
    AcquisitionTime + mean moment of the frame - FrameReferenceTime; else the earliest AcquisitionTime.
    """
    second = seconds_of_day(series.text("SeriesTime"))
    start = None if second is None else Moment(day_number(series.text("SeriesDate")), second, "SeriesTime")
    acquisitions = _acquisitions(series)
    known = [moment for moment in acquisitions if moment is not None]
    earliest = min(known, key=lambda moment: gap_s(known[0], moment)) if known else None
    frames = _frames(series, acquisitions, half_life_s)
    if start is not None and (earliest is None or gap_s(earliest, start) <= 0):
        chosen, rule = start, "START: decay-corrected to SeriesTime (0008,0031)"
        if earliest is None:
            series.warnings.append("AcquisitionTime is missing; SeriesTime could not be compared with it")
    else:
        distrust = "SeriesTime is missing" if start is None else "SeriesTime is after acquisition"
        chosen, found = _private_start(series) or _frame_start(series, frames) or (earliest, _EARLIEST)
        rule = f"START: {distrust}, decay-corrected to {found}"
    if chosen is None:
        raise InputError(
            "the start of the scan is missing (SeriesTime (0008,0031), AcquisitionTime (0008,0032))",
            where=series.where,
            mend="export the series with its times",
        )
    series.note("SeriesTime")
    series.note("AcquisitionTime")
    _compare_with_frames(series, chosen, frames)
    return [chosen] * len(series.slices), rule


def mean_moments(series: SeriesHeader, half_life_s: float) -> tuple[list[Moment], str]:
    """The mean moment of each slice's own frame, which values without decay correction refer to, and the rule."""
    moments, untold = [], 0
    for one, moment in zip(series.slices, _acquisitions(series), strict=True):
        if moment is None:
            raise InputError(
                "AcquisitionTime (0008,0032) is missing, and DecayCorrection NONE needs it in every slice",
                where=one.where,
                mend="export the series with its times",
            )
        duration_s = _seconds(one.value("ActualFrameDuration"))
        untold += not duration_s
        moments.append(moment.later_by(mean_moment_s(duration_s, half_life_s) if duration_s else 0.0))
    if untold:
        series.warnings.append(
            f"{label('ActualFrameDuration')} is missing; decay was computed to the beginning of each frame"
        )
    _warn_of_one_clock(series)
    _warn_of_utc(series, moments)
    if "DECY" in series.corrections:
        series.warnings.append("DecayCorrection is NONE, although CorrectedImage names DECY; NONE was believed")
    series.note("AcquisitionTime")
    series.note("ActualFrameDuration")
    return moments, (
        "NONE: values are means over each frame, decay computed to its mean moment: "
        "AcquisitionTime (0008,0032) and about half of ActualFrameDuration (0018,1242)"
    )


def uptake_s(series: SeriesHeader, references: list[Moment], half_life_s: float) -> np.ndarray:
    """Seconds from the injection to each reference (slices,)."""
    name_dt, name_tm = "RadiopharmaceuticalStartDateTime", "RadiopharmaceuticalStartTime"
    dated, timed = _injections(series, name_dt, name_tm)
    candidates = [moment for moment in (dated, timed) if moment is not None]
    limit_s = max(LONGEST_UPTAKE_S, LONGEST_UPTAKE_HALF_LIVES * half_life_s)
    anchor = references[0]
    for injection in candidates:
        if injection.day is None or anchor.day is None:
            continue
        seconds = (anchor.day - injection.day) * DAY_S + anchor.second - injection.second
        if 0 <= seconds <= limit_s:
            series.note(injection.name)
            return seconds + _after(anchor, references)
    if half_life_s >= DAY_S:
        raise InputError(
            f"the date of injection is missing or contradicts the scan's ({label(name_dt)}), and the "
            "nuclide lives too long to do without",
            where=series.where,
            mend="enter date and time of the injection in the DICOM files",
        )
    for injection in sorted(candidates, key=lambda moment: moment.day is not None):
        seconds = (anchor.second - injection.second) % DAY_S
        if seconds <= LONGEST_UPTAKE_S:
            if len(candidates) > 1 or (injection.day is not None and anchor.day is not None):
                series.warnings.append("the dates of injection and scan contradict each other; times of day were used")
            elif half_life_s > LONGEST_UPTAKE_S:
                series.warnings.append("the injection has no date; it was taken to lie within 12 h before the scan")
            series.note(injection.name)
            return seconds + _after(anchor, references)
    raise InputError(
        f"the injection ({label(name_dt)}, {label(name_tm)}) does not lie within 12 h before the scan",
        where=series.where,
        mend="correct the injection's or the scan's time in the DICOM files",
    )


def _after(anchor: Moment, references: list[Moment]) -> np.ndarray:
    return np.array([gap_s(anchor, moment) for moment in references])


# --- Injection and acquisition, in the file's own time zone


def _injections(series: SeriesHeader, name_dt: str, name_tm: str) -> tuple[Moment | None, Moment | None]:
    """The injection by its date and time, and by its time of day."""
    stamp = series.text(name_dt)
    written = date_time(stamp, name_dt, None)
    dated = date_time(stamp, name_dt, _local_offset(series))
    timed = clock_time(series.text(name_tm), name_tm)
    if dated is None and timed is None:
        raise InputError(
            f"the time of injection is missing ({label(name_dt)}, {label(name_tm)})",
            where=series.where,
            mend="enter it in the DICOM files and import again",
        )
    if dated is None or timed is None:
        return dated, timed
    if _clock_gap_s(dated, timed) > CLOCK_WARNING_S >= _clock_gap_s(written, timed):
        dated = written  # the time of day is local without doubt: the offset is wrong, not the time
        series.warnings.append(f"the offset from UTC in {name_dt} contradicts {name_tm} and was left")
    if _clock_gap_s(dated, timed) > CLOCK_WARNING_S:
        series.warnings.append(f"{name_dt} and {name_tm} differ by more than a minute")
        if dated.second == 0:  # a date whose time of day was blanked
            dated = Moment(dated.day, timed.second, name_tm)
    return dated, timed


def _clock_gap_s(one: Moment, other: Moment) -> float:
    return abs(gap_s(Moment(None, one.second), Moment(None, other.second)))


def _local_offset(series: SeriesHeader) -> str | None:
    """The file's own offset from UTC: as it says, or as its dates with an offset and its times of day imply.

    An offset of AcquisitionDateTime that is not 0 is that of the scanner; 0 may only say that the date is in UTC.
    """
    first = series.slices[0]
    acquired, injected = (first.value(name) for name in ("AcquisitionDateTime", "RadiopharmaceuticalStartDateTime"))
    own = utc_offset(acquired)
    return (
        utc_offset(series.text("TimezoneOffsetFromUTC"))
        or _implied_offset(acquired, first.value("AcquisitionTime"))
        or (own if own and own[1:] != "0000" else None)
        or _implied_offset(injected, first.value("RadiopharmaceuticalStartTime"))
        or own
    )


def _implied_offset(stamp: object, time_of_day: object) -> str | None:
    """The offset at which a DT that has one shows a local time of day."""
    utc, local = date_time(stamp, "", "+0000"), clock_time(time_of_day, "")
    return offset_between(utc, local) if utc_offset(stamp) and utc and local else None


def _acquisitions(series: SeriesHeader) -> list[Moment | None]:
    offset = _local_offset(series)
    moments = []
    for one in series.slices:
        second = seconds_of_day(one.value("AcquisitionTime"))
        if second is not None:
            moments.append(Moment(day_number(one.value("AcquisitionDate")), second, "AcquisitionTime"))
        else:
            moments.append(date_time(one.value("AcquisitionDateTime"), "AcquisitionDateTime", offset))
    return moments


def _warn_of_utc(series: SeriesHeader, moments: list[Moment]) -> None:
    """Warn where acquisitions are told with an offset only, in a time zone that SeriesTime does not seem to be in."""
    second = seconds_of_day(series.text("SeriesTime"))
    if second is None or moments[0].name != "AcquisitionDateTime" or series.text("TimezoneOffsetFromUTC"):
        return
    if utc_offset(series.slices[0].value("AcquisitionDateTime")):
        apart_s = _clock_gap_s(moments[0], Moment(None, second))
        if apart_s > UTC_WARNING_S:
            series.doubt(
                f"AcquisitionDateTime (0008,002a) has an offset from UTC, is {apart_s / 60:.0f} min off SeriesTime, "
                "and the file does not tell its time zone; check the uptake time"
            )


# --- Start of the scan


_EARLIEST = "the earliest AcquisitionTime (0008,0032)"


def _private_start(series: SeriesHeader) -> tuple[Moment, str] | None:
    for name, vendor in (("GEDecayCorrectionDateTime", "GE's"), ("SiemensDecayCorrectionDateTime", "Siemens'")):
        private = series.slices[0].private(name)
        moment = date_time(private, name, _local_offset(series)) or clock_time(private, name)
        if moment is not None:
            group, _, element = PRIVATE_TAGS[name]
            series.note_private(name)
            return moment, f"{vendor} ({group:04x},10{element:02x})"
    return None


@dataclass(frozen=True)
class _Frame:
    """What one slice's frame says: when it began, its duration, its mean moment and FrameReferenceTime, in s."""

    began: Moment
    duration_s: float
    middle_s: float
    reference_s: float

    @property
    def start(self) -> Moment:
        """The start of the scan by this frame."""
        return self.began.later_by(self.middle_s - self.reference_s)


def _frames(series: SeriesHeader, acquisitions: list[Moment | None], half_life_s: float) -> list[_Frame]:
    """Frames of the slices that tell their duration and FrameReferenceTime."""
    frames = []
    for one, began in zip(series.slices, acquisitions, strict=True):
        duration_s, reference_s = (_seconds(one.value(name)) for name in ("ActualFrameDuration", "FrameReferenceTime"))
        if began is not None and duration_s and reference_s is not None:
            frames.append(_Frame(began, duration_s, mean_moment_s(duration_s, half_life_s), reference_s))
    return frames


def _seconds(milliseconds: object) -> float | None:
    value = number_of(milliseconds)
    return value / 1000 if value is not None and np.isfinite(value) and value >= 0 else None


def _frame_start(series: SeriesHeader, frames: list[_Frame]) -> tuple[Moment, str] | None:
    """The start of the scan by the first frame; None where no frame tells it, or only where the frames begin."""
    if not frames:
        return None
    first = min(frames, key=lambda frame: frame.reference_s)
    if first.reference_s < first.middle_s / 2:  # counted to the beginning of the frame, as some scanners do
        start = first.began.later_by(-first.reference_s)
        return (start, _EARLIEST) if first.reference_s == 0 else (start, "AcquisitionTime less FrameReferenceTime")
    apart_s = max(abs(gap_s(first.start, frame.start)) for frame in frames)
    if apart_s > CLOCK_WARNING_S:
        series.doubt(
            f"AcquisitionTime and {label('FrameReferenceTime')} of the slices tell starts of the scan up to "
            f"{apart_s:.0f} s apart; the first frame's was taken"
        )
    series.note("FrameReferenceTime")
    series.note("ActualFrameDuration")
    return first.start, "the start by the frame clock: AcquisitionTime + mean moment of the frame - FrameReferenceTime"


def _compare_with_frames(series: SeriesHeader, start: Moment, frames: list[_Frame]) -> None:
    """Warn where no frame's clock comes near the start that was used."""
    offsets = [gap_s(start, frame.start) for frame in frames if frame.reference_s]
    nearest = min(offsets, key=abs, default=0.0)
    if abs(nearest) > CLOCK_WARNING_S + max((frame.duration_s for frame in frames), default=0.0) / 2:
        series.doubt(f"{label('FrameReferenceTime')} tells a start {nearest:.0f} s off the one that was used, at least")


def _warn_of_one_clock(series: SeriesHeader) -> None:
    """Warn where all slices have one AcquisitionTime, although their frames were measured at different times."""
    acquired = {str(one.value("AcquisitionTime")) for one in series.slices}
    references = [_seconds(one.value("FrameReferenceTime")) for one in series.slices]
    told = [value for value in references if value is not None]
    apart_s = max(told, default=0.0) - min(told, default=0.0)
    if len(acquired) == 1 and apart_s > CLOCK_WARNING_S:
        series.doubt(
            f"AcquisitionTime is the same in all slices, but {label('FrameReferenceTime')} says that they were "
            f"measured up to {apart_s:.0f} s apart; decay between them is not undone"
        )
