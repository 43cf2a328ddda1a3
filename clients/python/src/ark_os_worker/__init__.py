"""Remote workers for ARK-OS: agents in Python that pull their work over HTTP.

    from ark_os_worker import Worker

    worker = Worker("wordcount-1", concurrency=4)

    @worker.skill("text.wordcount", effect="read")
    def wordcount(input, task):
        return {"words": len(input["text"].split())}

    worker.run()

The protocol is described in ``docs/workers.md`` of ARK-OS.
"""

from ._aio import AsyncWorker
from ._errors import Cancelled, Failed, Fenced, ProtocolError, Unknown
from ._task import Task
from ._worker import Worker

__all__ = [
    "AsyncWorker",
    "Cancelled",
    "Failed",
    "Fenced",
    "ProtocolError",
    "Task",
    "Unknown",
    "Worker",
]
__version__ = "0.1.0"
