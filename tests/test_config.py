"""Errors in configuration files name the file, the line and the key."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.config import error_at, load_toml
from perflab.errors import ConfigError


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    size: int
    name: str = ""


class Table(msgspec.Struct, forbid_unknown_fields=True):
    inner: Inner
    limit: float = 1.0


class Entry(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    inner: Inner | None = None


class File(msgspec.Struct, forbid_unknown_fields=True):
    entry: tuple[Entry, ...]
    title: str = ""


def complaint(tmp_path: Path, text: str, type_: type[object]) -> str:
    path = tmp_path / "some.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load_toml(path, type_)
    message = str(raised.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path)).lstrip(", ")


TWO_TABLES = """\
[small]
limit = 2.0
[small.inner]
size = 1

[large]
limit = 3.0
[large.inner]
size = "much"
"""


def test_a_mistake_in_a_mappings_second_table_names_that_table(tmp_path: Path) -> None:
    message = complaint(tmp_path, TWO_TABLES, dict[str, Table])
    assert message == "line 9, large.inner.size: Expected `int`, got `str`"


def test_a_missing_key_is_reported_at_its_tables_header(tmp_path: Path) -> None:
    text = TWO_TABLES.replace('size = "much"\n', "")
    message = complaint(tmp_path, text, dict[str, Table])
    assert message.startswith("line 8, large.inner: Object missing required field `size`")


def test_an_unknown_key_is_reported_where_it_stands(tmp_path: Path) -> None:
    text = TWO_TABLES.replace('size = "much"', "size = 2\nsiez = 3")
    assert complaint(tmp_path, text, dict[str, Table]).startswith("line 10, large.inner.siez:")


def test_entries_of_an_array_of_tables_are_counted(tmp_path: Path) -> None:
    text = 'title = "t"\n[[entry]]\nid = "a"\n[[entry]]\nid = "b"\n[entry.inner]\nsize = true\n'
    assert complaint(tmp_path, text, File).startswith("line 7, entry.inner.size:")


def test_a_key_of_a_table_below_is_not_taken_for_the_tables_own(tmp_path: Path) -> None:
    path = tmp_path / "some.toml"
    path.write_text("[a]\nx = 1\n[a.b]\nname = 2\n", encoding="utf-8")
    assert "line 1, a.name:" in str(error_at(path, ["a", "name"], "is missing"))


def test_headers_inside_a_long_string_are_text(tmp_path: Path) -> None:
    text = '[[entry]]\nid = """\n[[entry]]\n"""\n[[entry]]\nid = 3\n'
    assert complaint(tmp_path, text, File).startswith("line 6, entry.id:")


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_toml(tmp_path / "none.toml", File)
    assert "not valid TOML" in complaint(tmp_path, "[[entry\n", File)


@pytest.mark.parametrize(
    "text", [f"a = {'[' * 20_000}{']' * 20_000}", f"a = {'{a = ' * 150}1{'}' * 150}"]
)
def test_a_file_that_is_nested_without_end_is_named(tmp_path: Path, text: str) -> None:
    assert "nested too deeply" in complaint(tmp_path, text, dict[str, object])


@given(count=st.integers(1, 8), bad=st.integers(0, 7), blanks=st.integers(0, 3))
def test_the_line_is_that_of_the_bad_entry(
    tmp_path_factory: pytest.TempPathFactory, count: int, bad: int, blanks: int
) -> None:
    bad %= count
    lines: list[str] = []
    wanted = 0
    for number in range(count):
        lines += [""] * blanks + ["[[entry]]  # an entry"]
        lines.append("id = 7" if number == bad else f'id = "{number}"')
        wanted = len(lines) if number == bad else wanted
    message = complaint(tmp_path_factory.mktemp("toml"), "\n".join(lines), File)
    assert message.startswith(f"line {wanted}, entry.id:")
