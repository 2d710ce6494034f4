"""Which CPU this is: the nearest one of the catalogue, with this computer's cores and caches.

The microarchitecture comes from the vendor's family and model numbers; where those are not known,
from the instruction sets alone, and that is said. Physical cores and caches come from the operating
system, the clock from a measurement; where there can be none, it is the highest of the catalogue
CPU. It counts for wide engines, too, whatever they do to it: no efficiency is a share of too low a
peak. What nothing tells (power, memory channels) stays that of the catalogue CPU; the fitted
efficiencies and bandwidths absorb the difference.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from perfmodel.calibration.host.clock import measured_clock
from perfmodel.errors import MachineError, NotInstalled
from perfmodel.figures.tree import nested
from perfmodel.machine import load_machine

_SYSFS: Final = Path("/sys/devices/system/cpu")
#: (vendor, family, first model, last model) -> the catalogue CPU with that core. AMD: Processor
#: Programming References; Intel: arch/x86/include/asm/intel-family.h of Linux.
_KNOWN: Final = (
    ("AuthenticAMD", 25, 0x10, 0x1F, "epyc_9654"),
    ("AuthenticAMD", 25, 0xA0, 0xAF, "epyc_9754"),
    ("AuthenticAMD", 25, 0x60, 0x7F, "ryzen_9_8945hs"),
    ("AuthenticAMD", 26, 0x00, 0x0F, "epyc_9755"),
    ("AuthenticAMD", 26, 0x10, 0x1F, "epyc_9965"),
    ("GenuineIntel", 6, 0x8F, 0x8F, "xeon_8490h"),
    ("GenuineIntel", 6, 0xCF, 0xCF, "xeon_8592plus"),
    ("GenuineIntel", 6, 0xAD, 0xAE, "xeon_6980p"),
    ("GenuineIntel", 6, 0x97, 0x9A, "i7_12700k"),
)
#: Instruction sets, most capable first -> the catalogue CPU that stands for all that have them.
_BY_ISA: Final = (
    ({"amx_int8", "amx_bf16"}, "xeon_8490h"),
    ({"avx512f", "avx512_vnni", "avx512_bf16"}, "epyc_9654"),
    ({"avx2", "fma"}, "i7_12700k"),
    ({"sve2"}, "graviton4"),
    ({"sve"}, "graviton3"),
    ({"asimd"}, "ampereone_96"),
)


@dataclass(frozen=True)
class Host:
    """This computer.

    Attributes:
        brand: what the CPU calls itself.
        base: the catalogue CPU that it is described by.
        recognised: whether that is its own microarchitecture; else only the instruction sets fit.
        flags: instruction sets.
        clock_measured: whether the clock is this computer's; else it is the base's highest.
        stated: fields of its machine file beside the base's, by dotted path.
    """

    brand: str
    base: str
    recognised: bool
    flags: frozenset[str]
    stated: dict[str, object]
    clock_measured: bool = False

    @property
    def cores(self) -> int:
        """Physical cores that this process may use."""
        found = self.stated["cores.count"]
        assert isinstance(found, int)
        return found


def detect() -> Host:
    """This computer, by py-cpuinfo and the operating system.

    Raises:
        MachineError: an architecture that no catalogue CPU resembles.
        NotInstalled: without py-cpuinfo2.
    """
    try:
        import cpuinfo
    except ImportError:
        raise NotInstalled("py-cpuinfo2", "host") from None

    return described(cpuinfo.get_cpu_info())


def described(info: dict[str, Any]) -> Host:
    """The computer with this ``cpuinfo.get_cpu_info()``."""
    flags = frozenset(info.get("flags", ()))
    base, recognised = _base(info, flags)
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    cores = max(1, physical_cores(allowed) or int(info.get("count", 1)))
    stated: dict[str, object] = {"cores.count": cores}
    stated |= caches(allowed[0], cores)
    stated.setdefault("cache.l3_domains", _domains(base, cores))
    clock, own = measured_clock(), load_machine(base).clock
    hertz = f"{(clock or own.max.typical) / 1e9:.3g} GHz"
    stated["clock.sustained"] = hertz
    if clock is not None and clock > own.max.typical:
        stated["clock.max"] = hertz
    stated |= {f"clock.engine.{engine}": hertz for engine in own.engine}
    brand = info.get("brand_raw", "unknown CPU")
    return Host(brand, base, recognised, flags, stated, clock is not None)


def _base(info: dict[str, Any], flags: Collection[str]) -> tuple[str, bool]:
    vendor, family, model = (info.get(k) for k in ("vendor_id_raw", "family", "model"))
    for known, number, first, last, name in _KNOWN:
        if (vendor, family) == (known, number) and first <= int(model or 0) <= last:
            # A virtual machine may hide what the core has.
            core = load_machine(name).core
            if all(set(engine.requires) <= set(flags) for engine in core.engines.values()):
                return name, True
    for needed, name in _BY_ISA:
        if needed <= set(flags):
            return name, False
    raise MachineError(
        f"{info.get('brand_raw', 'this CPU')}: neither AVX2 nor NEON; no CPU of the catalogue is "
        "like it"
    )


def physical_cores(allowed: Collection[int], sysfs: Path = _SYSFS) -> int:
    """Distinct cores among these logical CPUs; 0 where the system does not say."""
    found = set()
    for cpu in allowed:
        try:
            found.add((sysfs / f"cpu{cpu}/topology/thread_siblings_list").read_text().strip())
        except OSError:
            return 0
    return len(found)


def caches(cpu: int, cores: int, sysfs: Path = _SYSFS) -> dict[str, object]:
    """Sizes of the data caches of one logical CPU, by the fields of a machine file."""
    found: dict[str, object] = {}
    for folder in sorted((sysfs / f"cpu{cpu}/cache").glob("index*")):
        try:
            kind, level, size, shared = (
                (folder / name).read_text().strip()
                for name in ("type", "level", "size", "shared_cpu_list")
            )
        except OSError:
            continue
        match = re.fullmatch(r"(\d+)K", size)
        if kind == "Instruction" or match is None:
            continue
        kibibytes = int(match[1])
        if level in ("1", "2"):
            found["cache.l1d" if level == "1" else "cache.l2"] = f"{kibibytes} KiB"
        elif level == "3":
            domains = max(1, min(cores, round(cores / count(shared))))
            found["cache.l3"] = f"{kibibytes * domains} KiB"
            found["cache.l3_domains"] = domains
    return found


def count(ranges: str) -> int:
    """How many numbers a list such as "0-3,8" holds."""
    total = 0
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        total += int(last or first) - int(first) + 1
    return total


def _domains(base: str, cores: int) -> int:
    return int(min(cores, load_machine(base).cache.l3_domains.typical))


def machine_text(host: Host, identity: str, further: Mapping[str, object] | None = None) -> str:
    """The machine file of a computer before anything was measured.

    Args:
        further: fields that it states beside those of the host, by dotted path.
    """
    from perfmodel._toml import toml_text

    how = "its own microarchitecture" if host.recognised else "its instruction sets only"
    fields = {"base": host.base, "id": identity, "name": f"{host.brand}, {host.cores} cores"}
    return toml_text(
        nested({**fields, **host.stated, **(further or {})}),
        f"{host.brand}, described by {host.base}: {how}.",
    )


def brand() -> str:
    """Return what the CPU calls itself, as far as the system says."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "an unnamed CPU")
