"""Transformers of Hugging Face, checked against closed forms and PyTorch's own FLOP counter.

Most run with two layers: every layer is like the next. Nothing here may use the network.
"""

from __future__ import annotations

import builtins
import socket
import subprocess
import sys
from functools import cache
from typing import Any

import pytest
from torch.utils.flop_counter import FlopCounterMode

from perfmodel import _installed
from perfmodel.errors import PerfmodelError, UnknownName
from perfmodel.models import zoo
from perfmodel.models.huggingface_models import SPECS, with_layers
from perfmodel.workload.workload import INPUT, OUTPUT, STATE, WEIGHT, Workload

#: Trainable parameters, as published or as the model's own files hold them.
PARAMETERS = {
    # BertModel without pooler, and a linear layer of 1024 to 2 for the question answering.
    "bert_large": 334_092_288 + 2 * 1024 + 2,
    # BertModel with pooler, and a linear layer of 768 to 2.
    "bert_base": 109_482_240 + 2 * 768 + 2,
    "vit_b_16_hf": 86_567_656,
    "gpt2_xl": 1_557_611_200,
    "llama_7b": 6_738_415_616,
    "llama_2_70b": 68_976_648_192,
    "llama_3_8b": 8_030_261_248,
    "llama_3_2_1b": 1_235_814_400,
    "llama_3_2_3b": 3_212_749_824,
    "gpt_neox_20b": 20_554_567_680,
    "falcon_7b": 6_921_720_704,
    "phi_4_14b": 14_659_507_200,
    "mixtral_8x7b": 46_702_792_704,
    "whisper_small": 241_734_912,
}

#: Hidden size, width of the MLP, query heads, KV heads, head size, vocabulary.
LLAMA = {
    "llama_7b": (4096, 11008, 32, 32, 128, 32000),
    "llama_2_70b": (8192, 28672, 64, 8, 128, 32000),
    "llama_3_8b": (4096, 14336, 32, 8, 128, 128256),
    "llama_3_2_1b": (2048, 8192, 32, 8, 64, 128256),
    "llama_3_2_3b": (3072, 8192, 24, 8, 128, 128256),
}

