"""A stand-in for the Hugging Face Hub: it takes one data set and keeps what was uploaded."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class HubStandIn:
    """Serves on a free port; `files` are the uploaded ones by path."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.created: dict[str, Any] = {}
        self.tokens: set[str | None] = set()
        self.is_out_of_order = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "HubStandIn":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer({"sha": "0" * 40, "id": "me/agents", "siblings": []})

            def do_POST(self) -> None:
                hub.tokens.add(self.headers.get("Authorization"))
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if hub.is_out_of_order:
                    self._answer({"error": "out of order"}, 500)
                elif self.path == "/api/repos/create":
                    hub.created = json.loads(body)
                    self._answer({"url": f"{hub.url}/datasets/me/agents"})
                elif "/preupload/" in self.path:
                    files = json.loads(body)["files"]
                    kept = [
                        {**file, "uploadMode": "regular", "shouldIgnore": False} for file in files
                    ]
                    self._answer({"files": kept})
                elif "/commit/" in self.path:
                    for line in body.splitlines():
                        entry = json.loads(line)
                        if entry["key"] == "file":
                            content = base64.b64decode(entry["value"]["content"])
                            hub.files[entry["value"]["path"]] = content
                    answer = {
                        "commitUrl": f"{hub.url}/datasets/me/agents/commit/1",
                        "commitOid": "1" * 40,
                    }
                    self._answer({**answer, "pullRequestUrl": None})
                else:
                    self._answer({}, 404 if "validate-yaml" not in self.path else 200)

            def _answer(self, value: dict[str, Any], status: int = 200) -> None:
                body = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
