"""Transformers of the user's own, from a configuration or a module: prefill and decode.

A model of ``transformers`` is run as ``generate`` runs it: logits of the last position, and a cache
of the sort that its configuration asks for (full, grouped, sliding, latent; states of linear
attention). What differs from the library is where a runtime differs, too: the rows of the new
tokens are written in place into a cache that has room for them, where the library's default copies
the whole cache for every token. Which caches there are, and how large, is asked of the model
itself, by a run on tensors without contents.

Nothing is ever downloaded: a configuration is a file that is there.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch

from perfmodel.errors import PerfmodelError
from perfmodel.models import caches
from perfmodel.models.decoding import cache_argument, import_transformers
from perfmodel.models.huggingface import DEFAULT_CONTEXT, DEFAULT_TOKENS
from perfmodel.tracing.forward import returned
from perfmodel.tracing.tracing import trace
from perfmodel.workload.workload import Workload

PHASES: Final = ("prefill", "decode")
_ALL_EXPERTS: Final = (
    "transformers multiplies every token by every expert of Llama 4, and so all of them are charged"
)
_STORED: Final = (
    "the format in which the weights are stored ({method}) is left out; the precision of an "
    "estimate says in what they run"
)
#: Tokens that a decoder starts from, where an encoder reads the prompt.
_START: Final = 1


def trace_generation(
    model: torch.nn.Module,
    *,
    phase: str = "prefill",
    tokens: int | None = None,
    context: int | None = None,
    batch: int = 1,
    name: str | None = None,
    allow_unmodelled: bool = False,
) -> Workload:
    """What one step of generating text asks for, with a KV cache in place.

    Args:
        model: of ``transformers``, with weights or without (``torch.device("meta")``).
        phase: "prefill", the whole prompt, or "decode", one token.
        tokens: of the prompt, in prefill; what the encoder reads, where there is one.
        context: rows of the cache in decode, the new token included.
        batch: sequences.
        name, allow_unmodelled: as for :func:`perfmodel.trace`.

    A multiply-accumulate counts as 2 FLOPs.

    Raises:
        PerfmodelError: a phase, length or model that does not fit.
        TraceError, UnmodelledOperator: as :func:`perfmodel.trace`.
    """
    name = type(model).__name__ if name is None else name
    config = getattr(model, "config", None)
    if not isinstance(model, torch.nn.Module) or not hasattr(config, "get_text_config"):
        raise PerfmodelError(
            f"{name}: no model of transformers; trace it with perfmodel.trace and inputs of its own"
        )
    if phase not in PHASES:
        raise PerfmodelError(f"{name}: phase must be prefill or decode, not {phase!r}")
    if phase == "decode" and tokens not in (None, 1):
        raise PerfmodelError(f"{name}: decode runs one token; context= says how many came before")
    if phase == "prefill" and context is not None:
        raise PerfmodelError(f"{name}: context is the cache of a decode step; prefill has tokens")
    longest = _longest(config)
    length = context if phase == "decode" else tokens
    if length is None:
        length = min(longest, DEFAULT_CONTEXT if phase == "decode" else DEFAULT_TOKENS)
    for what, number in (("batch", batch), ("context" if phase == "decode" else "tokens", length)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise PerfmodelError(
                f"{name}: {what} must be a whole number of at least 1, not {number}"
            )
    if length > longest:
        raise PerfmodelError(
            f"{name}: it has {longest} positions, and {length} are asked for; choose fewer"
        )
    if getattr(model, "main_input_name", "input_ids") != "input_ids" and tokens is not None:
        raise PerfmodelError(
            f"{name}: it reads {model.main_input_name}, no tokens; leave tokens out"
        )
    inputs, cache = _step(model, name, phase, length, batch)
    state = (cache,) if cache in inputs and phase == "decode" else ()
    traced = trace(
        model,
        (),
        kwargs=inputs,
        name=name,
        batch=batch,
        allow_unmodelled=allow_unmodelled,
        state=state,
    )
    return replace(
        traced,
        provenance={**traced.provenance, **_assumptions(model, traced)},
        phase=phase,
        tokens=1 if phase == "decode" or "input_ids" not in inputs else length,
        context=length if phase == "decode" else 0,
    )


def _assumptions(model: torch.nn.Module, traced: Workload) -> dict[str, str]:
    """What was assumed, with what is to be said of this model beside."""
    notes = [traced.provenance.get("assumptions", "")]
    if any(type(part).__name__ == "Llama4TextExperts" for part in model.modules()):
        notes.append(_ALL_EXPERTS)
    stored = getattr(model.config, "quantization_config", None)
    if stored:
        method = stored.get("quant_method") if isinstance(stored, dict) else stored.quant_method
        notes.append(_STORED.format(method=getattr(method, "value", method)))
    text = "; ".join(note for note in notes if note)
    return {"assumptions": text} if text else {}


def from_config(path: Path) -> torch.nn.Module:
    """The model, without weights, that the configuration at ``path`` describes.

    ``path`` is a ``config.json``, or a folder that holds one.
    Raises :class:`~perfmodel.errors.PerfmodelError` for what is no such file, or no architecture
    that the installed transformers knows.
    """
    file = path / "config.json" if path.is_dir() else path
    try:
        document = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise PerfmodelError(f"{file}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise PerfmodelError(f"{file}: is no JSON ({error})") from error
    if not isinstance(document, dict) or "model_type" not in document:
        raise PerfmodelError(f"{file}: is no configuration of transformers: it has no model_type")
    transformers = import_transformers()
    kind = str(document["model_type"])
    named = (document.get("architectures") or [None])[0]
    if kind not in transformers.CONFIG_MAPPING:
        raise PerfmodelError(
            f"{file}: transformers {transformers.__version__} knows no model type {kind!r}"
            + (", and code of others is not run" if "auto_map" in document else "")
            + "; upgrade transformers, or trace a module with a factory"
        )
    built = getattr(transformers, str(named), None) if named else None
    if named and built is None:
        raise PerfmodelError(
            f"{file}: transformers {transformers.__version__} has no class {named}; upgrade "
            f"transformers, or leave out architectures for the usual class of {kind!r}"
        )
    try:
        config = transformers.CONFIG_MAPPING[kind].from_dict(document)
        with torch.device("meta"):
            if built is not None:
                module = built(config)
            elif config.__class__ in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
                module = transformers.AutoModelForCausalLM.from_config(config)
            else:
                module = transformers.AutoModel.from_config(config)
    # A configuration may be wrong in as many ways as there are models.
    except Exception as error:
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise PerfmodelError(
            f"{file}: transformers cannot build {named or kind}: {line}"
        ) from error
    result: torch.nn.Module = module.eval()
    return result


def workload(
    model: torch.nn.Module,
    name: str,
    batch: int,
    *,
    phase: str | None = None,
    tokens: int | None = None,
    context: int | None = None,
    allow_unmodelled: bool = False,
) -> Workload:
    """A model of transformers in a phase, or, if it does not generate, on inputs of its own size.

    Raises what :func:`trace_generation` raises.
    """
    if generates(model):
        return trace_generation(
            model,
            phase=phase or "prefill",
            tokens=tokens,
            context=context,
            batch=batch,
            name=name,
            allow_unmodelled=allow_unmodelled,
        )
    if phase is not None or context is not None:
        raise PerfmodelError(
            f"{name}: it does not generate text, so it has no phases; leave them out"
        )
    inputs = example_inputs(model, tokens, batch)
    return trace(
        model, (), kwargs=inputs, name=name, batch=batch, allow_unmodelled=allow_unmodelled
    )


def generates(model: torch.nn.Module) -> bool:
    """Whether a forward of ``model`` takes a cache, so that it has two phases."""
    return cache_argument(model) is not None


def example_inputs(model: torch.nn.Module, tokens: int | None, batch: int) -> dict[str, Any]:
    """Inputs, without contents, of a model that takes everything at once."""
    config = model.config
    main = getattr(model, "main_input_name", "input_ids")
    if main == "pixel_values":
        vision = getattr(config, "vision_config", config)
        size = getattr(vision, "image_size", 224)
        sides = tuple(size) if isinstance(size, list | tuple) else (size, size)
        channels = getattr(vision, "num_channels", 3)
        return {main: torch.empty(batch, channels, *sides, device="meta")}
    if main == "input_ids":
        length = tokens or min(_longest(config), DEFAULT_TOKENS)
        return {main: torch.empty(batch, length, dtype=torch.long, device="meta")}
    raise PerfmodelError(
        f"{type(model).__name__}: takes {main}, whose size its configuration does not say; trace "
        "it with a factory that returns the model and its inputs"
    )


def _longest(config: Any) -> int:
    text = config.get_text_config(decoder=True)
    for part in (text, config):
        for name in ("max_position_embeddings", "n_positions", "max_target_positions"):
            found = getattr(part, name, None)
            if isinstance(found, int) and found > 0:
                return found
    return 1 << 30


def _ids(batch: int, length: int) -> torch.Tensor:
    return torch.empty(batch, length, dtype=torch.long, device="meta")


def _step(
    model: torch.nn.Module, name: str, phase: str, length: int, batch: int
) -> tuple[dict[str, Any], str]:
    """Arguments of the forward of one step, and which of them is the cache."""
    cache = cache_argument(model)
    if cache is None:
        raise PerfmodelError(f"{name}: its forward takes no cache, so it does not generate text")
    parameters = inspect.signature(model.forward).parameters
    extra: dict[str, Any] = {"use_cache": True} if "use_cache" in parameters else {}
    if "logits_to_keep" in parameters:
        extra["logits_to_keep"] = 1
    if model.config.is_encoder_decoder:
        main = model.main_input_name
        source = _source(model, name, length if phase == "prefill" else None, batch)
        first = {main: source, "decoder_input_ids": _ids(batch, _START)}
    else:
        main = "input_ids"
        first = {"input_ids": _ids(batch, 1 if phase == "decode" else length)}
    past = caches.empty(model, cache)
    if phase == "prefill":
        return {**first, **extra, **({cache: caches.in_place(past, None)} if past else {})}, cache
    found, encoded = _discover(model, name, {**first, **extra}, cache, past)
    step: dict[str, Any] = {"input_ids": _ids(batch, 1)}
    if model.config.is_encoder_decoder:
        transformers = import_transformers()
        states = transformers.modeling_outputs.BaseModelOutput(last_hidden_state=encoded)
        step = {"encoder_outputs": states, "decoder_input_ids": _ids(batch, 1)}
    return {**step, **extra, cache: caches.in_place(found, length)}, cache


def _source(model: torch.nn.Module, name: str, tokens: int | None, batch: int) -> torch.Tensor:
    """What the encoder reads."""
    config = model.config
    if model.main_input_name == "input_ids":
        return _ids(batch, tokens or min(_longest(config), DEFAULT_TOKENS))
    if model.main_input_name == "input_features" and hasattr(config, "max_source_positions"):
        frames = 2 * config.max_source_positions
        return torch.empty(batch, config.num_mel_bins, frames, device="meta")
    raise PerfmodelError(
        f"{name}: takes {model.main_input_name}, whose size its configuration does not say; trace "
        "it with a factory that returns the model and its inputs"
    )


def _discover(
    model: torch.nn.Module, name: str, inputs: dict[str, Any], cache: str, past: Any
) -> tuple[Any, torch.Tensor | None]:
    """The cache after one token, on meta, and what the encoder returned, if there is one."""

    def keep(given: dict[str, Any], output: Any) -> tuple[Any, torch.Tensor | None]:
        found = given[cache] if past is not None else getattr(output, cache, None)
        encoded = getattr(output, "encoder_last_hidden_state", None)
        return caches.copied(found), None if encoded is None else caches.on_meta(encoded)

    given = {**inputs, **({cache: past} if past is not None else {})}
    return returned(name, model, given, keep)
