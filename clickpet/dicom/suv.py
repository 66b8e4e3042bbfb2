"""From stored PET values to body-weight SUV: the rules, pure on header values, with a record of what was used.

SUVbw = (pixel * slope + intercept) * weight_g / (dose_Bq * 2^(-delta_t / half_life)).

Sources: DICOM PS3.3 C.8.9 (PET series, image and isotope modules), QIBA vendor-neutral SUV pseudocode (2018),
IBSI manual of SUV computation with its digital reference objects. Identifying attributes are never read here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clickpet.dicom.suv_header import PRIVATE_TAGS, Header, SeriesHeader, SliceHeader, label
from clickpet.dicom.times import DAY_S, Moment, clock_time, date_time, day_number, gap_s, seconds_of_day
from clickpet.dicom.values import number_of
from clickpet.errors import InputError

#: Longest uptake that is believed for short-lived nuclides, and in half-lives for long-lived ones (Zr-89, I-124).
LONGEST_UPTAKE_S = 12 * 3600.0
LONGEST_UPTAKE_HALF_LIVES = 5.0
#: Disagreement of the header's own clocks that is worth a warning.
CLOCK_WARNING_S = 60.0


@dataclass(frozen=True)
class SuvAudit:
    """How a series became SUV: the factor and every value and rule that went into it; nothing that identifies.

    factors : float64 (slices,), g/ml per stored unit, in the order of the headers; multiply the rescaled pixels by it.
    delta_t_s : float64 (slices,), injection to decay reference; None where no decay had to be computed.
    """

    units: str
    rule: str
    factors: np.ndarray
    timing: str
    decay_correction: str | None = None
    suv_type: str | None = None
    conversion: str | None = None
    delta_t_s: np.ndarray | None = None
    half_life_s: float | None = None
    dose_bq: float | None = None
    dose_read_as: str | None = None
    weight_kg: float | None = None
    height_m: float | None = None
    vendor_scale: float | None = None
    vendor: str = "unknown"
    corrections: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def factor(self) -> float:
        """The factor of the first slice; of all slices unless `varies`."""
        return float(self.factors[0])

    @property
    def varies(self) -> bool:
        """True if slices have different factors."""
        return bool(np.ptp(self.factors) > 1e-9 * np.max(self.factors))

    def to_dict(self) -> dict[str, Any]:
        """The record as plain JSON values; no dates, no times of day, no identifiers."""
        record = {
            "target": "SUVbw",
            "rule": self.rule,
            "timing": self.timing,
            "units": self.units,
            "suv_type": self.suv_type,
            "conversion": self.conversion,
            "decay_correction": self.decay_correction,
            "factor": self.factor,
            "delta_t_s": None if self.delta_t_s is None else round(float(self.delta_t_s[0]), 3),
            "half_life_s": self.half_life_s,
            "dose_bq": self.dose_bq,
            "dose_read_as": self.dose_read_as,
            "weight_kg": self.weight_kg,
            "height_m": self.height_m,
            "vendor_scale": self.vendor_scale,
            "vendor": self.vendor,
            "corrections": list(self.corrections),
            "slices": len(self.factors),
            "tags": list(self.tags),
            "warnings": list(self.warnings),
        }
        if self.varies:
            record["factor_range"] = [float(self.factors.min()), float(self.factors.max())]
        if self.delta_t_s is not None and np.ptp(self.delta_t_s) > 0:
            record["delta_t_range_s"] = [round(float(edge), 3) for edge in (self.delta_t_s.min(), self.delta_t_s.max())]
        return record


def suv_factor(headers: Sequence[Header], *, timing: str = "series", where: object = None, first: int = 0) -> SuvAudit:
    """The factor from rescaled pixel values to SUVbw for each slice of one PET series.

    headers : one per slice, pydicom datasets or plain mappings from DICOM keywords to values (the injection's
        attributes flat or in RadiopharmaceuticalInformationSequence).
    timing : "series", the rules below; "tcia_compat", the formula of the conversion tool that comes with the public
        data set: AcquisitionTime of one file (`first`), whatever Units and DecayCorrection say, no midnight.
    where : what errors name; the slice's file where it is None and the header knows its file.

    Rules of "series", by Units: BQML as in the formula; CNTS times Philips (7053,1000), which gives SUVbw, or times
    (7053,1009), which gives Bq/ml; GML is SUV already and is converted if SUVType names another normalisation than
    body weight; CM2ML is SUV by body surface and is converted. delta_t by DecayCorrection: ADMIN 0; START to
    SeriesTime if that is not after the earliest AcquisitionTime, else to GE's (0009,100D) or Siemens' (0071,1022),
    else to the earliest AcquisitionTime; NONE to each slice's own AcquisitionTime. Where the dates contradict each
    other (de-identified files) times of day decide, and midnight may lie between.

    Raises InputError for enhanced PET, missing attenuation correction, unknown units and for every value that the
    rule needs and the header lacks, with its tag and the mend.
    """
    if timing not in ("series", "tcia_compat"):
        raise ValueError(f'timing is {timing!r}, not "series" or "tcia_compat"')
    slices = [SliceHeader(header, where) for header in headers]
    if not slices:
        raise InputError("no slices", where=where)
    series = SeriesHeader(slices)
    series.check_usable()
    if timing == "tcia_compat":
        return _compat(series, first)
    units = series.code("Units")
    if units not in _BY_UNITS:
        named = f"Units (0054,1001) are {units}" if units else "Units (0054,1001) are missing"
        raise InputError(
            f"{named}, not BQML, CNTS, GML or CM2ML", where=series.where, mend="export the quantitative PET series"
        )
    return _BY_UNITS[units](series)


def _from_activity(series: SeriesHeader, *, units: str = "BQML", scale: np.ndarray | None = None) -> SuvAudit:
    """Bq/ml, or counts that `scale` (slices,) brings to Bq/ml."""
    decay_correction = series.code("DecayCorrection")
    weight_kg = series.weight_kg()
    dose_bq, dose_read_as = series.dose()
    half_life_s = delta_t_s = None
    if decay_correction == "ADMIN":
        rule = "ADMIN: values are decay-corrected to the injection, no decay to compute"
        _need_decay(series, decay_correction)
        decay = np.ones(len(series.slices))
    elif decay_correction in ("START", "NONE"):
        half_life_s = series.half_life_s()
        if decay_correction == "START":
            _need_decay(series, decay_correction)
            references, rule = _scan_start(series)
        else:
            references, rule = _own_acquisition(series)
        delta_t_s = _uptake_s(series, references, half_life_s)
        decay = 2.0 ** (-delta_t_s / half_life_s)
        _compare_frame_clock(series, references, decay_correction, half_life_s)
    else:
        state = decay_correction or "missing"
        raise InputError(
            f"DecayCorrection (0054,1102) is {state}, not START, ADMIN or NONE",
            where=series.where,
            mend="ask the scanner's export for the decay correction and enter it",
        )
    factors = weight_kg * 1000 / (dose_bq * decay)
    if scale is not None:
        factors = factors * scale
    return SuvAudit(
        units=units,
        rule=rule,
        factors=factors,
        timing="series",
        decay_correction=decay_correction,
        delta_t_s=delta_t_s,
        half_life_s=half_life_s,
        dose_bq=dose_bq,
        dose_read_as=dose_read_as,
        weight_kg=weight_kg,
        vendor_scale=None if scale is None else float(scale[0]),
        **series.common(),
    )


def _from_counts(series: SeriesHeader) -> SuvAudit:
    to_suv = series.scale("PhilipsSUVScaleFactor")
    if to_suv is not None:
        return SuvAudit(
            units="CNTS",
            rule="counts times Philips' SUV scale factor (7053,1000)",
            factors=to_suv,
            timing="series",
            vendor_scale=float(to_suv[0]),
            **series.common(),
        )
    to_activity = series.scale("PhilipsActivityScaleFactor")
    if to_activity is not None:
        return _from_activity(series, units="CNTS", scale=to_activity)
    raise InputError(
        "Units (0054,1001) are CNTS, but Philips' scale factors (7053,1000) and (7053,1009) are missing",
        where=series.where,
        mend="export the series with its private attributes, or in Bq/ml",
    )


def _from_suv(series: SeriesHeader) -> SuvAudit:
    """GML: an SUV already, by the body measure that SUVType names (body weight where it names none)."""
    suv_type = series.code("SUVType")
    if suv_type in ("", "BW"):
        if not suv_type:
            series.warnings.append("SUVType is missing; the values were taken as SUV by body weight")
        ones = np.ones(len(series.slices))
        rule = "GML: values are SUV by body weight already"
        return SuvAudit(units="GML", rule=rule, factors=ones, timing="series", suv_type="BW", **series.common())
    if suv_type not in BODY_MASSES_KG:
        raise InputError(
            f"SUVType (0054,1006) is {suv_type}, which Units GML do not know",
            where=series.where,
            mend="export the series in Bq/ml",
        )
    sex = series.code("PatientSex")
    if sex not in ("M", "F", "O"):
        raise InputError(
            f"SUVType {suv_type} needs the patient's sex (PatientSex (0010,0040) is not M, F or O)",
            where=series.where,
            mend="enter it in the DICOM files, or give a series in Bq/ml",
        )
    weight_kg, height_m = series.weight_kg(), series.height_m()
    measure, formula = BODY_MASSES_KG[suv_type]
    mass_kg = _for_sex(measure, sex)(weight_kg, height_m * 100)
    if mass_kg <= 0:
        raise InputError(
            f"weight and height give no {suv_type} mass above 0",
            where=series.where,
            mend="correct PatientWeight (0010,1030) and PatientSize (0010,1020)",
        )
    return SuvAudit(
        units="GML",
        rule=f"GML: SUV by {suv_type}, converted to body weight",
        factors=np.full(len(series.slices), weight_kg / mass_kg),
        timing="series",
        suv_type=suv_type,
        conversion=formula,
        weight_kg=weight_kg,
        height_m=height_m,
        **series.common(),
    )


def _from_surface_suv(series: SeriesHeader) -> SuvAudit:
    suv_type = series.code("SUVType")
    if suv_type not in ("", "BSA"):
        raise InputError(
            f"Units (0054,1001) are CM2ML, but SUVType (0054,1006) is {suv_type}",
            where=series.where,
            mend="export the series in Bq/ml",
        )
    weight_kg, height_m = series.weight_kg(), series.height_m()
    surface_cm2 = body_surface_m2(weight_kg, height_m * 100) * 1e4
    return SuvAudit(
        units="CM2ML",
        rule="CM2ML: SUV by body surface, converted to body weight",
        factors=np.full(len(series.slices), weight_kg * 1000 / surface_cm2),
        timing="series",
        suv_type="BSA",
        conversion="BSA = 0.007184 W^0.425 H^0.725 (Du Bois and Du Bois 1916)",
        weight_kg=weight_kg,
        height_m=height_m,
        **series.common(),
    )


_BY_UNITS: dict[str, Callable[[SeriesHeader], SuvAudit]] = {
    "BQML": _from_activity,
    "CNTS": _from_counts,
    "GML": _from_suv,
    "CM2ML": _from_surface_suv,
}


def _compat(series: SeriesHeader, first: int) -> SuvAudit:
    """weight_g / (dose * 0.5^((AcquisitionTime of one file - start time) / half-life)), times of day as they stand."""
    one = series.slices[first]
    weight_kg = series.weight_kg()
    dose = series.number("RadionuclideTotalDose", "the injected dose", "enter the dose in the DICOM files (Bq)")
    half_life_s = series.half_life_s()
    series.note("AcquisitionTime")
    series.note("RadiopharmaceuticalStartTime")
    scan_s, start_s = (
        seconds_of_day(one.value("AcquisitionTime")),
        seconds_of_day(one.value("RadiopharmaceuticalStartTime")),
    )
    if scan_s is None or start_s is None:
        raise InputError(
            "AcquisitionTime (0008,0032) or RadiopharmaceuticalStartTime (0018,1072) is missing",
            where=one.where,
            mend='use timing "series"',
        )
    delta_t_s = np.full(len(series.slices), scan_s - start_s)
    series.warnings.append("tcia_compat reproduces a public conversion tool; it is wrong for many scanners")
    return SuvAudit(
        units=series.code("Units"),
        rule="tcia_compat: AcquisitionTime of the first file, other rules ignored",
        factors=weight_kg * 1000 / (dose * 2.0 ** (-delta_t_s / half_life_s)),
        timing="tcia_compat",
        delta_t_s=delta_t_s,
        half_life_s=half_life_s,
        dose_bq=dose,
        dose_read_as="Bq",
        weight_kg=weight_kg,
        **series.common(),
    )


# --- Body measures -------------------------------------------------------------------------------------------------
# W in kg, H in cm. Definitions of DICOM PS3.16 CID 85 (codes 126401 to 126406); for sex O the mean of both.


def _james(male_factor: float) -> dict[str, Callable[[float, float], float]]:
    return {"M": lambda w, h: 1.10 * w - male_factor * (w / h) ** 2, "F": lambda w, h: 1.07 * w - 148.0 * (w / h) ** 2}


_JANMAHASATIAN = {
    "M": lambda w, h: 9270.0 * w / (6680.0 + 216.0 * w / (h / 100) ** 2),
    "F": lambda w, h: 9270.0 * w / (8780.0 + 244.0 * w / (h / 100) ** 2),
}
_IDEAL = {"M": lambda w, h: 48.0 + 1.06 * (h - 152.0), "F": lambda w, h: 45.5 + 0.91 * (h - 152.0)}

#: SUVType (0054,1006) -> (mass in kg from W and H by sex, formula and source).
BODY_MASSES_KG: dict[str, tuple[dict[str, Callable[[float, float], float]], str]] = {
    "LBM": (_james(120.0), "LBM = 1.10 W - 120 (W/H)^2, women 1.07 W - 148 (W/H)^2 (James 1976 as in Sugawara 1999)"),
    "LBMJAMES128": (_james(128.0), "LBM = 1.10 W - 128 (W/H)^2, women 1.07 W - 148 (W/H)^2 (James 1976)"),
    "LBMJANMA": (
        _JANMAHASATIAN,
        "LBM = 9270 W / (6680 + 216 BMI), women 9270 W / (8780 + 244 BMI) (Janmahasatian 2005)",
    ),
    "IBW": (_IDEAL, "IBW = 48.0 + 1.06 (H - 152), women 45.5 + 0.91 (H - 152) (Sugawara 1999)"),
}


def _for_sex(measure: dict[str, Callable[[float, float], float]], sex: str) -> Callable[[float, float], float]:
    if sex in measure:
        return measure[sex]
    return lambda w, h: (measure["M"](w, h) + measure["F"](w, h)) / 2


def body_surface_m2(weight_kg: float, height_cm: float) -> float:
    """Body surface in m^2 by Du Bois and Du Bois (1916), as DICOM's SUVbsa (126403) uses it."""
    return 0.007184 * weight_kg**0.425 * height_cm**0.725


