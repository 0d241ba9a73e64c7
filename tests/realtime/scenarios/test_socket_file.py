"""WebSocket scenario files: what a good one means, and one clear error for each bad thing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from perflab.errors import ConfigError
from perflab.load import LoadError
from perflab.paths import checkout_dir, data_dir
from perflab.realtime.scenarios import load_sockets
from perflab.realtime.scenarios.scenario import is_websocket

GOOD = """\
kind = "websocket"
title = "a crowd"
target = "ws://127.0.0.1:8101, wss://[::1]:8102/hub"
connections = 5
channels = 2
message_bytes = 300
lane = "critical"
duration_s = 10
token = "${account.token}-${user}"
thresholds = ["p95_ms < 100", "missing <= 0"]
abort = ["error_rate > 0.5"]

[arrival]
kind = "ramp"
from_per_s = 0
to_per_s = 10

[feeder.account]
rows = [{ token = "a" }, { token = "b" }]
pick = "turn"
"""

# what is replaced, by what, and the error: key, reason
BAD = {
    "no-toml": ("connections = 5", "connections = ", "", "not valid TOML"),
    "no-title": ('title = "a crowd"\n', "", "the file", "missing required field `title`"),
    "unknown-key": ("channels = 2", "chanels = 2", "chanels", "unknown"),
    "no-target": ("ws://127.0.0.1:8101, wss://[::1]:8102/hub", "", "target", "--target URL"),
    "http": ("ws://127.0.0.1:8101,", "http://127.0.0.1:8101,", "target", "begin with ws://"),
    "bad-port": ("ws://127.0.0.1:8101,", "ws://127.0.0.1:99999,", "target", "99999"),
    "no-connections": ("connections = 5", "connections = 0", "connections", ">= 1"),
    "many-connections": ("connections = 5", "connections = 1_000_000", "connections", "50000"),
    "text-connections": ("connections = 5", 'connections = "5"', "connections", "Expected `int`"),
    "many-channels": ("channels = 2", "channels = 6", "channels", "5 connections cannot"),
    "bad-channel": ("channels = 2", 'channels = 2\nchannel = "a b"', "channel", "a name has"),
    "tiny-message": ("message_bytes = 300", "message_bytes = 3", "message_bytes", ">= 16"),
    "huge-message": ("message_bytes = 300", "message_bytes = 99_999", "message_bytes", "32768"),
    "lane": ('lane = "critical"', 'lane = "fast"', "lane", "fast"),
    "no-duration": ("duration_s = 10\n", "", "the file", "`duration_s`"),
    "zero-duration": ("duration_s = 10", "duration_s = 0", "duration_s", "> 0"),
    "closed": ('kind = "ramp"', 'kind = "closed"', "arrival.kind", "'closed'"),
    "no-rate": ("to_per_s = 10", "to_per_s = 0", "arrival.to_per_s", "0 all the time"),
    "unknown-value": ("${account.token}", "${account.key}", "token", "known: account.token, user"),
    "bad-template": ("${account.token}", "$account", "token", "is written $$"),
    "no-number": ("p95_ms < 100", "p95_ms < fast", "thresholds", "is no number"),
    "http-metric": ("p95_ms < 100", "refused_share < 1", "thresholds", "none of connections"),
    "of-a-request": ("p95_ms < 100", "login: p95_ms < 100", "thresholds", "there are none"),
    "bad-abort": ("error_rate > 0.5", "error_rate = 0.5", "abort", "is no condition"),
    "own-row-each": ('pick = "turn"', 'pick = "user"', "feeder.account.rows", "2 rows for 5"),
    "pick": ('pick = "turn"', 'pick = "any"', "feeder.account.pick", "any"),
}


def written(folder: Path, text: str) -> Path:
    path = folder / "sockets.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", BAD)
def test_bad_file_gives_one_line_that_names_file_key_and_reason(name: str, tmp_path: Path) -> None:
    old, new, key, reason = BAD[name]
    assert GOOD.count(old) == 1
    path = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_sockets(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert reason in message
    if key:
        assert re.search(rf", {re.escape(key)}[: ]", message), message


def test_each_connection_has_its_channel_and_its_token(tmp_path: Path) -> None:
    scenario = load_sockets(written(tmp_path, GOOD))
    assert scenario.tokens == ("a-0", "b-1", "a-2", "b-3", "a-4")
    assert scenario.endpoints == ("ws://127.0.0.1:8101", "wss://[::1]:8102/hub")
    assert [(one.host, one.port) for one in scenario.targets] == [
        ("127.0.0.1", 8101),
        ("::1", 8102),
    ]
    assert [condition.metric for condition in scenario.thresholds] == ["p95_ms", "missing"]


def test_rows_drawn_at_random_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.replace('"turn"', '"random"'))
    drawn = [load_sockets(path, seed=seed, connections=50).tokens for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_what_the_command_line_gives_stands_for_the_file(tmp_path: Path) -> None:
    data = tmp_path / "tokens.csv"
    data.write_text("token\nx\n")
    scenario = load_sockets(
        written(tmp_path, GOOD),
        target="ws://localhost:81",
        data={"account": data},
        duration_s=2,
        seed=9,
    )
    assert scenario.endpoints == ("ws://localhost:81",)
    assert set(scenario.tokens) == {f"x-{user}" for user in range(5)}
    assert (scenario.duration_s, scenario.seed) == (2, 9)
    with pytest.raises(LoadError, match="must begin with ws://"):
        load_sockets(written(tmp_path, GOOD), target="http://127.0.0.1:1")


def test_credentials_in_an_address_are_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(LoadError) as caught:
        load_sockets(written(tmp_path, GOOD), target="ws://me:hush@127.0.0.1:1")
    assert "hush" not in str(caught.value)


def test_kinds_of_files_are_told_apart(tmp_path: Path) -> None:
    scenarios = data_dir() / "scenarios"
    assert is_websocket(scenarios / "websocket_connections.toml")
    assert not is_websocket(scenarios / "authentication.toml")


def test_the_plans_scenario_asks_for_what_the_plan_says(tmp_path: Path) -> None:
    data = tmp_path / "accounts.csv"
    data.write_text("email,hub_token\na,t\n")
    scenario = load_sockets(
        data_dir() / "scenarios" / "websocket_connections.toml",
        target="ws://127.0.0.1:1",
        data={"account": data},
    )
    assert scenario.connections == 1_000
    assert "connections >= 1000" in [condition.text for condition in scenario.thresholds]


def test_the_documented_file_is_a_good_one(tmp_path: Path) -> None:
    root = checkout_dir()
    assert root is not None
    page = (root / "docs" / "load.md").read_text()
    (block,) = re.findall(r'^```toml\n(kind = "websocket".*?)^```$', page, re.MULTILINE | re.DOTALL)
    (tmp_path / "tokens.csv").write_text("token\nx\n")
    scenario = load_sockets(written(tmp_path, block))
    assert scenario.thresholds
    assert scenario.abort
