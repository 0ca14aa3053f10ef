"""A local server that can break, forget Range, lie or redirect."""

import contextlib
import http.server
import threading
import time
from types import SimpleNamespace


@contextlib.contextmanager
def serving(content, name="weights.pth"):
    """What the server does is set in what this gives.

    `break_at`: bytes after which each connection is cut; `ranges`: whether Range is heeded;
    `pause`: seconds before an answer; `moved`: whether it first sends elsewhere on itself.
    """
    state = SimpleNamespace(
        content=content, break_at=[], ranges=True, status=None, requests=[], sizes=True,
        pause=0.0, moved=False,
    )  # fmt: skip

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked = self.headers.get("Range")
            state.requests.append((self.path, asked))
            time.sleep(state.pause)
            if state.moved and not self.path.startswith("/elsewhere"):
                self.send_response(302)
                self.send_header("Location", f"/elsewhere{self.path}")
                self.end_headers()
                return
            if state.status:
                self.send_error(state.status)
                return
            start = int(asked.removeprefix("bytes=")[:-1]) if asked and state.ranges else 0
            if start >= len(state.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(state.content)}")
                self.end_headers()
                return
            body = state.content[start:]
            self.send_response(206 if asked and state.ranges else 200)
            if state.sizes:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            limit = state.break_at.pop(0) if state.break_at else len(body)
            self.wfile.write(body[:limit])

        def log_message(self, *_):
            pass

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    # It looks so often, in seconds, whether it is to end; by default twice a second.
    threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
    state.url = f"http://127.0.0.1:{listening.server_port}/{name}"
    yield state
    listening.shutdown()
    listening.server_close()
