"""Work on Ray: parts merged in a tree of tasks, and items mapped by actors."""

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

__all__ = ["RayEngine", "connected"]

_Item = TypeVar("_Item")
_Part = TypeVar("_Part")
# Parts that one task merges: a tree of 4,096 shards has four levels.
_FAN_IN = 8
# How often a task whose machine was lost is tried again.
_RETRIES = 8
_AT_THE_DOOR = (OSError, TypeError, ValueError)
_ERRORS = {kind.__name__: kind for kind in (FileNotFoundError, TypeError, ValueError)}


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Connect to a Ray cluster for the time of a `with` block.

    Parameters
    ----------
    address
        ``"auto"``, or host:port; None for that in the environment variable
        ``RAY_ADDRESS``, and if there is none, a cluster of this machine alone. Where
        Ray runs in this process already, that is used and left running.

    Raises
    ------
    ConnectionError
        If no cluster can be reached there.
    """
    ray = _import_ray()
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "WARNING"}
    if address == "local":
        options["include_dashboard"] = False
    try:
        with warnings.catch_warnings():
            # Ray announces what a later version will do with GPUs.
            warnings.simplefilter("ignore", FutureWarning)
            ray.init(address=address, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConnectionError(
            f"address must be that of a Ray cluster that runs; {address!r} cannot be "
            f"reached ({type(error).__name__}). Start one with `ray start --head`."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


class RayEngine:
    """The machines of a Ray cluster, see `connected`; any but this may be lost.

    Parameters
    ----------
    device
        Of the workers of `mapped`: ``"cpu"``, ``"cuda"`` or ``"auto"``.
    """

    def __init__(self, device: str = "cpu") -> None:
        gpus = int(_import_ray().cluster_resources().get("GPU", 0))
        if device not in ("cpu", "cuda", "auto") or (device == "cuda" and not gpus):
            raise ValueError(
                "device must be 'cpu', 'auto', or 'cuda' where the cluster has a GPU; "
                f"got {device!r}."
            )
        self._gpus = 0 if device == "cpu" else gpus

    def reduced(
        self,
        items: Sequence[_Item],
        part_of: Callable[[_Item], _Part],
        merge: Callable[..., _Part],
        note: Callable[[int], None],
    ) -> _Part:
        """See `engines.Engine`. Only the result comes to this process.

        Which parts meet depends on the order of items alone: whatever machine does the
        work, and however often, the result has the same bytes.
        """
        ray = _import_ray()
        leaf = ray.remote(num_returns=2, max_retries=_RETRIES)(_part_and_failure)
        join = ray.remote(max_retries=_RETRIES)(_merged)
        levels: list[list[Any]] = []

        def add(part: Any, level: int) -> None:
            levels.extend([[]] if level == len(levels) else [])
            levels[level].append(part)
            if len(levels[level]) == _FAN_IN:
                full, levels[level] = levels[level], []
                add(join.remote(merge, *full), level + 1)

        most = max(2 * _FAN_IN, 4 * int(ray.cluster_resources().get("CPU", 1)))
        waiting: list[Any] = []
        for item in items:
            part, failure = leaf.remote(part_of, item)
            waiting.append(failure)
            add(part, 0)
            if len(waiting) == most:
                waiting = _waited(waiting, note)
        while waiting:
            waiting = _waited(waiting, note)
        # Higher levels hold earlier parts.
        rest = [part for level in reversed(levels) for part in level]
        whole = ray.get(rest[0] if len(rest) == 1 else join.remote(merge, *rest))
        if isinstance(whole, _Failure):
            raise whole.error()
        result: _Part = whole
        return result

    def mapped(
        self,
        items: Sequence[Mapping[str, Any]],
        worker: Callable[[Any], Callable[[Mapping[str, Any]], Mapping[str, Any]]],
        work: Any,
    ) -> Iterator[Mapping[str, Any]]:
        """See `engines.Engine`. An actor for each processor, or for each GPU."""
        ray = _import_ray()
        if not items:
            return
        import ray.data  # noqa: F811

        n_actors = self._gpus or int(ray.cluster_resources().get("CPU", 1))
        n_actors = max(1, min(n_actors, len(items)))
        with _silent(ray.data.DataContext.get_current()):
            rows = ray.data.from_items(
                [{"item": json.dumps(item)} for item in items],
                # A task each: what is lost with a machine is one item of each actor.
                override_num_blocks=len(items),
            )
            mapped = rows.map(
                _Mapper,
                # By reference: one copy of the weights a machine.
                fn_constructor_args=(worker, [ray.put(work)]),
                num_cpus=1,
                num_gpus=1 if self._gpus else 0,
                # It may shrink: an actor whose machine was lost comes back on another
                # one when there is room.
                compute=ray.data.ActorPoolStrategy(
                    min_size=1, max_size=n_actors, initial_size=n_actors
                ),
            )
            for row in mapped.iter_rows():
                if row["kind"]:
                    raise _Failure(**row).error()
                yield json.loads(row["text"])


class _Failure(NamedTuple):
    """An error as data: Ray would wrap it, and show where in the code it was raised."""

    kind: str
    text: str

    @classmethod
    def of(cls, error: Exception) -> "_Failure":
        return cls(type(error).__name__, str(error))

    def error(self) -> Exception:
        return _ERRORS.get(self.kind, OSError)(self.text)


class _Mapper:
    """An actor: holds a worker, made when the first item comes."""

    def __init__(self, worker: Callable[[Any], Any], work: Sequence[Any]) -> None:
        self._worker, self._work = worker, work
        self._made: Callable[[Any], Any] | None = None

    def __call__(self, row: Mapping[str, Any]) -> dict[str, str]:
        try:
            if self._made is None:
                self._made = self._worker(_import_ray().get(self._work[0]))
            result = json.dumps(self._made(json.loads(row["item"])))
        except _AT_THE_DOOR as error:
            return _Failure.of(error)._asdict()
        return {"kind": "", "text": result}


def _part_and_failure(
    part_of: Callable[[_Item], _Part], item: _Item
) -> tuple[_Part | _Failure, _Failure | None]:
    try:
        return part_of(item), None
    except _AT_THE_DOOR as error:
        return _Failure.of(error), _Failure.of(error)


def _merged(merge: Callable[..., _Part], *parts: _Part | _Failure) -> _Part | _Failure:
    for part in parts:
        if isinstance(part, _Failure):
            return part
    try:
        # A copy: what a task is given may lie in memory that others read.
        return merge(deepcopy(parts[0]), *parts[1:])
    except _AT_THE_DOOR as error:
        return _Failure.of(error)


def _waited(waiting: list[Any], note: Callable[[int], None]) -> list[Any]:
    """Wait for some part to be done; return what is still waited for."""
    ray = _import_ray()
    done, left = ray.wait(waiting, num_returns=1)
    for failure in ray.get(done):
        if failure is not None:
            raise failure.error()
    note(len(done))
    return list(left)


@contextmanager
def _silent(context: Any) -> Iterator[None]:
    """Keep Ray Data from telling its own progress."""
    log = logging.getLogger("ray.data")
    before, level = context.enable_progress_bars, log.level
    context.enable_progress_bars = False
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        context.enable_progress_bars = before
        log.setLevel(level)


def _import_ray() -> ModuleType:
    # Ray would report how it is used to its makers.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ImportError(
            "Ray must be installed for the engine 'ray'; it is not. Install it: "
            "pip install 'headtail[scale]'."
        ) from error
    module: ModuleType = ray
    return module
