"""Which names a pickle may import: those of libraries of models, and those that do harm.

The second list follows picklescan (https://github.com/mmaitre314/picklescan), without ``functools.partial``
and the names by which cloudpickle brings functions along: those are code, which a verdict of its own tells.
"""

from __future__ import annotations

from typing import Final

from treadle.registry.types import Verdict

_LIBRARIES: Final = frozenset(
    {
        "catboost", "joblib", "lightgbm", "numpy", "pandas", "scipy", "sklearn", "statsmodels", "torch",
        "transformers", "xgboost",
    }
)  # fmt: skip

# Functions that rebuild values; of a library's other names only classes are known.
_REBUILD: Final[dict[str, frozenset[str]]] = {
    "builtins": frozenset(
        {
            "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object",
            "range", "set", "slice", "str", "tuple",
        }
    ),
    "__builtin__": frozenset({"bytearray", "complex", "object", "set", "frozenset"}),
    "collections": frozenset({"Counter", "OrderedDict", "defaultdict", "deque"}),
    "copyreg": frozenset({"_reconstructor", "__newobj__"}),
    "datetime": frozenset({"date", "datetime", "time", "timedelta", "timezone"}),
    "decimal": frozenset({"Decimal"}),
    "_codecs": frozenset({"encode"}),
    "pathlib": frozenset({"Path", "PosixPath", "PurePosixPath", "WindowsPath"}),
    "uuid": frozenset({"UUID"}),
    "numpy": frozenset(
        {
            "bool", "bool_", "dtype", "float16", "float32", "float64", "int8", "int16", "int32", "int64",
            "ndarray", "uint8", "uint16", "uint32", "uint64",
        }
    ),
    "numpy.core.multiarray": frozenset({"_reconstruct", "scalar"}),
    "numpy._core.multiarray": frozenset({"_reconstruct", "scalar"}),
    "numpy.core.numeric": frozenset({"_frombuffer"}),
    "numpy._core.numeric": frozenset({"_frombuffer"}),
    "numpy.random._pickle": frozenset(
        {"__bit_generator_ctor", "__generator_ctor", "__randomstate_ctor"}
    ),
    "pandas._libs.internals": frozenset({"_unpickle_block"}),
    "pandas.core.indexes.base": frozenset({"_new_Index"}),
    "scipy.sparse._csr": frozenset({"csr_matrix", "csr_array"}),
    "torch._utils": frozenset(
        {"_rebuild_tensor_v2", "_rebuild_parameter", "_rebuild_sparse_tensor", "_rebuild_qtensor"}
    ),
}  # fmt: skip

# All of a module, and what lies below it.
_HARMFUL: Final = frozenset(
    {
        "_aix_support", "_osx_support", "_pickle", "_posixsubprocess", "_pyrepl", "aiohttp", "asyncio", "bdb",
        "cProfile", "code", "codeop", "commands", "ctypes", "dill", "distutils", "doctest", "ensurepip",
        "ftplib", "glob", "http", "httplib", "httpx", "idlelib", "imaplib", "importlib", "inspect", "lib2to3",
        "marshal", "multiprocessing", "nt", "numpy.f2py", "numpy.testing", "os", "pathlib", "pdb", "pickle",
        "pip", "pkgutil", "platform", "poplib", "posix", "posixpath", "profile", "pty", "pydoc", "requests",
        "runpy", "shutil", "signal", "site", "smtplib", "socket", "socketserver", "sqlite3", "ssl",
        "subprocess", "sys", "tempfile", "test", "threading", "timeit", "torch._dynamo", "torch._inductor",
        "torch.distributed", "torch.fx.experimental", "torch.hub", "torch.serialization", "torch.utils",
        "trace", "urllib", "urllib3", "uuid", "venv", "webbrowser", "xmlrpc", "zipimport",
    }
)  # fmt: skip
_HARMFUL_NAMES: Final[dict[str, frozenset[str]]] = {
    "builtins": frozenset(
        {
            "__import__", "apply", "breakpoint", "compile", "delattr", "eval", "exec", "exit", "getattr",
            "globals", "input", "locals", "open", "setattr", "vars",
        }
    ),
    "__builtin__": frozenset(
        {
            "__import__", "apply", "breakpoint", "compile", "eval", "exec", "execfile", "file", "getattr",
            "input", "open", "setattr",
        }
    ),
    "_io": frozenset({"FileIO", "open", "open_code"}),
    "io": frozenset({"FileIO", "open", "open_code"}),
    "logging": frozenset({"FileHandler"}),
    "logging.config": frozenset({"dictConfig", "fileConfig", "listen"}),
    "_operator": frozenset({"attrgetter", "itemgetter", "methodcaller"}),
    "operator": frozenset({"attrgetter", "itemgetter", "methodcaller"}),
    "types": frozenset({"CodeType", "FunctionType"}),
    "numpy": frozenset({"fromfile", "load", "loadtxt", "memmap", "save"}),
    "pandas": frozenset({"eval", "read_csv", "read_pickle"}),
    "joblib": frozenset({"load"}),
    "joblib.numpy_pickle": frozenset({"load"}),
    "torch": frozenset({"load", "save"}),
    "torch.jit.unsupported_tensor_ops": frozenset({"execWrapper"}),
}  # fmt: skip


def judge(module: str, name: str) -> Verdict:
    """What may come of importing a name: ``known``, ``code`` or ``dangerous``."""
    parts = module.split(".")
    above = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
    if name in _REBUILD.get(module, ()):
        return "known"
    if module == "?" or above & _HARMFUL or name.split(".", maxsplit=1)[0] in _HARMFUL_NAMES.get(module, ()):
        return "dangerous"
    if parts[0] in _LIBRARIES and (name.lstrip("_")[:1].isupper() or name.startswith("__pyx_unpickle_")):
        return "code" if "." in name else "known"
    return "code"
