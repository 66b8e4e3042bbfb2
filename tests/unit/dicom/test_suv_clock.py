"""Clocks of PET series: the frame clock, mean moments of frames and time zones, against integrals and sums."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from suv_headers import HALF_LIFE_S, formula, header

from clickpet.dicom.suv import suv_factor
from clickpet.dicom.suv_clock import mean_moment_s
from clickpet.errors import InputError

LATE = {"SeriesTime": "120000"}  # after every acquisition: not the start of the scan


@given(duration_s=st.floats(1, 3600), half_life_s=st.floats(70, 400_000))
def test_the_mean_moment_is_where_the_activity_is_its_mean(duration_s, half_life_s):
    rate = np.log(2) / half_life_s
    mean = -np.expm1(-rate * duration_s) / (rate * duration_s)  # integral of exp(-rate t) over the frame
    moment = mean_moment_s(duration_s, half_life_s)
    assert np.exp(-rate * moment) == pytest.approx(mean, rel=1e-9)
    assert 0 < moment <= duration_s / 2 * (1 + 1e-9)


def test_half_of_a_short_frame_and_less_of_a_long_one():
    assert mean_moment_s(60, 282276) == pytest.approx(30, abs=1e-3)
    assert mean_moment_s(600, HALF_LIFE_S) == pytest.approx(300 - np.log(2) / HALF_LIFE_S * 600**2 / 24, abs=1e-3)


# --- START


@pytest.mark.parametrize(("duration_s", "reference_s"), [(300, 450), (300, 150), (600, 1800), (120, 60), (90, 1700)])
@pytest.mark.parametrize("series_time", ["120000", None])
def test_start_by_the_frame_clock(duration_s, reference_s, series_time):
    """AcquisitionTime + mean moment - FrameReferenceTime, where SeriesTime is missing or after acquisition."""
    one = header(
        SeriesTime=series_time,
        AcquisitionTime="113000",
        ActualFrameDuration=duration_s * 1000,
        FrameReferenceTime=reference_s * 1000,
    )
    audit = suv_factor([one])
    expected = 5400 + mean_moment_s(duration_s, HALF_LIFE_S) - reference_s
    assert audit.delta_t_s[0] == pytest.approx(expected, abs=1e-6)
    assert "frame clock" in audit.rule
    assert not audit.doubts


def test_beds_of_one_scan_tell_one_start():
    beds = [
        header(**LATE, AcquisitionTime=f"11{bed:02d}00", ActualFrameDuration=60_000,
               FrameReferenceTime=1000 * (60 * bed + mean_moment_s(60, HALF_LIFE_S)))
        for bed in (4, 2, 0, 6)
    ]  # fmt: skip
    audit = suv_factor(beds)
    assert audit.delta_t_s == pytest.approx([3600] * 4, abs=1e-6)
    assert not audit.doubts


def test_beds_with_one_acquisition_time_take_the_first_frame_and_say_so():
    beds = [
        header(**LATE, AcquisitionTime="111000", ActualFrameDuration=120_000, FrameReferenceTime=reference * 1000)
        for reference in (360, 60, 660)
    ]
    audit = suv_factor(beds)
    assert audit.delta_t_s == pytest.approx([4200 + mean_moment_s(120, HALF_LIFE_S) - 60] * 3, abs=1e-6)
    assert any("600 s apart" in doubt for doubt in audit.doubts)


@pytest.mark.parametrize("references_s", [(0,), (0, 243, 486)])
def test_frame_reference_times_that_count_to_the_frames_beginning(references_s):
    """As some scanners write them: the first frame has 0, and its beginning is the start."""
    beds = [
        header(**LATE, AcquisitionTime="111000", ActualFrameDuration=240_000, FrameReferenceTime=reference * 1000)
        for reference in references_s
    ]
    assert suv_factor(beds).delta_t_s[0] == 4200


@pytest.mark.parametrize("missing", ["ActualFrameDuration", "FrameReferenceTime"])
def test_without_a_frame_clock_the_earliest_acquisition_is_the_start(missing):
    values = {"ActualFrameDuration": 300_000, "FrameReferenceTime": 450_000, missing: None}
    audit = suv_factor([header(**LATE, AcquisitionTime="113000", **values)])
    assert audit.delta_t_s[0] == 5400
    assert "earliest AcquisitionTime" in audit.rule


def test_private_times_and_a_good_series_time_go_before_the_frame_clock():
    frame = {"AcquisitionTime": "113000", "ActualFrameDuration": 300_000, "FrameReferenceTime": 450_000}
    assert suv_factor([header(SeriesTime="110000", **frame)]).delta_t_s[0] == 3600
    private = header(**LATE, **frame, GEPrivatePostInjectionDateTime="20200101105500")
    assert suv_factor([private]).delta_t_s[0] == 3300


def test_a_start_that_falls_on_the_injection_is_doubted():
    """FrameReferenceTime counted from the injection: uptake 0."""
    one = header(**LATE, AcquisitionTime="110000", ActualFrameDuration=120_000, FrameReferenceTime=3_659_900)
    assert any("after the injection" in doubt for doubt in suv_factor([one]).doubts)


# --- NONE


@pytest.mark.parametrize("duration_s", [60, 300, 600])
def test_values_without_decay_correction_are_means_over_their_frame(duration_s):
    slices = [
        header(DecayCorrection="NONE", CorrectedImage=["ATTN"], AcquisitionTime=time,
               ActualFrameDuration=duration_s * 1000)
        for time in ("110500", "111500")
    ]  # fmt: skip
    audit = suv_factor(slices)
    middle_s = mean_moment_s(duration_s, HALF_LIFE_S)
    assert audit.delta_t_s == pytest.approx([3900 + middle_s, 4500 + middle_s], abs=1e-6)
    assert audit.factors == pytest.approx([formula(3900 + middle_s), formula(4500 + middle_s)], rel=1e-9)
    assert not audit.warnings


def test_a_missing_frame_duration_is_told():
    audit = suv_factor([header(DecayCorrection="NONE", CorrectedImage=["ATTN"])])
    assert audit.delta_t_s[0] == 3900
    assert "ActualFrameDuration (0018,1242) is missing" in audit.warnings[0]


def test_one_acquisition_time_for_all_beds_is_doubted_without_decay_correction():
    beds = [
        header(DecayCorrection="NONE", CorrectedImage=["ATTN"], ActualFrameDuration=60_000, FrameReferenceTime=time)
        for time in (30_000, 630_000)
    ]
    assert "600 s apart" in suv_factor(beds).doubts[0]


# --- Time zones


@pytest.mark.parametrize(
    "stamps",
    [
        {"AcquisitionTime": "111000+0200"},
        {"AcquisitionTime": "111000.50-0500", "more_s": 0.5},
        {"AcquisitionTime": None, "AcquisitionDateTime": "20200101111000+0200"},
        {"AcquisitionTime": None, "AcquisitionDateTime": "20200101111000.0-0500"},
        {"AcquisitionTime": None, "AcquisitionDateTime": "20200101091000+0000", "TimezoneOffsetFromUTC": "+0200"},
        {"AcquisitionTime": "111000", "AcquisitionDateTime": "20200101091000+0000",
         "RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": "20200101080000+0000"},
        {"AcquisitionTime": "111000", "AcquisitionDateTime": "20200101111000+0200",
         "RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": "20200101100000"},
        {"AcquisitionTime": None, "AcquisitionDateTime": "20200101111000+0200",
         "RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": "20200101080000+0000"},
        {"AcquisitionTime": "111000", "AcquisitionDateTime": "20200101111000+0530",
         "RadiopharmaceuticalStartDateTime": "20200101100000+0000"},
        {"AcquisitionTime": None, "AcquisitionDateTime": "20200101111000+0100",
         "RadiopharmaceuticalStartDateTime": "20200101100000+0000"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("decay_correction", ["START", "NONE"])
def test_offsets_from_utc_shift_neither_injection_nor_acquisition(stamps, decay_correction):
    more_s = stamps.get("more_s", 0.0)
    changes = {key: value for key, value in stamps.items() if key != "more_s"}
    codes = ["ATTN"] if decay_correction == "NONE" else ["ATTN", "DECY"]
    audit = suv_factor([header(**LATE, DecayCorrection=decay_correction, CorrectedImage=codes, **changes)])
    assert audit.delta_t_s[0] == 4200 + more_s


def test_an_acquisition_in_utc_in_a_file_without_time_zone_is_told():
    one = header(
        DecayCorrection="NONE", CorrectedImage=["ATTN"], AcquisitionTime=None,
        AcquisitionDateTime="20200101150500+0000", ActualFrameDuration=60_000,
    )  # fmt: skip
    assert "offset from UTC" in suv_factor([one]).doubts[0]


def test_an_injection_that_the_offset_puts_after_the_scan_is_refused():
    one = header(RadiopharmaceuticalStartTime=None, RadiopharmaceuticalStartDateTime="20200101110000-0200",
                 TimezoneOffsetFromUTC="+0000")  # fmt: skip
    with pytest.raises(InputError, match="within 12 h"):
        suv_factor([one])
