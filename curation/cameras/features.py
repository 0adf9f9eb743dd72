"""Keypoints and matches for structure from motion: COLMAP's SIFT, or a network's (``learned_features``).

Either fills a COLMAP database with keypoints and matches of the images in a folder; verification and mapping follow in
``relative``, and are the same for all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from curation.cameras import learned_features
from curation.cameras.matching import Gray
from schemas.camera import Intrinsics
from schemas.config import CamerasConfig

THREADS = 1
_COUNT = 1500
_OVERLAP = 6  # each frame is matched with so many that follow, and with those 8, 16, 32, ... further on


def find_matches(
    images: list[Gray], camera: Intrinsics, folder: Path, database: str, config: CamerasConfig, *, refine_focal: bool, seed: int
) -> None:
    """Fill ``database`` with the verified matches of ``images``, which lie in ``folder`` as 00000.png and so on.

    Raises:
        ImportError: what ``config.features`` needs is not installed.
        WeightsMissing: with what to download, how, and how large it is.
    """
    import pycolmap  # after cv2 (``matching``)

    reader = pycolmap.ImageReaderOptions()
    reader.camera_model = "SIMPLE_PINHOLE" if refine_focal else "PINHOLE"
    sizes = (camera.fx, camera.cx, camera.cy) if refine_focal else (camera.fx, camera.fy, camera.cx, camera.cy)
    reader.camera_params = ",".join(repr(float(value)) for value in sizes)
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed, verification.ransac.num_threads = seed, THREADS
    if config.features == "classical":
        _sift(pycolmap, str(folder), database, reader, verification)
    else:
        _learned(pycolmap, images, str(folder), database, reader, verification, config)


def _sift(pycolmap: Any, folder: str, database: str, reader: Any, verification: Any) -> None:
    """Extraction and sequential matching by COLMAP itself."""
    extraction, matching = pycolmap.FeatureExtractionOptions(), pycolmap.FeatureMatchingOptions()
    extraction.sift.max_num_features = _COUNT
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


def _learned(
    pycolmap: Any, images: list[Gray], folder: str, database: str, reader: Any, verification: Any, config: CamerasConfig
) -> None:
    """Keypoints and matches of a network, written into the database and verified by COLMAP."""
    keypoints, matches = learned_features.find(images, sequential_pairs(len(images)), config)
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
