"""Losses, which a model returns when it is given labels."""

from __future__ import annotations

from perfmodel.tracing.formula import Call, Cost, Formula, register
from perfmodel.tracing.operators.table import add
from perfmodel.vocabulary import families as f


def _loss(ops: int) -> Formula:
    """``ops`` operations on each element, and one to sum them unless none is asked for."""

    def formula(call: Call) -> Cost:
        summed = call.get("reduction") != 0
        return Cost(f.REDUCTION, vector_ops=(ops + summed) * call.numel("self"))

    return formula


add(_loss(2), "mse_loss")  # difference, square
add(_loss(4), "smooth_l1_loss huber_loss")  # difference, magnitude, and one of two branches
add(_loss(4), "soft_margin_loss")  # product, exponential, logarithm of 1 +
add(_loss(7), "binary_cross_entropy")  # t log x + (1 - t) log(1 - x)
add(_loss(8), "binary_cross_entropy_with_logits")  # (1 - t) x + log(1 + exp(-|x|)) + max(-x, 0)
add(_loss(3), "multi_margin_loss")  # margin, difference, maximum


@register("aten.nll_loss_forward", "aten.nll_loss2d_forward", "aten.nll_loss", "aten.nll_loss2d")
def nll_loss(call: Call) -> Cost:
    """One element of each row is read, and added up."""
    rows = call.numel("target")
    weighted = rows if call.has("weight") else 0
    return Cost(f.REDUCTION, vector_ops=rows + weighted, reads={"self": rows, "weight": weighted})


@register("aten.multilabel_margin_loss_forward")
def multilabel_margin_loss(call: Call) -> Cost:
    """Each class against each label, of which there may be as many as classes."""
    classes = call.shape("self")[-1]
    return Cost(f.REDUCTION, vector_ops=4 * classes * call.numel("self"))


@register("aten._ctc_loss", "aten.ctc_loss")
def ctc_loss(call: Call) -> Cost:
    """For each step three states are added in logarithms (7), for the labels with blanks between.

    Labels are taken to be as long as the tensor that holds them allows.
    """
    log_probs, targets = call.shape("log_probs"), call.shape("targets")
    steps, batch = log_probs[0], log_probs[1] if len(log_probs) > 2 else 1
    longest = targets[-1] if len(targets) > 1 else -(-targets[0] // batch)
    states = steps * batch * (2 * longest + 1)
    return Cost(f.REDUCTION, vector_ops=7 * states, reads={"log_probs": states})
