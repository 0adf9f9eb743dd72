"""Keypoints and matches for structure from motion: COLMAP's SIFT, SuperPoint with LightGlue, ALIKED with LightGlue.

Each backend fills a COLMAP database with keypoints and matches of the images in a folder; verification and mapping follow in
``relative``, and are the same for all.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, Int

from curation.cameras.matching import Gray
from curation.geometry import from_opencv
from schemas.camera import Array, Intrinsics
from schemas.config import CamerasConfig

THREADS = 1
_COUNT = 1500
_OVERLAP = 6  # each frame is matched with so many that follow, and with those 8, 16, 32, ... further on
_OPTION = "cameras.weights"
_MAX_REFINE_PX = 1.5
_NEED_ONNX = (
    "cameras.features=aliked needs a pycolmap that was built with ONNX; the wheels of the package index are not (pycolmap "
    "4.2.1). Build COLMAP with -DONNX_ENABLED=ON and pycolmap against it, or take cameras.features=superpoint."
)


def find_matches(
    images: list[Gray], camera: Intrinsics, folder: Path, database: str, config: CamerasConfig, *, refine_focal: bool, seed: int
) -> None:
    """Fill ``database`` with the verified matches of ``images``, which lie in ``folder`` as 00000.png and so on.

    Raises:
        ImportError: what ``config.features`` needs is not installed.
        WeightsMissing: with what to download, how, and how large it is.
    """
    import pycolmap  # after cv2 (above)

    reader = pycolmap.ImageReaderOptions()
    reader.camera_model = "SIMPLE_PINHOLE" if refine_focal else "PINHOLE"
    sizes = (camera.fx, camera.cx, camera.cy) if refine_focal else (camera.fx, camera.fy, camera.cx, camera.cy)
    reader.camera_params = ",".join(repr(float(value)) for value in sizes)
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed, verification.ransac.num_threads = seed, THREADS
    BACKENDS[config.features](pycolmap, images, str(folder), database, reader, verification, config)


def _sift(
    pycolmap: Any, images: list[Gray], folder: str, database: str, reader: Any, verification: Any, config: CamerasConfig
) -> None:
    extraction, matching = pycolmap.FeatureExtractionOptions(), pycolmap.FeatureMatchingOptions()
    extraction.sift.max_num_features = _COUNT
    _colmap(pycolmap, folder, database, reader, verification, extraction, matching)


def _aliked(
    pycolmap: Any, images: list[Gray], folder: str, database: str, reader: Any, verification: Any, config: CamerasConfig
) -> None:
    extraction, matching = pycolmap.FeatureExtractionOptions(), pycolmap.FeatureMatchingOptions()
    if not hasattr(extraction, "aliked"):  # asked nevertheless, it would take the whole process down
        raise ImportError(_NEED_ONNX)
    extraction.type = pycolmap.FeatureExtractorType.ALIKED_N16ROT
    extraction.aliked.max_num_features = _COUNT
    matching.type = pycolmap.FeatureMatcherType.ALIKED_LIGHTGLUE
    _colmap(pycolmap, folder, database, reader, verification, extraction, matching)


def _colmap(pycolmap: Any, folder: str, database: str, reader: Any, verification: Any, extraction: Any, matching: Any) -> None:
    """Extraction and sequential matching by COLMAP itself."""
    for options in (extraction, matching):
        options.num_threads, options.use_gpu = THREADS, False
    device = pycolmap.Device.cpu
    pycolmap.extract_features(
        database, folder, camera_mode=pycolmap.CameraMode.SINGLE, reader_options=reader, extraction_options=extraction,
        device=device,
    )  # fmt: skip
    pairing = pycolmap.SequentialPairingOptions()
    pairing.overlap, pairing.quadratic_overlap = _OVERLAP, True
    pycolmap.match_sequential(
        database, matching_options=matching, pairing_options=pairing, verification_options=verification, device=device
    )


def _superpoint(
    pycolmap: Any, images: list[Gray], folder: str, database: str, reader: Any, verification: Any, config: CamerasConfig
) -> None:
    keypoints, matches = superpoint_matches(images, sequential_pairs(len(images)), config)
    pycolmap.Database.open(database).close()  # makes it: import_images wants it to exist
    pycolmap.import_images(database, folder, camera_mode=pycolmap.CameraMode.SINGLE, options=reader)
    with pycolmap.Database.open(database) as data:
        number = {image.name: image.image_id for image in data.read_all_images()}
        names = [f"{index:05d}.png" for index in range(len(images))]
        for name, places in zip(names, keypoints, strict=True):
            data.write_keypoints(number[name], places.astype(np.float32))
        for (a, b), rows in matches.items():
            data.write_matches(number[names[a]], number[names[b]], rows.astype(np.uint32))
    listed = Path(database).with_suffix(".pairs.txt")
    listed.write_text("".join(f"{names[a]} {names[b]}\n" for a, b in matches))
    pycolmap.verify_matches(database, str(listed), verification)


def sequential_pairs(count: int) -> list[tuple[int, int]]:
    """Pairs (a, b) of frames that are matched: neighbours, and some far apart."""
    gaps = sorted({*range(1, _OVERLAP + 1), *(2**k for k in range(3, 12))})
    return [(a, a + gap) for a in range(count) for gap in gaps if a + gap < count]


def superpoint_matches(
    images: list[Gray], pairs: list[tuple[int, int]], config: CamerasConfig
) -> tuple[list[Float[Array, "n 2"]], dict[tuple[int, int], Int[Array, "m 2"]]]:
    """Keypoints of every image (pixels), and for each pair the rows of the keypoints that match.

    The model looks at two images at a time and names its keypoints anew; they lie on whole pixels, which identifies them.
    """
    from curation.objects.backends.runtime import download_advice, in_batches, load, runtime, torch_and_transformers
    from schemas.config import ObjectsConfig

    torch, _ = torch_and_transformers("cameras.features=superpoint")
    place = runtime(ObjectsConfig(device=config.device), torch)
    name = config.weights or "ETH-CVG/lightglue_superpoint"
    advice = download_advice(
        name, "54 MB", "LightGlue Apache-2.0; SuperPoint's weights for non-commercial research only", _OPTION
    )
    model, _ = load("LightGlueForKeypointMatching", "", name, place, _OPTION, advice)
    height, width = images[0].shape

    def some(batch: Any) -> list[tuple[Array, Array]]:
        grey = torch.from_numpy(np.stack([np.stack([images[a], images[b]]) for a, b in batch])).to(place.device)
        pixels = (grey.float() / 255)[:, :, None].expand(-1, -1, 3, -1, -1).to(getattr(torch, place.dtype))
        with torch.inference_mode():
            out = model(pixel_values=pixels)
        size = np.array([width, height])
        found = []
        for mask, places, partner in zip(*(_host(value) for value in (out.mask, out.keypoints, out.matches)), strict=True):
            # Numbers count the padded list: those of the padding match nothing, and are left out.
            here = np.flatnonzero((mask[0] > 0) & (partner[0] >= 0))
            there = partner[0][here].astype(int)
            kept = mask[1][there] > 0
            found.append(tuple(np.rint(places[k] * size)[rows[kept]].astype(int) for k, rows in ((0, here), (1, there))))
        return found

    advice = "Take smaller frames (video.max_width) or cameras.device=cpu."
    found = in_batches(pairs, config.batch, some, advice=advice)
    return _numbered(images, pairs, found)


def _numbered(
    images: list[Gray], pairs: list[tuple[int, int]], found: list[tuple[Array, Array]]
) -> tuple[list[Array], dict[tuple[int, int], Array]]:
    """Keypoints numbered per image, by their pixel, and moved to the corner that they stand on."""
    width = images[0].shape[1]
    codes: list[list[Array]] = [[] for _ in images]
    for (a, b), (here, there) in zip(pairs, found, strict=True):
        codes[a].append(here[:, 1] * width + here[:, 0])
        codes[b].append(there[:, 1] * width + there[:, 0])
    known = [np.unique(np.concatenate([np.zeros(0, int), *code])) for code in codes]
    matches = {}
    for (a, b), (here, there) in zip(pairs, found, strict=True):
        rows = [np.searchsorted(known[k], p[:, 1] * width + p[:, 0]) for k, p in ((a, here), (b, there))]
        if len(rows[0]):
            matches[a, b] = np.stack(rows, axis=1)
    return [_refined(image, np.stack([k % width, k // width], axis=1)) for image, k in zip(images, known, strict=True)], matches


def _refined(image: Gray, whole: Int[Array, "n 2"]) -> Float[Array, "n 2"]:
    """Whole pixels moved to the corner next to them, in our pixels; where there is none, they stay."""
    if not len(whole):
        return np.zeros((0, 2))
    start = whole.astype(np.float32)[:, None]
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.01)
    moved = cv2.cornerSubPix(image, start.copy(), (3, 3), (-1, -1), criteria)[:, 0].astype(float)
    near = np.linalg.norm(moved - whole, axis=1) < _MAX_REFINE_PX
    return from_opencv(np.where(near[:, None], moved, whole))


def _host(value: Any) -> Array:
    return np.asarray(value.float().cpu().numpy())


BACKENDS: dict[str, Callable[..., None]] = {"classical": _sift, "superpoint": _superpoint, "aliked": _aliked}
