"""Hypothesis strategies for whole workloads.

A generated workload is a small network in the shape a tracer would give it: every kernel reads
values that exist by then, matrix-product FLOPs are those of their loops, weights may be shared,
index tensors stay integers. It shrinks towards one kernel on tensors of a few elements.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from perfmodel.vocabulary import families as f
from perfmodel.workload.workload import (
    INPUT,
    KINDS,
    OUTPUT,
    WEIGHT,
    Accesses,
    InputSpec,
    Kernels,
    Tensors,
    Workload,
)

#: Widths and row counts: small ones, those models use, and neighbours that fit no tile.
SIZES = st.one_of(
    st.integers(1, 80), st.sampled_from([128, 196, 197, 256, 257, 768, 1024, 3136, 4096])
)
NAMES = st.text(
    alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12
)


#: Phase and lengths of a workload, as they go together.
PHASES = st.sampled_from(
    [
        {},
        {"phase": "prefill", "tokens": 7},
        {"phase": "decode", "tokens": 1, "context": 9},
    ]
)


@dataclass(frozen=True)
class _Value:
    """A floating activation of ``rows`` (tokens or pixels, over the batch) by ``width``."""

    tensor: int
    rows: int
    width: int

    @property
    def elements(self) -> int:
        return self.rows * self.width


@dataclass
class _Network:
    draw: st.DrawFn
    batch: int
    tensors: list[tuple[str, str, int, int, bool]] = field(default_factory=list)
    kernels: list[tuple[str, str, str, int, int, tuple[int, int, int, int]]] = field(
        default_factory=list
    )
    accesses: list[tuple[int, int, int, int]] = field(default_factory=list)
    inputs: list[InputSpec] = field(default_factory=list)
    values: list[_Value] = field(default_factory=list)
    tables: dict[tuple[int, int], int] = field(default_factory=dict)
    unmodelled: set[str] = field(default_factory=set)

    def tensor(self, kind: str, elements: int, itemsize: int = 4, floating: bool = True) -> int:
        self.tensors.append((f"{kind}_{len(self.tensors)}", kind, elements, itemsize, floating))
        return len(self.tensors) - 1

    def weight(self, rows: int, columns: int) -> int:
        """A new weight of this shape, or one there already (shared, as tied embeddings are)."""
        if (rows, columns) not in self.tables or not self.draw(st.booleans(), label="shared"):
            self.tables[rows, columns] = self.tensor("weight", rows * columns)
        return self.tables[rows, columns]

    def pick(self) -> _Value:
        return self.draw(st.sampled_from(self.values[::-1]), label="operand")

    def kernel(
        self,
        operator: str,
        family: str,
        reads: list[_Value],
        shape: tuple[int, int],
        *,
        weights: dict[int, int] | None = None,
        indices: tuple[int, int] | None = None,
        products: int = 1,
        gemm: tuple[int, int, int, int] = (0, 0, 0, 0),
        ops_per_element: int = 0,
        in_place: bool = False,
        state: dict[int, int] | None = None,
        into: int | None = None,
    ) -> None:
        """Add a kernel: ``weights``, ``indices`` and ``state`` give tensor and elements touched.

        With ``into`` it writes its result to some rows of that tensor.
        """
        index = len(self.kernels)
        rows, width = shape
        elements = rows * width
        if into is None:
            written = reads[0].tensor if in_place else self.tensor("activation", elements)
        else:
            written = into
        b, m, n, k = gemm
        self.kernels.append(
            (
                f"layers.{index}",
                operator,
                family,
                2 * b * m * n * k * products,
                ops_per_element * elements,
                gemm,
            )
        )
        for tensor, touched in (weights or {}).items():
            self.accesses.append((index, tensor, WEIGHT, touched))
        for value in dict.fromkeys(reads):
            self.accesses.append((index, value.tensor, INPUT, value.elements))
        if indices is not None:
            self.accesses.append((index, indices[0], INPUT, indices[1]))
        for tensor, touched in (state or {}).items():
            self.accesses.append((index, tensor, INPUT, touched))
        self.accesses.append((index, written, OUTPUT, elements))
        if not in_place and into is None:
            self.values.append(_Value(written, rows, width))

    def add(self, layer: str) -> None:
        x = self.pick()
        m, k = x.rows, x.width
        same = (m, k)
        if layer == "linear":
            n = self.draw(SIZES, label="n")
            w, bias = self.weight(n, k), self.weight(n, 1)
            touched = {w: n * k, bias: n}
            self.kernel("aten.linear", f.LINEAR, [x], (m, n), weights=touched, gemm=(1, m, n, k))
        elif layer == "conv":
            n = self.draw(SIZES, label="n")
            w = self.weight(n, 9 * k)
            self.kernel(
                "aten.conv2d",
                f.CONV,
                [x],
                (m, n),
                weights={w: 9 * n * k},
                gemm=(1, m, n, 9 * k),
            )
        elif layer == "pointwise_conv":
            n = self.draw(SIZES, label="n")
            w = self.weight(n, k)
            self.kernel(
                "aten.conv2d",
                f.POINTWISE_CONV,
                [x],
                (m, n),
                weights={w: n * k},
                gemm=(1, m, n, k),
            )
        elif layer == "depthwise_conv":
            w = self.weight(k, 49)
            self.kernel(
                "aten.conv2d",
                f.DEPTHWISE_CONV,
                [x],
                same,
                weights={w: 49 * k},
                gemm=(k, m, 1, 49),
            )
        elif layer == "matmul":
            self.kernel("aten.matmul", f.MATMUL, [x], (m, m), gemm=(1, m, m, k))
        elif layer == "attention":
            heads = self.draw(st.sampled_from([h for h in (1, 2, 12, 16) if k % h == 0]))
            self.kernel(
                "aten.scaled_dot_product_attention",
                f.ATTENTION,
                [x, *(v for v in self.values if (v.rows, v.width) == same)][:4],
                same,
                products=2,
                gemm=(heads, m, m, k // heads),
                ops_per_element=5,
            )
        elif layer == "cached_attention":
            heads = self.draw(st.sampled_from([h for h in (1, 2, 12, 16) if k % h == 0]))
            length = m + self.draw(SIZES, label="context")
            cache = {self.tensor("state", length * k): length * k for _ in ("keys", "values")}
            for tensor in cache:
                self.kernel("aten.copy", f.DATA_MOVEMENT, [x], same, into=tensor)
            self.kernel(
                "aten.scaled_dot_product_attention",
                f.ATTENTION,
                [x],
                same,
                products=2,
                gemm=(heads, m, length, k // heads),
                ops_per_element=5,
                state=cache,
            )
        elif layer == "norm":
            operator = self.draw(st.sampled_from(["aten.layer_norm", "aten.batch_norm"]))
            w = self.weight(k, 2)
            self.kernel(operator, f.NORM, [x], same, weights={w: 2 * k}, ops_per_element=5)
        elif layer == "activation":
            in_place = self.draw(st.booleans(), label="in place")
            self.kernel(
                "aten.relu_" if in_place else "aten.relu",
                f.ACTIVATION,
                [x],
                same,
                ops_per_element=1,
                in_place=in_place,
            )
        elif layer == "add":
            other = self.draw(st.sampled_from([v for v in self.values if v.elements == x.elements]))
            self.kernel("aten.add", f.ELEMENTWISE, [x, other], same, ops_per_element=1)
        elif layer == "embedding":
            width, vocabulary = self.draw(SIZES, label="width"), self.draw(SIZES, label="words")
            tokens = self.batch * self.draw(SIZES, label="tokens")
            index = self.tensor("input", tokens, itemsize=8, floating=False)
            self.inputs.append(
                InputSpec(f"ids_{index}", (self.batch, tokens // self.batch), "int64")
            )
            w = self.weight(vocabulary, width)
            self.kernel(
                "aten.embedding",
                f.EMBEDDING,
                [],
                (tokens, width),
                weights={w: tokens * width},
                indices=(index, tokens),
            )
        elif layer == "unmodelled":
            self.unmodelled.add("custom.op")
            self.kernel("custom.op", f.UNMODELLED, [x], same)
        else:
            operator, ops, shape = {
                f.SOFTMAX: ("aten.softmax", 5, same),
                f.POOLING: ("aten.max_pool2d", 4, (max(1, m // 4), k)),
                f.REDUCTION: ("aten.mean", 1, (m, 1)),
                f.RESAMPLE: ("aten.upsample_bilinear2d", 8, (4 * m, k)),
                f.DATA_MOVEMENT: ("aten.clone", 0, same),
            }[layer]
            self.kernel(operator, layer, [x], shape, ops_per_element=ops)

    def workload(self) -> Workload:
        def ints(values: list[int]) -> np.ndarray:
            return np.array(values, dtype=np.int64)

        names, kinds, elements, itemsizes, floating = zip(*self.tensors, strict=True)
        kernel_names, operators, families, flops, vector_ops, gemm = zip(*self.kernels, strict=True)
        kernel, tensor, role, touched = zip(*self.accesses, strict=True)
        return Workload(
            name=self.draw(NAMES, label="name"),
            batch=self.batch,
            parameters=sum(row[2] for row in self.tensors if row[1] == "weight"),
            inputs=tuple(self.inputs),
            tensors=Tensors(
                name=names,
                kind=ints([KINDS.index(kind) for kind in kinds]),
                elements=ints(elements),
                itemsize=ints(itemsizes),
                floating=np.array(floating, dtype=np.bool_),
            ),
            kernels=Kernels(
                name=kernel_names,
                operator=operators,
                family=ints([f.CODE[family] for family in families]),
                flops=ints(flops),
                vector_ops=ints(vector_ops),
                gemm=ints(gemm).reshape(-1, 4),
            ),
            accesses=Accesses(ints(kernel), ints(tensor), ints(role), ints(touched)),
            provenance=self.draw(st.dictionaries(NAMES, NAMES, max_size=2), label="provenance"),
            unmodelled=tuple(sorted(self.unmodelled)),
            **self.draw(PHASES, label="phase"),
        )


LAYERS = (
    "linear",
    "conv",
    "pointwise_conv",
    "depthwise_conv",
    "matmul",
    "attention",
    "cached_attention",
    "norm",
    "activation",
    "add",
    "embedding",
    f.SOFTMAX,
    f.POOLING,
    f.REDUCTION,
    f.RESAMPLE,
    f.DATA_MOVEMENT,
)


@st.composite
def workloads(
    draw: st.DrawFn, *, max_kernels: int = 12, allow_unmodelled: bool = False
) -> Workload:
    """A workload of 1 to ``max_kernels`` kernels."""
    network = _Network(draw, batch=draw(st.integers(1, 8), label="batch"))
    rows = network.batch * draw(SIZES, label="rows")
    width = draw(SIZES, label="width")
    network.values.append(_Value(network.tensor("input", rows * width), rows, width))
    network.inputs.append(InputSpec("x", (network.batch, rows // network.batch, width), "float32"))
    choices = (*LAYERS, "unmodelled") if allow_unmodelled else LAYERS
    for layer in draw(
        st.lists(st.sampled_from(choices), min_size=1, max_size=max_kernels), label="layers"
    ):
        network.add(layer)
    return network.workload()
