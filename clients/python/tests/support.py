"""An instance for the tests, and a relay before it: `ARK_OS_BIN` names the binary."""

import http.client
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "src"))

BINARY = os.environ.get("ARK_OS_BIN", "ark-os")


class Instance:
    """An instance of its own, on a free port."""

    def __init__(self):
        self.home = tempfile.TemporaryDirectory()
        env = {"PATH": os.environ.get("PATH", ""), "HOME": self.home.name, "ARK_OS_LOG_LEVEL": "error"}
        command = [BINARY, "start", "--listen", "127.0.0.1:0", "--agents", "8", "--data-dir", self.home.name + "/data"]
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE)
        self.process.stdout.readline()
        record = json.loads(pathlib.Path(self.home.name, "data", "instance.json").read_text())
        self.endpoint = record["endpoint"]
        self.token = pathlib.Path(self.home.name, "data", "token").read_text().strip()

    def close(self):
        self.process.terminate()
        self.process.wait(30)
        self.process.stdout.close()
        self.home.cleanup()

    def call(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.endpoint}/api/v1{path}", data)
        request.add_header("Authorization", f"Bearer {self.token}")
        for _ in range(200):
            try:
                with urllib.request.urlopen(request, timeout=60) as response:
                    return json.load(response)
            except urllib.error.HTTPError as refused:
                with refused:
                    problem = refused.read().decode()
            # A worker is listed a moment before its skills are known.
            if "no agent has the skill" not in problem:
                break
            threading.Event().wait(0.05)
        raise AssertionError(problem)

    def run_task(self, skill, value, attempts=2):
        retry = {"attempts": attempts, "backoff": "1ms"}
        return self.call("/tasks?wait=30s", {"skill": skill, "input": value, "retry": retry})


class WithInstance(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.instance = Instance()

    @classmethod
    def tearDownClass(cls):
        cls.instance.close()

    def at(self):
        return {"endpoint": self.instance.endpoint, "token": self.instance.token}

    def cancel(self, task):
        """Else the instance waits for its lease when it stops."""
        self.instance.call(f"/runs/{task['run']}/cancel", {})

    def wait_registered(self, name):
        until = 200
        while until:
            if any(it["worker"] == name for it in self.instance.call("/workers")["items"]):
                return
            until -= 1
            threading.Event().wait(0.05)
        self.fail(f"{name} never registered")


class Relay:
    """Between a worker and the instance. ``spoil(verb, body)`` is asked of each request: what it answers
    in raw bytes is sent in place of the instance's answer, before the connection is closed."""

    def __init__(self, instance, spoil):
        asked = self.asked = []

        class Relayed(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                verb = self.path.rsplit("/", 1)[1]
                asked.append((verb, body))
                answer = spoil(verb, body)
                if answer is None:
                    answer = self.forwarded(body)
                self.wfile.write(answer)
                self.close_connection = True

            def forwarded(self, body):
                to = http.client.HTTPConnection(instance.endpoint.split("//")[1], timeout=60)
                to.request("POST", self.path, body, dict(self.headers))
                response = to.getresponse()
                answer = raw(response.status, response.read())
                to.close()
                return answer

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Relayed)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.endpoint = "http://127.0.0.1:%d" % self.server.server_address[1]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def raw(status, body, *headers):
    """A response in bytes."""
    head = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body
