"""Ctrl-C that the code of others drops or renames."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time

import pytest

from zeldo import interrupts
from zeldo.interrupts import end_with_parent, held, interruptible, raise_if_asked
from zeldo.report.progress import Progress


def handlers():
    return signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), sys.unraisablehook


def press_in_a_callback(number):
    # as the compiler's: an exception in a function that C calls cannot leave it
    ctypes.CFUNCTYPE(None)(lambda: signal.raise_signal(number))()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_dropped_interrupt_comes_again(number, capfd):
    before = handlers()
    with pytest.raises(KeyboardInterrupt), interruptible():
        press_in_a_callback(number)
        for _ in range(500):
            time.sleep(0.01)
    assert handlers() == before
    assert capfd.readouterr().err == ""  # and says nothing


def test_one_that_is_to_come_again_never_comes_after_the_block(monkeypatch):
    ended = []

    class Late:
        def cancel(self):
            ended.append("cancelled")

        def join(self):
            ended.append(signal.getsignal(signal.SIGTERM) is interrupts.ask)

    with interruptible():
        monkeypatch.setattr(interrupts, "_again", Late())
    assert ended == ["cancelled", True]


def test_it_comes_again_until_it_gets_through():
    pressed = 0

    def again():
        nonlocal pressed
        pressed += 1
        time.sleep(0.3)  # the second comes in here, and is dropped too

    with pytest.raises(KeyboardInterrupt), interruptible():
        press_in_a_callback(signal.SIGINT)
        ctypes.CFUNCTYPE(None)(again)()
        for _ in range(500):
            time.sleep(0.01)
    assert pressed == 1


def test_what_else_a_callback_drops_is_told(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    def wrong():
        raise ValueError("of another kind")

    with interruptible():
        ctypes.CFUNCTYPE(None)(wrong)()
    assert [one.exc_type for one in told] == [ValueError]


def test_a_swallowed_interrupt_is_remembered_until_the_end():
    with pytest.raises(KeyboardInterrupt), interruptible():
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with Progress("work") as progress:
            progress(1, 2)
    with Progress("other work") as progress:
        progress(1, 2)
    raise_if_asked()


def test_nested_and_in_a_thread_it_does_not_forget():
    def listen():
        with interruptible():
            pass

    with interruptible():
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        listen()
        thread = threading.Thread(target=listen)
        thread.start()
        thread.join()
        with pytest.raises(KeyboardInterrupt):
            raise_if_asked()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_ignored_stays_ignored(number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with interruptible():
            signal.raise_signal(number)
            raise_if_asked()
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_held_signal_comes_when_the_last_step_is_done(number):
    done = []
    with pytest.raises(KeyboardInterrupt), interruptible():
        with held():
            with held():
                signal.raise_signal(number)
                done.append("inner")
            done.append("outer")
        done.append("after")
    assert done == ["inner", "outer"]
    with held():
        pass  # it does not come again


def test_nothing_is_held_without_a_handler():
    with pytest.raises(KeyboardInterrupt), held():
        signal.raise_signal(signal.SIGINT)


def test_a_process_ends_with_the_one_that_started_it(monkeypatch):
    came = threading.Event()
    ended = type("Parent", (), {"join": lambda self: None})()
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: ended)
    monkeypatch.setattr(os, "kill", lambda pid, number: came.set() if number == signal.SIGTERM else None)
    end_with_parent()
    assert came.wait(5)


def test_a_process_that_nobody_started_goes_on():
    before = threading.active_count()
    end_with_parent()
    assert threading.active_count() == before
