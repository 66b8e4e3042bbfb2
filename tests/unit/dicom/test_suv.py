"""SUV rules: each against the formula, written out, and against clinical headers and reference objects."""

import copy
import json
import re

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from suv_headers import HALF_LIFE_S, formula, header

from clickpet.dicom.body import body_surface_m2
from clickpet.dicom.suv import suv_factor
from clickpet.errors import InputError


def dataset(**changes):
    """The plain header as a pydicom dataset."""
    values = header(**changes)
    injection, whole = Dataset(), Dataset()
    for keyword, value in values.items():
        setattr(injection if keyword.startswith("Radio") else whole, keyword, value)
    whole.RadiopharmaceuticalInformationSequence = DicomSequence([injection])
    return whole


@given(
    weight_kg=st.floats(3, 300),
    mbq_per_kg=st.floats(1, 10),
    half_life_s=st.one_of(st.floats(3900, 4200), st.floats(6480, 6700), st.floats(45000, 46400)),
    minutes=st.integers(0, 300),
)
def test_formula(weight_kg, mbq_per_kg, half_life_s, minutes):
    dose_mbq = weight_kg * mbq_per_kg
    one = header(
        PatientWeight=weight_kg,
        PatientSize=None,
        RadionuclideTotalDose=dose_mbq * 1e6,
        RadionuclideHalfLife=half_life_s,
        SeriesTime=f"{10 + minutes // 60:02d}{minutes % 60:02d}00",
        AcquisitionTime="160000",
    )
    expected = formula(minutes * 60, weight_kg=weight_kg, dose_bq=dose_mbq * 1e6, half_life_s=half_life_s)
    assert suv_factor([one]).factor == pytest.approx(expected, rel=1e-12)


def test_datasets_and_mappings_give_the_same():
    from_mapping, from_dataset = suv_factor([header()]), suv_factor([dataset()])
    assert from_mapping.to_dict() == from_dataset.to_dict()
    assert from_dataset.factor == pytest.approx(formula(3600), rel=1e-12)


# --- Which moment the decay correction refers to


def test_start_is_series_time_when_it_is_not_after_acquisition():
    assert suv_factor([header(AcquisitionTime="110000")]).delta_t_s[0] == 3600
    assert suv_factor([header(AcquisitionTime="113000")]).delta_t_s[0] == 3600


def test_start_is_earliest_acquisition_when_series_time_is_after_it():
    slices = [header(SeriesTime="120000", AcquisitionTime=time) for time in ("112000", "111000", "113000")]
    audit = suv_factor(slices)
    assert audit.delta_t_s.tolist() == [4200] * 3
    assert "earliest AcquisitionTime" in audit.rule


def test_one_early_slice_is_enough_to_distrust_series_time():
    slices = [header(SeriesTime="111500", AcquisitionTime=time) for time in ("112000", "111000")]
    assert suv_factor(slices).delta_t_s.tolist() == [4200] * 2


@pytest.mark.parametrize("value", ["20200101105500.00", "105500"])
def test_start_is_ge_private_time_before_earliest_acquisition(value):
    late = header(SeriesTime="120000", AcquisitionTime="111000", GEPrivatePostInjectionDateTime=value)
    audit = suv_factor([late])
    assert audit.delta_t_s[0] == 3300
    assert "(0009,100d)" in audit.rule


def test_ge_private_time_is_not_used_while_series_time_is_good():
    assert suv_factor([header(GEPrivatePostInjectionDateTime="20200101105500")]).delta_t_s[0] == 3600


@pytest.mark.parametrize(
    ("group", "creator", "element"), [(0x0009, "GEMS_PETD_01", 0x0D), (0x0071, "SIEMENS MED PT", 0x22)]
)
@pytest.mark.parametrize("vr", ["LO", "UN"])
def test_private_times_in_datasets(group, creator, element, vr):
    one = dataset(SeriesTime="120000", AcquisitionTime="111000")
    block = one.private_block(group, creator, create=True)
    block.add_new(element, vr, b"20200101105500.00 " if vr == "UN" else "20200101105500.00")
    assert suv_factor([one]).delta_t_s[0] == 3300


