"""A real HTTP server that speaks the chat protocol, well or badly."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, str], bytes]


def said(text: Any, **message: Any) -> Answer:
    """A well-formed reply."""
    body = {
        "id": "x", "object": "chat.completion", "created": 0, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text, **message}}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }  # fmt: skip
    return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()


def error(status: int, message: str = "no", **headers: str) -> Answer:
    """An error of the API."""
    return status, {"Content-Type": "application/json", **headers}, json.dumps({"error": {"message": message}}).encode()


class Server:
    """Counts what it is asked; ``respond`` gets the request and the number of times that its question came."""

    def __init__(self, respond: Callable[[dict[str, Any], int], Answer | None]) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.at_once = self.most_at_once = 0
        self.respond = respond
        self.lock = threading.Lock()
        self.url = ""

    def seen(self, request: dict[str, Any]) -> int:
        words = question_of(request)
        return sum(question_of(other) == words for other in self.requests)


def question_of(request: dict[str, Any]) -> str:
    content = request["messages"][-1]["content"]
    return content if isinstance(content, str) else content[-1]["text"]


@contextmanager
def serving(respond: Callable[[dict[str, Any], int], Answer | None]) -> Iterator[Server]:
    """The server on a free port of the loopback; ``None`` from ``respond`` drops the connection."""
    state = Server(respond)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with state.lock:
                state.requests.append(request)
                state.keys.append(self.headers.get("Authorization", ""))
                state.at_once += 1
                state.most_at_once = max(state.most_at_once, state.at_once)
                count = state.seen(request)
            answer = state.respond(request, count)
            with state.lock:
                state.at_once -= 1
            if answer is None:
                self.close_connection = True
                self.connection.close()
                return
            status, headers, body = answer
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
