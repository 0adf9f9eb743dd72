"""The folder ``annotations/`` beside a source: one documented format for whatever was measured elsewhere.

``X/annotations/`` belongs to the source folder ``X``, ``X.annotations/`` to the loose video ``X.mp4``. It holds

* ``about.yaml``: ``format: 1``, ``maker``, and as far as they apply ``image_size: [width, height]``, ``objects`` (a list of
  ``{number, category, description}``) and ``doubt`` (the fields of ``Doubt``, one-sigma errors);
* ``poses.npz`` with ``world_from_camera`` (N, 4, 4), or ``poses.txt`` with 12 or 16 numbers a line (3 or 4 rows of that matrix):
  every source frame in order, OpenCV axes, metres, any world;
* ``points.npz``: ``track`` (R,), ``frame`` (R,), ``xyz_m`` (R, 3) world, ``number`` (tracks,): see ``Points``;
* ``boxes.npz``: ``number``, ``frame``, ``world_from_object``, ``size_m``, ``clear``: see ``Boxes``;
* ``masks/000000.png``: one channel, 8 or 16 bit, object numbers, 0 none; the file's number is the source frame;
* ``depth/000000.npy`` (float, metres along +Z) or ``.png`` (16 bit, millimetres); 0, NaN and inf mean unknown.

Only ``about.yaml`` and poses must be there. Masks with depth, masks with points, points alone, or boxes give objects.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from jaxtyping import Float, UInt16

from curation.imports.annotation import Annotation, Boxes, Doubt, Named, Points, valid_rotation
from schemas.camera import Array
from schemas.outcome import Rejected

ABOUT = "about.yaml"
FORMAT = 1
_MAX_ABOUT_BYTES = 1 << 20


def read_annotations(folder: str | Path) -> Annotation:
    """The annotations in ``folder``; masks and depth are read when asked for.

    Raises:
        Rejected: ``bad_annotation``, with what was expected and what was found.
    """
    folder = Path(folder)
    about = _about(folder)
    doubt = _doubt(about.get("doubt", {}))
    poses = _poses(folder)
    objects = tuple(_named(value) for value in about.get("objects", []))
    numbers = [o.number for o in objects]
    if len(set(numbers)) != len(numbers):
        raise _bad(f"{ABOUT}: object numbers must differ, got {numbers[:10]}")
    size = about.get("image_size")
    if size is not None and (not isinstance(size, list) or len(size) != 2 or not all(isinstance(s, int) and s > 0 for s in size)):
        raise _bad(f"{ABOUT}: expected image_size: [width, height], got {size!r:.60}")
    image_size = (size[0], size[1]) if size else None
    points, boxes = _points(folder, len(poses)), _boxes(folder, len(poses))
    masks, depths = folder / "masks", folder / "depth"
    if image_size is None and (masks.is_dir() or depths.is_dir()):
        raise _bad(f"{ABOUT}: masks and depth need image_size: [width, height]")
    return Annotation(
        world_from_camera=poses,
        maker=str(about.get("maker", "unknown")),
        image_size=image_size,
        objects=objects,
        points=points,
        boxes=boxes,
        mask=(lambda frame: _mask(masks / f"{frame:06d}.png", image_size)) if masks.is_dir() else None,
        depth_m=(lambda frame: _depth(depths, frame, image_size)) if depths.is_dir() else None,
        doubt=doubt,
    )


def write_annotations(annotation: Annotation, folder: str | Path) -> None:
    """The inverse of ``read_annotations``; the same annotation gives the same bytes. ``about.yaml`` comes last."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _save(folder / "poses.npz", {"world_from_camera": annotation.world_from_camera})
    if annotation.points is not None:
        p = annotation.points
        _save(folder / "points.npz", {"track": p.track, "frame": p.frame, "xyz_m": p.xyz_m, "number": p.number})
    if annotation.boxes is not None:
        _save(folder / "boxes.npz", {f.name: getattr(annotation.boxes, f.name) for f in fields(Boxes)})
    for frame in range(annotation.frames):
        if annotation.mask is not None and (mask := annotation.mask(frame)) is not None:
            (folder / "masks").mkdir(exist_ok=True)
            cv2.imwrite(str(folder / "masks" / f"{frame:06d}.png"), mask.astype(np.uint16))
        if annotation.depth_m is not None and (depth := annotation.depth_m(frame)) is not None:
            (folder / "depth").mkdir(exist_ok=True)
            np.save(folder / "depth" / f"{frame:06d}.npy", depth.astype(np.float32))
    about: dict[str, Any] = {"format": FORMAT, "maker": annotation.maker}
    if annotation.image_size is not None:
        about["image_size"] = list(annotation.image_size)
    if annotation.objects:
        about["objects"] = [{k: v for k, v in asdict(o).items() if v != ""} for o in annotation.objects]
    about["doubt"] = {k: v for k, v in asdict(annotation.doubt).items() if v is not None}
    (folder / ABOUT).write_text(yaml.safe_dump(about, sort_keys=False), encoding="utf-8")


