"""Files that a command will write: whether it can, before anything long begins."""

from __future__ import annotations

import os
from pathlib import Path

from perflab.errors import ParameterError
from perflab.files import write_whole


def check_output(option: str, path: Path | None, *, makes_folder: bool = False) -> None:
    """A ParameterError for a file that could not be written at the end.

    Args:
        option: names it in the message.
        path: the file; None where none was asked for.
        makes_folder: whether the folder is made where there is none.
    """
    if path is None:
        return
    try:
        folder = (Path(os.path.realpath(path)) if path.is_symlink() else path).parent
        while makes_folder and not folder.exists() and folder.parent != folder:
            folder = folder.parent
        if path.is_dir():
            raise ParameterError(f"{option} {path}: is a folder; name a file in it")
        if not folder.is_dir():
            raise ParameterError(f"{option} {path}: there is no folder {folder}")
        special = path.exists() and not path.is_file()  # a device or a pipe
    except OSError as error:  # a name that is too long
        raise ParameterError(f"{option} {path}: cannot be written ({error.strerror})") from None
    if not os.access(path if special else folder, os.W_OK):
        raise ParameterError(f"{option} {path}: cannot be written (no permission)")


def write_output(option: str, path: Path, text: str) -> None:
    """Write the file; a ParameterError where the disk does not take it."""
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise ParameterError(f"{option} {path}: cannot be written ({error.strerror})") from None
