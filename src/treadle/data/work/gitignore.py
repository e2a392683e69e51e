"""Git is told not to keep the data itself."""

from __future__ import annotations

from pathlib import Path

from treadle.kernel.files import storage_errors, write_atomic


def ignore(target: Path) -> bool:
    """Names data in the ``.gitignore`` beside it, once; only within a Git repository.

    Returns:
        Whether it was added.
    """
    if not any((folder / ".git").exists() for folder in target.parents):
        return False
    file = target.parent / ".gitignore"
    line = "/" + "".join(f"\\{letter}" if letter in "\\*?[ !#" else letter for letter in target.name)
    with storage_errors(str(file)):
        text = file.read_text() if file.exists() else ""
        if line in text.splitlines():
            return False
        if text and not text.endswith("\n"):
            text += "\n"
        write_atomic(file, f"{text}{line}\n".encode())
    return True