# --- Clocks --------------------------------------------------------------------------------------------------------


def _acquisitions(series: SeriesHeader) -> list[Moment | None]:
    moments = []
    for one in series.slices:
        second = seconds_of_day(one.value("AcquisitionTime"))
        if second is not None:
            moments.append(Moment(day_number(one.value("AcquisitionDate")), second, "AcquisitionTime"))
        else:
            moments.append(date_time(one.value("AcquisitionDateTime"), "AcquisitionDateTime", None))
    return moments


def _scan_start(series: SeriesHeader) -> tuple[list[Moment], str]:
    """The moment that START refers to, for every slice, and the rule that found it."""
    one = series.slices[0]
    second = seconds_of_day(series.text("SeriesTime"))
    start = None if second is None else Moment(day_number(series.text("SeriesDate")), second, "SeriesTime")
    known = [moment for moment in _acquisitions(series) if moment is not None]
    earliest = min(known, key=lambda moment: gap_s(known[0], moment)) if known else None
    chosen, rule = None, ""
    distrust = "SeriesTime is missing" if start is None else "SeriesTime is after acquisition"
    if start is not None and (earliest is None or gap_s(earliest, start) <= 0):
        chosen, rule = start, "START: decay-corrected to SeriesTime (0008,0031)"
        if earliest is None:
            series.warnings.append("AcquisitionTime is missing; SeriesTime could not be compared with it")
    if chosen is None:
        for name, text in (("GEDecayCorrectionDateTime", "GE's"), ("SiemensDecayCorrectionDateTime", "Siemens'")):
            private = one.private(name)
            moment = date_time(private, name, None) or clock_time(private, name)
            if moment is not None:
                group, _, element = PRIVATE_TAGS[name]
                series.used[f"{name} ({group:04x},10{element:02x})"] = None
                chosen = moment
                rule = f"START: {distrust}, decay-corrected to {text} ({group:04x},10{element:02x})"
                break
    if chosen is None and earliest is not None:
        chosen = earliest
        rule = f"START: {distrust}, decay-corrected to the earliest AcquisitionTime (0008,0032)"
    if chosen is None:
        raise InputError(
            "the start of the scan is missing (SeriesTime (0008,0031), AcquisitionTime (0008,0032))",
            where=series.where,
            mend="export the series with its times",
        )
    series.note("SeriesTime")
    series.note("AcquisitionTime")
    return [chosen] * len(series.slices), rule


