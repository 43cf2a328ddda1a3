"""A worker that counts words. Set ARK_OS_ENDPOINT and ARK_OS_TOKEN, start it, and run
`ark-os run --task text.wordcount --input text="to be or not to be"`."""

from ark_os_worker import Worker

worker = Worker("wordcount-1", concurrency=4)


@worker.skill(
    "text.wordcount",
    effect="read",
    input={"type": "object", "required": ["text"]},
    output={"type": "object", "required": ["words"]},
)
def wordcount(input):
    return {"words": len(input["text"].split())}


if __name__ == "__main__":
    worker.run()