def test_private_block_of_another_creator_is_not_read():
    one = dataset(SeriesTime="120000", AcquisitionTime="111000")
    one.private_block(0x0009, "SOMEBODY ELSE", create=True).add_new(0x0D, "LO", "20200101105500")
    assert suv_factor([one]).delta_t_s[0] == 4200


def test_private_block_that_is_not_the_first():
    one = dataset(SeriesTime="120000", AcquisitionTime="111000")
    one.private_block(0x0009, "SOMEBODY ELSE", create=True)
    one.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "LO", "20200101105500")
    assert suv_factor([one]).delta_t_s[0] == 3300


def test_admin_needs_neither_times_nor_half_life():
    bare = header(
        DecayCorrection="ADMIN",
        SeriesTime=None,
        AcquisitionTime=None,
        RadionuclideHalfLife=None,
        RadiopharmaceuticalStartTime=None,
        RadiopharmaceuticalStartDateTime=None,
    )
    audit = suv_factor([bare])
    assert audit.factor == pytest.approx(70000 / 350e6, rel=1e-12)
    assert audit.delta_t_s is None


def test_none_takes_each_slice_s_own_acquisition_time():
    slices = [
        header(DecayCorrection="NONE", CorrectedImage=["ATTN"], AcquisitionTime=time) for time in ("111000", "110500")
    ]
    audit = suv_factor(slices)
    assert audit.delta_t_s.tolist() == [4200, 3900]
    assert audit.factors == pytest.approx([formula(4200), formula(3900)], rel=1e-12)
    assert audit.varies
    assert audit.to_dict()["delta_t_range_s"] == [3900, 4200]


def test_acquisition_date_time_stands_in_for_acquisition_time():
    one = header(SeriesTime="120000", AcquisitionTime=None, AcquisitionDateTime="20200101111000.5")
    assert suv_factor([one]).delta_t_s[0] == 4200.5


# --- Dates and clocks


@pytest.mark.parametrize(
    "stamps",
    [
        {"RadiopharmaceuticalStartDateTime": None},
        {"RadiopharmaceuticalStartTime": None},
        {"RadiopharmaceuticalStartTime": "10:00:00"},
        {"RadiopharmaceuticalStartDateTime": None, "SeriesDate": None, "AcquisitionDate": None},
        {"RadiopharmaceuticalStartDateTime": "20190704100000"},  # a shifted date
        {"RadiopharmaceuticalStartDateTime": "20200101000000"},  # a blanked time of day
        {"RadiopharmaceuticalStartDateTime": "20200101110000+0100", "TimezoneOffsetFromUTC": "+0000"},
        {"RadiopharmaceuticalStartDateTime": "20200101100000+0100"},
        {"AcquisitionDate": "20010101"},
    ],
)
def test_ways_to_tell_the_injection(stamps):
    assert suv_factor([header(**stamps)]).delta_t_s[0] == 3600


@pytest.mark.parametrize(
    "stamps",
    [
        {"RadiopharmaceuticalStartDateTime": None},
        {"RadiopharmaceuticalStartDateTime": "20200101233000"},
        {"RadiopharmaceuticalStartDateTime": None, "AcquisitionDate": "19990909"},
    ],
)
def test_midnight_between_injection_and_scan(stamps):
    late = {
        "SeriesDate": "20200102",
        "AcquisitionDate": "20200102",
        "SeriesTime": "003000",
        "AcquisitionTime": "003500",
    }
    one = header(**{**late, "RadiopharmaceuticalStartTime": "233000", **stamps})
    assert suv_factor([one]).delta_t_s[0] == 3600


