import io
import sys
from types import SimpleNamespace

import pytest

from headtail import progress
from headtail.progress import counter, track

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


class Stream(io.StringIO):
    def __init__(self, is_terminal):
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self):
        return self.is_terminal


class Clock:
    """A clock that goes by what the test says, so that nobody waits."""

    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


@pytest.fixture
def stderr(monkeypatch):
    """Replace stderr by one that says whether it is a terminal."""
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)

    def replace(is_terminal):
        stream = Stream(is_terminal)
        monkeypatch.setattr(sys, "stderr", stream)
        return stream

    return replace


def slowly(items, clock, step=1.0):
    for item in items:
        clock.now += step
        yield item


@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize("step", [0.0, 5.0])
def test_items_pass_through_in_order(is_terminal, step, clock, stderr):
    stderr(is_terminal)
    items = ["a", "b", None, "c"]
    assert list(track(slowly(items, clock, step), 4, "work")) == items


def test_no_items_are_no_bar(clock, stderr):
    stream = stderr(True)
    assert list(track([], 0, "work")) == []
    assert stream.getvalue() == ""


def test_items_are_taken_one_at_a_time(clock, stderr):
    stderr(True)
    source = iter(range(5))
    tracked = track(source, 5, "work")
    assert next(tracked) == 0
    assert next(source) == 1


def test_a_bar_appears_on_a_terminal_once_patience_is_over(clock, stderr):
    stream = stderr(True)
    for item in track(slowly(range(1, 6), clock), 5, "training"):
        # Item i comes at second i; more than two have passed after the third.
        assert (HIDE_CURSOR in stream.getvalue()) == (item > 3)
    shown = stream.getvalue()
    assert "training" in shown
    assert "100%" in shown
    assert shown.rindex(SHOW_CURSOR) > shown.rindex(HIDE_CURSOR)


def test_what_is_quick_shows_nothing(clock, stderr):
    stream = stderr(True)
    list(track(slowly(range(20), clock, 0.09), 20, "training"))
    assert stream.getvalue() == ""


def test_what_is_no_terminal_shows_nothing(clock, stderr):
    stream = stderr(False)
    list(track(slowly(range(9), clock), 9, "training"))
    assert stream.getvalue() == ""


def test_the_bar_stops_if_the_items_fail(clock, stderr):
    stream = stderr(True)

    def failing():
        yield from slowly(range(5), clock)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        list(track(failing(), 9, "training"))
    shown = stream.getvalue()
    assert shown.rindex(SHOW_CURSOR) > shown.rindex(HIDE_CURSOR)


def test_the_bar_stops_if_the_work_on_an_item_fails(clock, stderr):
    stream = stderr(True)

    def work():
        for item in track(slowly(range(9), clock), 9, "training"):
            if item == 6:
                raise RuntimeError("stumbled")

    with pytest.raises(RuntimeError, match="stumbled"):
        work()
    shown = stream.getvalue()
    assert shown.rindex(SHOW_CURSOR) > shown.rindex(HIDE_CURSOR)


def test_what_is_done_may_come_in_lots(clock, stderr):
    stream = stderr(True)
    with counter(8, "learning") as advance:
        for done, more in enumerate((3, 1, 4), start=1):
            clock.now += 1.0
            advance(more)
            assert (HIDE_CURSOR in stream.getvalue()) == (done == 3)
    shown = stream.getvalue()
    assert "learning" in shown
    assert "100%" in shown
    assert shown.rindex(SHOW_CURSOR) > shown.rindex(HIDE_CURSOR)


def test_what_was_done_before_the_bar_appeared_counts(clock, stderr):
    stream = stderr(True)
    with counter(10, "learning") as advance:
        advance(4)
        clock.now += 3.0
        advance(1)
    assert "50%" in stream.getvalue()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_counter_that_is_quick_or_unseen_shows_nothing(is_terminal, clock, stderr):
    stream = stderr(is_terminal)
    with counter(9, "learning") as advance:
        for _ in range(9):
            clock.now += 0.2 if is_terminal else 5.0
            advance(1)
    assert stream.getvalue() == ""
    with counter(0, "nothing"):
        pass
    assert stream.getvalue() == ""


def test_the_bar_of_a_counter_stops_if_the_work_fails(clock, stderr):
    stream = stderr(True)

    def work():
        with counter(9, "learning") as advance:
            clock.now += 5.0
            advance(2)
            raise RuntimeError("stumbled")

    with pytest.raises(RuntimeError, match="stumbled"):
        work()
    shown = stream.getvalue()
    assert shown.rindex(SHOW_CURSOR) > shown.rindex(HIDE_CURSOR)


def test_a_new_label_takes_the_place_of_the_old(clock, stderr):
    stream = stderr(True)
    with counter(9, "learning") as advance:
        advance(1, "before it shows")
        clock.now += 3.0
        advance(1)
        assert "before it shows" in stream.getvalue()
        advance(1, "loss 0.25")
    assert "loss 0.25" in stream.getvalue()
    assert "learning" not in stream.getvalue()
