"""Plotly figures as plain JSON values; the page's script gives them the colours of its theme.

Figures in space are turned so that up is up: plotly's x, y, z are right, forward and up, the world's X, Z and -Y.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from schemas.camera import Array

Figure = dict[str, Any]
COLOURS = ("#e5484d", "#0090ff", "#e8a317", "#30a46c", "#d6409f", "#12a594", "#8e4ec6", "#f76b15")
CAMERA_COLOUR = "#7c8798"
_UP = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]])  # plot_from_world
_FEW = 30  # errors: a share of fewer says little
_INSIDE = 5  # groups whose legend finds room within the plot
_LEAST_SPAN = 0.25  # of the longest axis: a path along one line still gets a box that can be read


def colour(number: int) -> str:
    """Of the object with this number within its clip."""
    return COLOURS[number % len(COLOURS)]


@dataclass(frozen=True)
class Curve:
    """A quantity over time: ``value`` and ``sigma`` in the same unit, NaN where there is none; ``truth`` where it is known."""

    name: str
    colour: str
    time_s: Float[Array, "q"]
    value: Float[Array, "q"]
    sigma: Float[Array, "q"]
    truth: Float[Array, "q"] | None = None


def curves(lines: Sequence[Curve], unit: str) -> Figure:
    """Values over time with bands of one and of three sigma; the truth is dashed."""
    data: list[Figure] = []
    for line in lines:
        for width, opacity in ((3, 0.13), (1, 0.3)):
            x, y = band(line, width)
            if x:
                filled = {"fill": "toself", "mode": "none", "fillcolor": _faded(line.colour, opacity)}
                data.append(_curve(line.name, x, y) | filled | {"hoverinfo": "skip", "showlegend": False})
        known = np.isfinite(line.sigma).any()
        hover = "%{y:.3f}" + (" ± %{customdata:.3f} " if known else " ") + unit + "<extra>%{fullData.name}</extra>"
        stroke = {"color": line.colour, "width": 2}
        drawn = {"mode": "lines+markers", "line": stroke, "marker": {"size": 4}, "hovertemplate": hover}
        data.append(_curve(line.name, floats(line.time_s), floats(line.value)) | drawn | {"customdata": floats(line.sigma)})
        if line.truth is not None:
            dotted = {"mode": "lines", "line": {**stroke, "dash": "dot"}, "showlegend": False}
            hover = "%{y:.3f} " + unit + "<extra>truth</extra>"
            data.append(_curve(line.name, floats(line.time_s), floats(line.truth)) | dotted | {"hovertemplate": hover})
    axes = {"xaxis": {"title": {"text": "time (s)"}}, "yaxis": {"title": {"text": unit}, "rangemode": "tozero"}}
    return {"data": data, "layout": {**axes, "hovermode": "x unified"}}


def _curve(name: str, x: list[float | None], y: list[float | None]) -> Figure:
    return {"type": "scatter", "x": x, "y": y, "name": name, "legendgroup": name}


def band(line: Curve, sigmas: float) -> tuple[list[float | None], list[float | None]]:
    """Outline of ``value +- sigmas * sigma``: one closed polygon per stretch without a gap, None between them."""
    known = np.isfinite(line.value) & np.isfinite(line.sigma)
    x: list[float | None] = []
    y: list[float | None] = []
    for start, end in stretches(known):
        part = slice(start, end)
        low, high = (line.value[part] - sigmas * line.sigma[part]), (line.value[part] + sigmas * line.sigma[part])
        x += [*floats(line.time_s[part]), *floats(line.time_s[part][::-1]), None]
        y += [*floats(high), *floats(low[::-1]), None]
    return x[:-1], y[:-1]


def stretches(known: Bool[Array, "q"]) -> list[tuple[int, int]]:
    """(start, end) of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(known).astype(int), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


@dataclass(frozen=True)
class PathLine:
    """A path in space, world frame; NaN where it is not known. ``follow`` is the name of what moves along it."""

    name: str
    colour: str
    points: Float[Array, "q 3"]
    dashed: bool = False
    follow: str = ""


