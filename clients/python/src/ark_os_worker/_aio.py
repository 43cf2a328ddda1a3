"""The worker whose skills are coroutines, all in one event loop."""

import asyncio
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict

from ._core import failure_of
from ._task import Task
from ._worker import Worker, checked


class AsyncWorker(Worker):
    """As :class:`Worker`, for skills that are coroutines. A task that is taken away is cancelled as
    asyncio cancels: its coroutine gets ``CancelledError``.

    The protocol has threads of its own: skills that keep the loop busy do not keep the worker from
    saying that it lives."""

    _loop: asyncio.AbstractEventLoop

    async def run(self, signals: bool = True) -> None:  # type: ignore[override]
        """Works until :meth:`stop`, or until SIGTERM or SIGINT with ``signals``.

        Raises :class:`Fenced` when another process takes this worker's name."""
        self._loop = asyncio.get_running_loop()
        self._work: Dict[str, "asyncio.Task[None]"] = {}
        if signals:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._loop.add_signal_handler(number, self.stop)
        thread = ThreadPoolExecutor(1, thread_name_prefix="ark-async")
        try:
            await self._loop.run_in_executor(thread, super().run, False)
        finally:
            self.stop()
            work = list(self._work.values())
            for it in work:
                it.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            thread.shutdown(wait=False)

    def _begin(self, task: Task) -> None:
        self._loop.call_soon_threadsafe(self._start, task)

    def _start(self, task: Task) -> None:
        if self.is_mine(task):
            self._work[task.pt] = self._loop.create_task(self._await(task))

    async def _await(self, task: Task) -> None:
        token = {"pt": task.pt, "fence": task.fence}
        try:
            end = "complete", {**token, "output": await self._call(task)}
        except asyncio.CancelledError:
            return
        except Exception as error:  # noqa: BLE001 - a skill may raise anything
            end = "fail", {**token, **failure_of(task, error)}
        finally:
            self._work.pop(task.pt, None)
        if self.is_mine(task):
            self._ends.put(end)

    async def _call(self, task: Task) -> Any:
        value = self.begun(task)
        return checked(task, await value if asyncio.iscoroutine(value) else value)

    def let_go(self, task: Task) -> None:
        super().let_go(task)
        self._loop.call_soon_threadsafe(self._cancel, task.pt)

    def _cancel(self, pt: str) -> None:
        work = self._work.get(pt)
        if work is not None:
            work.cancel()
