"""Without the parser, one line says what to install, and nothing else is lost."""

from __future__ import annotations

import subprocess
import sys

HIDDEN = "import sys; sys.modules['pglast'] = None\n"


def python(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", HIDDEN + code]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_names_the_extra() -> None:
    done = python("sys.argv = ['perflab', 'advise']; from perflab.cli import main; main()")

    assert done.returncode == 2
    said = " ".join((done.stdout + done.stderr).split())
    assert "pip install 'perflab[advisor]'" in said
    assert "Traceback" not in said


def test_the_notebook_is_refused_where_it_is_named_and_left_out_where_not() -> None:
    done = python(
        "from perflab.errors import ParameterError\n"
        "from perflab.parameters import DEFAULT_NOTEBOOKS, NOTEBOOKS\n"
        "try: NOTEBOOKS['02_index_advisor']().verify()\n"
        "except ParameterError as error: print(error)\n"
        "print(DEFAULT_NOTEBOOKS)"
    )

    refused, defaults = done.stdout.splitlines()
    assert "pip install 'perflab[advisor]'" in refused
    assert "02_index_advisor" not in defaults
    assert "01_database" in defaults
