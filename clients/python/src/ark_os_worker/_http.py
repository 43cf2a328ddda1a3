"""HTTP with the standard library: one connection a thread, kept open; what may be tried again is."""

import http.client
import json
import os
import random
import threading
import time
from typing import Any, Callable, Dict, Optional, Tuple
from urllib.parse import quote, urlsplit

from ._errors import Fenced, ProtocolError, Unregistered

#: Time for an ordinary answer.
ANSWER_SECONDS = 30.0
#: First pause after a request that got no answer; doubles up to the longest.
PAUSE_SECONDS = 0.1
PAUSE_SECONDS_MAX = 5.0


class Stopped(Exception):
    """The worker stops: what was to be sent is not tried again."""


class Transport:
    """Requests to one instance. Threads may share it; each has a connection of its own."""

    def __init__(self, endpoint: Optional[str], token: Optional[str]) -> None:
        endpoint = endpoint or os.environ.get("ARK_OS_ENDPOINT") or "http://127.0.0.1:7341"
        self.token = token or os.environ.get("ARK_OS_TOKEN") or ""
        url = urlsplit(endpoint)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"not the address of an instance: {endpoint!r}")
        self._tls = url.scheme == "https"
        self._host = url.hostname
        self._port = url.port
        self._base = url.path.rstrip("/") + "/api/v1"
        self._local = threading.local()
        self._jitter = random.Random()

    def post(
        self,
        path: str,
        body: Any,
        session: Optional[str] = None,
        timeout: float = ANSWER_SECONDS,
    ) -> Dict[str, Any]:
        """One request. Raises ``OSError`` or ``http.client.HTTPException`` where no answer came."""
        payload = body if isinstance(body, bytes) else encoded(body)
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
        }
        if session is not None:
            headers["Worker-Session"] = session
        connection = self._connection(timeout)
        try:
            connection.request("POST", self._base + path, payload, headers)
            response = connection.getresponse()
            text = response.read()
        except BaseException:
            # What is left on it would be taken for the next answer.
            self._drop()
            raise
        try:
            return self._read(response.status, text)
        except ProtocolError as error:
            error.session = session
            raise

    def post_until_answered(
        self,
        path: str,
        body: Any,
        session: Optional[str] = None,
        timeout: float = ANSWER_SECONDS,
        wait: Callable[[float], bool] = lambda seconds: bool(time.sleep(seconds)),
    ) -> Dict[str, Any]:
        """The same, again and again until there is an answer. ``wait`` pauses; it answers whether to
        give up, and then :class:`Stopped` is raised."""
        pause = PAUSE_SECONDS
        while True:
            try:
                return self.post(path, body, session, timeout)
            except (OSError, http.client.HTTPException, Busy) as error:
                least = error.retry_after if isinstance(error, Busy) else 0.0
                # Full jitter: a thousand workers do not come back all at once.
                seconds = max(least, self._jitter.uniform(0, pause))
                pause = min(pause * 2, PAUSE_SECONDS_MAX)
                if wait(seconds):
                    raise Stopped() from error

    def _read(self, status: int, text: bytes) -> Dict[str, Any]:
        try:
            value = json.loads(text) if text else {}
        except ValueError:
            value = {}
        if 200 <= status < 300 and isinstance(value, dict):
            return value
        problem = value if isinstance(value, dict) else {}
        code = problem.get("code")
        if code == "worker_not_found":
            raise Unregistered(status, problem)
        if code == "worker_fenced":
            raise Fenced(status, problem)
        if status in (408, 429) or status >= 500:
            raise Busy(status, problem)
        raise ProtocolError(status, problem)

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        connection: Optional[http.client.HTTPConnection] = getattr(self._local, "connection", None)
        if connection is None:
            kind = http.client.HTTPSConnection if self._tls else http.client.HTTPConnection
            connection = kind(self._host, self._port, timeout=timeout)
            self._local.connection = connection
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        return connection

    def _drop(self) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def close(self) -> None:
        """Closes this thread's connection."""
        self._drop()


class Busy(ProtocolError):
    """Not now: 429 and every 5xx."""

    def __init__(self, status: int, problem: Dict[str, Any]) -> None:
        super().__init__(status, problem)
        after = problem.get("retry_after")
        self.retry_after = float(after) if isinstance(after, (int, float)) else 0.0


def encoded(value: Any) -> bytes:
    """JSON as it is sent."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def worker_path(worker: str, verb: str) -> str:
    """The path of a worker's route."""
    return f"/workers/{quote(worker, safe='')}/{verb}"


def split(items: Any, size: int) -> Tuple[Any, Any]:
    """The first so many, and the rest."""
    return items[:size], items[size:]
