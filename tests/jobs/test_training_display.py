"""What a person sees of a training run."""

import io
import time
from pathlib import Path

from deployments.forecasting.models import TrainingRequest
from deployments.forecasting.training.ledger import TrainingLedger
from jobs.training_display import TrainingDisplay, detail_of


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_log_gets_plain_lines(tmp_path: Path) -> None:
    log = io.StringIO()
    with TrainingDisplay(TrainingLedger(tmp_path), "r", log) as display:
        assert not display.is_watched
        display.say("[training] begins")
    assert log.getvalue() == "[training] begins\n"


def test_terminal_gets_a_bar_that_moves_with_the_record(tmp_path: Path) -> None:
    ledger, terminal = TrainingLedger(tmp_path), Terminal()
    with TrainingDisplay(ledger, "r", terminal) as display:
        display.say("reading candles")
        ledger.start("r", TrainingRequest(), 400)
        ledger.update("r", step=100, train_loss=0.2, validation_loss=0.3, eta_s=12.0)
        deadline = time.monotonic() + 20
        while "step 100/400" not in terminal.getvalue():
            assert time.monotonic() < deadline, "the bar never moved"
            time.sleep(0.05)
    assert "reading candles" in terminal.getvalue()
    assert "25%" in terminal.getvalue()


def test_detail_tells_what_is_known(tmp_path: Path) -> None:
    run = TrainingLedger(tmp_path).start("r", TrainingRequest(), 400)
    assert detail_of(run) == "step 0/400"


def test_detail_tells_how_long_only_while_steps_are_taken(tmp_path: Path) -> None:
    ledger = TrainingLedger(tmp_path)
    ledger.start("r", TrainingRequest(), 400)

    training = ledger.update("r", step=100, eta_s=12.0, phase="training")
    judging = ledger.update("r", phase="judging")

    assert detail_of(training) == "step 100/400  at most 12 s to go"
    assert detail_of(judging) == "step 100/400"