def test_midnight_between_slices():
    times = [("20200101", "235500"), ("20200102", "000500")]
    slices = [
        header(
            SeriesTime="003000",
            SeriesDate="20200102",
            AcquisitionDate=date,
            AcquisitionTime=time,
            RadiopharmaceuticalStartDateTime="20200101230000",
            RadiopharmaceuticalStartTime="230000",
        )
        for date, time in times
    ]
    assert suv_factor(slices).delta_t_s.tolist() == [3300, 3300]
    undated = [{key: value for key, value in one.items() if "Date" not in key} for one in slices]
    assert suv_factor(undated).delta_t_s.tolist() == [3300, 3300]


def test_long_lived_nuclide_days_after_injection():
    zirconium_s = 78.41 * 3600
    one = header(RadionuclideHalfLife=zirconium_s, RadiopharmaceuticalStartDateTime="20191227100000")
    audit = suv_factor([one])
    assert audit.delta_t_s[0] == 5 * 86400 + 3600
    assert audit.factor == pytest.approx(formula(5 * 86400 + 3600, half_life_s=zirconium_s))


@pytest.mark.parametrize("stamp", [None, "19000101100000", "20200102100000"])
def test_long_lived_nuclide_needs_the_date(stamp):
    one = header(RadionuclideHalfLife=78.41 * 3600, RadiopharmaceuticalStartDateTime=stamp)
    with pytest.raises(InputError, match=r"\(0018,1078\)"):
        suv_factor([one])


def test_injection_after_the_scan_is_refused():
    one = header(RadiopharmaceuticalStartDateTime=None, RadiopharmaceuticalStartTime="113000")
    with pytest.raises(InputError, match="within 12 h before the scan"):
        suv_factor([one])


# --- Units


def test_dose_in_mbq_and_weight_in_grams_and_height_in_cm():
    audit = suv_factor([header(RadionuclideTotalDose=350, PatientWeight=70000)])
    assert audit.factor == pytest.approx(formula(3600), rel=1e-12)
    assert audit.to_dict()["dose_read_as"] == "MBq"
    assert audit.warnings
    surface = [suv_factor([header(Units="CM2ML", PatientSize=size)]).factor for size in (1.7, 170)]
    assert surface[0] == pytest.approx(surface[1], rel=1e-12)


def test_counts_with_philips_suv_factor():
    group = {"SUVScaleFactor": "0.0005 ", "ActivityConcentrationScaleFactor": "2.5"}
    one = header(Units="CNTS", PhilipsPETPrivateGroup=group, PatientWeight=None, RadionuclideTotalDose=None)
    assert suv_factor([one]).factor == 0.0005


@pytest.mark.parametrize(
    "group",
    [{"ActivityConcentrationScaleFactor": "2.5"}, {"SUVScaleFactor": 0, "ActivityConcentrationScaleFactor": 2.5}],
)
def test_counts_with_philips_activity_factor(group):
    assert suv_factor([header(Units="CNTS", PhilipsPETPrivateGroup=group)]).factor == pytest.approx(2.5 * formula(3600))


@pytest.mark.parametrize(("element", "factor"), [(0x00, 0.0005), (0x09, 0.0005 * formula(3600))])
@pytest.mark.parametrize("creator", ["Philips PET Private Group", None])
def test_philips_factors_in_datasets(element, factor, creator):
    one = dataset(Units="CNTS")
    if creator:
        one.private_block(0x7053, creator, create=True).add_new(element, "DS", "0.0005")
    else:
        one.add_new((0x7053, 0x1000 + element), "DS", "0.0005")
    assert suv_factor([one]).factor == pytest.approx(factor, rel=1e-12)


@pytest.mark.parametrize("suv_type", ["BW", None])
def test_suv_by_body_weight_stays(suv_type):
    bare = {"Units": "GML", "SUVType": suv_type, "PatientWeight": None, "RadionuclideTotalDose": None}
    assert suv_factor([header(**bare)]).factors.tolist() == [1.0]


