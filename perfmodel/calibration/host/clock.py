"""The clock of the core that this process runs on: cycles counted by a chain of additions.

No file of the operating system tells the clock of a busy core in a virtual machine, and a boost
clock is a promise. But each of a chain of register additions needs the one before it, and takes one
cycle on every 64-bit core of x86 and Arm. So a loop of known length tells the clock from its time.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import sys
import time
from collections.abc import Callable
from typing import Final

#: Additions in the body of the loop: enough for its branch not to matter.
_BODY: Final = 500
_ROUNDS: Final = 2_000
_REPEATS: Final = 50


def _x86_64() -> bytes:
    """A System V function of the number of rounds."""
    body = bytes.fromhex("48 01 c8") * _BODY  # add rax, rcx
    count = bytes.fromhex("48 ff cf")  # dec rdi
    back = -(len(body) + len(count) + 6)
    branch = bytes.fromhex("0f 85") + back.to_bytes(4, "little", signed=True)  # jnz
    start = bytes.fromhex("31 c0 48 c7 c1 01 00 00 00")  # xor eax, eax; mov rcx, 1
    return start + body + count + branch + bytes.fromhex("c3")  # ret


def _aarch64() -> bytes:
    """The same by the procedure call standard of Arm."""
    add, subs, move, ret = 0x8B020021, 0xF1000400, 0xAA0103E0, 0xD65F03C0
    branch = 0x54000001 | ((-(_BODY + 1) & 0x7FFFF) << 5)  # b.ne to the first addition
    words = [0xD2800001, 0xD2800022, *[add] * _BODY, subs, branch, move, ret]
    return b"".join(word.to_bytes(4, "little") for word in words)


_CODE: Final[dict[str, Callable[[], bytes]]] = {
    "x86_64": _x86_64,
    "AMD64": _x86_64,
    "aarch64": _aarch64,
    "arm64": _aarch64,
}


def measured_clock() -> float | None:
    """Hertz of this core under a light load, or None where no code can be run to find out."""
    code = _CODE.get(platform.machine())
    if code is None or not sys.platform.startswith("linux"):
        return None
    text = code()
    try:
        # Written first and made executable then: few systems allow both at once.
        page = mmap.mmap(-1, len(text), prot=mmap.PROT_READ | mmap.PROT_WRITE)
        page.write(text)
        held = ctypes.c_char.from_buffer(page)
        address = ctypes.addressof(held)
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        if protect(address, len(text), mmap.PROT_READ | mmap.PROT_EXEC):
            return None
    except (OSError, AttributeError):
        return None
    chain = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64)(address)
    shortest = float("inf")
    for _ in range(_REPEATS):
        begin = time.perf_counter()
        added = chain(_ROUNDS)
        shortest = min(shortest, time.perf_counter() - begin)
    assert added == _ROUNDS * _BODY
    return float(added / shortest)
