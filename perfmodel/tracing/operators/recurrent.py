"""Recurrent layers."""

from __future__ import annotations

from math import prod

from perfmodel.tracing.formula import Call, Cost, register
from perfmodel.tracing.operators.products import flops_of
from perfmodel.vocabulary import families as f

#: What is assumed of a recurrent layer.
STEPS_AS_ONE = (
    "the steps of a recurrent layer are one kernel, launched once, whose threads meet after each "
    "step; its weights are taken to stay in cache from step to step"
)


def _recurrent(name: str, gates: int, ops: int) -> None:
    """Register a recurrent operator: ``ops`` operations on each gate of each step."""

    @register(name)
    def recurrent(call: Call) -> Cost:
        """One product of [input, state] with all weights of a layer, step after step.

        What runs one after the other (steps, layers, directions) is the outermost loop, k the mean
        over layers. The weights are charged once: they are taken to stay in cache from one step to
        the next.
        """
        *steps_and_batch, _ = call.shape("input")
        matrices = [tuple(p.shape) for p in call.arguments["params"] if len(p.shape) == 2]
        weights = sum(prod(shape) for shape in matrices)
        width = matrices[0][0]  # all gates of one layer
        steps = steps_and_batch[1 if call.get("batch_first") and len(steps_and_batch) > 1 else 0]
        rows = prod(steps_and_batch) // steps
        layers = call.get("num_layers") * (2 if call.get("bidirectional") else 1)
        return Cost(
            f.LINEAR,
            flops=2 * steps * rows * weights,
            vector_ops=ops * steps * rows * layers * width // gates,
            # Not exact for an LSTM with projections, whose last matrix is narrower than the gates.
            gemm=(steps * layers, rows, width, -(-weights // (width * layers))),
            note=STEPS_AS_ONE,
        )


# For each element of the state: sums of both products and their biases (3 for each gate), gate
# functions (sigmoid 4, tanh 1), and the update of cell and state.
_recurrent("aten.lstm", gates=4, ops=4 * 3 + 3 * 4 + 2 * 1 + 4)
_recurrent("aten.gru", gates=3, ops=3 * 3 + 2 * 4 + 1 + 4)
_recurrent("aten.rnn_tanh", gates=1, ops=3 + 1)
_recurrent("aten.rnn_relu", gates=1, ops=3 + 1)


@register("aten.lstm_cell", "aten.gru_cell", "aten.rnn_tanh_cell", "aten.rnn_relu_cell")
def recurrent_cell(call: Call) -> Cost:
    """One step of a recurrent layer: one product of [input, state] with both weights."""
    rows, _ = call.shape("input")
    width, from_input = call.shape("w_ih")
    from_state = call.shape("w_hh")[1]
    gemm = (1, rows, width, from_input + from_state)
    # The gates of all cells cost about the same: the sums, a function, and an update.
    return Cost(f.LINEAR, flops=flops_of(gemm), vector_ops=8 * rows * width, gemm=gemm)
