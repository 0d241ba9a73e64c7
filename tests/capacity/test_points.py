"""Points of one's own come out of a CSV file, or one line says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from perflab.capacity.errors import CapacityError
from perflab.capacity.points import Points, load_points


def file_of(folder: Path, text: str | bytes) -> Path:
    path = folder / "mine.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_two_columns_are_read_whatever_stands_beside_them(tmp_path: Path) -> None:
    path = file_of(tmp_path, "\ufeffwhen,vus,rps\r\nmonday,1,60.5\r\ntuesday,2,1.1e2\r\n")
    assert load_points(path, users="vus", throughput="rps") == Points((1.0, 2.0), (60.5, 110.0))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("users,rps\n1,2\n", r"^mine.csv: no column 'throughput'; there are: users, rps$"),
        ("", r"^mine.csv: no column 'users'; there are: none$"),
        ("users,throughput\n", r"^mine.csv: a header and no points$"),
        ("users,throughput\n1,64\n2,fast\n", r"^mine.csv, line 3, throughput: 'fast' is no number"),
        ("users,throughput\n1\n", r"^mine.csv, line 2, throughput: '' is no number$"),
        ("users,throughput\n0.5,64\n", r"line 2, users: 0.5 must be a finite number from 1 on$"),
        ("users,throughput\n1,0\n", r"line 2, throughput: 0 must be a finite number above 0$"),
        ("users,throughput\n1,nan\n", r"line 2, throughput: nan must be a finite number above 0$"),
        (b"\xff\xfeu", r"^mine.csv: not a CSV file in UTF-8"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(
    tmp_path: Path, text: str | bytes, said: str
) -> None:
    with pytest.raises(CapacityError, match=said):
        load_points(file_of(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CapacityError, match=r"mine\.csv: No such file"):
        load_points(tmp_path / "mine.csv")
