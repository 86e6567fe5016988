"""The peer of `embedding.py`: sentence-transformers on torch, in an environment of its own.

Reads one line with the model's folder and the texts, then one line for each thing to do; answers each with a line.
"""

import json
import sys
import time

from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Normalize, Pooling, Transformer

setup = json.loads(sys.stdin.readline())
transformer = Transformer(setup["folder"], max_seq_length=256)
model = SentenceTransformer(modules=[transformer, Pooling(setup["dimensions"], "mean"), Normalize()], device="cpu")
model.encode(setup["texts"][:8])


def answer(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


answer("ready")
for line in sys.stdin:
    order = json.loads(line)
    started = time.perf_counter()
    if order["do"] == "vectors":
        answer(model.encode(setup["texts"]).tolist())
    elif order["do"] == "bulk":
        model.encode(setup["texts"], batch_size=order["batch"])
        answer(time.perf_counter() - started)
    else:
        times = []
        for question in setup["questions"]:
            started = time.perf_counter()
            model.encode([question])
            times.append(time.perf_counter() - started)
        answer(times)
