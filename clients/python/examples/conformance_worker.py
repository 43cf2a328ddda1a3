"""The worker that the conformance test is run against: `ark-os workers conformance -- python3 conformance_worker.py`."""

import logging
import sys

from ark_os_worker import AsyncWorker, Cancelled, Failed, Fenced, Worker


def echo(input):
    return input


def fail(input):
    raise Failed(input["code"], "asked for", retryable=input["retryable"])


def work(input, task):
    if task.wait_cancelled(input["ms"] / 1000):
        raise Cancelled()
    return {"worked": input["ms"]}


def offer(worker, work):
    worker.skill("conformance.echo", effect="read")(echo)
    worker.skill("conformance.fail", effect="read")(fail)
    worker.skill("conformance.work", effect="read")(work)


async def work_async(input):
    import asyncio

    await asyncio.sleep(input["ms"] / 1000)
    return {"worked": input["ms"]}


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    if "--async" in sys.argv:
        import asyncio

        async_worker = AsyncWorker("python-async", concurrency=8)
        offer(async_worker, work_async)
        try:
            asyncio.run(async_worker.run())
        except Fenced as fenced:
            sys.exit(str(fenced))
    else:
        worker = Worker("python-sync", concurrency=8)
        offer(worker, work)
        try:
            worker.run()
        except Fenced as fenced:
            sys.exit(str(fenced))
