"""Run both engines on a local Ray cluster of three nodes, and kill nodes meanwhile.

``python -m tests.scale.cluster_run FOLDER`` writes inputs and outputs into the folder,
and what happened into ``facts.json``. A process of its own: Ray warns, and what it
leaves behind dies with it.
"""

import json
import os
import sys
import threading
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import ray
import torch
from ray.cluster_utils import Cluster

from headtail import FeatureSet
from headtail.scale import extract_images, gather_statistics
from headtail.statistics import save_statistics
from headtail.training import build_backbone

# A shard's statistics are larger than 100 KB: they lie in the store of a node.
N_SHARDS, N_CLASSES, N_FEATURES = 20, 64, 128
N_IMAGE_SHARDS = 14
NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
# Items that a node has begun when it is killed; how long the others wait for that.
BEGUN, PATIENCE_S = 2, 30
# A node that is killed is noticed within seconds.
NOTICE = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500}


def write_inputs(folder):
    generator = np.random.default_rng(0)
    (folder / "features").mkdir()
    (folder / "images").mkdir()
    for number in range(N_SHARDS):
        # All classes occur: smaller statistics would not stay on the node that is lost.
        labels = generator.integers(0, N_CLASSES, 500 + number)
        rows = generator.normal(size=(len(labels), N_FEATURES)).astype(np.float32)
        FeatureSet(rows, labels).save(folder / f"features/{number:02}.safetensors")
    for number in range(N_IMAGE_SHARDS):
        save_images(folder / f"images/{number:02}.npz", 5 + number % 3, generator)


def save_images(path, n_images, generator):
    images = generator.integers(0, 256, (n_images, 16, 16, 3), np.uint8)
    names = ["ant", "bee", "cat"]
    labels = generator.integers(0, 3, n_images)
    np.savez(path, images=images, labels=labels, class_names=names)


def hook_of(journal):
    """Return what makes every worker note where it begins an item, and go slowly."""

    def hook():
        from headtail.scale import partial
        from headtail.scale.extractor import Extractor

        def note(item):
            node = ray.get_runtime_context().get_node_id()
            Path(journal, f"{item}~{node}~{uuid.uuid4().hex}").touch()
            # Nobody goes on before all three have begun, for a process starts slowly;
            # nor, but the one that will be killed, before that has begun two.
            last = time.monotonic() + PATIENCE_S
            while time.monotonic() < last:
                nodes = [where for _, where in begun(journal)]
                doomed = Path(f"{journal}.doomed").read_text()
                ready = doomed in ("", node) or nodes.count(doomed) >= BEGUN
                if ready and len(set(nodes)) >= 3:
                    break
                time.sleep(0.02)
            time.sleep(0.2)

        summarise, extract = partial.summarise_shard, Extractor.__call__

        def slow_summarise(shard):
            note(shard.name)
            return summarise(shard)

        def slow_extract(self, item):
            note(item["shard"])
            return extract(self, item)

        partial.summarise_shard = slow_summarise
        Extractor.__call__ = slow_extract

    return hook


def begun(journal):
    """Return (item, node) for every beginning that was noted."""
    return [tuple(path.name.split("~")[:2]) for path in Path(journal).iterdir()]


@contextmanager
def killing(cluster, journal, doomed, facts):
    """Add a node, and kill it as soon as it has begun its second item."""
    node, over = cluster.add_node(**NODE), threading.Event()
    cluster.wait_for_nodes()
    doomed.write_text(node.node_id)

    def kill():
        while not over.is_set():
            if sum(where == node.node_id for _, where in begun(journal)) >= BEGUN:
                facts["begun_before"] = len(begun(journal))
                cluster.remove_node(node, allow_graceful=False)
                facts["killed_at"] = time.monotonic()
                return
            time.sleep(0.02)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        doomed.write_text("")
    facts["ended_later_s"] = time.monotonic() - facts.pop("killed_at")
    there = {item for item, where in begun(journal) if where == node.node_id}
    again = {item for item, where in begun(journal) if where != node.node_id}
    facts["on_killed_node"], facts["again"] = len(there), len(there & again)
    facts["begun"] = len(begun(journal))


def run(folder):
    torch.set_num_threads(1)
    write_inputs(folder)
    backbone = build_backbone("resnet20", seed=3)
    facts = {"seconds": {}}
    begin = time.monotonic()

    def statistics(name, engine):
        found = gather_statistics(folder / "features", engine=engine)
        save_statistics(folder / name, found.statistics, found.class_names)

    def images(source, output, engine):
        return extract_images(
            backbone, source, output, engine=engine, device="cpu", batch_size=4
        )

    def lap(name):
        facts["seconds"][name] = round(time.monotonic() - begin, 1)

    statistics("local.safetensors", "local")
    images(folder / "images", folder / "local", "local")
    lap("local")
    journals = [folder / name for name in ("of-statistics", "of-extraction")]
    current, doomed = folder / "journal", folder / "journal.doomed"
    doomed.write_text("")
    for path in journals:
        path.mkdir()
    current.symlink_to(journals[0])
    head = {**NODE, "include_dashboard": False, "_system_config": NOTICE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        cluster.add_node(**NODE)
        ray.init(
            address=cluster.address,
            log_to_driver=False,
            runtime_env={"worker_process_setup_hook": hook_of(str(current))},
        )
        lap("cluster")
        with killing(cluster, journals[0], doomed, facts.setdefault("statistics", {})):
            statistics("killed.safetensors", "ray")
        lap("statistics, killed")
        statistics("ray.safetensors", "ray")
        lap("statistics")
        facts["error"] = error_of(folder)
        current.unlink()
        current.symlink_to(journals[1])
        with killing(cluster, journals[1], doomed, facts.setdefault("extraction", {})):
            images(f"file://{folder}/images", folder / "killed", "ray")
        lap("extraction, killed")
    finally:
        ray.shutdown()
        cluster.shutdown()
    lap("all")
    (folder / "facts.json").write_text(json.dumps(facts))


def error_of(folder):
    """Return how an error of a worker comes back to who called."""
    (folder / "bad").mkdir()
    (folder / "bad/0.npz").write_bytes(b"no archive")
    try:
        gather_statistics(folder / "bad", engine="ray")
    except ValueError as error:
        return str(error)


if __name__ == "__main__":
    assert os.environ["RAY_TMPDIR"]
    run(Path(sys.argv[1]))
