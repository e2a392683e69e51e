"""NVIDIA's GPUs through its own library (NVML): no process, no package, a millisecond a question."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

_LIBRARY = "libnvidia-ml.so.1"
_CELSIUS = 0


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU.

    Attributes:
        name: Its model.
        memory: In bytes.
        driver: The driver's version.
    """

    name: str
    memory: int
    driver: str


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """How busy a GPU is; None is what the driver doesn't tell.

    Attributes:
        used: Percent of the last moment in which it computed.
        memory: Percent of its memory that is taken.
        celsius: Its temperature.
        watts: What it draws.
    """

    used: float | None
    memory: float | None
    celsius: float | None
    watts: float | None


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class _Rates(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class Nvml:
    """The library, loaded and initialised. Use :func:`opened`."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        count = ctypes.c_uint()
        ok = library.nvmlDeviceGetCount_v2(ctypes.byref(count)) == 0
        self._devices = [self._device(number) for number in range(count.value if ok else 0)]

    def _device(self, number: int) -> ctypes.c_void_p:
        handle = ctypes.c_void_p()
        self._library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(number), ctypes.byref(handle))
        return handle

    def gpus(self) -> tuple[Gpu, ...]:
        """Which GPUs there are."""
        driver = ctypes.create_string_buffer(96)
        self._library.nvmlSystemGetDriverVersion(driver, ctypes.c_uint(len(driver)))
        found = []
        for device in self._devices:
            name, memory = ctypes.create_string_buffer(96), _Memory()
            self._library.nvmlDeviceGetName(device, name, ctypes.c_uint(len(name)))
            self._library.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory))
            found.append(Gpu(name=_text(name.value), memory=int(memory.total), driver=_text(driver.value)))
        return tuple(found)

    def loads(self) -> tuple[Load, ...]:
        """How busy each GPU is."""
        return tuple(self._load(device) for device in self._devices)

    def _load(self, device: ctypes.c_void_p) -> Load:
        rates, memory = _Rates(), _Memory()
        celsius, milliwatts = ctypes.c_uint(), ctypes.c_uint()
        library = self._library
        has_rates = library.nvmlDeviceGetUtilizationRates(device, ctypes.byref(rates)) == 0
        has_memory = library.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory)) == 0 and memory.total
        warm = library.nvmlDeviceGetTemperature(device, _CELSIUS, ctypes.byref(celsius)) == 0
        draws = library.nvmlDeviceGetPowerUsage(device, ctypes.byref(milliwatts)) == 0
        return Load(
            used=float(rates.gpu) if has_rates else None,
            memory=100 * memory.used / memory.total if has_memory else None,
            celsius=float(celsius.value) if warm else None,
            watts=milliwatts.value / 1000 if draws else None,
        )


def load() -> Nvml | None:
    """The library, ready for use until :func:`unload`; None where there is none or it has no GPU."""
    try:
        library = ctypes.CDLL(_LIBRARY)
        return Nvml(library) if library.nvmlInit_v2() == 0 else None
    except (OSError, AttributeError):
        return None


@contextmanager
def opened() -> Iterator[Nvml | None]:
    """The library for the time of a block; None where there is none."""
    found = load()
    try:
        yield found
    finally:
        if found is not None:
            ctypes.CDLL(_LIBRARY).nvmlShutdown()


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
