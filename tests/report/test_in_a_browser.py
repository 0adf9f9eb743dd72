"""The pages in a real browser, from disk: no error in the console, and the player draws what the tables say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from curation.audit.published import PublishedClip
from curation.geometry import inverse, transform
from curation.report.clip_view import read_clip
from pipelines.audit import main as audit
from pipelines.report import main as report
from tests.audit.fabricated import BOXES
from tests.report.browser import Browser, missing
from tests.report.made import run_with_video
from tests.report.test_gallery import HOSTILE, _edit

pytestmark = [
    pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())}"),
    pytest.mark.slow,  # paths in space are drawn by software here
]
RED = np.array([0xE5, 0x48, 0x4D])


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, _ = run_with_video(tmp_path_factory.mktemp("seen"))
    _edit(folder, "clips", {"source": HOSTILE})
    _edit(folder, "objects", {"description": HOSTILE})
    assert report([str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def clip_page(browser: Browser, run: Path) -> Browser:
    """The browser with the page of the clip, its charts drawn."""
    browser.open(run / "report" / "clips" / "c1.html")
    browser.wait("document.querySelectorAll('.js-plotly-plot').length === 3")
    return browser


def test_the_player_shows_the_frame_that_is_asked_for_with_the_mask_and_the_path_of_that_frame(
    clip_page: Browser, run: Path
) -> None:
    browser = clip_page
    browser.run(
        "for (const n of ['ids', 'boxes']) { const b = document.querySelector(`[data-show=${n}]`); if (b.checked) b.click(); }"
    )
    for frame in (4, 9):
        browser.run(f"const s = document.getElementById('frame'); s.value = {frame}; s.dispatchEvent(new Event('input'));")
        assert browser.run("return document.getElementById('time').textContent").startswith(f"frame {frame} of 31")
        seen = browser.picture("#view")
        scale = seen.shape[1] / 80
        bar = (seen[int(4 * scale)] > 190).all(-1).sum() / scale
        assert bar == pytest.approx(2 * frame + 2, abs=1.5)
        x0, y0, x1, y1 = (int(v * scale) for v in BOXES[0])
        inside = seen[y0 + 20 : y1 - 20, x0 + 20 : x1 - 20].reshape(-1, 3)
        assert np.median(inside[:, 0] - inside[:, 1]) > 30  # tinted with the object's colour
        u, v = _projected(run, "obj_1", frame) * scale
        spot = seen[int(v) - 2 : int(v) + 3, int(u) - 2 : int(u) + 3].reshape(-1, 3)
        assert np.abs(spot - RED).max(1).min() < 25  # the dot at its centroid
    assert browser.errors() == []


def _projected(run: Path, object_id: str, frame: int) -> np.ndarray:
    view = read_clip(run, "c1")
    assert view is not None
    clip: PublishedClip = view.clip
    poses = clip.poses()
    assert poses is not None
    at = next(r["centroid_m"] for r in clip.tracks[object_id] if r["frame"] == frame)
    return clip.camera.project(transform(inverse(poses[frame]), np.array(at)[None]))[0]


def test_charts_follow_the_player_and_the_player_follows_questions(clip_page: Browser) -> None:
    browser = clip_page
    browser.run("document.querySelectorAll('[data-jump]')[1].click()")
    assert browser.run("return document.getElementById('frame').value") == "20"
    line = browser.run("return document.getElementById('chart-distance').layout.shapes[0].x0")
    assert line == pytest.approx(2.0)
    spot = browser.run(
        "const d = document.getElementById('chart-paths'); return d.data.filter(t => t.mode === 'markers')[0].y[0]"
    )
    assert spot == pytest.approx(2.0 * np.cos(np.radians(12)), rel=1e-4)
    browser.run("document.getElementById('play').click()")
    browser.wait("+document.getElementById('frame').value !== 20", 10)
    browser.run("document.getElementById('theme').click()")
    assert browser.errors() == []


def test_nothing_that_a_video_is_called_runs_as_code(clip_page: Browser, run: Path) -> None:
    assert clip_page.run("return window.hacked") is None
    clip_page.open(run / "report" / "index.html")
    assert HOSTILE[:40] in clip_page.run("return document.querySelector('.clip .name').textContent")
    assert clip_page.run("return window.hacked") is None
    assert clip_page.errors() == []


def test_a_search_leaves_the_clips_that_fit(browser: Browser, run: Path) -> None:
    browser.open(run / "report" / "index.html")
    for words, left in (("no such clip", "0"), ("kept", "1")):
        browser.run(f"const f = document.getElementById('find'); f.value = '{words}'; f.dispatchEvent(new Event('input'));")
        assert browser.run("return document.getElementById('left').textContent") == left


def test_the_audit_opens_without_an_error(browser: Browser, tmp_path: Path) -> None:
    folder, worlds = run_with_video(tmp_path)
    assert audit([str(folder), "--truth", str(worlds)]) == 1
    browser.open(folder / "audit" / "index.html")
    browser.wait("document.querySelectorAll('.js-plotly-plot').length === 4")
    assert browser.errors() == []
    broken = "return [...document.images].filter(i => { i.loading = 'eager'; return i.complete && !i.naturalWidth; }).length"
    assert browser.run(broken) == 0
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
