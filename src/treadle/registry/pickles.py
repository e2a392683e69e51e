"""What a model's files would run when they are loaded: pickles, found by content and read without loading.

A pickle is a program that imports names and calls them. Which names is read from its opcodes (see the
comments of Python's ``pickletools``). Names of libraries of models are known; code that the file brings
along, and names that nobody knows, are code; names that start programs, open files or connections or run
text are dangerous. It is no proof of innocence: code can do anything. Pure but for reading files.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickletools
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

from treadle.kernel.config import PicklePolicy
from treadle.kernel.errors import Refused
from treadle.registry.pickle_names import judge
from treadle.registry.types import Pickled, Verdict

_ORDER: Final[tuple[Verdict, ...]] = ("known", "code", "dangerous")
_SUFFIXES = frozenset({".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".sav", ".p", ".dill"})
_MAGIC = re.compile(rb"\x80[\x02-\x05]")
_WORDS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
# What is unpacked while a file is read, and how many members an archive may have.
_MOST, _MEMBERS = 4 << 30, 20_000
# A member that unpacks to this many times its size is no weights.
_RATIO, _LARGE = 500, 64 << 20
_NAMED = 10
# A name as opcodes write it, in what can't be read as opcodes: GLOBAL, SHORT_BINUNICODE, BINUNICODE.
_RAW = re.compile(
    rb"c([\w.]{2,60})\n([\w.]{1,60})\n|(?:\x8c.|X.\x00\x00\x00)(posix|nt|os|subprocess|sys|builtins|socket|runpy)"
    rb"(?:\x94|q.)?(?:\x8c.|X.\x00\x00\x00)(\w{1,60})",
    re.DOTALL,
)
_STRINGS = frozenset(
    {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING"}
)
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})


class _TooLarge(Exception):
    """More comes out of a file than may."""


def scan(path: Path, name: str) -> list[Pickled]:
    """The pickles in a file; none in one that has none.

    Args:
        path: The file.
        name: What to call it.
    """
    with path.open("rb") as file:
        return _scan(file, name, inside=False)


def scan_folder(folder: Path) -> tuple[Pickled, ...]:
    """The pickles among a model's files."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return tuple(one for path in paths for one in scan(path, path.relative_to(folder).as_posix()))


def check_loadable(pickles: Iterable[Pickled], policy: PicklePolicy, where: str) -> None:
    """Refuses what ``[registry] pickle`` doesn't let be loaded.

    Raises:
        Refused: With the worst file, and what was found in it.
    """
    refused = {"refuse": _ORDER, "warn": ("dangerous",), "allow": ()}[policy]
    worst = max(pickles, key=lambda one: _ORDER.index(one.verdict), default=None)
    if worst is None or worst.verdict not in refused:
        return
    names = f" ({', '.join(worst.names)})" if worst.names else ""
    said = {"known": "is a pickle", "code": "is a pickle that brings code", "dangerous": "is dangerous"}
    raise Refused(
        f"{worst.path} {said[worst.verdict]}{names}, and [registry] pickle is {policy!r}",
        where=where,
        fix="log the model as ONNX (run.log_model), safetensors or skops; if you trust who made it, set "
        f'pickle = "{"allow" if worst.verdict == "dangerous" else "warn"}" under [registry]',
    )


def _scan(file: IO[bytes], name: str, *, inside: bool) -> list[Pickled]:
    start = file.read(8)
    file.seek(0)
    if start.startswith(b"PK\x03\x04"):
        return [Pickled(name, "code", ("an archive within an archive",))] if inside else _archive(file, name)
    try:
        packed = _opened(file, start)
        bounded = inside or packed is not None
        return _pickle(_Reader(file if packed is None else packed, bounded=bounded), name)
    except _TooLarge:
        return [Pickled(name, "dangerous", (f"it unpacks to more than {_MOST >> 30} GiB",))]
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return []  # begins like something compressed, and isn't


def _opened(file: IO[bytes], start: bytes) -> Any:
    """A compressed file, as joblib writes them, to be read; None if it isn't compressed."""
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)
    if start.startswith(b"BZh"):
        return bz2.BZ2File(file)
    if start.startswith((b"\xfd7zXZ", b"]\x00\x00")):
        return lzma.LZMAFile(file)
    if start[:1] == b"\x78" and len(start) > 1 and int.from_bytes(start[:2]) % 31 == 0:
        return _Zlib(file)
    return None


