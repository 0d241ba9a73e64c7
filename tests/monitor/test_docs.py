"""docs/monitoring.md says what is so: its lists are the registry's, its examples run."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from perflab.monitor.alerts import load_rules
from perflab.paths import data_dir

from .catalogue import REGISTERED, families, full_name, markdown

PAGE = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("process", REGISTERED)
def test_the_metrics_are_those_of_the_registry(process: str) -> None:
    """The expected table stands in the failure: paste it."""
    assert f"### {process}\n\n{markdown(process)}" in PAGE


def test_the_alerts_are_those_of_the_file() -> None:
    told = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*) \|$", PAGE, re.MULTILINE)
    rules = load_rules(data_dir() / "alerts.toml")
    expected = [(rule.name, rule.severity, rule.hint) for rule in rules]
    assert [row for row in told if row[0][0].isupper()] == expected


def test_the_example_of_a_rule_is_one(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "alerts.toml"
    file.write_text(f'title = "Mine"\n{example}')
    (rule,) = load_rules(file)
    assert rule.when.by == ("job", "instance")


def test_every_rule_asks_for_a_metric_that_a_process_tells() -> None:
    known = {full_name(one) for process in REGISTERED for one in families(process)}
    known |= {"up", "perflab_monitor_failures_total"}
    for rule in load_rules(data_dir() / "alerts.toml"):
        assert rule.when.metric in known, rule.name


def test_the_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(EXAMPLES) == 2
    own, watched = EXAMPLES
    assert len([line for line in own.splitlines() if line.strip()]) <= 10
    namespace: dict[str, Any] = {}
    exec(own, namespace)  # noqa: S102 - our own documentation
    said = capsys.readouterr().out
    assert said.startswith("http://127.0.0.1:")
    assert "shop_orders_placed_total 3.0" in said
    exec(watched, namespace)  # noqa: S102
    assert "OrdersStuck firing" in capsys.readouterr().out


@pytest.mark.parametrize("process", REGISTERED)
def test_promtool_finds_nothing_wrong_with_names_and_units(process: str) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("no promtool on the PATH; Debian has it in its package prometheus")
    lines = []
    for one in families(process):
        name = full_name(one)
        lines += [f"# HELP {name} {one.help}", f"# TYPE {name} {one.kind}"]
        if one.kind == "histogram":
            lines += [f'{name}_bucket{{le="+Inf"}} 0', f"{name}_sum 0", f"{name}_count 0"]
        else:
            lines.append(f"{name} 0")
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
