"""The sidecar file that says how a source was filmed (``calib.yaml`` in its folder, or ``X.calib.yaml`` beside ``X.mp4``)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from schemas.clip import Layout
from schemas.outcome import Rejected

MAX_BYTES = 64 * 1024
MIN_BASELINE_M, MAX_BASELINE_M = 0.001, 5.0
MIN_HFOV_DEG, MAX_HFOV_DEG = 1.0, 170.0


class _NoAliases(yaml.SafeLoader):
    """YAML without anchors: a few aliases of aliases expand to gigabytes, and no calibration needs one."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not accepted in a calibration file")
        return super().compose_node(parent, index)


def _finite(value: Any) -> float:
    """A finite number; YAML's ``true`` is not 1 metre, and PyYAML reads ``1e-1`` as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"expected a number, got {value!r:.60}")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"expected a number, got {value!r:.60}") from None
    if not math.isfinite(number):
        raise ValueError(f"expected a finite number, got {number}")
    return number


Number = Annotated[float, BeforeValidator(_finite)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Camera(_Strict):
    """The camera of the (left) eye after rectification: a field of view, or a pinhole camera in pixels."""

    hfov_deg: Number | None = None
    fx: Number | None = None
    fy: Number | None = None
    cx: Number | None = None
    cy: Number | None = None
    width: Number | None = None
    height: Number | None = None
    pixel_center: Number = 0.5

    @model_validator(mode="after")
    def _plausible(self) -> Camera:
        if (self.hfov_deg is None) == (self.fx is None):
            raise ValueError("expected either hfov_deg, or fx (with fy, cx, cy, width, height)")
        # 180 deg is the one value beyond the limit that a (VR180) file may state.
        if self.hfov_deg is not None and self.hfov_deg != 180.0 and not MIN_HFOV_DEG <= self.hfov_deg <= MAX_HFOV_DEG:
            raise ValueError(f"expected hfov_deg of {MIN_HFOV_DEG:g} to {MAX_HFOV_DEG:g}, got {self.hfov_deg:g}")
        for name in ("fx", "fy", "width", "height"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"expected a positive {name}, got {value:g}")
        if self.fx is not None and self.fy is not None and not 0.2 < self.fx / self.fy < 5:
            raise ValueError(f"fx {self.fx:g} and fy {self.fy:g} belong to no real camera")
        if (self.width is None) != (self.height is None):
            raise ValueError("expected width and height together")
        for name, side in (("width", self.width), ("height", self.height)):
            if side is not None and (side != int(side) or side > 65536):
                raise ValueError(f"expected a whole number of pixels as {name}, got {side:g}")
        if self.fx is not None and self.width is not None:
            hfov_deg = 2 * math.degrees(math.atan(self.width / 2 / self.fx))
            if not MIN_HFOV_DEG <= hfov_deg <= MAX_HFOV_DEG:
                raise ValueError(f"fx {self.fx:g} at width {self.width:g} is a field of view of {hfov_deg:.2f} deg")
        for name, center, side in (("cx", self.cx, self.width), ("cy", self.cy, self.height)):
            if center is not None and side is not None and not 0 <= center <= side:
                raise ValueError(f"{name} {center:g} lies outside the image (0 to {side:g})")
        if self.pixel_center not in (0.0, 0.5):
            raise ValueError(f"pixel_center is 0.5 (ours, COLMAP's) or 0 (OpenCV's, KITTI's), got {self.pixel_center:g}")
        return self

    def values(self) -> dict[str, float]:
        """The numbers given, with ``cx cy`` in our convention (top-left pixel centred on (0.5, 0.5))."""
        out = {name: value for name, value in self.model_dump().items() if value is not None and name != "pixel_center"}
        for name in ("cx", "cy"):
            if name in out:
                out[name] += 0.5 - self.pixel_center
        return out


class Calibration(_Strict):
    """A sidecar's content; None where it says nothing."""

    layout: Layout | None = None
    fps: Number | None = None
    camera: Camera | None = None
    baseline_m: Number | None = None
    pixel_center: Number | None = None
    pixel_aspect: Number | None = None

    @model_validator(mode="after")
    def _plausible(self) -> Calibration:
        if self.baseline_m is not None and not MIN_BASELINE_M <= self.baseline_m <= MAX_BASELINE_M:
            hint = " (are these millimetres or centimetres?)" if self.baseline_m > MAX_BASELINE_M else ""
            raise ValueError(
                f"expected baseline_m of {MIN_BASELINE_M:g} to {MAX_BASELINE_M:g} metres, got {self.baseline_m:g}{hint}"
            )
        if self.fps is not None and not 0.1 <= self.fps <= 1000:
            raise ValueError(f"expected fps of 0.1 to 1000, got {self.fps:g}")
        if self.pixel_aspect is not None and not 0.25 <= self.pixel_aspect <= 4:
            raise ValueError(f"expected pixel_aspect (pixel width / height) of 0.25 to 4, got {self.pixel_aspect:g}")
        return self


def read_calibration(path: Path) -> Calibration:
    """The sidecar at ``path``, validated.

    Raises:
        Rejected: ``bad_calibration``, with what was expected and what stands there.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise Rejected("bad_calibration", f"{path.name} is larger than {MAX_BYTES} bytes: not a calibration file")
        if not path.is_file():
            raise Rejected("bad_calibration", f"{path.name} is not a regular file")
        value = yaml.load(path.read_bytes(), Loader=_NoAliases)  # noqa: S506 (a SafeLoader)
    except OSError as error:
        raise Rejected("bad_calibration", f"{path.name} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Rejected("bad_calibration", f"{path.name} is not valid YAML: {_one_line(str(error))}") from error
    if value is None:
        return Calibration()
    if not isinstance(value, dict):
        raise Rejected("bad_calibration", f"{path.name}: expected keys such as layout and baseline_m, got {type(value).__name__}")
    if isinstance(value.get("camera"), dict) and "pixel_center" in value:
        value["camera"] = {"pixel_center": value["pixel_center"], **value["camera"]}
    try:
        return Calibration.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = str(first["msg"]).removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = f"unknown key; known are {', '.join(Calibration.model_fields)}"
        raise Rejected("bad_calibration", _one_line(f"{path.name}: {where + ': ' if where else ''}{message}")) from error


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
