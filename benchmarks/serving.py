"""A thousand clients ask a served head at once, while classes are added to it."""

import asyncio
import copy
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
import torch

from benchmarks.common import write
from headtail import CompositionalClassifier, FeatureSet
from headtail.workflow import fit_method

N_CLIENTS, N_ROUNDS = 1_000, 10
N_ADDED, N_CLASSES, N_FEATURES, N_SHOTS = 20, 200, 256, 5


def data() -> tuple[FeatureSet, np.ndarray, np.ndarray]:
    """Return training features, those of new classes, and those to predict."""
    generator = np.random.default_rng(0)
    centers = generator.normal(size=(N_CLASSES + N_ADDED, N_FEATURES))

    def draw(labels: np.ndarray) -> np.ndarray:
        noise = 2 * generator.normal(size=(len(labels), N_FEATURES))
        return (centers[labels] + noise).astype(np.float32)

    counts = np.geomspace(300, 5, N_CLASSES).astype(int)
    labels = np.repeat(np.arange(N_CLASSES), counts)
    names = [f"class-{i}" for i in range(N_CLASSES)]
    train = FeatureSet(draw(labels), labels, names)
    new = draw(np.repeat(np.arange(N_CLASSES, len(centers)), N_SHOTS))
    asked = draw(generator.integers(0, len(centers), N_CLIENTS * N_ROUNDS))
    shape = (N_CLIENTS, N_ROUNDS, N_FEATURES)
    return train, new.reshape(N_ADDED, N_SHOTS, N_FEATURES), asked.reshape(shape)


def start(head: Path) -> tuple[subprocess.Popen[str], int]:
    """Start a server; return its process and its port."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "headtail", "serve", str(head), "--port", "0"),
            *("--rate", "0", "--read-rate", "0"),
        ],
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stderr is not None
    return process, int(process.stderr.readline().rsplit(":", 1)[1])


async def read(
    port: int, rows: np.ndarray, start: asyncio.Event
) -> list[tuple[Any, float]]:
    """Connect, wait for the start, ask; return answers and the seconds each took."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await start.wait()
    found: list[tuple[Any, float]] = []
    for row in rows:
        body = json.dumps({"features": [row.tolist()]}).encode()
        head = (
            "POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            "Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        begin = time.perf_counter()
        try:
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", answer.lower())
            content = await reader.readexactly(int(length[1]) if length else 0)
        except (OSError, asyncio.IncompleteReadError):
            content = answer = b""
        seconds = time.perf_counter() - begin
        right = b" 200 " in answer[:16]
        found.append((json.loads(content) if right else None, seconds))
    writer.close()
    return found


def add(port: int, new: np.ndarray, seconds: list[float]) -> None:
    """Add classes, one after the other, and note how long each took."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as http:
        for n, features in enumerate(new):
            begin = time.perf_counter()
            body = {"name": f"new-{n}", "features": features.tolist()}
            http.post("/classes", json=body).raise_for_status()
            seconds.append(time.perf_counter() - begin)


async def ask(
    port: int, asked: np.ndarray, new: np.ndarray
) -> tuple[list[Any], list[float], list[float]]:
    """Return the answers to all rows at once, and seconds of reads and of changes."""
    start, changes = asyncio.Event(), []
    readers = [asyncio.create_task(read(port, rows, start)) for rows in asked]
    await asyncio.sleep(2)  # all are connected
    writing = threading.Thread(target=add, args=(port, new, changes))
    start.set()
    writing.start()
    found = [pair for pairs in await asyncio.gather(*readers) for pair in pairs]
    await asyncio.to_thread(writing.join)
    answers, seconds = zip(*found, strict=True)
    return list(answers), list(seconds), changes


def references(base: CompositionalClassifier, new: np.ndarray) -> list[Any]:
    """Return the head of every state, by `partial_fit` in this process."""
    states = [base]
    for n, features in enumerate(new):
        following = copy.deepcopy(states[-1])
        following.partial_fit(features, [N_CLASSES + n] * N_SHOTS)
        states.append(following)
    return states


def judge(answers: list[Any], asked: np.ndarray, states: list[Any]) -> dict[str, int]:
    """Count what was lost, and what is not the answer of the state that it names."""
    names = np.array(
        [f"class-{i}" for i in range(N_CLASSES)] + [f"new-{i}" for i in range(N_ADDED)]
    )
    versions = [-1 if answer is None else answer["version"] for answer in answers]
    wrong = 0
    for version in sorted(set(versions) - {-1}):
        rows = np.flatnonzero(np.array(versions) == version)
        proba = states[version].predict_proba(asked[rows])
        best = np.argsort(-proba, axis=1, kind="stable")[:, :5]
        shown = [answers[row]["predictions"][0] for row in rows]
        expected = np.take_along_axis(proba, best, axis=1)
        far = np.abs([row["probabilities"] for row in shown] - expected).max(axis=1)
        first = np.array([row["classes"][0] for row in shown])
        wrong += int(((far > 1e-6) | (first != names[best[:, 0]])).sum())
    return {
        "answers": len(answers),
        "lost": versions.count(-1),
        "wrong": wrong,
        "states_seen": len(set(versions) - {-1}),
    }


def milliseconds(times: list[float]) -> dict[str, float]:
    p50, p99 = np.percentile(times, [50, 99]) * 1e3
    return {"p50_ms": float(p50), "p99_ms": float(p99)}


def main() -> None:
    torch.set_num_threads(1)  # the server has the other processors
    train, new, asked = data()
    result: dict[str, Any] = {
        "settings": {
            "in_flight": N_CLIENTS,
            "predictions_each": N_ROUNDS,
            "classes": N_CLASSES,
            "features": N_FEATURES,
            "classes_added": N_ADDED,
            "examples_each": N_SHOTS,
        }
    }
    base = fit_method(train, "compositional")
    states = references(base, new)
    with TemporaryDirectory() as folder:
        head = Path(folder) / "head.safetensors"
        base.save_classifier(head)
        process, port = start(head)
        try:
            asyncio.run(ask(port, asked[:50], new[:0]))  # to warm up
            for name, classes in (("readers_alone", new[:0]), ("while_adding", new)):
                answers, reads, changes = asyncio.run(ask(port, asked, classes))
                row: dict[str, Any] = {"predictions": milliseconds(reads)}
                row |= judge(answers, asked.reshape(-1, N_FEATURES), states)
                if changes:
                    row["changes"] = milliseconds(changes)
                result[name] = row
                print(f"{name}: {row}")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    result["load_average"] = os.getloadavg()[0]
    write("serving", result)
    rows = [result[name] for name in ("readers_alone", "while_adding")]
    if any(row["lost"] or row["wrong"] for row in rows):
        sys.exit("an answer was lost or wrong")


if __name__ == "__main__":
    main()
