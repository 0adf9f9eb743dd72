"""From values to pages: templates that escape, JSON that cannot leave its script, and the files that all pages share."""

from __future__ import annotations

import json
import math
import re
from functools import cache
from pathlib import Path
from typing import Any

from curation.report.figures import Figure

PLOTLY = "plotly.min.js"
SHARED_FILES = ("style.css", "charts.js", "player.js")
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
_TEMPLATES = Path(__file__).parent / "templates"


def write_page(path: Path, template: str, **values: Any) -> None:
    """Render ``templates/<template>.html.jinja`` to ``path``."""
    html = _environment().get_template(f"{template}.html.jinja").render(**values)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(html.encode("utf-8", "backslashreplace"))  # names of files may hold bytes that are no text


def write_shared_files(folder: Path) -> None:
    """Style, scripts and plotly.js beside the pages: they open from disk, without a network."""
    from plotly.offline import get_plotlyjs

    folder.mkdir(parents=True, exist_ok=True)
    for name in SHARED_FILES:
        (folder / name).write_bytes((_TEMPLATES / name).read_bytes())
    (folder / PLOTLY).write_text(get_plotlyjs(), encoding="utf-8")


def file_name(clip_id: str) -> str:
    """The clip's id where it is safe as the name of a file.

    Raises:
        ValueError: it is not; a table from elsewhere must not choose where pages are written.
    """
    if not _SAFE.fullmatch(clip_id):
        raise ValueError(f"expected a clip id of letters, digits, _ and -, got {clip_id[:80]!r}")
    return clip_id


def script_json(value: Any) -> str:
    """JSON for a ``<script type="application/json">``: no tag can start in it; NaN and infinity are null."""
    text = json.dumps(_plain(value), separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def figure_json(figure: Figure) -> str:
    """A figure for the page's script. Names in it come from videos: plotly would take their tags and formulas as markup."""
    return script_json(_inert(figure))


def _inert(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {k: _inert(v, k) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_inert(v, key) for v in value]
    if isinstance(value, str) and key in ("name", "legendgroup", "text"):
        return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("$", "＄")
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _number(value: float | None, unit: str = "", digits: int = 3) -> str:
    """A number as people read it: small lengths in millimetres; a dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if unit == "m" and 0 < abs(value) < 0.00995:
        value, unit, digits = 1000 * value, "mm", 2
    text = f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"
    if "e" in text:
        text = f"{value:.1e}"
    return f"{text.replace('-', '−')}{chr(0xA0) if unit and unit != '°' else ''}{unit}"


def _share(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f} %"


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = _number
    environment.filters["share"] = _share
    environment.filters["script_json"] = lambda value: Markup(script_json(value))
    environment.filters["figure_json"] = lambda value: Markup(figure_json(value))
    return environment