def paths(lines: Sequence[PathLine], poses: Float[Array, "q 4 4"] | None, field: tuple[float, float], unit: str) -> Figure:
    """Paths of the camera and of objects, with the camera's pyramid at some frames.

    Args:
        lines: the paths; those with ``follow`` get a marker that the page moves with the frame.
        poses: of the camera, world from camera.
        field: half the width and half the height of the view at depth 1.
        unit: of the axes: "m", or "units" for a path without scale.

    Returns:
        A figure with ``follow``: per moving marker its trace's number, and its place at every frame.
    """
    every = np.concatenate([line.points for line in lines] or [np.zeros((1, 3))])
    every = every[np.isfinite(every).all(1)] @ _UP.T
    if not len(every):
        every = np.zeros((1, 3))
    low, high = every.min(0), every.max(0)
    longest = max(float((high - low).max()), 0.05)
    size = 0.07 * longest
    if poses is not None:
        low, high = low - size, high + size
    middle, span = (low + high) / 2, np.maximum(high - low, _LEAST_SPAN * longest) * 1.1
    data: list[Figure] = []
    if poses is not None:
        shown = np.unique(np.round(np.linspace(0, len(poses) - 1, 6)).astype(int))
        pyramids = _trace("views", _pyramids(poses[shown], field, size), CAMERA_COLOUR, 1.5)
        data.append(pyramids | {"opacity": 0.6, "hoverinfo": "skip", "showlegend": False})
    for line in lines:
        trace = _trace(line.name, line.points, line.colour, 3 if line.dashed else 5)
        if line.dashed:
            trace["line"]["dash"] = "dot"
            trace["showlegend"] = False
        data.append(trace)
    follow = []
    for line in lines:
        if line.follow:
            marker = {"size": 6, "color": line.colour, "symbol": "diamond" if line.follow == "camera" else "circle"}
            spot = {"mode": "markers", "showlegend": False, "hoverinfo": "skip", "marker": marker}
            data.append(_trace(line.follow, line.points[:1], line.colour, 1) | spot)
            follow.append({"trace": len(data) - 1, "at": [floats(p) for p in line.points @ _UP.T]})
    axes = {
        f"{axis}axis": {"title": {"text": f"{word} ({unit})"}, "range": [float(m - s / 2), float(m + s / 2)]}
        for axis, word, m, s in zip("xyz", ("right", "forward", "up"), middle, span, strict=True)
    }
    ratio = span / span.max()
    scene = {
        **axes, "aspectmode": "manual", "aspectratio": {k: float(1.5 * r) for k, r in zip("xyz", ratio, strict=True)},
        "camera": {"eye": {"x": 1.4, "y": -2.4, "z": 1.45}, "center": {"x": 0, "y": 0, "z": -0.22}}, "domain": {"y": [0, 0.95]},
    }  # fmt: skip
    return {"data": data, "layout": {"scene": scene}, "follow": follow}


def _trace(name: str, points: Float[Array, "q 3"], hue: str, width: float) -> Figure:
    x, y, z = (floats(column) for column in (points @ _UP.T).T)
    place = "right %{x:.3f}<br>forward %{y:.3f}<br>up %{z:.3f}<extra>%{fullData.name}</extra>"
    line = {"color": hue, "width": width}
    return {"type": "scatter3d", "mode": "lines", "name": name, "x": x, "y": y, "z": z, "line": line, "hovertemplate": place}


def _pyramids(poses: Float[Array, "q 4 4"], field: tuple[float, float], size: float) -> Float[Array, "p 3"]:
    """Polylines, separated by NaN: apex and corners of each view's pyramid."""
    a, b = field
    corners = np.array([[-a, -b, 1], [a, -b, 1], [a, b, 1], [-a, b, 1]]) * size / max(1.0, a, b)
    o, gap = np.zeros(3), np.full(3, np.nan)
    c = corners
    stroke = np.array([o, c[0], c[1], o, c[2], c[3], o, gap, c[0], c[3], gap, c[1], c[2], gap])
    return np.concatenate([stroke @ pose[:3, :3].T + pose[:3, 3] for pose in poses])


def reliability(groups: Mapping[str, tuple[Sequence[float], Sequence[float], int]]) -> Figure:
    """Share of errors that lie within k sigma against the share that a normal distribution claims.

    ``groups``: by name the claimed shares, the observed ones, and the number of errors. A curve below the diagonal claims more
    than it keeps. Groups of fewer than 30 errors are dotted.
    """
    data: list[Figure] = [
        {"type": "scatter", "x": [0, 1], "y": [0, 1], "mode": "lines", "name": "as claimed", "hoverinfo": "skip",
         "line": {"color": CAMERA_COLOUR, "width": 1.5, "dash": "dash"}}
    ]  # fmt: skip
    for number, (name, (claimed, observed, count)) in enumerate(groups.items()):
        data.append(
            {
                "type": "scatter", "x": [0.0, *claimed], "y": [0.0, *observed], "mode": "lines", "name": f"{name} ({count})",
                "line": {"color": colour(number), "width": 2.5, "dash": _dash(number, count)},
                "hovertemplate": "claimed %{x:.0%}, found %{y:.1%}<extra>%{fullData.name}</extra>",
            }
        )  # fmt: skip
    share = {"range": [0, 1.005], "tickformat": ".0%"}
    stroke, places = {"width": 1, "dash": "dot", "color": CAMERA_COLOUR}, ((0.6827, "1 σ"), (0.9545, "2 σ"))
    lines = [{"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "line": stroke} for x, _ in places]
    notes = [{"x": x - 0.005, "y": 0.02, "text": text, "showarrow": False, "xanchor": "right"} for x, text in places]
    axes = {"xaxis": {**share, "title": {"text": "claimed"}}, "yaxis": {**share, "title": {"text": "found"}}}
    inside, beside = {"x": 1, "y": 0.08, "xanchor": "right", "yanchor": "bottom"}, {"x": 1.01, "y": 1, "yanchor": "top"}
    legend = {**(inside if len(groups) <= _INSIDE else beside), "orientation": "v", "font": {"size": 11}}
    return {
        "data": data,
        "layout": {**axes, "shapes": lines, "annotations": notes, "legend": legend},
        "full": len(groups) > _INSIDE,
    }


def _dash(number: int, count: int) -> str:
    """Dotted for few errors; colours come again after some groups, with another dash."""
    return "dot" if count < _FEW else ("solid", "dash", "longdashdot")[number // len(COLOURS) % 3]


def floats(values: Any) -> list[float | None]:
    """Numbers for JSON: six significant digits, None for NaN and infinity."""
    return [float(f"{x:.6g}") if np.isfinite(x) else None for x in np.asarray(values, float).tolist()]


def _faded(hue: str, opacity: float) -> str:
    red, green, blue = (int(hue[k : k + 2], 16) for k in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
