"""HTTP with the standard library: one connection a thread, kept open; what may be tried again is."""

import http.client
import json
import logging
import os
import random
import threading
import time
from typing import Any, Callable, Dict, Optional, Sequence
from urllib.parse import quote, urlsplit

from ._errors import Fenced, ProtocolError, Unregistered

log = logging.getLogger("ark_os_worker")

#: Time for an ordinary answer.
ANSWER_SECONDS = 30.0
#: First pause after a request that got no answer; doubles up to the longest.
PAUSE_SECONDS = 0.1
PAUSE_SECONDS_MAX = 5.0
#: The longest ``Retry-After`` that is heeded: a worker that is silent for longer is taken for dead.
RETRY_AFTER_SECONDS_MAX = 60.0
#: A request that got no answer is told at this attempt: one that met a closed connection is nothing to tell.
TOLD_AT_ATTEMPT = 3


class Stopped(Exception):
    """The worker stops: what was to be sent is not tried again."""


class NoAnswer(Exception):
    """What came is no answer of an instance: a page of something between, or one that was cut off."""


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
        wants: Sequence[str],
        session: Optional[str] = None,
        timeout: float = ANSWER_SECONDS,
    ) -> Dict[str, Any]:
        """One request, whose answer has the fields ``wants``. Raises ``OSError``, ``HTTPException`` or
        :class:`NoAnswer` where no answer came."""
        payload = body if isinstance(body, bytes) else encoded(body)
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
        }
        if session is not None:
            headers["Worker-Session"] = session
        connection = self._connection(timeout)
        try:
            try:
                connection.request("POST", self._base + path, payload, headers)
            except BrokenPipeError:
                # Who takes no body as large as this one may have said so before it had all of it.
                pass
            response = connection.getresponse()
            text = response.read()
        except BaseException:
            # What is left on it would be taken for the next answer.
            self._drop()
            raise
        try:
            return read(response, text, wants)
        except ProtocolError as error:
            error.session = session
            raise

    def post_until_answered(
        self,
        path: str,
        body: Any,
        wants: Sequence[str],
        session: Optional[str] = None,
        timeout: float = ANSWER_SECONDS,
        wait: Callable[[float], bool] = lambda seconds: bool(time.sleep(seconds)),
    ) -> Dict[str, Any]:
        """The same, again and again until there is an answer. ``wait`` pauses; it answers whether to
        give up, and then :class:`Stopped` is raised."""
        pause, attempt = PAUSE_SECONDS, 0
        while True:
            try:
                return self.post(path, body, wants, session, timeout)
            except (OSError, http.client.HTTPException, NoAnswer, Busy) as error:
                attempt += 1
                if attempt == TOLD_AT_ATTEMPT:
                    log.warning("no answer to %s, which is tried on and on: %s", path, error)
                least = error.retry_after if isinstance(error, Busy) else 0.0
                # Full jitter: a thousand workers do not come back all at once.
                seconds = max(least, self._jitter.uniform(0, pause))
                pause = min(pause * 2, PAUSE_SECONDS_MAX)
                if wait(seconds):
                    raise Stopped() from error

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

    def __init__(self, status: int, problem: Dict[str, Any], header: Optional[str] = None) -> None:
        super().__init__(status, problem)
        self.retry_after = max(seconds_of(problem.get("retry_after")), seconds_of(header))


def seconds_of(after: Any) -> float:
    """A pause that is asked for; 0 where none is, or one that cannot be read."""
    if isinstance(after, str):
        # A date is not heeded.
        after = int(after[:9]) if after.isascii() and after.isdigit() else 0
    if isinstance(after, (int, float)) and after > 0:
        return float(min(after, RETRY_AFTER_SECONDS_MAX))
    return 0.0


def read(response: http.client.HTTPResponse, text: bytes, wants: Sequence[str]) -> Dict[str, Any]:
    """The answer in a response, or what it says is raised."""
    status, value = response.status, decoded(text)
    problem = value if isinstance(value, dict) else {}
    if 200 <= status < 300:
        if all(field in problem for field in wants):
            return problem
        raise NoAnswer(f"{status} without {' and '.join(wants)}")
    code = problem.get("code")
    if code == "worker_not_found":
        raise Unregistered(status, problem)
    if code == "worker_fenced":
        raise Fenced(status, problem)
    if status in (408, 429) or status >= 500:
        raise Busy(status, problem, response.getheader("Retry-After"))
    if status < 400 or (status == 404 and code is None):
        # Something else stands where the instance was: while it is replaced a proxy says so.
        raise NoAnswer(f"{status} {response.reason} {response.getheader('Location') or ''}".rstrip())
    raise ProtocolError(status, problem)


def decoded(text: bytes) -> Any:
    """What a JSON text says; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def encoded(value: Any) -> bytes:
    """JSON as it is sent. Half characters (what ``surrogateescape`` makes of a file's name) are none
    in UTF-8: each becomes U+FFFD."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def worker_path(worker: str, verb: str) -> str:
    """The path of a worker's route."""
    return f"/workers/{quote(worker, safe='')}/{verb}"
