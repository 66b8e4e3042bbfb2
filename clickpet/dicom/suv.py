"""From stored PET values to body-weight SUV: the rules, pure on header values, with a record of what was used.

SUVbw = (pixel * slope + intercept) * weight_g / (dose_Bq * 2^(-delta_t / half_life)).

Sources: DICOM PS3.3 C.8.9 (PET series, image and isotope modules), QIBA vendor-neutral SUV pseudocode (2018),
IBSI manual of SUV computation with its digital reference objects. Identifying attributes are never read here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from clickpet.dicom.body import BODY_MASSES_KG, body_mass_kg, body_surface_m2, read_height_m, read_weight_kg
from clickpet.dicom.injection import Dose, read_dose
from clickpet.dicom.nuclides import HALF_LIVES_S, likely_half_life, nuclide_by_half_life, nuclide_named
from clickpet.dicom.suv_audit import SuvAudit
from clickpet.dicom.suv_clock import mean_moments, scan_start, uptake_s
from clickpet.dicom.suv_header import Header, SeriesHeader, SliceHeader
from clickpet.dicom.suv_tags import label
from clickpet.dicom.times import seconds_of_day
from clickpet.dicom.values import number_of
from clickpet.errors import InputError

#: Decay references nearer to the injection than this are those of scans that begin with it, or wrong.
SHORTEST_UPTAKE_S = 120.0


def suv_factor(headers: Sequence[Header], *, timing: str = "series", where: object = None, first: int = 0) -> SuvAudit:
    """The factor from rescaled pixel values to SUVbw for each slice of one PET series.

    headers : one per slice, pydicom datasets or plain mappings from DICOM keywords to values (the injection's
        attributes flat or in RadiopharmaceuticalInformationSequence).
    timing : "series", the rules below; "tcia_compat", the formula of the conversion tool that comes with the public
        data set: AcquisitionTime of one file (`first`), whatever Units and DecayCorrection say, no midnight.
    where : what errors name; the slice's file where it is None and the header knows its file.

    Rules of "series", by Units: BQML as in the formula; CNTS times Philips (7053,1000), which gives SUVbw, or times
    (7053,1009), which gives Bq/ml; GML is SUV already and is converted if SUVType names another normalisation than
    body weight; CM2ML is SUV by body surface and is converted. delta_t by DecayCorrection: ADMIN 0; START to the
    start of the scan (`clickpet.dicom.suv_clock.scan_start`); NONE to the mean moment of each slice's own frame. Where
    the dates contradict each other (de-identified files) times of day decide, and midnight may lie between.

    Raises InputError for enhanced PET, missing attenuation correction, unknown units and for every value that the
    rule needs and that the header lacks or that is that of no person or nuclide, with its tag and the mend. What is
    odd but possible is a warning in the record.
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
    weight_kg = read_weight_kg(series)
    dose = _dose(series, weight_kg)
    half_life_s = delta_t_s = None
    if decay_correction == "ADMIN":
        rule = "ADMIN: values are decay-corrected to the injection, no decay to compute"
        _need_decay(series, decay_correction)
        decay = np.ones(len(series.slices))
    elif decay_correction in ("START", "NONE"):
        half_life_s = _half_life_s(series)
        if decay_correction == "START":
            _need_decay(series, decay_correction)
            references, rule = scan_start(series, half_life_s)
        else:
            references, rule = mean_moments(series, half_life_s)
        delta_t_s = uptake_s(series, references, half_life_s)
        decay = 2.0 ** (-delta_t_s / half_life_s)
        if delta_t_s.min() < SHORTEST_UPTAKE_S:
            series.doubt(
                f"the decay reference lies {delta_t_s.min():.0f} s after the injection; a scan that did not start "
                "with the injection has a wrong time"
            )
    else:
        state = decay_correction or "missing"
        raise InputError(
            f"DecayCorrection (0054,1102) is {state}, not START, ADMIN or NONE",
            where=series.where,
            mend="ask the scanner's export for the decay correction and enter it",
        )
    factors = weight_kg * 1000 / (dose.bq * decay)
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
        dose_bq=dose.bq,
        dose_read_as=dose.read_as,
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
    weight_kg = read_weight_kg(series)
    height_m = read_height_m(series, weight_kg)
    mass_kg = body_mass_kg(suv_type, sex, weight_kg, height_m * 100)
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
        conversion=BODY_MASSES_KG[suv_type][1],
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
    weight_kg = read_weight_kg(series)
    height_m = read_height_m(series, weight_kg)
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
    weight_kg = read_weight_kg(series)
    dose = series.number("RadionuclideTotalDose", "the injected dose", "enter the dose in the DICOM files (Bq)")
    half_life_s = _half_life_s(series)
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


def _dose(series: SeriesHeader, weight_kg: float) -> Dose:
    """The injected activity; InputError where it is missing or that of no person."""
    mend = "enter the dose in the DICOM files (Bq) and import again"
    value = series.number("RadionuclideTotalDose", "the injected dose", mend)
    nuclide = nuclide_named(series.slices[0].nuclide_text())
    if nuclide is None:
        half_life_s = number_of(series.slices[0].value("RadionuclideHalfLife"))
        nuclide = nuclide_by_half_life(half_life_s) if half_life_s else None
    dose = read_dose(value, weight_kg, nuclide)
    concern = f"the injected dose ({label('RadionuclideTotalDose')}) is {dose.concern}"
    if dose.refused:
        raise InputError(concern, where=series.where, mend=mend)
    if dose.concern:
        series.doubt(concern)
    return dose


def _half_life_s(series: SeriesHeader) -> float:
    """The half-life in s; InputError where it is missing or that of no nuclide in seconds."""
    mend = "enter the nuclide's half-life in the DICOM files (s)"
    value = series.number("RadionuclideHalfLife", "the half-life", mend)
    named, known = nuclide_named(series.slices[0].nuclide_text()), nuclide_by_half_life(value)
    if known and known in (named or known,):
        return value
    concern = f"the half-life ({label('RadionuclideHalfLife')}) of {value:.10g} s is "
    concern += (
        f"not that of {named.name} ({named.half_life_s:g} s), which the header names" if named else "of no nuclide"
    )
    likely = "" if known else likely_half_life(value, named) or likely_half_life(value, None)
    if likely or not HALF_LIVES_S[0] <= value <= HALF_LIVES_S[1]:
        raise InputError(concern + (f"; it looks like {likely}" if likely else ""), where=series.where, mend=mend)
    series.doubt(concern)
    return value


def _need_decay(series: SeriesHeader, decay_correction: str) -> None:
    if series.corrections and "DECY" not in series.corrections:
        raise InputError(
            f"DecayCorrection (0054,1102) is {decay_correction}, but CorrectedImage (0028,0051) lacks DECY",
            where=series.where,
            mend="give the decay-corrected reconstruction, or correct the attribute that is wrong",
        )