#: Mass in kg of 70 kg and 170 cm, worked out by hand from the published formulas.
MASSES_KG = {
    ("LBM", "M"): 77.0 - 120 * (70 / 170) ** 2,
    ("LBM", "F"): 74.9 - 148 * (70 / 170) ** 2,
    ("LBMJAMES128", "M"): 55.297578,
    ("LBMJAMES128", "F"): 49.806574,
    ("LBMJANMA", "M"): 9270 * 70 / (6680 + 216 * 70 / 2.89),
    ("LBMJANMA", "F"): 9270 * 70 / (8780 + 244 * 70 / 2.89),
    ("IBW", "M"): 67.08,
    ("IBW", "F"): 61.88,
}


@pytest.mark.parametrize("suv_type", ["LBM", "LBMJAMES128", "LBMJANMA", "IBW"])
def test_suv_by_other_masses_is_converted(suv_type):
    male, female = MASSES_KG[suv_type, "M"], MASSES_KG[suv_type, "F"]
    for sex, mass in (("M", male), ("F", female), ("O", (male + female) / 2)):
        audit = suv_factor([header(Units="GML", SUVType=suv_type, PatientSex=sex)])
        assert audit.factor == pytest.approx(70 / mass, rel=1e-7), (suv_type, sex)
        assert audit.conversion


def test_suv_by_body_surface_is_converted():
    surface_m2 = 0.007184 * 70**0.425 * 170**0.725
    assert body_surface_m2(70, 170) == pytest.approx(surface_m2, rel=1e-12)
    assert surface_m2 == pytest.approx(1.81, abs=0.005)
    assert suv_factor([header(Units="CM2ML")]).factor == pytest.approx(70000 / (surface_m2 * 1e4), rel=1e-12)


# --- Refusals


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"CorrectedImage": ["DECY"]}, r"attenuation.*\(0028,0051\)"),
        ({"CorrectedImage": None}, r"attenuation.*\(0028,0051\) is missing"),
        ({"CorrectedImage": ["ATTN"]}, r"lacks DECY"),
        ({"PatientWeight": None}, r"weight.*\(0010,1030\)\) is missing"),
        ({"PatientWeight": 0}, r"weight.*\(0010,1030\)\) is 0"),
        ({"PatientWeight": "n/a"}, r"weight.*missing"),
        ({"RadionuclideTotalDose": None}, r"dose.*\(0018,1074\)\) is missing"),
        ({"RadionuclideTotalDose": -350e6}, r"dose.*-3\.5e\+08"),
        ({"RadionuclideHalfLife": None}, r"half-life.*\(0018,1075\)"),
        ({"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": None}, r"\(0018,1072\)"),
        ({"SeriesTime": None, "AcquisitionTime": None}, r"start of the scan.*\(0008,0031\)"),
        ({"DecayCorrection": "NONE", "AcquisitionTime": None}, r"AcquisitionTime \(0008,0032\)"),
        ({"DecayCorrection": None}, r"DecayCorrection \(0054,1102\) is missing"),
        ({"DecayCorrection": "SOMETIMES"}, r"SOMETIMES"),
        ({"Units": "PROPCNTS"}, r"PROPCNTS"),
        ({"Units": None}, r"Units \(0054,1001\) are missing"),
        ({"Units": "CNTS"}, r"\(7053,1000\)"),
        ({"Units": "GML", "SUVType": "BSA"}, r"BSA"),
        ({"Units": "CM2ML", "SUVType": "IBW"}, r"IBW"),
        ({"Units": "CM2ML", "PatientSize": None}, r"height.*\(0010,1020\)"),
        ({"Units": "GML", "SUVType": "IBW", "PatientSex": None}, r"sex.*\(0010,0040\)"),
        ({"Units": "GML", "SUVType": "IBW", "PatientSex": "X"}, r"sex.*\(0010,0040\)"),
        ({"Units": "GML", "SUVType": "IBW", "PatientSize": 0}, r"height.*is 0"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.130"}, r"enhanced"),
        ({"Modality": "CT"}, r"not PET"),
    ],
)
def test_refusals_name_tag_and_mend_in_one_line(changes, words):
    with pytest.raises(InputError, match=words) as caught:
        suv_factor([header(**changes)], where="some/folder")
    message = str(caught.value)
    assert message.startswith("some/folder: ")
    assert "; " in message
    assert "\n" not in message


