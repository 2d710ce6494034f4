"""What an instance loses of the memory bandwidth where it spans several memory domains.

Its pages lie in all the domains it spans, and every core reads all of them: of D domains, one in D
bytes is local, and the others come from another die of the socket or from another socket, at a
bandwidth that is lower by the losses of remote.toml. The bandwidth of the mix is the harmonic mean.
"""

from __future__ import annotations

import functools

from perfmodel.figures.figure import Figure, Fraction
from perfmodel.figures.files import read_shipped
from perfmodel.figures.record import Record


class _Loss(Record):
    other_die: Fraction
    other_socket: Fraction


class _Remote(Record):
    loss: _Loss


@functools.cache
def losses() -> dict[str, Figure]:
    """Return the shares of the local bandwidth that are lost, by where the memory is."""
    found = read_shipped(_Remote, __file__, "remote.toml").loss
    return {"other_die": found.other_die, "other_socket": found.other_socket}


def remote_share(domains: int, sockets: int) -> float:
    """Return the bandwidth of memory that is spread over domains, over that of local memory.

    Args:
        domains: that the instance spans, on all sockets.
        sockets: that it spans.
    """
    if domains == 1:
        return 1.0
    die, socket = (losses()[name].typical for name in ("other_die", "other_socket"))
    local, elsewhere = 1 / domains, 1 - 1 / sockets
    same_socket = 1 / sockets - local
    return 1 / (local + same_socket / (1 - die) + elsewhere / (1 - socket))
