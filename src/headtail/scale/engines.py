"""Where work runs: in this process, or on Ray. Here it is chosen, and only here."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from headtail.tensors import shown

__all__ = ["ENGINES", "Engine", "LocalEngine", "check_engine", "running"]

ENGINES = ("local", "ray")
_Item = TypeVar("_Item")
_Part = TypeVar("_Part")


class Engine(Protocol):
    """What work can be given to."""

    def reduced(
        self,
        items: Sequence[_Item],
        part_of: Callable[[_Item], _Part],
        merge: Callable[..., _Part],
        note: Callable[[int], None],
    ) -> _Part:
        """Return what `merge` makes of the parts of all items, in their order.

        `merge` takes several parts at a time, and must be associative up to rounding.
        It may change the first of them.
        """
        ...

    def mapped(
        self,
        items: Sequence[Mapping[str, Any]],
        worker: Callable[[Any], Callable[[Mapping[str, Any]], Mapping[str, Any]]],
        work: Any,
    ) -> Iterator[Mapping[str, Any]]:
        """Yield what `worker(work)` returns for each item; both are JSON.

        In any order. An item may be done twice, if a machine is lost.
        """
        ...


class LocalEngine:
    """One item after the other, in this process."""

    def reduced(
        self,
        items: Sequence[_Item],
        part_of: Callable[[_Item], _Part],
        merge: Callable[..., _Part],
        note: Callable[[int], None],
    ) -> _Part:
        """See `Engine`. Two parts are in memory at a time."""
        whole = part_of(items[0])
        note(1)
        for item in items[1:]:
            whole = merge(whole, part_of(item))
            note(1)
        return whole

    def mapped(
        self,
        items: Sequence[Mapping[str, Any]],
        worker: Callable[[Any], Callable[[Mapping[str, Any]], Mapping[str, Any]]],
        work: Any,
    ) -> Iterator[Mapping[str, Any]]:
        """See `Engine`."""
        return map(worker(work), items)


def check_engine(engine: str, address: str | None, *places: object) -> None:
    """Refuse an engine that there is not, or that cannot reach one of the places."""
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {shown(ENGINES)}; got {engine!r}.")
    if engine == "local" and address is not None:
        raise ValueError(
            f"address is that of a Ray cluster; got {address!r} with the engine "
            "'local'. Choose the engine 'ray', or leave it out."
        )
    for place in places:
        if engine == "ray" and "memory://" in str(place):
            raise ValueError(
                f"{place} is in the memory of one process; the engine 'ray' has "
                "several. Choose a place that all can reach."
            )


@contextmanager
def running(engine: str, address: str | None, device: str = "cpu") -> Iterator[Engine]:
    """Yield an engine by its name; what it started is stopped in the end.

    Parameters
    ----------
    engine
        One of `ENGINES`.
    address
        Of a Ray cluster; see `ray_engine.connected`.
    device
        Of the workers of `mapped` on Ray: ``"cpu"``, ``"cuda"``, or ``"auto"`` for a
        GPU each where the cluster has some.
    """
    check_engine(engine, address)
    if engine == "local":
        yield LocalEngine()
        return
    from headtail.scale.ray_engine import RayEngine, connected

    with connected(address):
        yield RayEngine(device)