def test_slices_of_two_series_are_refused():
    with pytest.raises(InputError, match=r"differ in RadionuclideTotalDose \(0018,1074\)"):
        suv_factor([header(), header(RadionuclideTotalDose=100e6)])
    with pytest.raises(InputError, match="differ in Units"):
        suv_factor([header(), header(Units="CNTS")])


def test_one_slice_without_attenuation_correction_is_refused():
    with pytest.raises(InputError, match="ATTN"):
        suv_factor([header(), header(CorrectedImage=["DECY"])])


def test_two_injections_are_refused_unless_alike():
    one = dataset()
    first = one.RadiopharmaceuticalInformationSequence[0]
    one.RadiopharmaceuticalInformationSequence.append(copy.deepcopy(first))
    assert suv_factor([one]).factor == pytest.approx(formula(3600))
    one.RadiopharmaceuticalInformationSequence[1].RadionuclideTotalDose = "1000000"
    with pytest.raises(InputError, match="2 injections"):
        suv_factor([one])


# --- tcia_compat


def test_tcia_compat_is_the_other_tool_s_formula():
    slices = [header(AcquisitionTime=time, DecayCorrection="ADMIN") for time in ("113000", "112000")]
    assert suv_factor(slices, timing="tcia_compat").factors == pytest.approx([formula(5400)] * 2, rel=1e-12)
    assert suv_factor(slices, timing="tcia_compat", first=1).factor == pytest.approx(formula(4800), rel=1e-12)


def test_unknown_timing_is_a_programming_error():
    with pytest.raises(ValueError, match="timing"):
        suv_factor([header()], timing="guess")


# --- The record


def test_record_tells_the_rule_and_no_dates():
    record = suv_factor([header(Manufacturer="GE MEDICAL SYSTEMS, Dr. Who")]).to_dict()
    text = json.dumps(record)
    assert record["factor"] == pytest.approx(formula(3600))
    assert record["delta_t_s"] == 3600
    assert record["weight_kg"] == 70
    assert record["half_life_s"] == HALF_LIFE_S
    assert record["vendor"] == "GE"
    assert "RadionuclideTotalDose (0018,1074)" in record["tags"]
    for secret in ("2020", "110000", "110500", "100000", "Who"):
        assert secret not in text


def test_frame_clock_that_disagrees_is_a_warning():
    fine = header(ActualFrameDuration=120000, FrameReferenceTime=360000.0)  # 110500 + 60 s - 360 s = 110000
    assert not suv_factor([fine]).warnings
    off = header(ActualFrameDuration=120000, FrameReferenceTime=1360000.0)
    assert "FrameReferenceTime" in suv_factor([off]).warnings[0]


def named_nuclide(meaning, **changes):
    one = dataset(DecayCorrection="START", **changes)
    code = Dataset()
    code.CodeMeaning = meaning
    one.RadiopharmaceuticalInformationSequence[0].RadionuclideCodeSequence = DicomSequence([code])
    return one


@pytest.mark.parametrize(
    ("meaning", "half_life_s", "warned"),
    [("^18^Fluorine", 6586.2, False), ("Ga-68", 4080, False), ("68Ga", 6586.2, True), ("^18^Fluorine", 5000, True),
     ("", 6588, False), ("", 5000, True)],
)  # fmt: skip
def test_a_half_life_that_is_not_the_nuclides_is_a_warning(meaning, half_life_s, warned):
    audit = suv_factor([named_nuclide(meaning, RadionuclideHalfLife=half_life_s)])
    assert any("half-life" in warning for warning in audit.doubts) == warned
    assert set(audit.doubts) <= set(audit.warnings)