class _Zlib:
    """A stream of zlib, which Python has no file for."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._unpack, self._left = zlib.decompressobj(), b""

    def read(self, size: int) -> bytes:
        """The next bytes."""
        parts = [self._left]
        have = len(self._left)
        while have < size and not self._unpack.eof:
            packed = self._unpack.unconsumed_tail or self._file.read(1 << 16)
            if not packed:
                break
            parts.append(self._unpack.decompress(packed, max(size - have, 1 << 16)))
            have += len(parts[-1])
        whole = b"".join(parts)
        self._left = whole[size:]
        return whole[:size]


class _Reader:
    """As much of a file as ``pickletools`` needs, and a limit to what comes out of a compressed one."""

    def __init__(self, file: Any, *, bounded: bool) -> None:
        self._file = file
        self._left = b""
        self._at = 0
        self._most = _MOST if bounded else float("inf")

    def tell(self) -> int:
        """How far it was read."""
        return self._at

    def peek(self, size: int) -> bytes:
        """The next bytes, which stay there."""
        if len(self._left) < size:
            self._left += self._file.read(max(size - len(self._left), 1 << 16))
        return self._left[:size]

    def read(self, size: int) -> bytes:
        """The next bytes."""
        if self._at + size > self._most:
            raise _TooLarge
        found = self.peek(size)
        self._left = self._left[size:]
        self._at += len(found)
        return found

    def readline(self) -> bytes:
        """The next bytes up to a line's end; what is longer than a line of opcodes is cut."""
        end = self.peek(1 << 16).find(b"\n")
        return self.read(end + 1 if end >= 0 else 1 << 16)


def _archive(file: IO[bytes], name: str) -> list[Pickled]:
    """The pickles in a zip file: PyTorch's, NumPy's ``.npz``; skops' has none."""
    found: list[Pickled] = []
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            unpacked = sum(member.file_size for member in members)
            if len(members) > _MEMBERS or any(map(_is_bomb, members)):
                why = f"{len(members)} members that unpack to {unpacked >> 20} MiB"
                return [Pickled(name, "dangerous", (why,))]
            for member in members:
                if not member.is_dir():
                    with archive.open(member) as inner:
                        found += _scan(inner, f"{name}:{member.filename}", inside=True)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        found.append(Pickled(name, "dangerous", (f"an archive that can't be read: {error}"[:200],)))
    return found


def _is_bomb(member: zipfile.ZipInfo) -> bool:
    return member.file_size > _LARGE and member.file_size > _RATIO * max(member.compress_size, 1)


def _pickle(file: _Reader, name: str) -> list[Pickled]:
    """The file as pickles, if it is some: by its beginning, its name, or because it imports something."""
    suffix = Path(name.rpartition(":")[2]).suffix.lower()
    likely = bool(_MAGIC.match(file.peek(2))) or suffix in _SUFFIXES
    names: set[tuple[str, str]] = set()
    complete = True
    try:
        while file.peek(1):
            for module, attribute in _globals(file):
                if not (likely or (_WORDS.fullmatch(module) and _WORDS.fullmatch(attribute))):
                    return []
                names.add((module, attribute))
    except _TooLarge:
        raise
    except Exception:  # noqa: BLE001 - whatever pickletools says of what it can't read
        complete = False
    if not likely and not names:
        return []
    rest = set() if complete else _rest(file)
    return [_judged(name, names | rest, complete=complete)]


def _rest(file: _Reader) -> set[tuple[str, str]]:
    """Names in what can't be read as opcodes: the arrays within joblib's files, and all among them."""
    found: set[tuple[str, str]] = set()
    tail = b""
    while block := file.read(1 << 20):
        for match in _RAW.finditer(tail + block):
            module, attribute = (match[1], match[2]) if match[1] else (match[3], match[4])
            if match[1] is None or judge(module.decode(), attribute.decode()) == "dangerous":
                found.add((module.decode("latin-1"), attribute.decode("latin-1")))
        tail = block[-160:]
    return found


def _judged(name: str, names: Iterable[tuple[str, str]], *, complete: bool) -> Pickled:
    verdicts = {f"{module}.{attribute}": judge(module, attribute) for module, attribute in names}
    worst: Verdict = max(verdicts.values(), key=_ORDER.index, default="known")
    if not complete and worst == "known":
        return Pickled(name, "code", ("a part that can't be read",))
    shown = sorted(one for one, verdict in verdicts.items() if verdict == worst and worst != "known")
    return Pickled(name, worst, tuple(shown[:_NAMED]))


def _globals(file: _Reader) -> Iterator[tuple[str, str]]:
    """Module and name of everything that one pickle imports; ``?`` for what is hidden."""
    memo: dict[int, str | None] = {}
    recent: list[str | None] = []  # strings pushed last; None for anything else
    previous: str | None = None
    read: Any = file  # it asks of a file no more than to be read
    for opcode, argument, _ in pickletools.genops(read):
        kind = opcode.name
        if kind in {"FRAME", "PROTO"}:  # which move nothing
            continue
        if kind in _STRINGS:
            previous = str(argument)
            recent.append(previous)
        elif kind == "MEMOIZE" or kind in _PUTS:
            memo[len(memo) if kind == "MEMOIZE" else int(argument or 0)] = previous
            continue
        elif kind in _GETS:
            previous = memo.get(int(argument or 0))
            recent.append(previous)
        else:
            if kind in {"GLOBAL", "INST"}:
                module, _, attribute = str(argument).partition(" ")
                yield module, attribute
            elif kind == "STACK_GLOBAL":
                yield _pair(recent)
            elif kind.startswith("EXT"):
                yield "copyreg", f"extension {argument}"
            previous = None
            recent.append(None)
        del recent[:-2]


def _pair(recent: Sequence[str | None]) -> tuple[str, str]:
    if len(recent) == 2 and recent[0] is not None and recent[1] is not None:
        return recent[0], recent[1]
    return "?", "a name that is put together"
