"""Counts words: the task's input on standard input, one JSON value on standard output."""

import json
import sys

text = json.load(sys.stdin)["text"]
words = text.split()
json.dump({"words": len(words), "longest": max(words, key=len, default="")}, sys.stdout)
