"""Figures as text, as they stand in sentences."""

from collections.abc import Sequence

from headtail.report.model import Number

__all__ = ["above", "below", "counted", "listed", "percent", "points"]


def above(gain: Number) -> bool:
    """Tell whether the interval lies above 0."""
    return gain.low is not None and gain.low > 0


def below(gain: Number) -> bool:
    """Tell whether the interval lies below 0."""
    return gain.high is not None and gain.high < 0


def counted(n: int) -> str:
    """Write a number of classes."""
    return "1 class" if n == 1 else f"{n} classes"


def percent(value: float | None, sign: str = "") -> str:
    """Write a fraction in percent, a dash if it is undefined."""
    return "–" if value is None else f"{100 * value:{sign}.1f}"  # noqa: RUF001


def points(gain: Number) -> str:
    """Write a gain in points, with its interval if there is one."""
    text = f"{percent(gain.value, '+')} points"
    if gain.low is None or gain.high is None:
        return text
    return f"{text} [{percent(gain.low, '+')}, {percent(gain.high, '+')}]"


def listed(names: Sequence[str], limit: int = 5) -> str:
    """Write the first few names, and how many more there are."""
    text = ", ".join(names[:limit])
    more = len(names) - limit
    return f"{text} and {more} more" if more > 0 else text
