"""Many slow tasks at one time in one event loop: skills that are coroutines."""

import asyncio

from ark_os_worker import AsyncWorker, Failed

worker = AsyncWorker("sleeper-1", concurrency=200)


@worker.skill("demo.nap", effect="read")
async def nap(input, task):
    seconds = input.get("seconds", 1)
    if not 0 <= seconds <= 60:
        raise Failed("demo.too_long", "nobody naps so long")
    for part in range(int(seconds * 10)):
        await asyncio.sleep(0.1)
        if part % 50 == 49:
            task.checkpoint(f"{part + 1} tenths of a second")
    return {"slept": seconds}


if __name__ == "__main__":
    asyncio.run(worker.run())
