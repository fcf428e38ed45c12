import hashlib
import http.server
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from xtalshift.data.fetch import cache_folder, fetch
from xtalshift.errors import FetchError
from xtalshift.provenance import hash_file

BODY = bytes(range(256)) * 2000  # more than one packet
SHA = hashlib.sha256(BODY).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Answers the n-th request with the n-th behaviour, the last one from then on."""

    daemon_threads = True
    request_queue_size = 32

    def __init__(self, behaviours):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviours = list(behaviours)
        self.seen = []
        self.guard = threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/file.bin"

    @property
    def ranges(self):
        return [headers.get("Range") for headers in self.seen]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with self.server.guard:
            step = min(len(self.server.seen), len(self.server.behaviours) - 1)
            self.server.seen.append(dict(self.headers))
        getattr(self, self.server.behaviours[step])()

    def log_message(self, *args):
        pass

    def reply(self, status, body, *, claim=None, extra=()):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if claim is None else claim))
        for key, value in extra:
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def requested(self):
        return int((self.headers.get("Range") or "bytes=0-")[6:-1])

    def good(self):
        start = self.requested()
        if start >= len(BODY):
            self.reply(416, b"")
        elif start:
            extra = [("Content-Range", f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")]
            self.reply(206, BODY[start:], extra=extra)
        else:
            self.reply(200, BODY)

    def no_range(self):
        self.reply(200, BODY)

    def truncate(self):
        start = self.requested()
        rest = BODY[start:]
        self.reply(206 if start else 200, rest[: len(rest) // 3], claim=len(rest))

    def corrupt(self):
        self.reply(200, b"x" + BODY[1:])

    def unavailable(self):
        self.reply(503, b"busy")

    def broken(self):
        self.reply(500, b"broken")

    def too_many(self):
        self.reply(429, b"slow down")

    def missing(self):
        self.reply(404, b"none here")

    def redirect(self):
        self.reply(302, b"", extra=[("Location", "/other.bin")])


class Sleeper:
    def __init__(self):
        self.waits = []

    def __call__(self, seconds):
        self.waits.append(seconds)


@pytest.fixture
def serve():
    servers = []

    def start(*behaviours):
        server = Server(behaviours)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def sleep():
    return Sleeper()


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_plain_download_and_no_second_one(serve, sleep, tmp_path):
    server = serve("good")
    destination = tmp_path / "deep" / "file.bin"
    assert fetch(server.url, SHA, destination, sleep=sleep) == destination
    assert destination.read_bytes() == BODY
    assert leftovers(destination.parent) == ["file.bin"]
    fetch(server.url, SHA, destination, sleep=sleep)
    assert len(server.seen) == 1
    assert server.seen[0]["Accept-Encoding"] == "identity"
    assert sleep.waits == []


def test_backs_off_while_the_server_is_busy(serve, sleep, tmp_path):
    server = serve("unavailable", "too_many", "unavailable", "good")
    fetch(server.url, SHA, tmp_path / "f", sleep=sleep)
    assert sleep.waits == [1.0, 2.0, 4.0]
    assert hash_file(tmp_path / "f") == SHA


def test_resumes_where_the_connection_broke(serve, sleep, tmp_path):
    server = serve("truncate", "truncate", "good")
    fetch(server.url, SHA, tmp_path / "f", sleep=sleep)
    first = len(BODY) // 3
    second = first + (len(BODY) - first) // 3
    assert server.ranges == [None, f"bytes={first}-", f"bytes={second}-"]
    assert (tmp_path / "f").read_bytes() == BODY


def test_resumes_the_part_of_an_earlier_run(serve, sleep, tmp_path):
    (tmp_path / "f.part").write_bytes(BODY[:1000])
    server = serve("good")
    fetch(server.url, SHA, tmp_path / "f", sleep=sleep)
    assert server.ranges == ["bytes=1000-"]
    assert leftovers(tmp_path) == ["f"]


def test_starts_over_where_the_server_ignores_the_range(serve, sleep, tmp_path):
    server = serve("truncate", "no_range")
    fetch(server.url, SHA, tmp_path / "f", sleep=sleep)
    assert server.ranges[1] is not None
    assert (tmp_path / "f").read_bytes() == BODY


@pytest.mark.parametrize("size", [len(BODY), len(BODY) + 5])
def test_a_part_that_is_already_complete_or_too_long(serve, sleep, tmp_path, size):
    (tmp_path / "f.part").write_bytes(b"y" * size)
    server = serve("good")
    fetch(server.url, SHA, tmp_path / "f", sleep=sleep)
    assert server.ranges == [f"bytes={size}-", None]
    assert (tmp_path / "f").read_bytes() == BODY


def test_a_corrupt_download_is_thrown_away_and_repeated(serve, sleep, tmp_path):
    server = serve("corrupt", "good")
    fetch(server.url, SHA, tmp_path / "f", sleep=sleep)
    assert server.ranges == [None, None]
    assert (tmp_path / "f").read_bytes() == BODY


def test_always_corrupt_names_both_checksums_and_leaves_nothing(serve, sleep, tmp_path):
    server = serve("corrupt")
    with pytest.raises(FetchError) as caught:
        fetch(server.url, SHA, tmp_path / "f", sleep=sleep, retries=2)
    got = hashlib.sha256(b"x" + BODY[1:]).hexdigest()
    message = str(caught.value)
    assert all(text in message for text in (server.url, SHA, got, "3 attempts"))
    assert leftovers(tmp_path) == []


def test_not_found_is_final_and_says_what_to_do(serve, sleep, tmp_path):
    server = serve("missing")
    with pytest.raises(FetchError, match=r"HTTP 404.*save it as") as caught:
        fetch(server.url, SHA, tmp_path / "data.json.gz", sleep=sleep)
    assert f"save it as {tmp_path / 'data.json.gz'};" in str(caught.value)
    assert len(server.seen) == 1
    assert sleep.waits == []


def test_gives_up_after_the_retries(serve, sleep, tmp_path):
    server = serve("unavailable", "broken")
    with pytest.raises(FetchError, match="4 attempts, last: HTTP 500"):
        fetch(server.url, SHA, tmp_path / "f", sleep=sleep, retries=3)
    assert len(server.seen) == 4


def test_offline_says_where_to_put_the_file(sleep, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(FetchError, match=r"ConnectError.*Without network") as caught:
        fetch(f"http://127.0.0.1:{port}/x", SHA, tmp_path / "f", sleep=sleep, retries=1)
    assert str(tmp_path / "f") in str(caught.value)
    (tmp_path / "f").write_bytes(BODY)
    assert fetch(f"http://127.0.0.1:{port}/x", SHA, tmp_path / "f", sleep=sleep) == tmp_path / "f"


def test_a_damaged_file_in_the_cache_is_replaced(serve, sleep, tmp_path):
    (tmp_path / "f").write_bytes(b"damaged")
    fetch(serve("good").url, SHA, tmp_path / "f", sleep=sleep)
    assert (tmp_path / "f").read_bytes() == BODY


def test_a_damaged_file_stays_while_nothing_better_arrived(sleep, serve, tmp_path):
    (tmp_path / "f").write_bytes(b"damaged")
    with pytest.raises(FetchError):
        fetch(serve("missing").url, SHA, tmp_path / "f", sleep=sleep)
    assert (tmp_path / "f").read_bytes() == b"damaged"


def test_follows_redirects(serve, sleep, tmp_path):
    server = serve("redirect", "good")
    fetch(server.url, SHA, tmp_path / "f", sleep=sleep)
    assert (tmp_path / "f").read_bytes() == BODY


def test_many_at_once_download_once(serve, sleep, tmp_path):
    server = serve("good")
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(fetch, server.url, SHA, tmp_path / "f", sleep=sleep) for _ in range(8)]
        assert {job.result() for job in jobs} == {tmp_path / "f"}
    assert len(server.seen) == 1
    assert (tmp_path / "f").read_bytes() == BODY


def test_a_folder_that_cannot_be_written(sleep, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(FetchError, match=r"cannot store .*XTALSHIFT_CACHE"):
        fetch("http://127.0.0.1:9/x", SHA, tmp_path / "file" / "f", sleep=sleep)


def test_progress_counts_every_byte_once(serve, sleep, tmp_path):
    class Recorder:
        def __init__(self):
            self.totals, self.steps, self.lines = [], [], []

        def task(self, name, total):
            self.totals.append(total)
            self.steps.append(0)
            return self

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

        def advance(self, steps=1, **info):
            self.steps[-1] += steps

        def say(self, text):
            self.lines.append(text)

    recorder = Recorder()
    fetch(serve("truncate", "good").url, SHA, tmp_path / "f", sleep=sleep, progress=recorder)
    assert recorder.totals == [len(BODY)] * 2
    assert recorder.steps == [len(BODY) // 3, len(BODY)]
    assert recorder.lines[0].startswith("attempt 1 of 5 failed")


def test_cache_folder_can_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv("XTALSHIFT_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("XTALSHIFT_CACHE")
    assert cache_folder().name == "xtalshift"
