"""A stand-in for the Hugging Face Hub on the loopback: the routes that publishing and reading back use, with the real client."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = (".parquet", ".mp4", ".png")
TOKEN = "hf_atokenthatmustneverbeseenanywhere"


def blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub:
    """One dataset repository. ``faults``: list of [method, part of the path, status, how often]."""

    def __init__(self) -> None:
        self.url = ""
        self.exists, self.private = False, True
        self.objects: dict[str, bytes] = {}
        self.commits: list[tuple[str, str, dict[str, bytes]]] = []  # id, message, files
        self.tags: dict[str, str] = {}
        self.requests: list[tuple[str, str]] = []
        self.tokens: set[str] = set()
        self.faults: list[list[Any]] = []
        self.lock = threading.Lock()

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[-1][2] if self.commits else {}

    def at(self, revision: str) -> tuple[str, dict[str, bytes]]:
        oid = self.tags.get(revision, revision)
        for found, _, files in reversed(self.commits):
            if oid in (found, "main"):
                return found, files
        raise KeyError(revision)

    def count(self, method: str, part: str) -> int:
        return sum(m == method and part in path for m, path in self.requests)

    def entry(self, path: str, data: bytes) -> dict[str, Any]:
        large = path.endswith(LARGE)
        lfs = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        return {"type": "file", "path": path, "size": len(data), "oid": blob_id(data), **({"lfs": lfs} if large else {})}

    def commit(self, lines: list[dict[str, Any]]) -> dict[str, Any]:
        files, message = dict(self.files), ""
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                message = value["summary"]
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        oid = hashlib.sha1(repr((len(self.commits), sorted(files))).encode()).hexdigest()
        self.commits.append((oid, message, files))
        return {"commitUrl": f"{self.url}/datasets/me/demo/commit/{oid}", "commitOid": oid, "commitMessage": message}

    def answer(self, method: str, path: str, query: str, body: bytes) -> tuple[int, Any]:
        """Status, and JSON (dict, list) or bytes."""
        api = "/api/datasets/me/demo"
        if method == "PUT":
            self.objects[path.rsplit("/", 1)[1]] = body
            return 200, {}
        if path == "/api/repos/create":
            if self.exists:
                return 409, {"error": "exists", "url": f"{self.url}/datasets/me/demo"}
            self.exists, self.private = True, json.loads(body).get("visibility", "public") == "private"
            self.commits.append(("0" * 40, "initial", {".gitattributes": b"*.parquet filter=lfs"}))
            return 200, {"url": f"{self.url}/datasets/me/demo"}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path.endswith("/info/lfs/objects/batch"):
            found = []
            for item in json.loads(body)["objects"]:
                known = {} if item["oid"] in self.objects else {"actions": {"upload": {"href": f"{self.url}/lfs/{item['oid']}"}}}
                found.append({"oid": item["oid"], "size": item["size"], **known})
            return 200, {"transfer": "basic", "objects": found}
        if path.startswith(f"{api}/preupload/"):
            out = []
            for item in json.loads(body)["files"]:
                name = item["path"]
                data = self.files.get(name)
                large = name.endswith(LARGE)
                known = None if data is None else hashlib.sha256(data).hexdigest() if large else blob_id(data)
                out.append({"path": name, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": known})
            return 200, {"files": out}
        if path.startswith(f"{api}/commit/"):
            return 200, self.commit([json.loads(line) for line in body.splitlines()])
        if path == f"{api}/refs":
            tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": oid} for n, oid in self.tags.items()]
            main = {"name": "main", "ref": "refs/heads/main", "targetCommit": self.commits[-1][0]}
            return 200, {"branches": [main], "converts": [], "tags": tags}
        if path.startswith(f"{api}/tag/"):
            name = path.rsplit("/", 1)[1]
            if method == "DELETE":
                del self.tags[name]
                return 200, {}
            wanted = json.loads(body)["tag"]
            if wanted in self.tags:
                return 409, {"error": "exists"}
            self.tags[wanted] = self.at(name)[0]
            return 200, {}
        if path == api or path.startswith(f"{api}/revision/"):
            oid, files = self.at(path.rsplit("/", 1)[1] if path != api else "main")
            siblings = [{"rfilename": name} for name in files]
            return 200, {"id": "me/demo", "sha": oid, "private": self.private, "siblings": siblings, "tags": [], "_id": "1"}
        if path.startswith(f"{api}/tree/"):
            revision, _, under = path.removeprefix(f"{api}/tree/").partition("/")
            files = self.at(revision)[1]
            chosen = {n: d for n, d in files.items() if not under or n == under or n.startswith(under + "/")}
            if under and not chosen:
                return 404, {"error": "Entry not found"}
            if "recursive=true" in query.lower():
                return 200, [self.entry(n, d) for n, d in chosen.items()]
            base = under + "/" if under else ""
            folders = sorted({base + n.removeprefix(base).split("/")[0] for n in chosen if "/" in n.removeprefix(base)})
            inner = [{"type": "directory", "path": name, "size": 0, "oid": "1"} for name in folders]
            return 200, inner + [self.entry(n, d) for n, d in chosen.items() if "/" not in n.removeprefix(base)]
        if path.startswith(f"{api}/paths-info/"):
            files = self.at(path.rsplit("/", 1)[1])[1]
            wanted = json.loads(body)["paths"]
            found = [self.entry(n, files[n]) for n in wanted if n in files]
            inner = [n for n in wanted if n not in files and any(f.startswith(n + "/") for f in files)]
            return 200, found + [{"type": "directory", "path": n, "size": 0, "oid": "1"} for n in inner]
        if path.startswith("/datasets/me/demo/resolve/"):
            revision, _, name = path.removeprefix("/datasets/me/demo/resolve/").partition("/")
            data = self.at(revision)[1].get(name)
            return (404, {"error": "Entry not found"}) if data is None else (200, data)
        return 404, {"error": f"no such route: {method} {path}"}


@contextmanager
def hub() -> Iterator[Hub]:
    """The stand-in on a free port."""
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            parts = urlsplit(self.path)
            path = unquote(parts.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with state.lock:
                state.requests.append((self.command, path))
                state.tokens.add(self.headers.get("Authorization", ""))
                fault = next((f for f in state.faults if f[0] == self.command and f[1] in path and f[3] > 0), None)
                if fault:
                    fault[3] -= 1
                    status, found = fault[2], {"error": f"fault, said to {self.headers.get('Authorization')}"}
                else:
                    try:
                        status, found = state.answer(self.command, path, parts.query, body)
                    except KeyError as error:
                        status, found = 404, {"error": f"Revision Not Found {error}"}
            data = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(status)
            if status == 404:
                self.send_header("X-Error-Code", "RevisionNotFound" if "Revision" in str(found) else "EntryNotFound")
            if "/resolve/" in path and status == 200:
                self.send_header("X-Repo-Commit", state.at(path.split("/resolve/")[1].split("/")[0])[0])
                self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
                if wanted := self.headers.get("Range"):
                    first, last = wanted.removeprefix("bytes=").split("-")
                    data = data[int(first) : int(last) + 1 if last else None]
            self.send_header("Content-Type", "application/octet-stream" if isinstance(found, bytes) else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _do

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