RUNS = [(spec.name, phase) for spec in SPECS for phase in spec.phases or (None,)]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("a model used the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@cache
def traced(name: str, layers: int = 2, **options: Any) -> Workload:
    spec = with_layers(name, layers)
    return zoo.trace_run(spec, spec.run(**options))


def state_bytes(workload: Workload, role: int) -> int:
    """Bytes of KV cache moved in ``role``, in BF16."""
    return int(workload.state_traffic(role, "bf16").sum())


def family_flops(workload: Workload, family: str) -> int:
    names = workload.family_names()
    return sum(
        flops
        for flops, name in zip(workload.kernels.flops.tolist(), names, strict=True)
        if name == family
    )


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_the_published_number(name: str) -> None:
    module, inputs = zoo.build(name)
    assert sum(parameter.numel() for parameter in module.parameters()) == PARAMETERS[name]
    assert not module.training
    assert {p.device.type for p in (*module.parameters(), *module.buffers())} == {"meta"}
    assert inputs[0].device.type == "meta"


def test_every_model_has_its_number() -> None:
    assert PARAMETERS.keys() == {spec.name for spec in SPECS}


@pytest.mark.parametrize(("name", "phase"), RUNS)
def test_flops_are_those_of_the_flop_counter(
    name: str, phase: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = with_layers(name, 1)
    run = spec.run(2, phase)
    module, inputs = zoo.build_run(spec, run)
    # Outside a trace transformers looks whether a mask hides anything, which on meta it cannot.
    monkeypatch.setattr(
        "transformers.masking_utils._ignore_bidirectional_mask_sdpa", lambda *_, **__: False
    )
    with FlopCounterMode(display=False) as counter:
        module(*inputs)
    workload = traced(name, 1, batch=2, phase=phase)
    assert workload.flops == counter.get_total_flops()
    assert workload.unmodelled == ()
    assert (workload.phase, workload.tokens, workload.context) == (
        run.phase,
        run.tokens if phase else 0,
        run.context,
    )


# -- decoders ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LLAMA)
def test_decode_of_a_llama_by_hand(name: str) -> None:
    hidden, width, heads, kv_heads, head_dim, vocabulary = LLAMA[name]
    layers, length, batch = 2, 100, 3
    matrices = layers * (
        2 * hidden * heads * head_dim + 2 * hidden * kv_heads * head_dim + 3 * hidden * width
    )
    linear = matrices + hidden * vocabulary
    step = traced(name, batch=batch, phase="decode", context=length)
    assert family_flops(step, "linear") == 2 * batch * linear
    assert family_flops(step, "attention") == batch * layers * 4 * length * heads * head_dim
    assert step.flops == family_flops(step, "linear") + family_flops(step, "attention")
    # Each matrix is read once for the whole batch, a cache for each sample, KV heads once.
    row = 2 * layers * kv_heads * head_dim * 2
    assert state_bytes(step, INPUT) == batch * row * length
    assert state_bytes(step, OUTPUT) == batch * row
    assert step.state_bytes("bf16") == batch * row * length
    tied = name.startswith("llama_3_2")  # then the rows looked up are rows of the head, read anyway
    norms, frequencies = (2 * layers + 1) * hidden, head_dim // 2
    looked_up = 0 if tied else batch * hidden
    assert step.weight_bytes("bf16") == 2 * (linear + norms + frequencies + looked_up)


#: Hidden size, matrices of a layer, query heads times head size, KV heads times head size, words.
OTHERS = {
    "gpt_neox_20b": (6144, (3 * 6144 + 6144 + 8 * 6144) * 6144, 6144, 6144, 50432),
    # One KV head: 71 heads of queries and 2 of 64 beside them.
    "falcon_7b": (4544, (4544 + 128 + 4544 + 8 * 4544) * 4544, 4544, 64, 65024),
    "phi_4_14b": (5120, (5120 + 2 * 1280 + 5120 + 3 * 17920) * 5120, 5120, 1280, 100352),
}


@pytest.mark.parametrize("name", OTHERS)
def test_decode_of_other_decoders_by_hand(name: str) -> None:
    hidden, matrices, query, key, vocabulary = OTHERS[name]
    layers, length, batch = 2, 100, 3
    linear = layers * matrices + hidden * vocabulary
    step = traced(name, batch=batch, phase="decode", context=length)
    assert family_flops(step, "linear") == 2 * batch * linear
    assert family_flops(step, "attention") == batch * layers * 4 * length * query
    assert step.flops == family_flops(step, "linear") + family_flops(step, "attention")
    assert state_bytes(step, INPUT) == batch * 2 * layers * key * 2 * length
    assert state_bytes(step, OUTPUT) == batch * 2 * layers * key * 2
    # All its matrices are quantised; the head of Falcon is its embedding, which stays wide.
    quantised = linear - (hidden * vocabulary if name == "falcon_7b" else 0)
    saved = step.weight_bytes("bf16") - step.weight_bytes("w4")
    assert saved == pytest.approx(quantised * (16 - 4.5) / 8, rel=1e-3)


@pytest.mark.parametrize("name", ["llama_7b", "llama_3_8b"])
def test_prefill_of_a_llama_by_hand(name: str) -> None:
    hidden, width, heads, kv_heads, head_dim, vocabulary = LLAMA[name]
    layers, tokens, batch = 2, 60, 2
    matrices = layers * (
        2 * hidden * heads * head_dim + 2 * hidden * kv_heads * head_dim + 3 * hidden * width
    )
    prompt = traced(name, batch=batch, phase="prefill", tokens=tokens)
    # The head computes logits of the last position only.
    assert family_flops(prompt, "linear") == 2 * batch * (matrices * tokens + hidden * vocabulary)
    assert family_flops(prompt, "attention") == batch * layers * 4 * tokens**2 * heads * head_dim
    assert state_bytes(prompt, OUTPUT) == batch * 2 * layers * kv_heads * head_dim * 2 * tokens
    assert state_bytes(prompt, INPUT) == 0


def test_gpt2_by_hand() -> None:
    hidden, layers, length = 1600, 2, 700
    step = traced("gpt2_xl", phase="decode", context=length)
    linear = layers * 12 * hidden**2 + hidden * 50257
    assert family_flops(step, "linear") == 2 * linear
    assert family_flops(step, "attention") == layers * 4 * length * hidden
    assert state_bytes(step, INPUT) == 2 * layers * hidden * 2 * length
    # Its transposed layers are quantised like any other: 4.5 bits for each weight in them.
    biases_norms_positions = layers * (9 * hidden + 4 * hidden) + 2 * hidden + hidden
    difference = step.weight_bytes("bf16") - step.weight_bytes("w4")
    # The head is the embedding, which is stored in BF16 where rows of it are looked up.
    quantised = layers * 12 * hidden**2 + layers * 9 * hidden
    assert difference == quantised * (16 - 4.5) / 8
    assert step.weight_bytes("bf16") == 2 * (linear + biases_norms_positions)


@pytest.mark.parametrize("name", ["gpt2_xl", "llama_3_8b", "whisper_small"])
def test_decode_is_linear_in_the_context(name: str) -> None:
    steps = [traced(name, 1, phase="decode", context=length) for length in (1, 101, 201)]
    for figure in (
        lambda w: w.flops,
        lambda w: state_bytes(w, INPUT),
        lambda w: w.state_bytes("bf16"),
        lambda w: w.vector_ops,
    ):
        first, second, third = map(figure, steps)
        assert second - first == third - second > 0
    assert len({state_bytes(w, OUTPUT) for w in steps}) == 1
    assert len({w.weight_bytes("w8") for w in steps}) == 1
    assert len({len(w) for w in steps}) == 1


def test_prefill_and_decode_agree() -> None:
    """A prompt of S tokens is S decode steps: but for the head, and the half that a mask hides."""
    name, tokens = "llama_3_8b", 3
    prompt = traced(name, 1, phase="prefill", tokens=tokens)
    steps = [traced(name, 1, phase="decode", context=n + 1) for n in range(tokens)]
    head = [
        f for n, f in zip(prompt.kernels.name, prompt.kernels.flops, strict=True) if "head" in n
    ]
    assert len(head) == 1
    assert sum(family_flops(s, "linear") for s in steps) == family_flops(prompt, "linear") + (
        tokens - 1
    ) * int(head[0])
    visible = sum(family_flops(s, "attention") for s in steps)
    assert visible * 2 * tokens == family_flops(prompt, "attention") * (tokens + 1)
    assert sum(state_bytes(s, OUTPUT) for s in steps) == state_bytes(prompt, OUTPUT)
    # One token in an empty cache is a prompt of one token, which reads its own key instead.
    alone = traced(name, 1, phase="prefill", tokens=1)
    assert alone.flops == steps[0].flops
    assert alone.weight_bytes("bf16") == steps[0].weight_bytes("bf16")


def test_the_cache_is_state_and_nothing_else_is() -> None:
    step = traced("llama_3_8b", phase="decode", context=100)
    kinds = step.tensors.kind.tolist()
    state = [n for n, kind in zip(step.tensors.name, kinds, strict=True) if kind == STATE]
    assert sorted(state) == ["cache_0_0", "cache_0_1", "cache_1_0", "cache_1_1"]
    assert [i.shape for i in step.inputs] == [(1, 1), *[(1, 8, 100, 128)] * 4]
    # Attention reads keys and values as they are stored: nothing copies or repeats them.
    readers = {
        step.kernels.operator[k]
        for k, t, r in zip(
            step.accesses.kernel, step.accesses.tensor, step.accesses.role, strict=True
        )
        if kinds[t] == STATE and r == INPUT
    }
    assert readers == {"aten.scaled_dot_product_attention"}


# -- mixture of experts --------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "experts"), [(1, 2), (3, 6), (5, 8)])
def test_experts_that_run_are_counted(batch: int, experts: int) -> None:
    hidden, width, layers, context = 4096, 14336, 1, 10
    step = traced("mixtral_8x7b", layers, batch=batch, phase="decode", context=context)
    expert = 3 * hidden * width
    dense = hidden * (4096 + 2 * 1024 + 4096) + 8 * hidden + 32000 * hidden
    assert family_flops(step, "linear") == 2 * batch * (dense + 2 * expert)
    experts_read = {
        name
        for name, row in zip(step.tensors.name, range(len(step.tensors.name)), strict=True)
        if ".experts." in name and row in step.accesses.tensor[step.accesses.role == WEIGHT]
    }
    assert len(experts_read) == 2 * experts
    small = 2 * (3 * hidden + 64 + batch * hidden)
    assert step.weight_bytes("bf16") == 2 * (dense + experts * expert) + small


def test_rows_are_spread_evenly_over_the_experts() -> None:
    prompt = traced("mixtral_8x7b", 1, phase="prefill", tokens=13)
    rows = [
        m
        for name, m in zip(prompt.kernels.name, prompt.kernels.gemm[:, 1].tolist(), strict=True)
        if ".experts.down" in name
    ]
    assert sum(rows) == 26
    assert max(rows) - min(rows) == 1
    assert "even" in zoo.spec("mixtral_8x7b").notes


# -- encoders and encoder-decoders ---------------------------------------------------------------


def test_bert_by_hand() -> None:
    hidden, layers, tokens, batch = 1024, 2, 384, 2
    workload = traced("bert_large", batch=batch)
    assert [(i.name, i.shape, i.dtype) for i in workload.inputs] == [
        ("input_ids", (batch, tokens), "int64"),
        ("attention_mask", (batch, tokens), "int64"),
    ]
    linear = 2 * batch * tokens * (layers * 12 * hidden**2 + 2 * hidden)
    assert family_flops(workload, "linear") == linear
    assert workload.flops == linear + batch * layers * 4 * tokens**2 * hidden
    # The mask is read by each attention, one byte for each pair of tokens.
    mask = [
        name
        for name, size, floating in zip(
            workload.tensors.name, workload.tensors.itemsize, workload.tensors.floating, strict=True
        )
        if size == 1 and not floating
    ]
    assert mask
    assert traced("bert_large", tokens=128).flops < workload.flops / batch


def test_vit_is_the_one_of_torchvision() -> None:
    spec = zoo.spec("vit_b_16_hf")
    ours = zoo.trace_run(spec, spec.run())
    other = zoo.spec("vit_b_16")
    theirs = zoo.trace_run(other, other.run())
    assert ours.flops == theirs.flops
    assert ours.parameters == theirs.parameters
    for family in ("conv", "linear", "attention"):
        assert family_flops(ours, family) == family_flops(theirs, family)
    # Every parameter is read, by either; the position table of one is a parameter of the other.
    assert ours.weight_bytes("fp32") == theirs.weight_bytes("fp32") == 4 * ours.parameters


def test_whisper_by_hand() -> None:
    hidden, layers, frames, length = 768, 2, 1500, 100
    step = traced("whisper_small", phase="decode", context=length)
    # Cross-attention projects queries and results only: its keys and values are cached.
    linear = layers * (4 + 2 + 8) * hidden**2 + hidden * 51865
    assert family_flops(step, "linear") == 2 * linear
    assert family_flops(step, "attention") == layers * 4 * (length + frames) * hidden
    assert state_bytes(step, INPUT) == 2 * layers * hidden * 2 * (length + frames)
    assert state_bytes(step, OUTPUT) == 2 * layers * hidden * 2

    prompt = traced("whisper_small", phase="prefill", tokens=3)
    assert state_bytes(prompt, OUTPUT) == 2 * layers * hidden * 2 * (3 + frames)
    attention = frames**2 + 3**2 + 3 * frames
    assert family_flops(prompt, "attention") == layers * 4 * attention * hidden
    convolutions = 2 * 3 * (2 * frames * 80 * hidden + frames * hidden**2)
    assert family_flops(prompt, "conv") == convolutions


# -- the registry --------------------------------------------------------------------------------


def test_naming_the_models_imports_no_library() -> None:
    code = (
        "import sys, perfmodel\n"
        "assert 'llama_7b' in perfmodel.model_names()\n"
        "from perfmodel.models import zoo\n"
        "assert zoo.spec('llama_7b').describe_inputs() == 'input_ids 1x512 int64'\n"
        "assert not {'torch', 'torchvision', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_each_phase_and_length_has_its_own_key() -> None:
    spec = zoo.spec("llama_7b")
    runs = [
        spec.run(),
        spec.run(tokens=100),
        spec.run(batch=2),
        spec.run(phase="decode"),
        spec.run(phase="decode", context=100),
        spec.run(phase="decode", batch=2),
    ]
    keys = [zoo.cache_key(spec, run) for run in runs]
    assert all(keys.count(key) == 1 for key in keys)
    assert zoo.cache_key(spec) == zoo.cache_key(spec, spec.run(phase="prefill", tokens=512))


def test_a_phase_survives_the_cache(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERFMODEL_CACHE_DIR", str(tmp_path))
    monkeypatch.setitem(zoo._SPECS, "gpt2_xl", with_layers("gpt2_xl", 1))
    first = zoo.workload("gpt2_xl", phase="decode", context=33)
    monkeypatch.setattr(zoo, "trace_run", None)
    again = zoo.workload("gpt2_xl", phase="decode", context=33)
    assert again == first
    assert (again.phase, again.tokens, again.context) == ("decode", 1, 33)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet50", {"phase": "decode"}, "resnet50 has no decode phase"),
        ("bert_large", {"phase": "prefill"}, "bert_large has no prefill phase"),
        ("resnet50", {"tokens": 4}, "resnet50 takes no tokens"),
        ("vit_b_16_hf", {"tokens": 4}, "vit_b_16_hf takes no tokens"),
        ("llama_7b", {"context": 4}, r"context is the length of the KV cache.*--phase decode"),
        ("resnet50", {"context": 4}, "context is the length of the KV cache"),
        ("llama_7b", {"phase": "decode", "tokens": 4}, "decode processes one token"),
        ("gpt2_xl", {"tokens": 1025}, "positions for 1024 tokens, fewer than tokens 1025"),
        ("gpt2_xl", {"phase": "decode", "context": 1025}, "fewer than context 1025"),
        ("llama_7b", {"tokens": 0}, "tokens must be a whole number of at least 1, not 0"),
        ("llama_7b", {"phase": "decode", "context": 1.5}, "context must be a whole number"),
    ],
)
def test_what_a_model_does_not_do_is_said(name: str, options: dict[str, Any], message: str) -> None:
    for function in (zoo.build, zoo.workload):
        with pytest.raises(PerfmodelError, match=message):
            function(name, **options)


def test_an_unknown_phase_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown phase 'decoding': did you mean 'decode'"):
        zoo.workload("llama_7b", phase="decoding")


def test_transformers_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = _installed.version

    def version(name: str) -> str:
        if name == "transformers":
            raise ModuleNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(_installed, "version", version)
    message = r"needs transformers, .*pip install 'perfmodel\[transformers\]'"
    with pytest.raises(PerfmodelError, match=message):
        zoo.workload("llama_7b")

    imported = builtins.__import__

    def absent(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "transformers":
            raise ModuleNotFoundError("No module named 'transformers'", name="transformers")
        return imported(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(PerfmodelError, match=message):
        zoo.build("llama_7b")