def _bad(detail: str) -> Rejected:
    return Rejected("bad_annotation", f"annotations: {' '.join(detail.split())[:300]}")


def _about(folder: Path) -> dict[str, Any]:
    path = folder / ABOUT
    try:
        if path.stat().st_size > _MAX_ABOUT_BYTES:
            raise _bad(f"{ABOUT} is larger than {_MAX_ABOUT_BYTES} bytes")
        about = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise _bad(f"{ABOUT} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _bad(f"{ABOUT} is not valid YAML: {error}") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        got = about.get("format") if isinstance(about, dict) else type(about).__name__
        raise _bad(f"{ABOUT}: expected format: {FORMAT}, got {got!r:.60}")
    unknown = set(about) - {"format", "maker", "image_size", "objects", "doubt"}
    if unknown:
        raise _bad(f"{ABOUT}: unknown key {sorted(map(str, unknown))[0]!r}; known are format, maker, image_size, objects, doubt")
    if not isinstance(about.get("objects", []), list):
        raise _bad(f"{ABOUT}: expected objects to be a list")
    return about


def _named(value: Any) -> Named:
    if not isinstance(value, dict) or type(value.get("number")) is not int or not 0 < value["number"] < 65536:
        raise _bad(f"{ABOUT}: an object needs a number of 1 to 65535, got {value!r:.80}")
    if set(value) - {"number", "category", "description"}:
        raise _bad(f"{ABOUT}: an object has number, category and description, got {sorted(map(str, value))}")
    return Named(value["number"], str(value.get("category", "")), str(value.get("description", "")))


def _doubt(value: Any) -> Doubt:
    if not isinstance(value, dict):
        raise _bad(f"{ABOUT}: expected doubt to hold names and numbers, got {value!r:.60}")
    known = {f.name for f in fields(Doubt)}
    for name, number in value.items():
        if name not in known:
            raise _bad(f"{ABOUT}: doubt has no {name!r:.40}; known are {', '.join(sorted(known))}")
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < float("inf"):
            raise _bad(f"{ABOUT}: doubt.{name} must be a number of at least 0, got {number!r:.40}")
    return Doubt(**{name: float(number) for name, number in value.items()})


def _poses(folder: Path) -> Float[Array, "n 4 4"]:
    if (folder / "poses.npz").exists():
        poses = _load(folder / "poses.npz", ("world_from_camera",))["world_from_camera"]
    elif (folder / "poses.txt").exists():
        try:
            rows = np.loadtxt(folder / "poses.txt", ndmin=2)
        except (OSError, ValueError) as error:
            raise _bad(f"poses.txt: expected 12 or 16 numbers a line: {error}") from error
        if rows.shape[1] not in (12, 16):
            raise _bad(f"poses.txt: expected 12 or 16 numbers a line, got {rows.shape[1]}")
        poses = np.tile(np.eye(4), (len(rows), 1, 1))
        poses[:, : rows.shape[1] // 4] = rows.reshape(len(rows), -1, 4)
    else:
        raise _bad("expected poses.npz or poses.txt, found neither")
    poses = np.array(poses, dtype=np.float64) if np.issubdtype(poses.dtype, np.number) else np.zeros(0)
    if poses.ndim == 3 and poses.shape[1:] == (3, 4):
        poses = np.concatenate([poses, np.broadcast_to([0.0, 0.0, 0.0, 1.0], (len(poses), 1, 4))], axis=1)
    if poses.ndim != 3 or poses.shape[1:] != (4, 4) or not len(poses):
        raise _bad(f"poses: expected world_from_camera of shape (N, 4, 4), got {poses.shape}")
    known = np.asarray(np.isfinite(poses).all((1, 2)))
    rigid, mirrored = valid_rotation(np.where(known[:, None, None], poses, np.eye(4)))
    if (known & mirrored).any():
        at = int(np.flatnonzero(known & mirrored)[0])
        raise _bad(f"poses: frame {at} mirrors space (determinant -1); expected right-handed OpenCV axes (+X right, +Y down)")
    if (known & ~rigid).any():
        at = int(np.flatnonzero(known & ~rigid)[0])
        raise _bad(f"poses: frame {at} is no rigid transform (rotation not orthonormal, or last row not 0 0 0 1)")
    u, _, vt = np.linalg.svd(poses[known, :3, :3])
    poses[known, :3, :3] = u @ vt
    poses[~known] = np.nan
    return poses


def _points(folder: Path, frames: int) -> Points | None:
    path = folder / "points.npz"
    if not path.exists():
        return None
    arrays = _load(path, ("track", "frame", "xyz_m", "number"))
    track, frame, xyz_m, number = (arrays[k] for k in ("track", "frame", "xyz_m", "number"))
    _whole(path.name, track=track, frame=frame, number=number)
    if xyz_m.ndim != 2 or xyz_m.shape[1:] != (3,) or not np.issubdtype(xyz_m.dtype, np.floating):
        raise _bad(f"points.npz: expected xyz_m of shape (R, 3), got {xyz_m.shape} {xyz_m.dtype}")
    if not len(track) == len(frame) == len(xyz_m):
        raise _bad(f"points.npz: track, frame and xyz_m have {len(track)}, {len(frame)} and {len(xyz_m)} rows")
    if len(track) and (track.min() < 0 or track.max() >= len(number)):
        raise _bad(f"points.npz: track counts from 0 to {len(number) - 1}, got {track.min()} to {track.max()}")
    _inside(path.name, frame, frames)
    keep = np.asarray(np.isfinite(xyz_m).all(1))
    order = np.lexsort((frame[keep], track[keep]))
    track, frame, xyz_m = track[keep][order], frame[keep][order], xyz_m[keep][order]
    if ((np.diff(track) == 0) & (np.diff(frame) == 0)).any():
        raise _bad("points.npz: a track has two points at one frame")
    return Points(track.astype(np.int64), frame.astype(np.int64), xyz_m.astype(np.float64), number.astype(np.int64))


def _boxes(folder: Path, frames: int) -> Boxes | None:
    path = folder / "boxes.npz"
    if not path.exists():
        return None
    arrays = _load(path, ("number", "frame", "world_from_object", "size_m", "clear"))
    number, frame, size = arrays["number"], arrays["frame"], arrays["size_m"]
    if not all(np.issubdtype(arrays[name].dtype, np.floating) for name in ("world_from_object", "size_m")):
        raise _bad("boxes.npz: expected world_from_object and size_m to hold floats")
    poses = np.asarray(arrays["world_from_object"], np.float64)
    _whole(path.name, number=number, frame=frame)
    _inside(path.name, frame, frames)
    if poses.shape != (len(number), 4, 4) or size.shape != (len(number), 3) or arrays["clear"].shape != (len(number),):
        raise _bad(f"boxes.npz: expected {len(number)} poses (4, 4) and sizes (3), got {poses.shape} and {size.shape}")
    if not np.isfinite(poses).all() or not valid_rotation(poses)[0].all() or not ((size > 0) & np.isfinite(size)).all():
        raise _bad("boxes.npz: expected rigid transforms and positive sizes")
    pairs = np.stack([number, frame], -1)
    if len(np.unique(pairs, axis=0)) != len(pairs):
        raise _bad("boxes.npz: an object has two boxes at one frame")
    return Boxes(number.astype(np.int64), frame.astype(np.int64), poses, size.astype(np.float64), arrays["clear"].astype(bool))


def _whole(name: str, **arrays: Array) -> None:
    for key, values in arrays.items():
        if values.ndim != 1 or not np.issubdtype(values.dtype, np.integer):
            raise _bad(f"{name}: expected whole numbers of one dimension as {key}, got {values.shape} {values.dtype}")


def _inside(name: str, frame: Array, frames: int) -> None:
    if len(frame) and (frame.min() < 0 or frame.max() >= frames):
        raise _bad(f"{name}: frames count from 0 to {frames - 1} (as the poses do), got {frame.min()} to {frame.max()}")


def _mask(path: Path, size: tuple[int, int] | None) -> UInt16[Array, "h w"] | None:
    if not path.exists():
        return None
    mask = _image(path)
    if mask.ndim != 2 or mask.dtype not in (np.uint8, np.uint16):
        raise _bad(f"masks/{path.name}: expected one channel of 8 or 16 bit, got {mask.shape} {mask.dtype}")
    return _sized(mask.astype(np.uint16), f"masks/{path.name}", size)


def _depth(folder: Path, frame: int, size: tuple[int, int] | None) -> Float[Array, "h w"] | None:
    array, image = folder / f"{frame:06d}.npy", folder / f"{frame:06d}.png"
    if array.exists():
        try:
            depth = np.load(array, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise _bad(f"depth/{array.name} is no array: {error}") from error
        if depth.ndim != 2 or not np.issubdtype(depth.dtype, np.floating):
            raise _bad(f"depth/{array.name}: expected floats of shape (H, W), got {depth.shape} {depth.dtype}")
    elif image.exists():
        depth = _image(image)
        if depth.ndim != 2 or depth.dtype != np.uint16:
            raise _bad(f"depth/{image.name}: expected one channel of 16 bit (millimetres), got {depth.shape} {depth.dtype}")
        depth = depth / 1000.0
    else:
        return None
    depth = _sized(depth, f"depth/{frame:06d}", size).astype(np.float64)
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.nan)


def _image(path: Path) -> Array:
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED) if path.stat().st_size else None
    if image is None:
        raise _bad(f"{path.parent.name}/{path.name} is no image that can be decoded")
    return np.asarray(image)


def _sized(image: Array, name: str, size: tuple[int, int] | None) -> Array:
    if size is not None and image.shape != (size[1], size[0]):
        raise _bad(f"{name} is {image.shape[1]}x{image.shape[0]}, image_size says {size[0]}x{size[1]}")
    return image


def _load(path: Path, names: tuple[str, ...]) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in names if name not in archive.files]
            if missing:
                raise _bad(f"{path.name}: expected arrays {', '.join(names)}, found {', '.join(archive.files) or 'none'}")
            return {name: archive[name] for name in names}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _bad(f"{path.name} cannot be read: {error}") from error


def _save(path: Path, arrays: dict[str, Array]) -> None:
    """An .npz with the same bytes for the same arrays: fixed dates, fixed order."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, values in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(values), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), buffer.getvalue(), zipfile.ZIP_DEFLATED)
