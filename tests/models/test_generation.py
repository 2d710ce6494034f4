"""Transformers by configuration: FLOPs of prefill and decode against closed forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from perfmodel.cli import application
from perfmodel.errors import PerfmodelError
from perfmodel.models import generation
from perfmodel.models.decoding import import_transformers
from perfmodel.models.generation import trace_generation
from perfmodel.resolve import resolve_model
from perfmodel.workload.workload import KINDS, Workload

transformers = import_transformers()

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
    "max_position_embeddings": 128,
}
LAYERS, HIDDEN, HEAD = 2, 64, 100 * 64
#: Queries and output, keys and values of half the heads, three matrices of the gated network.
GATED = LAYERS * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 96)


def built(kind: str, **changed: Any) -> torch.nn.Module:
    config = transformers.CONFIG_MAPPING[kind](**{**SIZES, **changed})
    with torch.device("meta"):
        module: torch.nn.Module = transformers.AutoModelForCausalLM.from_config(config).eval()
    return module


def state(workload: Workload) -> int:
    """Elements of what outlives the run."""
    kinds = workload.tensors.kind == KINDS.index("state")
    return int(np.sum(workload.tensors.elements[kinds]))


def test_a_run_says_what_it_is() -> None:
    prefill = trace_generation(built("llama"), tokens=24, batch=3)
    assert (prefill.phase, prefill.tokens, prefill.context) == ("prefill", 24, 0)
    decode = trace_generation(built("llama"), phase="decode", context=40, batch=3)
    assert (decode.phase, decode.tokens, decode.context) == ("decode", 1, 40)
    assert (prefill.batch, decode.batch) == (3, 3)


def test_a_decode_step_copies_no_cache() -> None:
    """The rows of the new token are written, and the cache is read once, not copied."""
    decode = trace_generation(built("llama"), phase="decode", context=100)
    assert "aten.cat" not in {
        operator
        for operator, elements in zip(
            decode.kernels.operator,
            np.bincount(decode.accesses.kernel, decode.accesses.elements, len(decode)),
            strict=True,
        )
        if elements > 100 * 32
    }
    assert "aten.repeat_interleave" not in decode.kernels.operator


def test_a_sliding_window_holds_the_last_rows() -> None:
    module = built("mistral", sliding_window=16)
    decode = trace_generation(module, phase="decode", context=100)
    assert decode.flops == 2 * (GATED + HEAD) + LAYERS * 4 * 16 * HIDDEN
    assert state(decode) == LAYERS * 2 * 32 * 16


def test_an_encoder_runs_in_prefill_alone() -> None:
    d, f, heads, kv, vocabulary = 64, 128, 4, 16, 100
    config = transformers.T5Config(
        d_model=d, d_ff=f, num_layers=2, num_heads=heads, d_kv=kv, vocab_size=vocabulary
    )
    with torch.device("meta"):
        module = transformers.T5ForConditionalGeneration(config).eval()
    decode = trace_generation(module, phase="decode", context=20)
    layer = 4 * d * d + 2 * d * d + 2 * d * f
    attention = 2 * 4 * d * (20 + 512)
    assert decode.flops == 2 * (2 * layer + d * vocabulary) + attention
    source = 32
    prefill = trace_generation(module, tokens=source)
    encoder = 2 * (2 * (4 * d * d + 2 * d * f) * source + 4 * source * source * d)
    cross = 2 * (2 * 2 * d * d * source)
    decoder = 2 * (2 * (6 * d * d + 2 * d * f) + 4 * d * (1 + source)) + 2 * d * vocabulary
    assert prefill.flops == encoder + cross + decoder


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"phase": "train"}, "phase must be prefill or decode"),
        ({"phase": "decode", "tokens": 3}, "decode runs one token"),
        ({"context": 3}, "prefill has tokens"),
        ({"tokens": 0}, "tokens must be a whole number of at least 1"),
        ({"batch": True}, "batch must be a whole number"),
        ({"phase": "decode", "context": 129}, "it has 128 positions, and 129 are asked for"),
    ],
)
def test_a_run_that_does_not_fit_is_one_line(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(PerfmodelError, match=reason):
        trace_generation(built("llama"), **options)


def test_a_format_of_stored_weights_is_said_to_be_left_out(tmp_path: Path) -> None:
    document = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], **SIZES}
    stored = {"quantization_config": {"quant_method": "mxfp4"}}
    file = written(tmp_path / "stored", {**document, **stored})
    found = resolve_model(str(file), phase="decode", context=40).workload(1)
    assert "(mxfp4) is left out" in found.provenance["assumptions"]
    assert found.flops == 2 * (GATED + HEAD) + LAYERS * 4 * 40 * HIDDEN


def test_all_experts_of_llama_4_are_said_to_run() -> None:
    module = built("llama4_text", num_local_experts=4, intermediate_size_mlp=80, head_dim=16)
    assert "every expert" in trace_generation(module, tokens=8).provenance["assumptions"]


def test_only_models_of_transformers_generate() -> None:
    with pytest.raises(PerfmodelError, match=r"^ReLU: no model of transformers"):
        trace_generation(torch.nn.ReLU())


# By file


def written(folder: Path, document: Any) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / "config.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document), "utf-8")
    return file


def test_a_configuration_and_its_folder_are_models(tmp_path: Path) -> None:
    document = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], **SIZES}
    file = written(tmp_path / "small", document)
    expected = 2 * (GATED + HEAD) + LAYERS * 4 * 40 * HIDDEN
    for named in (file, file.parent):
        source = resolve_model(str(named), phase="decode", context=40)
        assert source.name == "small"
        assert source.workload(2).flops == 2 * expected
    printed = CliRunner().invoke(
        application(),
        ["compare", str(file), "--method", "roofline", "--cpu", "epyc_9654", "--tokens", "8"],
    )
    assert printed.exit_code == 0, printed.output
    assert "small" in printed.stdout


def test_models_that_do_not_generate_have_inputs_of_their_size(tmp_path: Path) -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {**sizes, "intermediate_size": 64, "image_size": 32, "patch_size": 16}
    file = written(
        tmp_path / "eye",
        {"model_type": "vit", "architectures": ["ViTModel"], **vision},
    )
    assert resolve_model(str(file)).workload(2).inputs[0].shape == (2, 3, 32, 32)
    with pytest.raises(PerfmodelError, match="it does not generate text"):
        resolve_model(str(file), phase="decode").workload(1)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("{", "is no JSON"),
        ({"batch": 1}, "it has no model_type"),
        ({"model_type": "no_such"}, "knows no model type 'no_such'"),
        (
            {"model_type": "llama", "hidden_size": "wide"},
            "transformers cannot build",
        ),
    ],
)
def test_a_wrong_configuration_is_one_line(tmp_path: Path, document: Any, reason: str) -> None:
    file = written(tmp_path / "wrong", document)
    result = CliRunner().invoke(application(), ["compare", str(file)])
    assert result.exit_code == 2
    assert reason in result.output.replace("\n", " ")
    with pytest.raises(PerfmodelError, match=reason) as caught:
        generation.from_config(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("meta-llama/Llama-3.1-8B", "nothing is downloaded"),
        ("model.onnx", "is an ONNX graph"),
        ("model.pt", "a file of torch.save"),
        ("model.safetensors", "holds weights"),
        ("model.gguf", "a file of llama.cpp"),
    ],
)
def test_what_is_no_model_is_named_as_what_it_is(text: str, reason: str) -> None:
    with pytest.raises(PerfmodelError, match=reason):
        resolve_model(text)


def test_a_factory_may_return_the_model_alone(tmp_path: Path) -> None:
    (tmp_path / "nets_alone.py").write_text(
        "import torch\n"
        "from transformers import AutoModelForCausalLM, LlamaConfig\n"
        "def small():\n"
        f"    config = LlamaConfig(**{SIZES})\n"
        "    with torch.device('meta'):\n"
        "        return AutoModelForCausalLM.from_config(config)\n"
    )
    source = resolve_model(f"{tmp_path}/nets_alone.py:small", phase="decode", context=40)
    assert source.workload(1).flops == 2 * (GATED + HEAD) + LAYERS * 4 * 40 * HIDDEN
