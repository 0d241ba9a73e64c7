"""``perflab alerts``: checks, translates and watches."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from perflab.cli import app
from perflab.errors import PerflabError
from perflab.monitor import MetricsRegistry, counters, served_from_thread
from perflab.monitor.alerts import load_rules
from perflab.paths import data_dir

RULES = len(load_rules(data_dir() / "alerts.toml"))
BAD = Path(__file__).parent / "monitor" / "alerts" / "bad"


def called(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["alerts", *arguments])


def test_without_options_the_rules_are_checked_and_shown() -> None:
    result = called()
    assert result.exit_code == 0
    assert f"{RULES} rules are usable" in result.output
    assert "CacheBreakerOpen" in result.output


def test_the_translation_is_all_that_is_printed() -> None:
    lab, production = (called("--prometheus", "--setting", name).output for name in
                       ("lab", "production"))  # fmt: skip
    assert lab.startswith("groups:\n")
    assert lab.count("- alert: ") == production.count("- alert: ") == RULES
    assert "[3s]" in lab
    assert "[3s]" not in production
    assert called("--prometheus").output == production


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([str(BAD / "severity.toml")], "alert.severity: Invalid enum value 'fatal'"),
        (["/nowhere/alerts.toml"], "no such file"),
        (["--setting", "night"], "choose lab or production"),
        (["--prometheus", "--watch", "http://127.0.0.1:1"], "choose one of them"),
        (["--watch", "http://127.0.0.1:1", "--every", "0"], "must be at least 0.1"),
        (["--watch", "api=gopher://x"], "http://host:port/metrics"),
        (["--watch", "http://127.0.0.1:1", "--webhook"], "set PERFLAB_ALERT_WEBHOOK"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PERFLAB_ALERT_WEBHOOK", raising=False)
    error = called(*arguments).exception
    assert isinstance(error, PerflabError)
    assert said in str(error)
    assert "\n" not in str(error)


class Drops(msgspec.Struct):
    dropped: int = 0


def test_it_watches_for_a_time_and_exits_with_1_if_an_alert_fired() -> None:
    drops, registry = Drops(), MetricsRegistry(process=False)

    def stats() -> Drops:
        drops.dropped += failing
        return drops

    failing = 0
    registry.register("hub", stats, shape=counters("dropped"))
    with served_from_thread(registry) as url:
        watch = ["--watch", f"hub={url}", "--seconds", "0.5", "--every", "0.1", "--setting", "lab"]
        quiet = called(*watch)
        assert (quiet.exit_code, "0 alerts fired" in quiet.output) == (0, True)
        failing = 1
        fired = called(*watch)
        assert fired.exit_code == 1
        assert "HubDropsMessages firing (instance=127.0.0.1:" in fired.output
