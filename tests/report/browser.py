"""A headless browser, spoken to through chromedriver's own protocol (W3C WebDriver): no package needed."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import cv2
import numpy as np

PROGRAMS = ("chromium", "chromedriver")


def missing() -> list[str]:
    """Programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


class Browser:
    """One window. Use as a context manager."""

    def __init__(self, profile: Path, width: int = 900, height: int = 900) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._driver = subprocess.Popen(["chromedriver", f"--port={port}", "--silent"])
        self._base = f"http://127.0.0.1:{port}"
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
        for _ in range(100):
            try:
                self._call("GET", "/status")
                break
            except OSError:
                time.sleep(0.1)
        arguments = ["--headless=new", "--no-sandbox", f"--window-size={width},{height}", f"--user-data-dir={profile}"]
        arguments += ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        always = {"goog:chromeOptions": {"args": arguments}, "goog:loggingPrefs": {"browser": "ALL"}}
        self._session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": always}})["sessionId"]

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._call("DELETE", f"/session/{self._session}")
        finally:
            self._driver.terminate()
            self._driver.wait(20)

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._base + path, data, {"Content-Type": "application/json"}, method=method)
        with self._open(request, timeout=90) as reply:
            return json.load(reply)["value"]

    def open(self, page: Path) -> None:
        self._call("POST", f"/session/{self._session}/url", {"url": page.resolve().as_uri()})

    def run(self, script: str) -> Any:
        return self._call("POST", f"/session/{self._session}/execute/sync", {"script": script, "args": []})

    def wait(self, condition: str, seconds: float = 40) -> None:
        """Until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while not self.run(f"return !!({condition})"):
            assert time.monotonic() < end, f"never became true: {condition}; console: {self.errors()}"
            time.sleep(0.2)

    def errors(self) -> list[str]:
        """What the console says went wrong since the last call."""
        entries = self._call("POST", f"/session/{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def picture(self, selector: str) -> Any:
        """An element as it is seen, RGB."""
        found = self._call("POST", f"/session/{self._session}/element", {"using": "css selector", "value": selector})
        png = self._call("GET", f"/session/{self._session}/element/{next(iter(found.values()))}/screenshot")
        return cv2.imdecode(np.frombuffer(base64.b64decode(png), np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)
