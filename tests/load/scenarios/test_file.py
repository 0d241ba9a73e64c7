"""Scenario files: what a good one means, and one clear error for each thing that can be wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from perflab.errors import ConfigError, PerflabError
from perflab.load import LoadError
from perflab.load.scenarios import load_scenario

GOOD = """\
title = "a shop"
target = "http://127.0.0.1:8000"
users = 3
duration_s = 60
warmup_s = 6
thresholds = ["p95_ms < 250", "buy: error_rate < 0.01"]
abort = ["error_rate > 0.5"]

[arrival]
kind = "spike"
base_per_s = 1
peak_per_s = 10
at_s = 20
spike_s = 5

[feeder.account]
rows = [{ email = "a", id = 1 }, { email = "b", id = 2 }, { email = "c", id = 3 }]

[[setup]]
name = "login"
method = "POST"
path = "/login"
json = { email = "${account.email}" }
capture = { token = { json = "token" } }

[[flow]]
name = "visit"
weight = 2
[[flow.request]]
name = "browse"
path = "/items?of=${user}"
headers = { authorization = "Bearer ${token}" }
capture = { item = { json = "items.0.id" } }
[[flow.request]]
name = "buy"
method = "POST"
path = "/items/${item}"
body = "${unique}"
check = [{ regex = "bou(g)ht" }]
"""

# what is replaced, by what, and the error: the line that holds this text, key, reason
BAD = {
    "no-toml": ("users = 3", "users = ", None, None, "not valid TOML"),
    "twice": ("users = 3", "users = 3\nusers = 4", None, None, "not valid TOML"),
    "no-title": ('title = "a shop"\n', "", "target", "the file", "missing required field `title`"),
    "unknown-key": ("users = 3", "users = 3\nuser = 4", "user = 4", "user", "unknown field"),
    "users-text": ("users = 3", 'users = "3"', "users", "users", "Expected `int`"),
    "users-none": ("users = 3", "users = 0", "users", "users", ">= 1"),
    "users-many": ("users = 3", "users = 60000", "users", "users", "<= 50000"),
    "duration": ("duration_s = 60", "duration_s = 0", "duration_s", "duration_s", "> 0"),
    "duration-nan": ("duration_s = 60", "duration_s = nan", "duration_s", "duration_s", ""),
    "warmup-long": ("warmup_s = 6", "warmup_s = 60", "warmup_s", "warmup_s", "shorter"),
    "no-target": ('target = "http://127.0.0.1:8000"', "", "a shop", "target", "--target URL"),
    "ftp": ("http://127", "ftp://127", "target", "target", "must be http or https"),
    "target-path": (":8000", ":8000/api", "target", "target", "has a path"),
    "arrival-kind": ('"spike"', '"burst"', "kind", "arrival.kind", "burst"),
    "arrival-key": ("at_s = 20", "when = 20", "when", "arrival.when", "unknown field"),
    "arrival-rate": ("peak_per_s = 10", "peak_per_s = -1", "peak_per_s", "arrival.peak_per_s",
                     "> 0"),
    "spike-late": ("at_s = 20", "at_s = 58", "at_s", "arrival.at_s", "must end before"),
    "too-many": ("peak_per_s = 10", "peak_per_s = 900000", "peak_per_s", "arrival.peak_per_s",
                 "at most 20,000,000"),
    "ramp-of-nothing": (
        'kind = "spike"\nbase_per_s = 1\npeak_per_s = 10\nat_s = 20\nspike_s = 5',
        'kind = "ramp"\nfrom_per_s = 0\nto_per_s = 0', "to_per_s", "arrival.to_per_s",
        "rate is 0"),
    "feeder-name": ("feeder.account", "feeder.user", "feeder.user", "feeder.user", "cannot be"),
    "feeder-empty": ("rows = [{ email", "pick = 'turn' #", "feeder", "feeder.account.file",
                     "give one of"),
    "feeder-twice": ("[feeder.account]", "[feeder.account]\nfile = 'a.csv'", "rows",
                     "feeder.account.rows", "give one of"),
    "feeder-file": ("rows = [{ email", "file = 'gone.csv' #", "file", "feeder.account.file",
                    "no such file"),
    "feeder-short": (', { email = "c", id = 3 }', "", "rows", "feeder.account.rows",
                     "2 rows for 3 users"),
    "feeder-column": ('"c", id = 3', '"c"', "rows", "feeder.account.rows", "row 3 has no 'id'"),
    "feeder-unfed": ("rows = [{ email", "columns = ['email'] #", "columns",
                     "feeder.account.columns", "--data account=FILE"),
    "feeder-pick": ("[feeder.account]", "[feeder.account]\npick = 'best'", "pick",
                    "feeder.account.pick", "best"),
    "no-flow": (GOOD[GOOD.index("[[flow]]"):], "", "a shop", "the file", "missing"),
    "no-request": (GOOD[GOOD.index("[[flow.request]]"):], "", "[[flow]]", "flow", "missing"),
    "weight": ("weight = 2", "weight = 0", "weight", "flow.weight", "> 0"),
    "same-flow": ("[[setup]]",
                  '[[flow]]\nname = "visit"\n[[flow.request]]\nname = "x"\npath = "/"\n[[setup]]',
                  'name = "visit"', "flow.name", "two flows"),
    "same-request": ('name = "buy"', 'name = "browse"', 'name = "browse"', "flow.request.name",
                     "two requests"),
    "request-key": ('path = "/login"', 'path = "/login"\nurl = "/"', "url", "setup.url",
                    "unknown field"),
    "no-path": ('path = "/login"\n', "", "[[setup]]", "setup", "`path`"),
    "path-relative": ('"/login"', '"login"', "path", "setup.path", "must begin with /"),
    "path-blank": ('"/login"', '"/log in"', "path", "setup.path", "without blanks"),
    "method": ('method = "POST"\npath = "/login"', 'method = "PO ST"\npath = "/login"', "method",
               "setup.method", "must be a token"),
    "header": ("authorization =", '"bad name" =', "headers", "flow.request.headers",
               "cannot be the name"),
    "header-ours": ("authorization =", "content-length =", "headers", "flow.request.headers",
                    "not the caller's"),
    "body-twice": ('body = "${unique}"', 'body = "a"\njson = { a = 1 }', "json =",
                   "flow.request.json", "not both"),
    "dollar": ('"${unique}"', '"$unique"', "body", "flow.request.body", "written $$"),
    "template-name": ("${item}", "${it em}", "/items/", "flow.request.path", "a name is like"),
    "name-later": ("of=${user}", "of=${item}", "of=", "flow.request.path", "not known here"),
    "name-none": ("${token}", "${toke}", "headers", "flow.request.headers", "known: account.email"),
    "column-none": ("${account.email}", "${account.mail}", "json =", "setup.json", "not known"),
    "capture-none": ('{ json = "token" }', "{ }", "capture", "setup.capture.token", "give one of"),
    "capture-two": ('{ json = "token" }', '{ json = "token", regex = "t" }', "capture",
                    "setup.capture.token", "give one of"),
    "capture-name": ("{ token =", "{ unique =", "capture", "setup.capture.unique", "cannot be"),
    "regex": ("bou(g)ht", "bou(ght", "check", "flow.request.check.regex", "is no expression"),
    "field": ('{ regex = "bou(g)ht" }', '{ header = "e tag" }', "check",
              "flow.request.check.header", "cannot be the name"),
    "threshold": ("p95_ms < 250", "p95 under 250", "thresholds", "thresholds", "is no condition"),
    "threshold-metric": ("p95_ms <", "p96_ms <", "thresholds", "thresholds", "is none of requests"),
    "threshold-bound": ("< 250", "< fast", "thresholds", "thresholds", "is no number"),
    "threshold-step": ("buy: error", "sell: error", "thresholds", "thresholds",
                       "no request is called 'sell'"),
    "abort": ("error_rate > 0.5", "error_rate", "abort", "abort", "is no condition"),
    "expect": ('body = "${unique}"', "expect = [20]", "expect", "flow.request.expect", ">= 100"),
    "think": ('body = "${unique}"', "think_s = -1", "think_s", "flow.request.think_s", ">= 0"),
}  # fmt: skip


def written(folder: Path, text: str) -> Path:
    path = folder / "scenario.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", BAD)
def test_bad_file_gives_one_line_that_names_file_line_key_and_reason(
    name: str, tmp_path: Path
) -> None:
    old, new, at, key, reason = BAD[name]
    assert GOOD.count(old) >= 1
    text = GOOD[::-1].replace(old[::-1], new[::-1], 1)[::-1]  # the last one
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_scenario(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert reason in message
    if key is not None and at is not None:
        found = re.match(r".*, line (\d+), ([\w. ]+): ", message)
        assert found, message
        assert found[2] == key
        assert at in text.splitlines()[int(found[1]) - 1]


def test_the_corpus_is_large_and_its_original_is_good(tmp_path: Path) -> None:
    assert len(BAD) >= 30
    scenario = load_scenario(written(tmp_path, GOOD))
    assert [step.name for step in scenario.steps] == ["browse", "buy"]
    assert [step.number for step in scenario.steps] == [0, 1]
    assert scenario.target.port == 8000


def test_what_the_command_line_gives_stands_for_the_file(tmp_path: Path) -> None:
    data = tmp_path / "accounts.csv"
    data.write_text("email,id\n" + "".join(f"u{n},{n}\n" for n in range(3)))
    scenario = load_scenario(
        written(tmp_path, GOOD),
        target="http://localhost:81",
        data={"account": data},
        duration_s=30,
        seed=9,
    )
    assert scenario.target.port == 81
    assert scenario.feeders[0].rows[2] == {"account.email": "u2", "account.id": "2"}
    assert (scenario.duration_s, scenario.warmup_s, scenario.seed) == (30, 3, 9)


def test_missing_file_and_data_for_no_feeder_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_scenario(tmp_path / "gone.toml")
    with pytest.raises(LoadError, match=r"--data user.*no such feeder; it has account"):
        load_scenario(written(tmp_path, GOOD), data={"user": tmp_path / "x.csv"})


@pytest.mark.parametrize(
    ("content", "reason"),
    [("", "no row"), ("email,id\n", "no row"), ("email,id\na\nb,1\nc,2\n", "row 1 has no 'id'")],
)
def test_data_that_lacks_something_is_named(tmp_path: Path, content: str, reason: str) -> None:
    data = tmp_path / "accounts.csv"
    data.write_text(content)
    with pytest.raises(PerflabError, match=reason):
        load_scenario(written(tmp_path, GOOD), data={"account": data})