@pytest.mark.parametrize(
    ("value", "unit"),
    [(109.77, "18F in minutes"), (1.83, "18F in hours"), (6586200, "18F in milliseconds"), (67.71, "68Ga in minutes"),
     (78.41, "89Zr in hours"), (12.7, "64Cu in hours"), (4.176, "124I in days"), (30, ""), (2e6, "")],
)  # fmt: skip
@pytest.mark.parametrize("meaning", ["", "named"])
def test_half_lives_that_are_not_in_seconds_are_refused(value, unit, meaning):
    nuclide = {"18": "^18^Fluorine", "68": "Gallium-68"}.get(unit[:2], "") if meaning else ""
    with pytest.raises(InputError, match=r"half-life \(RadionuclideHalfLife \(0018,1075\)\)") as caught:
        suv_factor([named_nuclide(nuclide, RadionuclideHalfLife=value)])
    assert f"{value:.10g} s" in str(caught.value)
    assert unit in str(caught.value)


@pytest.mark.parametrize("half_life_s", [75.45, 122.24, 597.9, 1221.8])
def test_half_lives_of_short_lived_nuclides_are_believed(half_life_s):
    late = {"SeriesTime": "100200", "AcquisitionTime": "100200"}
    audit = suv_factor([header(RadionuclideHalfLife=half_life_s, RadionuclideTotalDose=700e6, **late)])
    assert audit.half_life_s == half_life_s
    assert not audit.doubts


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("RadionuclideTotalDose", "350,5"), ("RadionuclideTotalDose", "350000000,0"), ("PatientWeight", "70,5"),
     ("RadionuclideHalfLife", "6586,2")],
)  # fmt: skip
@pytest.mark.parametrize("make", [header, dataset])
def test_decimal_commas_are_refused_with_tag_and_value(keyword, value, make):
    if make is dataset:
        one = dataset()
        holder = one.RadiopharmaceuticalInformationSequence[0] if keyword.startswith("Radio") else one
        tag = pydicom.tag.Tag(pydicom.datadict.tag_for_keyword(keyword))
        holder[tag] = pydicom.dataelem.RawDataElement(tag, "DS", len(value), value.encode(), 0, False, True)
    else:
        one = header(**{keyword: value})
    with pytest.raises(InputError, match=rf'{keyword} \(.*\)\) is "{value}".*decimal comma'):
        suv_factor([one])


def test_odd_text_is_not_repeated():
    with pytest.raises(InputError, match="missing or no number") as caught:
        suv_factor([header(PatientWeight="Mueller, 70")])
    assert "Mueller" not in str(caught.value)


# --- Attenuation correction that only (0054,1101) tells


@pytest.mark.parametrize("method", ["NONE", "none", "Not corrected", "NO", "NAC"])
@pytest.mark.parametrize("codes", [None, ["DECY", "ATTN"], ["DECY"]])
def test_a_method_of_none_is_refused(method, codes):
    with pytest.raises(InputError, match=r"not corrected for attenuation \("):
        suv_factor([header(CorrectedImage=codes, AttenuationCorrectionMethod=method)])


@pytest.mark.parametrize("method", ["measured,, 0.096000 cm-1,", "CT-derived mu-map", "CTAC-SG", "NORMAL CTAC"])
def test_a_method_stands_in_for_missing_codes(method):
    audit = suv_factor([header(CorrectedImage=None, AttenuationCorrectionMethod=method)])
    assert audit.factor == pytest.approx(formula(3600))
    assert "AttenuationCorrectionMethod" in audit.warnings[0]


# --- Real headers


def test_clinical_headers(shared_data):
    folder = shared_data / "dicom" / "calc_suv_headers"
    listed = re.findall(r"\.set\(\s*'([^']+)',\s*([0-9.]+)", (folder / "expected_factors.ts").read_text())
    assert len(listed) == 8
    for name, expected in listed:
        headers = json.loads((folder / "test" / "metadata" / f"{name}-instances.json").read_text())
        factors = suv_factor(headers).factors
        assert np.allclose(factors, float(expected), rtol=1e-9, atol=0), name
        assert not suv_factor(headers).doubts or "FrameReferenceTime" in suv_factor(headers).doubts[0], name
