"""Random numbers. Drawing one costs nothing here; what is done to it counts."""

from __future__ import annotations

from perfmodel.tracing.formula import Call, Cost, Formula, register
from perfmodel.tracing.operators.table import add
from perfmodel.vocabulary import families as f


def _draw(ops: int) -> Formula:
    """``ops`` operations on each number that is written; what is there before is not read."""

    def formula(call: Call) -> Cost:
        return Cost(
            f.ELEMENTWISE,
            vector_ops=ops * call.result_numel,
            reads=dict.fromkeys(call.tensors(), 0),
        )

    return formula


add(_draw(0), "random")
add(_draw(2), "exponential geometric cauchy log_normal")  # a logarithm or tangent, and a scale


@register("aten.multinomial")
def multinomial(call: Call) -> Cost:
    """An exponential (2), a division and a comparison for each probability, as on a CPU."""
    return Cost(f.REDUCTION, vector_ops=4 * call.numel("self"))


@register("aten.poisson", "aten.binomial", "aten._standard_gamma", "aten._sample_dirichlet")
def sampled(call: Call) -> Cost:
    """By rejection: about 10 operations for each number, which depends on values."""
    return Cost(f.ELEMENTWISE, vector_ops=10 * call.result_numel)
