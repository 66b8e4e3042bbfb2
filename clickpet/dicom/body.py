"""Weight and height of the patient, and the body measures that an SUV may be normalised by.

W in kg, H in cm. Definitions of DICOM PS3.16 CID 85 (codes 126401 to 126406); for sex O the mean of both.
"""

from __future__ import annotations

from collections.abc import Callable

from clickpet.dicom.suv_header import SeriesHeader
from clickpet.dicom.suv_tags import label
from clickpet.dicom.values import number_of
from clickpet.errors import InputError

#: A weight of this or more is taken to be in grams (DICOM wants kg), a height above 3 in centimetres (DICOM: m).
WEIGHT_IS_GRAMS_FROM = 1000.0
HEIGHT_IS_CM_ABOVE = 3.0
#: Weights (kg) and heights (m) of people; a weight below is believed where the height fits it.
WEIGHTS_KG = (2.5, 400.0)
HEIGHTS_M = (0.3, 2.5)
#: Body mass index (kg/m^2): outside of the first range a warning, outside of the second one of both is wrong.
USUAL_BMI = (8.0, 50.0)
POSSIBLE_BMI = (5.0, 150.0)
_POUND_KG = 0.4536

Formula = Callable[[float, float], float]


def read_weight_kg(series: SeriesHeader) -> float:
    """PatientWeight (0010,1030) in kg; InputError where it is missing or that of no person."""
    value = series.number(
        "PatientWeight", "the patient's weight", "enter the weight in the DICOM files (kg) and import again"
    )
    weight_kg = value
    if value >= WEIGHT_IS_GRAMS_FROM:
        series.warnings.append("weight was taken to be in grams")
        weight_kg = value / 1000
    height_m = _told_height_m(series)
    bmi = weight_kg / height_m**2 if height_m else None
    fits = bmi is not None and USUAL_BMI[0] <= bmi <= USUAL_BMI[1]
    if weight_kg > WEIGHTS_KG[1] or (weight_kg < WEIGHTS_KG[0] and not fits):
        likely = ", which looks like a height in m" if HEIGHTS_M[0] < value < HEIGHTS_M[1] else ""
        raise InputError(
            f"the patient's weight ({label('PatientWeight')}) is {value:g}{likely}",
            where=series.where,
            mend="enter the weight in the DICOM files (kg) and import again",
        )
    if bmi is not None and not fits:
        likely = ""
        if bmi > USUAL_BMI[1] and USUAL_BMI[0] < bmi * _POUND_KG < USUAL_BMI[1]:
            likely = "; the weight may be in pounds"
        series.doubt(
            f"{label('PatientWeight')} {weight_kg:g} kg and {label('PatientSize')} {height_m:g} m do not fit each "
            f"other (body mass index {bmi:.0f}){likely}"
        )
    return weight_kg


def read_height_m(series: SeriesHeader, weight_kg: float) -> float:
    """PatientSize (0010,1020) in m; InputError where it is missing or cannot belong to the weight."""
    mend = "enter the height in the DICOM files (m), or give a series in Bq/ml"
    value = series.number("PatientSize", "the patient's height", mend)
    height_m = value
    if value > HEIGHT_IS_CM_ABOVE:
        series.warnings.append("height was taken to be in centimetres")
        height_m = value / 100
    possible = POSSIBLE_BMI[0] <= weight_kg / height_m**2 <= POSSIBLE_BMI[1]
    if not HEIGHTS_M[0] <= height_m <= HEIGHTS_M[1] or not possible:
        raise InputError(
            f"the patient's height ({label('PatientSize')}) is {value:g}, at a weight of {weight_kg:g} kg",
            where=series.where,
            mend=mend,
        )
    return height_m


def _told_height_m(series: SeriesHeader) -> float | None:
    """PatientSize in m where it is that of a person; nothing is required of it."""
    value = number_of(series.slices[0].value("PatientSize"))
    if value is None:
        return None
    height_m = value / 100 if value > HEIGHT_IS_CM_ABOVE else value
    return height_m if HEIGHTS_M[0] <= height_m <= HEIGHTS_M[1] else None


def _james(male_factor: float) -> dict[str, Formula]:
    return {"M": lambda w, h: 1.10 * w - male_factor * (w / h) ** 2, "F": lambda w, h: 1.07 * w - 148.0 * (w / h) ** 2}


_JANMAHASATIAN = {
    "M": lambda w, h: 9270.0 * w / (6680.0 + 216.0 * w / (h / 100) ** 2),
    "F": lambda w, h: 9270.0 * w / (8780.0 + 244.0 * w / (h / 100) ** 2),
}
_IDEAL = {"M": lambda w, h: 48.0 + 1.06 * (h - 152.0), "F": lambda w, h: 45.5 + 0.91 * (h - 152.0)}

#: SUVType (0054,1006) -> (mass in kg from W and H by sex, formula and source).
BODY_MASSES_KG: dict[str, tuple[dict[str, Formula], str]] = {
    "LBM": (_james(120.0), "LBM = 1.10 W - 120 (W/H)^2, women 1.07 W - 148 (W/H)^2 (James 1976 as in Sugawara 1999)"),
    "LBMJAMES128": (_james(128.0), "LBM = 1.10 W - 128 (W/H)^2, women 1.07 W - 148 (W/H)^2 (James 1976)"),
    "LBMJANMA": (
        _JANMAHASATIAN,
        "LBM = 9270 W / (6680 + 216 BMI), women 9270 W / (8780 + 244 BMI) (Janmahasatian 2005)",
    ),
    "IBW": (_IDEAL, "IBW = 48.0 + 1.06 (H - 152), women 45.5 + 0.91 (H - 152) (Sugawara 1999)"),
}


def body_mass_kg(suv_type: str, sex: str, weight_kg: float, height_cm: float) -> float:
    """The mass that an SUVType of BODY_MASSES_KG divides by, for sex M, F or O."""
    measure = BODY_MASSES_KG[suv_type][0]
    of = [measure[sex]] if sex in measure else [measure["M"], measure["F"]]
    return sum(formula(weight_kg, height_cm) for formula in of) / len(of)


def body_surface_m2(weight_kg: float, height_cm: float) -> float:
    """Body surface in m^2 by Du Bois and Du Bois (1916), as DICOM's SUVbsa (126403) uses it."""
    return 0.007184 * weight_kg**0.425 * height_cm**0.725
