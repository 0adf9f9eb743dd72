"""An S3-compatible server on loopback, which can be told to fail every n-th call."""

from __future__ import annotations

import itertools
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

KEY, SECRET = "AKIAPLANTEDPLANTED01", "planted-secret-0123456789abcdef"


class FlakyServer:
    """moto's server behind a counter: every ``fail_every``-th call gets a 500 (0: none)."""

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.fail_every, self.calls, self.failed = 0, 0, 0
        self._count, self._app = itertools.count(1), DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._serve, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _serve(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.calls = next(self._count)
        if self.fail_every and self.calls % self.fail_every == 0:
            self.failed += 1
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("500 Internal Server Error", [("Content-Type", "text/plain"), ("Connection", "close")])
            return [b"on purpose"]
        return self._app(environ, start_response)

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join(5)


@contextmanager
def s3_server() -> Iterator[FlakyServer]:
    """The server, with keys and address in the environment as a user would give them."""
    names = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_EC2_METADATA_DISABLED": "true"}
    server = FlakyServer()
    names |= {"AWS_ENDPOINT_URL": server.url, "AWS_DEFAULT_REGION": "us-east-1"}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield server
    finally:
        server.stop()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def make_bucket(name: str) -> str:
    """A new bucket's address."""
    from pyarrow import fs

    fs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"], allow_bucket_creation=True).create_dir(name)
    return f"s3://{name}"


def put_folder(folder: Path, uri: str) -> str:
    """Upload every file below ``folder``; the address."""
    from pipelines.storage import Store

    store = Store(uri)
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            store.upload(file, file.relative_to(folder).as_posix())
    return uri


def tiny_video(folder: Path) -> Path:
    """Four seconds of a drifting texture, seen by one eye."""
    import av
    import cv2
    import numpy as np

    folder.mkdir()
    texture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (160, 400, 3)).astype(np.uint8), (0, 0), 2) * 2
    with av.open(str(folder / "pan.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 192, 144, "yuv420p"
        for n in range(40):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(texture[8:152, 4 * n : 4 * n + 192]), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return folder
