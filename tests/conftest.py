"""Settings every test shares: one thread per library, reproducible property tests, and where the real clips lie."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import cv2
import pytest
from hypothesis import settings

cv2.setNumThreads(1)
# Derandomised, so that a red run can be repeated; no deadline, since the first example pays for imports.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def real_clips() -> Path:
    """Folder of the real clips; the test is skipped where they are absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"the real clips are not here (expected {SHARED / 'data'}, beside the project)")
    return SHARED / "data"
