"""Clients of tritonclient.grpc that ask one after the other: `triton_load.py ADDRESS`, a process of its own.

tritonclient and the KServe SDK register the same protocol buffers and cannot live in one process. Asks until
its standard input ends, then prints how the calls ended, as JSON: status or "OK", and the revision.
"""

import json
import random
import sys
import threading
import time
import uuid
from collections import Counter

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

CLIENTS = 4


def ends(client: triton.InferenceServerClient, amount: float, months: float, key: str) -> tuple[str, str]:
    """One call's end and the revision that answered it, which calls itself the model's version."""
    matrix = triton.InferInput("features", [1, 2], "FP32")
    matrix.set_data_from_numpy(np.array([[amount, months]], np.float32))
    paint = triton.InferInput("paint_id", [1], "BYTES")
    paint.set_data_from_numpy(np.array([key.encode()], np.object_))
    try:
        result = client.infer(
            "paint",
            [matrix, paint],
            request_id=uuid.uuid4().hex,
            headers={"x-key": key},
            client_timeout=60,
        )
    except InferenceServerException as error:
        return error.status(), ""
    assert 0.0 <= result.as_numpy("probability").item() <= 1.0
    return "OK", result.get_response().model_version


def main() -> None:
    """Ask until nobody wants more."""
    over, counted, lock = threading.Event(), Counter[str](), threading.Lock()

    def ask(seed: int) -> None:
        draw = random.Random(seed)  # noqa: S311 - no secret
        with triton.InferenceServerClient(sys.argv[1]) as client:
            while not over.is_set():
                end = ends(client, float(draw.random() < 0.5), draw.random(), f"k{draw.randrange(2_000)}")
                with lock:
                    counted[" ".join(end).strip()] += 1
                time.sleep(0.002)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(CLIENTS)]
    for thread in threads:
        thread.start()
    print("asking", flush=True)  # noqa: T201 - whoever started us waits for it
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join()
    print(json.dumps(counted))  # noqa: T201 - the result


if __name__ == "__main__":
    main()