def _own_acquisition(series: SeriesHeader) -> tuple[list[Moment], str]:
    moments = _acquisitions(series)
    for one, moment in zip(series.slices, moments, strict=True):
        if moment is None:
            raise InputError(
                "AcquisitionTime (0008,0032) is missing, and DecayCorrection NONE needs it in every slice",
                where=one.where,
                mend="export the series with its times",
            )
    series.note("AcquisitionTime")
    return moments, "NONE: values are as measured, decay computed to each slice's AcquisitionTime (0008,0032)"


def _uptake_s(series: SeriesHeader, references: list[Moment], half_life_s: float) -> np.ndarray:
    """Seconds from the injection to each reference (slices,)."""
    name_dt, name_tm = "RadiopharmaceuticalStartDateTime", "RadiopharmaceuticalStartTime"
    stamp = series.text(name_dt)
    offset = series.text("TimezoneOffsetFromUTC")
    dated = date_time(stamp, name_dt, offset or None)
    second = seconds_of_day(series.text(name_tm))
    timed = None if second is None else Moment(None, second, name_tm)
    if dated is None and timed is None:
        raise InputError(
            f"the time of injection is missing ({label(name_dt)}, {label(name_tm)})",
            where=series.where,
            mend="enter it in the DICOM files and import again",
        )
    if dated is not None and timed is not None and abs(gap_s(Moment(None, dated.second), timed)) > CLOCK_WARNING_S:
        series.warnings.append(f"{name_dt} and {name_tm} differ by more than a minute")
        if dated.second == 0:  # a date whose time of day was blanked
            dated = Moment(dated.day, timed.second, name_tm)
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


