"""Attention as one kernel."""

from __future__ import annotations

from math import prod
from typing import Final

from perfmodel.tracing.formula import Call, Cost, register
from perfmodel.vocabulary import families as f

#: Operations on one attention score: maximum, subtraction, exponential, sum, division.
SOFTMAX_OPS: Final = 5


@register(
    "aten.scaled_dot_product_attention",
    "aten._scaled_dot_product_flash_attention_for_cpu",
    "aten._scaled_dot_product_flash_attention",
    "aten._scaled_dot_product_efficient_attention",
    "aten._scaled_dot_product_attention_math",
)
def attention(call: Call) -> Cost:
    """Queries times keys, softmax, scores times values, as one kernel.

    The loops are those of the first product; FLOPs count both. Scores stay in the kernel and cost
    no bytes. Heads of keys and values shared by several query heads (grouped-query attention) are
    read once.
    """
    *heads, m, k = call.shape("query")
    n = call.shape("key")[-2]
    batch = prod(heads)
    scores = batch * m * n
    # One operation to scale a score, one to add a mask.
    ops = SOFTMAX_OPS + 1 + (1 if call.has("attn_mask") or call.has("attn_bias") else 0)
    return Cost(
        f.ATTENTION,
        flops=2 * scores * (k + call.shape("value")[-1]),
        vector_ops=ops * scores,
        gemm=(batch, m, n, k),
    )


#: What the notes say of attention whose mask leaves blocks of scores out.
ALL_BLOCKS: Final = (
    "flex_attention is charged all scores; blocks that its mask leaves out cost less"
)


@register("higher_order.flex_attention")
def flex_attention(call: Call) -> Cost:
    """As :func:`attention`, with one more operation on a score for the function that changes it."""
    *heads, m, k = call.shape("query")
    n = call.shape("key")[-2]
    batch = prod(heads)
    scores = batch * m * n
    return Cost(
        f.ATTENTION,
        flops=2 * scores * (k + call.shape("value")[-1]),
        vector_ops=(SOFTMAX_OPS + 2) * scores,
        gemm=(batch, m, n, k),
        writes=batch * m * call.shape("value")[-1],
        note=ALL_BLOCKS,
    )
