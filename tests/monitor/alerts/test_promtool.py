"""Prometheus' own tool: accepts the rules, and gives the same states at every moment."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from perflab.monitor.alerts import Rule, Setting, as_prometheus, load_rules
from perflab.monitor.alerts.expressions import Value, metrics_of
from perflab.monitor.alerts.prometheus import expression_of
from perflab.monitor.alerts.series import Labels, Sample
from perflab.paths import data_dir

from .histories import OWN, Scrape, States, replay
from .test_engine import EXPRESSIONS, rule_of

RECORDED = Path(__file__).parent / "recorded.json"
SETTINGS: tuple[Setting, ...] = ("lab", "production")


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("no promtool on the PATH; Debian has it in its package prometheus")
    return found


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[:4_000]
    return said


def shipped() -> tuple[Rule, ...]:
    return load_rules(data_dir() / "alerts.toml")


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_shipped_rules_are_accepted(promtool: str, setting: Setting, tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(as_prometheus(shipped(), setting))
    assert f"SUCCESS: {len(shipped())} rules found" in run(promtool, "check", "rules", file)


def test_whatever_text_a_rule_holds_is_quoted(promtool: str, tmp_path: Path) -> None:
    odd = 'a "b" \\ \' # : - {x} é 🙂 \t end'
    when = Value(metric="up", labels={"part": odd}, matching={"path": '/a"\\d+\\.x|é'})
    rule = msgspec.structs.replace(rule_of(when, for_s=0.25), hint=odd)
    file = tmp_path / "rules.yml"
    file.write_text(as_prometheus([rule], "lab", group=odd))
    run(promtool, "check", "rules", file)
    assert "for: 250ms" in file.read_text()
    assert expression_of(rule, "lab").endswith("> 0.5")


def test_random_histories_have_the_same_states(promtool: str, tmp_path: Path) -> None:
    rng = random.Random(7)  # noqa: S311
    rules = [
        msgspec.structs.replace(
            # sums of rates that meet a threshold exactly depend on the order of adding up, which
            # Prometheus leaves open
            rule_of(
                when,
                comparison,
                threshold + 0.013 if threshold and not isinstance(when, Value) else threshold,
                rng.choice([0, 0.5, 1.0, 2.0]),
            ),
            name=f"Rule{number}",
        )
        for number, (when, comparison, threshold) in enumerate(
            (when, comparison, threshold)
            for when in EXPRESSIONS
            for comparison, threshold in ((">", 0.45), ("<", 0.55), (">=", 1.0), ("<=", 0.0))
        )
    ]
    history = random_history(rng, 120)
    states, transitions = replay(rules, "lab", history)
    assert len({t.rule.name for t in transitions if t.after == "firing"}) > 20
    assert_same(promtool, tmp_path, rules, "lab", history, states)


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_recorded_fault_has_the_same_states(
    promtool: str, setting: Setting, tmp_path: Path
) -> None:
    """Redis killed under load and restarted, as the lab saw it."""
    history = recorded()
    rules = shipped()
    if setting == "production":  # the same in slow motion
        history = [Scrape(30 * at_ms, samples) for at_ms, samples in history]
    states, transitions = replay(rules, setting, history)
    assert {t.rule.name for t in transitions if t.after == "firing"} == {
        "CacheBreakerOpen",
        "LimiterWithoutRedis",
    }
    assert states[-1] == {}
    assert_same(promtool, tmp_path, rules, setting, history, states)


def recorded() -> list[Scrape]:
    """Twice a second; the file has one line a series."""
    columns = json.loads(RECORDED.read_text())
    return [
        Scrape(
            500 * step,
            tuple(
                Sample(metric, tuple(sorted(labels.items())), values[step])
                for metric, labels, values in columns
                if values[step] is not None
            ),
        )
        for step in range(len(columns[0][2]))
    ]


def random_history(rng: random.Random, steps: int) -> list[Scrape]:
    """Every half second; counters start anew now and then, and series are missing."""
    counts = {(m, p): 0 for m in ("bad_total", "all_total") for p in ("", "a", "b", "c")}
    buckets = [0, 0, 0]
    busy = 1
    history = []
    for step in range(steps):
        if step % 12 == 0:
            busy = rng.choice([0, 0, 1, 4])
        if rng.random() < 0.04:
            history.append(Scrape(step * 500, None))
            continue
        if rng.random() < 0.03:
            counts, buckets = dict.fromkeys(counts, 0), [0, 0, 0]
        samples = []
        for (metric, part), count in counts.items():
            counts[metric, part] = count + rng.randint(0, busy)
            if rng.random() < 0.95:
                labels: Labels = (("part", part),) if part else ()
                samples.append(Sample(metric, labels, float(counts[metric, part])))
        samples += [
            Sample("level", (("part", part),), rng.choice([0.0, 0.5, busy / 2]))
            for part in ("a", "b")
            if rng.random() < 0.9
        ]
        buckets = [count + rng.randint(0, busy) for count in buckets]
        samples += [
            Sample("wait_seconds_bucket", (("le", bound),), float(sum(buckets[: place + 1])))
            for place, bound in enumerate(("0.5", "1.0", "+Inf"))
        ]
        history.append(Scrape(step * 500, tuple(samples)))
    return history


def assert_same(
    promtool: str,
    folder: Path,
    rules: Sequence[Rule],
    setting: Setting,
    history: Sequence[Scrape],
    states: Sequence[States],
) -> None:
    """Let promtool hold its own ALERTS against the engine's states, at every evaluation."""
    steps_ms = {after.at_ms - before.at_ms for before, after in itertools.pairwise(history)}
    (step_ms,) = steps_ms
    assert history[0].at_ms == 0
    interval = f"{step_ms}ms"
    severities = {rule.name: rule.severity for rule in rules}
    expressions = [
        {
            "expr": "ALERTS",
            "eval_time": f"{scrape.at_ms}ms",
            "exp_samples": [
                {
                    "labels": series(
                        "ALERTS",
                        (
                            *labels,
                            ("alertname", name),
                            ("alertstate", state),
                            ("severity", severities[name]),
                        ),
                    ),
                    "value": 1,
                }
                for (name, labels), state in now.items()
            ],
        }
        for scrape, now in zip(history, states, strict=True)
    ]
    needed = {name for rule in rules for name in metrics_of(rule.when)}
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": interval,
        "tests": [
            {
                "interval": interval,
                "input_series": input_series(history, needed),
                "promql_expr_test": expressions,
            }
        ],
    }
    (folder / "rules.yml").write_text(as_prometheus(rules, setting))
    file = folder / "test.yml"
    file.write_text(json.dumps(test, ensure_ascii=False))  # which is YAML
    run(promtool, "test", "rules", file)


def input_series(history: Sequence[Scrape], needed: set[str]) -> list[dict[str, str]]:
    rows = [
        {(one.metric, tuple(sorted((*one.labels, *OWN)))): one.value for one in samples or ()}
        | {("up", OWN): 0.0 if samples is None else 1.0}
        for _, samples in history
    ]
    names = sorted({key for row in rows for key in row if key[0] in needed})
    found = []
    for key in names:
        values = []
        ended = True
        for row in rows:
            if key in row:
                values.append(repr(row[key]))
            else:
                values.append("_" if ended else "stale")
            ended = key not in row
        found.append({"series": series(*key), "values": " ".join(values)})
    return found


def series(metric: str, labels: Labels) -> str:
    told = ",".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in labels)
    return f"{metric}{{{told}}}"
