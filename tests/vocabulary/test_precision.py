"""What each precision means, against the table in the module's documentation."""

from __future__ import annotations

import numpy as np
import pytest

from perfmodel.errors import UnknownName
from perfmodel.vocabulary import families as f
from perfmodel.vocabulary import precision
from perfmodel.vocabulary.precision import PRECISIONS, get_precision
from tests.builder import Builder


@pytest.mark.parametrize("name", PRECISIONS)
def test_the_documented_table_is_what_the_code_does(name: str) -> None:
    row = next(line for line in (precision.__doc__ or "").splitlines() if line.startswith(name))
    linear, attention = row[11:33].split(",")[0].strip(), row[35:53].strip()
    found = get_precision(name).arithmetic
    assert {found[f.CODE[f.LINEAR]], found[f.CODE[f.CONV]]} == {linear}
    assert {found[f.CODE[f.MATMUL]], found[f.CODE[f.ATTENTION]]} == {attention}


@pytest.mark.parametrize("name", PRECISIONS)
def test_norms_softmax_and_elementwise_compute_in_fp32(name: str) -> None:
    arithmetic = get_precision(name).arithmetic
    others = [family for family in f.FAMILIES if family not in f.GEMM_FAMILIES]
    assert {arithmetic[f.CODE[family]] for family in others} == {"fp32"}


def test_attention_never_becomes_int8() -> None:
    int8 = get_precision("int8")
    assert int8.arithmetic[f.CODE[f.ATTENTION]] == "bf16"
    assert int8.input_bits[f.CODE[f.ATTENTION]] == 16


@pytest.mark.parametrize(
    ("name", "expected"),
    [("fp32", 4), ("bf16", 2), ("fp16", 2), ("int8", 1), ("w8", 1), ("w4", 4.5 / 8)],
)
def test_weight_bytes_of_a_linear_layer(name: str, expected: float) -> None:
    b = Builder()
    b.linear(b.input(8 * 320), 8, 640, 320)
    assert b.workload().weight_bytes(name) == 640 * 320 * expected


@pytest.mark.parametrize("role", ["weight", "input", "output"])
@pytest.mark.parametrize(
    ("narrow", "wide"), [("int8", "bf16"), ("bf16", "fp32"), ("w4", "w8"), ("w8", "bf16")]
)
def test_a_narrower_precision_stores_nothing_wider(role: str, narrow: str, wide: str) -> None:
    assert np.all(get_precision(narrow).bits(role) <= get_precision(wide).bits(role))


def test_an_unknown_precision_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'int8'"):
        get_precision("int9")
    with pytest.raises(UnknownName, match="did you mean 'w4'"):
        get_precision("int4")