def _compare_frame_clock(
    series: SeriesHeader, references: list[Moment], decay_correction: str, half_life_s: float
) -> None:
    """Warn where FrameReferenceTime (the mean moment of a frame after the reference) tells another start."""
    durations = [number_of(one.value("ActualFrameDuration")) for one in series.slices]
    if decay_correction == "NONE":
        longest_s = max((value for value in durations if value), default=0.0) / 1000
        excess = 2 ** (longest_s / 2 / half_life_s) - 1
        if excess > 0.01:
            series.warnings.append(
                f"frames last up to {longest_s:.0f} s; decay within a frame (about {100 * excess:.1f} %) is not undone"
            )
        return
    offsets = []
    for one, moment, reference, duration in zip(
        series.slices, _acquisitions(series), references, durations, strict=True
    ):
        frame_reference = number_of(one.value("FrameReferenceTime"))
        if moment is not None and duration and frame_reference:
            middle_s = duration / 2000
            offsets.append(gap_s(reference, moment.later_by(middle_s - frame_reference / 1000)))
    nearest = min(offsets, key=abs, default=0.0)
    if abs(nearest) > CLOCK_WARNING_S + max(value or 0 for value in durations) / 2000:
        series.warnings.append(
            f"FrameReferenceTime (0054,1300) tells a start {nearest:.0f} s off the one that was used, at least"
        )


def _need_decay(series: SeriesHeader, decay_correction: str) -> None:
    if series.corrections and "DECY" not in series.corrections:
        raise InputError(
            f"DecayCorrection (0054,1102) is {decay_correction}, but CorrectedImage (0028,0051) lacks DECY",
            where=series.where,
            mend="give the decay-corrected reconstruction, or correct the attribute that is wrong",
        )
