import io
import sys
import time

import pytest

from zeldo.report.progress import LOG_EVERY, PATIENCE, Progress, duration, on_terminal


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def wait_for(stream: io.StringIO, words: str) -> None:
    for _ in range(500):
        if words in stream.getvalue():
            return
        time.sleep(0.01)
    pytest.fail(f"{words!r} was not written, but {stream.getvalue()!r}")


def test_short_work_stays_silent():
    assert PATIENCE == 2.0 and LOG_EVERY == 30.0
    for stream in (Terminal(), io.StringIO()):
        with Progress("cola", stream=stream) as progress:
            for step in range(11):
                progress(step, 10, f"step {step} of 10")
            time.sleep(0.3)
        assert stream.getvalue() == ""


def test_long_work_shows_a_bar_with_what_is_done_and_an_eta():
    stream = Terminal()
    with Progress("cola", stream=stream, patience=0.05) as progress:
        progress(3, 10, "step 3 of 10")
        wait_for(stream, "step 3 of 10")
        progress(6, 10, "step 6 of 10")
        wait_for(stream, "step 6 of 10")
    text = stream.getvalue()
    assert "cola" in text and "30%" in text and "60%" in text and "ETA" in text


def test_a_first_step_that_takes_long_shows_too():
    stream = Terminal()
    with Progress("compiling", stream=stream, patience=0.05):
        wait_for(stream, "compiling")


def test_a_log_gets_plain_lines_now_and_then():
    stream = io.StringIO()
    with Progress("pm", stream=stream, log_every=0.0) as progress:
        progress(1, 4, "step 1 of 4")
    assert stream.getvalue().startswith("pm: 25 %, step 1 of 4, 0 s, ")
    assert "\x1b" not in stream.getvalue()


def test_commands_that_print_what_they_found_write_no_lines_to_a_log(capsys):
    for make, silent in ((on_terminal, True), (Progress, False)):
        with make("measure") as progress:
            progress._logged -= 10 * LOG_EVERY
            progress(1, 4, "power")
        assert (capsys.readouterr().err == "") == silent


def test_commands_that_print_what_they_found_show_a_bar_on_a_terminal(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with on_terminal("measure") as progress:
        progress(1, 4, "power")
        progress._timer.function()  # when patience ends
        wait_for(stream, "power")


def test_the_line_extrapolates_the_time_left():
    with Progress("pm", stream=io.StringIO()) as progress:
        progress(1, 4, "step 1 of 4")
        progress._start -= 30
        assert progress.line() == "pm: 25 %, step 1 of 4, 30 s, 1 min 30 s left"
        progress(0, None, "compiling")
        assert progress.line() == "pm: compiling, 30 s"


def test_what_a_resumed_run_had_done_before_does_not_count_as_fast_work():
    with Progress("train", stream=io.StringIO()) as progress:
        progress(60, 100, "step 60")
        progress(70, 100, "step 70")
        progress._start -= 40
        progress._first = (progress._first[0] - 20, progress._first[1])
        assert progress.line() == "train: 70 %, step 70, 40 s, 1 min 0 s left"


def test_an_interrupted_run_knows_where_it_stopped():
    stream = Terminal()
    progress = Progress("cola", stream=stream, patience=0.02)
    with pytest.raises(KeyboardInterrupt), progress:
        progress(7, 10, "step 7 of 10")
        wait_for(stream, "step 7")
        raise KeyboardInterrupt
    assert (progress.done, progress.total, progress.text) == (7, 10, "step 7 of 10")
    assert stream.getvalue().endswith("\x1b[2K")  # the bar is gone
    length = len(stream.getvalue())
    progress(8, 10, "late")
    assert len(stream.getvalue()) == length


def test_durations_read_as_people_say_them():
    assert [duration(t) for t in (0.2, 59.4, 72, 7500)] == ["0 s", "59 s", "1 min 12 s", "2 h 5 min"]
