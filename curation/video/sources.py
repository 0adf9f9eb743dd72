"""Find the sources of video below a folder. Reads names, sidecars and bytes (for the hash); decodes nothing."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from curation.video.calibration import Calibration, read_calibration
from curation.video.spatial import read_spatial
from schemas.clip import STEREO_LAYOUTS, Layout, Source
from schemas.config import VideoConfig
from schemas.outcome import Rejected

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv", ".3gp"}
)
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
ANNOTATIONS = "annotations"  # X/annotations or X.annotations, with about.yaml in it: see curation.imports.folder
IGNORED_FOLDERS = frozenset({"truth", ANNOTATIONS})  # rendered worlds keep their ground truth beside the eyes


@dataclass(frozen=True)
class ScanResult:
    """What an input folder holds: sources in the order of their names, and what was refused, with why."""

    sources: list[Source]
    refused: list[tuple[str, Rejected]]


def scan(input_root: str | Path, config: VideoConfig) -> ScanResult:
    """All sources below ``input_root``: ``X.mp4``, ``X/left.mp4`` + ``X/right.mp4``, or ``X/left/*.jpg`` + ``X/right/*.jpg``.

    The order is that of the names, whatever the file system says. Symbolic links are followed, each real folder once.
    ``truth`` and hidden folders are passed over.

    Raises:
        FileNotFoundError: ``input_root`` is no folder.
    """
    root = Path(os.path.abspath(input_root))
    if not root.is_dir():
        raise FileNotFoundError(f"expected a folder of videos as input, found none at {input_root}")
    sources: list[Source] = []
    refused: list[tuple[str, Rejected]] = []
    by_hash: dict[str, str] = {}
    for candidate in candidates(root):
        name = candidate.name
        try:
            source = read_source(candidate, config)
            if (first := by_hash.setdefault(source.sha256, name)) != name:
                raise Rejected("duplicate", f"same content as {first}")
            sources.append(source)
        except Rejected as why:
            refused.append((name, why))
    return ScanResult(sources, refused)


@dataclass(frozen=True)
class Candidate:
    """What may be a source, by the names of its files alone.

    ``left`` and ``right`` are files or image folders (both None: a folder that cannot be listed); ``sidecar`` is where a
    calibration lies, if any.
    """

    name: str
    left: Path | None
    right: Path | None
    sidecar: Path | None


@dataclass(frozen=True)
class _Found:
    name: str
    stem: str
    left: Path | None
    right: Path | None
    sidecar: Path | None


def candidates(root: Path) -> Iterator[Candidate]:
    """Everything below ``root`` that is named like a source, in the order of the names."""
    taken: set[str] = set()
    for found in _find(root, set()):
        name = _label(found.stem if found.stem not in taken else found.name)  # x.mp4 and x.mov: the second keeps its ending
        taken.add(found.stem)
        yield Candidate(name, found.left, found.right, found.sidecar)


def image_files(folder: Path) -> list[Path]:
    """The images of a folder in the order of their numbers (``2.jpg`` before ``10.jpg``)."""
    return [p for p in _entries(folder) or [] if p.suffix.lower() in IMAGE_SUFFIXES]


def _natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    parts = re.split(r"([0-9]+)", name)
    return [(1, int(part), "") if i % 2 else (0, 0, part) for i, part in enumerate(parts)], name


def _label(name: str) -> str:
    """A name that any table and terminal can hold: no control characters, no bytes that are not text."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _find(folder: Path, seen: set[tuple[int, int]], root: Path | None = None) -> Iterator[_Found]:
    root = root or folder
    name = folder.relative_to(root).as_posix() if folder != root else folder.name
    entries = _entries(folder)
    if entries is None:
        yield _Found(name, name, None, None, None)
        return
    status = folder.stat()
    if (status.st_dev, status.st_ino) in seen:  # a link back up, or a folder reached twice
        return
    seen.add((status.st_dev, status.st_ino))
    left, right = _side(entries, "left"), _side(entries, "right")
    if left or right:
        beside = folder.with_name(folder.name + ".calib.yaml")
        sidecar = next((p for p in (folder / "calib.yaml", beside) if os.path.lexists(p)), None)
        yield _Found(name, name, left, right, sidecar)
    for path in entries:
        if path in (left, right) or path.name in IGNORED_FOLDERS or path.suffix == f".{ANNOTATIONS}":
            continue
        if os.path.isdir(path):
            yield from _find(path, seen, root)
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            relative = path.relative_to(root)
            own, shared = path.with_suffix(".calib.yaml"), folder / "calib.yaml"
            # A calib.yaml beside loose videos speaks for all of them, unless the folder itself is a source.
            choices = (own,) if left or right else (own, shared)
            sidecar = next((p for p in choices if os.path.lexists(p)), None)
            yield _Found(relative.as_posix(), relative.with_suffix("").as_posix(), path, None, sidecar)


def _entries(folder: Path) -> list[Path] | None:
    """What is in a folder, hidden things apart, in the order of the names; None where it cannot be listed."""
    try:
        return sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=lambda p: _natural(p.name))
    except OSError:
        return None


def _side(entries: list[Path], side: str) -> Path | None:
    """The image folder or else the file of one eye among a folder's entries."""
    for path in entries:
        if path.name.lower() == side and os.path.isdir(path) and image_files(path):
            return path
    files = (p for p in entries if p.stem.lower() == side and p.suffix.lower() in VIDEO_SUFFIXES)
    return next((p for p in files if not os.path.isdir(p)), None)


def read_source(found: Candidate, config: VideoConfig) -> Source:
    """The source that a candidate is: reads its sidecar, and its bytes for the hash.

    Raises:
        Rejected: it is none (``bad_calibration``, ``empty_file``, ``left_eye_missing``, ...).
    """
    if found.left is None and found.right is None:  # see _find
        raise Rejected("unreadable_folder", "this folder cannot be listed; check its permissions")
    if found.left is None:
        raise Rejected("left_eye_missing", "there is a right eye but no left one; the left view is what is published")
    calibration = read_calibration(found.sidecar) if found.sidecar else Calibration()
    if calibration.layout in (None, "mv_hevc") and found.right is None and not found.left.is_dir():
        calibration = _with_spatial(found.left, calibration)
    layout: Layout = calibration.layout or ("pair" if found.right else "mono")
    if layout == "pair" and found.right is None:
        raise Rejected("right_eye_missing", "layout is pair, and there is no right eye beside the left one")
    if layout not in ("pair", "mono") and found.right is not None:
        raise Rejected("bad_calibration", f"layout is {layout}, which keeps both eyes in one picture, but there are two")
    right = found.right if layout == "pair" else None
    if right is not None and right.is_dir() != found.left.is_dir():
        raise Rejected("eyes_differ", "one eye is a video and the other a folder of images")
    files = _files(found.left) + (_files(right) if right else [])
    if right is not None and right.is_dir():
        _check_same_images(found.left, right)
    camera, assumed = _camera(layout, calibration, config)
    annotations = _annotations(found.left)
    source = Source(
        name=found.name,
        layout=layout,
        left=str(found.left),
        right=str(right) if right else None,
        sha256=content_hash(files),
        fps=None,
        camera=camera,
        baseline_m=None,
        assumed=tuple(assumed),
        annotations=str(annotations) if annotations else "",
        annotations_sha256=annotations_hash(annotations) if annotations else "",
    )
    if layout in STEREO_LAYOUTS:
        given = calibration.baseline_m is not None
        baseline_m = calibration.baseline_m if calibration.baseline_m is not None else config.baseline_m
        source = replace(source, baseline_m=baseline_m, assumed=source.assumed + (() if given else ("baseline_m",)))
    if found.left.is_dir():
        given = calibration.fps is not None
        fps = calibration.fps if calibration.fps is not None else config.image_fps
        source = replace(source, fps=fps, assumed=source.assumed + (() if given else ("fps",)))
    return source


def _with_spatial(video: Path, calibration: Calibration) -> Calibration:
    """What a phone's spatial video says of itself, where the sidecar does not say otherwise.

    Raises:
        Rejected: ``bad_calibration`` where it is of a projection that is not read.
    """
    spatial = read_spatial(video)
    if spatial is None or not spatial.both_eyes:
        return calibration
    if spatial.projection not in ("", "rect"):
        raise Rejected(
            "bad_calibration", f"spatial video of projection {spatial.projection!r} is not read; expected a rectilinear one"
        )
    given = calibration.model_dump()
    if calibration.camera is None and spatial.hfov_deg is not None:
        given["camera"] = {"hfov_deg": spatial.hfov_deg}
    if calibration.baseline_m is None and spatial.baseline_m is not None:
        given["baseline_m"] = spatial.baseline_m
    try:
        return Calibration.model_validate(given | {"layout": "mv_hevc"})
    except ValidationError as error:
        raise Rejected("bad_calibration", f"metadata of {_label(video.name)}: {error.errors()[0]['msg']}") from error


def _annotations(left: Path) -> Path | None:
    """The folder of annotations that belongs to a source, if there is one."""
    folder = left.parent / ANNOTATIONS if left.stem.lower() == "left" else left.with_suffix(f".{ANNOTATIONS}")
    if (folder / "about.yaml").is_file():
        return folder
    if any((folder / name).exists() for name in ("poses.npz", "poses.txt")):
        raise Rejected("bad_annotation", f"{_label(folder.name)}/ holds poses and no about.yaml, which says what they are")
    return None


def annotations_hash(folder: Path) -> str:
    """Hash of the bytes and names of all files in a folder."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if not p.name.startswith(".") and not p.is_dir()):
        line = f"{path.relative_to(folder).as_posix()}\0{content_hash(_files(path))}\n"
        digest.update(line.encode("utf-8", "backslashreplace"))
    return digest.hexdigest()


def _camera(layout: Layout, calibration: Calibration, config: VideoConfig) -> tuple[dict[str, float], list[str]]:
    camera = calibration.camera.values() if calibration.camera else {}
    if calibration.pixel_aspect is not None:
        camera["pixel_aspect"] = calibration.pixel_aspect
    if layout.startswith("vr180"):
        if set(camera) - {"hfov_deg"} or camera.get("hfov_deg", 180.0) != 180.0:
            raise Rejected(
                "bad_calibration", "a vr180 layout is 180 x 180 deg by definition: remove `camera` from the calibration"
            )
        return {}, []
    if camera.get("hfov_deg") == 180.0:
        raise Rejected("bad_calibration", f"hfov_deg 180 belongs to a vr180 layout, this one is {layout}")
    if "hfov_deg" not in camera and "fx" not in camera:
        return {**camera, "hfov_deg": config.hfov_deg}, ["hfov_deg"]
    return camera, ["principal_point"] if "fx" in camera and not {"cx", "cy"} <= set(camera) else []


def _files(path: Path) -> list[Path]:
    """The files of one eye. Raises Rejected where one is not a regular file with bytes in it."""
    files = image_files(path) if path.is_dir() else [path]
    for file in files:
        try:
            status = file.stat()
        except OSError as error:
            raise Rejected("unreadable_file", f"{_label(file.name)} cannot be read: {error.strerror}") from error
        if not stat.S_ISREG(status.st_mode):
            raise Rejected("unreadable_file", f"{_label(file.name)} is not a regular file")
        if status.st_size == 0:
            raise Rejected("empty_file", f"{_label(file.name)} has no bytes")
    return files


def _check_same_images(left: Path, right: Path) -> None:
    lefts, rights = [p.stem for p in image_files(left)], [p.stem for p in image_files(right)]
    if len(lefts) != len(rights):
        odd = sorted(set(lefts) ^ set(rights))[:1]
        raise Rejected(
            "eyes_differ", f"{len(lefts)} images of the left eye, {len(rights)} of the right; the first without partner: {odd}"
        )
    if lefts != rights and set(lefts) & set(rights):  # two own numberings are fine, one numbering with holes is not
        odd = sorted(set(lefts) ^ set(rights))[:1]
        raise Rejected("eyes_differ", f"image {odd} has no partner in the other eye's folder")


def content_hash(files: list[Path]) -> str:
    """Hash (SHA-256) of the bytes of one file; of several, each preceded by its length, so that no two lists read alike."""
    digest = hashlib.sha256()
    for file in files:
        try:
            if len(files) > 1:
                digest.update(str(file.stat().st_size).encode() + b"\0")
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise Rejected("unreadable_file", f"{_label(file.name)} cannot be read: {error.strerror}") from error
    return digest.hexdigest()
