"""Question frames, measuring frames, and constant rates."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curation.video.encode import constant_rate
from curation.video.sampling import Motion, between, question_indices
from tests.video.media import left_of, stereo


def test_question_frames_are_those_a_trainer_samples():
    assert question_indices(100, 32).tolist() == np.linspace(0, 99, 32).round().astype(int).tolist()
    assert question_indices(10, 32).tolist() == list(range(10))


@given(
    first=st.integers(0, 500),
    frames=st.integers(1, 60),
    seconds=st.floats(0.01, 2),
    motion=st.floats(0, 3),
    cap=st.integers(-3, 40),
)
def test_measuring_frames_end_with_the_next_question_frame_and_are_evenly_spaced(first, frames, seconds, motion, cap):
    chosen = between(first, first + frames, seconds, motion, 10.0, 0.03, cap)
    steps = np.diff([first, *chosen])
    assert chosen[-1] == first + frames and (steps > 0).all() and np.ptp(steps) <= 1
    assert len(chosen) <= max(1, cap)
    enough = min(frames, max(seconds * 10, motion / 0.03))
    assert len(chosen) >= min(enough, max(1, cap)) - 1e-6


def test_motion_is_measured_as_a_share_of_the_width():
    gray = left_of(stereo(1, 160, 100))[0][..., 1]
    motion = Motion()
    assert motion.add(gray) == 0
    assert abs(motion.add(np.roll(gray, 4, axis=1)) - 4 / 160) < 0.004
    assert motion.add(np.roll(gray, 4, axis=1)) < 0.002


def test_rates_that_times_fit_to_a_millisecond_are_constant_and_others_are_not():
    k = np.arange(300)
    assert constant_rate(list(k / 30)) == 30
    assert constant_rate(list(np.round(k * 1001 / 30000, 3))) == Fraction(30000, 1001)
    assert constant_rate(list(5 + k / 23.5)) == Fraction(47, 2)
    assert constant_rate(list(k / 30 + 0.002 * (k % 2))) is None
    assert constant_rate([*(k / 30), 10.2]) is None
    assert constant_rate([0.0]) is None
