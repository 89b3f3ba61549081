"""Times grow whatever the stamps do, and sampling follows time, not frame numbers."""

import pytest

from services.ingest.timeline import LONGEST_S, Sampler, Timeline


def placed(stamps, step_s=0.04):
    timeline = Timeline(step_s)
    return [timeline.place(stamp) for stamp in stamps]


def test_times_start_at_zero_and_keep_their_gaps():
    assert placed([7.0, 7.04, 9.5]) == pytest.approx([0.0, 0.04, 2.5])


def test_missing_stamps_count_one_step_each():
    assert placed([None, None, None]) == pytest.approx([0.0, 0.04, 0.08])
    assert placed([1.0, None, 1.08]) == pytest.approx([0.0, 0.04, 0.08])
    assert placed([None, 5.0, 5.04]) == pytest.approx([0.0, 0.04, 0.08])


def test_a_small_step_back_is_jitter_and_shifts_nothing_after_it():
    assert placed([0.0, 0.04, 0.03, 0.12]) == pytest.approx([0.0, 0.04, 0.08, 0.12])


def test_a_repeated_stamp_still_grows():
    assert placed([0.0, 0.0, 0.0]) == pytest.approx([0.0, 0.04, 0.08])


def test_a_clock_that_starts_again_goes_on_from_where_it_was():
    assert placed([10.0, 15.0, 0.0, 0.04, 3.0]) == pytest.approx([0.0, 5.0, 5.04, 5.08, 8.04])


def test_a_first_stamp_that_is_broken_costs_nothing_after_it():
    assert placed([1e12, 0.0, 0.04, 10.0, 10.04, 60.0]) == pytest.approx([0.0, 0.04, 0.08, 10.04, 10.08, 60.04])


def test_broken_stamps_that_come_again_and_again_leave_what_is_seen_with_a_date():
    almost_a_century = 99 * 365 * 24 * 3600.0
    stamps = [0.0, *(stamp for number in range(40) for stamp in (almost_a_century, 0.04 * (number + 1)))]
    times = placed(stamps)
    assert times == sorted(times)
    assert times[-1] < LONGEST_S


@pytest.mark.parametrize("broken", [1e12, -1e15, 1e300])
def test_a_stamp_that_is_further_off_than_any_recording_goes_counts_one_step(broken):
    assert placed([0.0, 5.0, broken, 5.08, 5.12]) == pytest.approx([0.0, 5.0, 5.04, 5.08, 5.12])


def test_one_broken_stamp_does_not_shift_the_rest():
    assert placed([0.0, 5.0, -3.0, 5.08, 5.12]) == pytest.approx([0.0, 5.0, 5.04, 5.08, 5.12])


@pytest.mark.parametrize(("source_fps", "max_fps", "kept"), [(25, 5, 50), (30, 25, 250), (25, 50, 250), (60, 7, 70)])
def test_the_sampler_keeps_the_asked_rate_on_average(source_fps, max_fps, kept):
    sampler = Sampler(max_fps)
    assert sum(sampler.wants(index / source_fps) for index in range(10 * source_fps)) == pytest.approx(kept, abs=1)


def test_without_a_rate_every_frame_is_kept():
    sampler = Sampler(None)
    assert all(sampler.wants(time_s) for time_s in (0.0, 0.001, 0.002))


def test_after_a_gap_the_sampler_does_not_catch_up_in_a_burst():
    sampler = Sampler(5)
    assert [sampler.wants(time_s) for time_s in (0.0, 60.0, 60.04, 60.08, 60.2)] == [True, True, False, False, True]
