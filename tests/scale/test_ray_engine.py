"""The tree of tasks, on a stand-in for Ray that runs every task at once."""

import os
from types import SimpleNamespace

import pytest

from headtail.scale import ray_engine
from headtail.scale.ray_engine import RayEngine, _Mapper, connected


class Task:
    def __init__(self, ray, function, returns):
        self.ray, self.function, self.returns = ray, function, returns

    def remote(self, *arguments):
        self.ray.most = max(self.ray.most, len(arguments))
        result = self.function(*arguments)
        self.ray.open += self.returns - 1
        self.ray.most_open = max(self.ray.most_open, self.ray.open)
        return result


class Standin:
    """What `reduced` uses of Ray; notes how wide it goes, and how far ahead."""

    def __init__(self, gpus=0):
        self.most = self.most_open = self.open = 0
        self.resources = {"CPU": 2.0, "GPU": float(gpus)}

    def cluster_resources(self):
        return self.resources

    def remote(self, *, num_returns=1, max_retries):
        assert max_retries > 0
        return lambda function: Task(self, function, num_returns)

    def wait(self, waiting, *, num_returns):
        self.open -= num_returns
        return waiting[:num_returns], waiting[num_returns:]

    def get(self, value):
        return value


@pytest.fixture
def ray(monkeypatch):
    ray = Standin()
    monkeypatch.setattr(ray_engine, "_import_ray", lambda: ray)
    return ray


def joined(*parts):
    return [one for part in parts for one in part]


@pytest.mark.parametrize("n_items", [1, 2, 7, 8, 9, 64, 65, 100, 513, 600])
def test_parts_are_merged_in_the_order_of_items(n_items, ray):
    seen = []
    result = RayEngine().reduced(
        range(n_items), lambda item: [item], joined, seen.append
    )
    assert result == list(range(n_items))
    assert sum(seen) == n_items
    # A few parts a task, the last one of each level; and not all items at once.
    assert ray.most <= 1 + 8 * 4
    assert ray.most_open <= 16


def depth(*parts):
    return 1 + max(parts)


def test_the_tree_is_shallow(ray):
    assert RayEngine().reduced(range(8**3), lambda _: 0, depth, lambda _: None) == 3


@pytest.mark.parametrize("at", [0, 5, 19])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("bad"), ValueError),
        (TypeError("bad"), TypeError),
        (FileNotFoundError("bad"), FileNotFoundError),
        (PermissionError("bad"), OSError),
    ],
)
def test_errors_of_items_come_back_as_they_were(error, kind, at, ray):
    def part_of(item):
        if item == at:
            raise error
        return [item]

    with pytest.raises(kind, match=r"^bad$"):
        RayEngine().reduced(range(20), part_of, joined, lambda _: None)


def test_errors_of_merging_come_back(ray):
    def merge(*parts):
        raise ValueError("they differ")

    with pytest.raises(ValueError, match=r"^they differ$"):
        RayEngine().reduced(range(9), lambda item: item, merge, lambda _: None)


def test_an_actor_makes_its_worker_once_and_returns_errors_as_data(ray):
    made = []

    def worker(work):
        made.append(work)

        def call(item):
            if item["n"] == 2:
                raise ValueError("two")
            return {"twice": 2 * item["n"]}

        return call

    mapper = _Mapper(worker, ["work"])
    assert made == []
    assert mapper({"item": '{"n": 1}'}) == {"kind": "", "text": '{"twice": 2}'}
    assert mapper({"item": '{"n": 2}'}) == {"kind": "ValueError", "text": "two"}
    assert made == ["work"]


def test_nothing_to_do_starts_no_actor(ray):
    assert list(RayEngine().mapped([], None, None)) == []


@pytest.mark.parametrize(("gpus", "device"), [(0, "cuda"), (2, "mps")])
def test_the_device_must_be_one_of_the_cluster(gpus, device, ray):
    ray.resources["GPU"] = float(gpus)
    with pytest.raises(
        ValueError, match=f"where the cluster has a GPU; got '{device}'"
    ):
        RayEngine(device)


class Cluster(SimpleNamespace):
    """What `connected` uses of Ray."""

    def __init__(self, running=False, error=None):
        super().__init__(running=running, error=error, calls=[])

    def is_initialized(self):
        return self.running

    def init(self, **options):
        self.calls.append(options["address"])
        if self.error:
            raise self.error

    def shutdown(self):
        self.calls.append("shutdown")


@pytest.mark.parametrize(
    ("address", "variable", "used"),
    [
        (None, None, "local"),
        (None, "host:1", "host:1"),
        ("auto", "host:1", "auto"),
    ],
)
def test_an_address_comes_before_the_environment(address, variable, used, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if variable:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    cluster = Cluster()
    monkeypatch.setattr(ray_engine, "_import_ray", lambda: cluster)
    with connected(address):
        assert cluster.calls == [used]
    assert cluster.calls == [used, "shutdown"]


def test_a_ray_that_runs_is_used_and_left_running(monkeypatch):
    cluster = Cluster(running=True)
    monkeypatch.setattr(ray_engine, "_import_ray", lambda: cluster)
    with connected("auto"):
        pass
    assert cluster.calls == []


def test_a_cluster_that_cannot_be_reached_is_named(monkeypatch):
    cluster = Cluster(error=ConnectionError("a long story\nof many lines"))
    monkeypatch.setattr(ray_engine, "_import_ray", lambda: cluster)
    with (
        pytest.raises(ConnectionError, match=r"'nowhere:1' cannot be reached \(Conn"),
        connected("nowhere:1"),
    ):
        pass


def test_ray_tells_nobody_how_it_is_used(monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    ray_engine._import_ray()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
