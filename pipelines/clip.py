"""One clip as the stages see it: its products, loaded from disk when asked for, written at once."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.files import replacing, write_json
from schemas import run_folder as names
from schemas.clip import ClipFrames, ClipSpec, Source
from schemas.config import Config


class Clip:
    """The folder ``<out>/clips/<clip_id>`` and what is in it.

    A stage that runs leaves its result here, for the stages after it in the same process; a stage that was done before is
    read from disk.
    """

    def __init__(self, spec: ClipSpec, config: Config, output: Path, source: Source | None = None) -> None:
        self.spec, self.config = spec, config
        self.source = source or spec.source  # where its files lie on this machine
        self.folder = output / names.clip_folder(spec.clip_id)
        self._path: Any = None
        self._tracks: Any = None

    def file(self, name: str) -> Path:
        """Path of one product."""
        return self.folder / name

    def decode(self, *, with_video: bool) -> ClipFrames:
        """Decode the clip, and write its mp4 where asked to. The frames stay at hand as ``frames``."""
        from curation.video import decode_clip

        spec = replace(self.spec, source=self.source)
        if with_video:
            with replacing(self.file(names.CLIP_VIDEO)) as temporary:
                self.frames = decode_clip(spec, self.config.video, temporary)
        else:
            self.frames = decode_clip(spec, self.config.video, None)
        return self.frames

    @cached_property
    def frames(self) -> ClipFrames:
        """The measuring frames; decoded again when the video stage was done by an earlier run."""
        return self.decode(with_video=False)

    @cached_property
    def annotation(self) -> Any:
        """What was measured of the source elsewhere (``curation.imports.Annotation``), or None."""
        if not (self.source.annotations and self.config.imports.use):
            return None
        from curation.imports import read_annotations

        return read_annotations(self.source.annotations)

    @cached_property
    def info(self) -> Any:
        """``ClipInfo``: times, question frames, camera; no pixels."""
        from curation.shards.products import ClipInfo

        return ClipInfo.from_json(json.loads(self.file(names.CLIP_JSON).read_text(encoding="utf-8")))

    def save_info(self) -> None:
        """Write ``clip.json`` of the decoded frames."""
        from curation.shards.products import ClipInfo

        self.info = ClipInfo.of(self.spec, self.frames)
        write_json(self.file(names.CLIP_JSON), self.info.to_json())

    @property
    def row(self) -> dict[str, Any]:
        """The clip's row of the ``clips`` table; the split is decided when the run is packed."""
        from curation.shards.rows import clip_row

        return clip_row(self.info, self.spec.source.name, "")

    @property
    def path(self) -> Any:
        """``CameraPath`` or ``RelativeCameraPath``."""
        from curation.shards.products import load_path

        if self._path is None:
            self._path = load_path(self.file(names.CAMERA_PATH))
        return self._path

    @path.setter
    def path(self, path: Any) -> None:
        from curation.shards.products import save_path

        with replacing(self.file(names.CAMERA_PATH)) as temporary:
            save_path(temporary, path)
        self._path = path

    @property
    def tracks(self) -> Any:
        """The clip's ``ObjectTrack`` values."""
        from curation.shards.products import load_tracks

        if self._tracks is None:
            self._tracks = load_tracks(self.file(names.TRACK_ARRAYS))
        return self._tracks

    @tracks.setter
    def tracks(self, tracks: Any) -> None:
        from curation.shards.products import save_tracks

        with replacing(self.file(names.TRACK_ARRAYS)) as temporary:
            save_tracks(temporary, tracks)
        self._tracks = tracks

    @property
    def facts(self) -> list[Any]:
        """The clip's ``Fact`` values, always as read back from the table, so that a rerun sees the same."""
        from curation.shards.products import fact_of

        return [fact_of(row) for row in self.rows(names.FACTS)]

    @property
    def descriptions(self) -> list[Any]:
        """The words for the clip's objects."""
        from curation.shards.products import description_of

        return [description_of(row) for row in self.rows(names.OBJECTS)]

    @property
    def selected(self) -> list[dict[str, Any]]:
        """The clip's questions that the run selected, with their final options."""
        return self.rows(names.SELECTED)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of one of the clip's tables."""
        from curation.shards.writer import read_table

        rows: list[dict[str, Any]] = read_table(self.file(name)).to_pylist()
        return rows

    def save_table(self, name: str, rows: list[dict[str, Any]], schema: Any) -> None:
        """Write one of the clip's tables at once."""
        from curation.shards.writer import table_of, write_table

        with replacing(self.file(name)) as temporary:
            write_table(temporary, table_of(rows, schema))
