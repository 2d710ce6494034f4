"""Closed forms of what text models are made of: FLOPs, parameters and cache of a layer.

Independent of the tracer: each is written from the equations of the papers, a multiply-accumulate
being 2 FLOPs. A model is a sequence of layers, and each is a mixer of tokens (attention, latent
attention, a state space) and a network (dense, or a mixture of experts).

Per token a linear layer of n inputs and m outputs takes 2 n m FLOPs. Attention of S queries to L
keys takes 2 S L h (d_qk + d_v); a causal mask is not discounted. Where a window is, the cache holds
no more rows than that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Mixer(Protocol):
    """What a layer does to bring tokens together."""

    @property
    def weights(self) -> int:
        """Elements of its matrices."""

    def cache(self, context: int) -> int:
        """Elements of its cache with so many tokens in it."""

    def prefill(self, tokens: int) -> int:
        """FLOPs of a whole prompt."""

    def decode(self, context: int) -> int:
        """FLOPs of one token that attends to so many, itself included."""


@dataclass(frozen=True)
class Attention:
    """Grouped-query attention; ``window`` rows are kept at most, if there is one."""

    hidden: int
    heads: int
    kv_heads: int
    dim: int
    window: int = 0

    @property
    def weights(self) -> int:
        """Of the projections."""
        return 2 * self.hidden * self.heads * self.dim + 2 * self.hidden * self.kv_heads * self.dim

    def rows(self, context: int) -> int:
        """Rows that the cache holds, the new one included."""
        return min(context, self.window) if self.window else context

    def cache(self, context: int) -> int:
        """Elements of keys and values."""
        return 2 * self.kv_heads * self.dim * self.rows(context)

    def scores(self, queries: int, keys: int) -> int:
        """FLOPs of scores and of their product with the values."""
        return 4 * queries * keys * self.heads * self.dim

    def prefill(self, tokens: int) -> int:
        """FLOPs of all tokens."""
        return 2 * tokens * self.weights + self.scores(tokens, tokens)

    def decode(self, context: int) -> int:
        """FLOPs of one token."""
        return 2 * self.weights + self.scores(1, self.rows(context))


@dataclass(frozen=True)
class Latent:
    """Multi-head latent attention (DeepSeek V2, arXiv:2405.04434), expanded from its cache."""

    hidden: int
    heads: int
    q_rank: int
    kv_rank: int
    nope: int
    rope: int
    value: int

    @property
    def queries(self) -> int:
        """Weights of the queries' projection, through a low rank if there is one."""
        width = self.heads * (self.nope + self.rope)
        return self.q_rank * (self.hidden + width) if self.q_rank else self.hidden * width

    @property
    def down(self) -> int:
        """Weights to the latent vector and the shared rotary key."""
        return self.hidden * (self.kv_rank + self.rope)

    @property
    def up(self) -> int:
        """Weights from the latent vector to keys and values of all heads."""
        return self.kv_rank * self.heads * (self.nope + self.value)

    @property
    def weights(self) -> int:
        """Of all projections."""
        return self.queries + self.down + self.up + self.heads * self.value * self.hidden

    def cache(self, context: int) -> int:
        """Elements: one latent vector and one rotary key for each token."""
        return (self.kv_rank + self.rope) * context

    def _scores(self, queries: int, keys: int) -> int:
        return 2 * queries * keys * self.heads * (self.nope + self.rope + self.value)

    def prefill(self, tokens: int) -> int:
        """FLOPs of all tokens."""
        return 2 * tokens * self.weights + self._scores(tokens, tokens)

    def decode(self, context: int) -> int:
        """FLOPs of one token; keys and values of all cached tokens are expanded."""
        return 2 * (self.weights + (context - 1) * self.up) + self._scores(1, context)


@dataclass(frozen=True)
class Mamba:
    """A selective state space (arXiv:2312.00752), stepped through its tokens."""

    hidden: int
    inner: int
    states: int
    rank: int
    kernel: int

    @property
    def _linear(self) -> int:
        outer = 3 * self.hidden * self.inner
        return outer + self.inner * (self.rank + 2 * self.states) + self.rank * self.inner

    @property
    def weights(self) -> int:
        """Of linear layers and the convolution, with what acts on the state."""
        conv = self.inner * (self.kernel + 1)
        return self._linear + conv + self.inner * (self.states + 2)

    def cache(self, context: int) -> int:
        """Elements: the last inputs of the convolution and the state, whatever the context."""
        del context
        return self.inner * (self.kernel + self.states)

    def prefill(self, tokens: int) -> int:
        """FLOPs of all tokens; the convolution also computes what hangs over the end."""
        conv = 2 * self.inner * self.kernel * (tokens + self.kernel - 1)
        return 2 * tokens * (self._linear + self.inner * self.states) + conv

    def decode(self, context: int) -> int:
        """FLOPs of one token; the convolution reads as many inputs before it as it has taps."""
        del context
        return 2 * (self._linear + self.inner * self.states + 2 * self.inner * self.kernel)


@dataclass(frozen=True)
class Mamba2:
    """A state space with heads (arXiv:2405.21060), in chunks of tokens."""

    hidden: int
    heads: int
    dim: int
    states: int
    groups: int
    kernel: int
    chunk: int

    @property
    def _inner(self) -> int:
        return self.heads * self.dim

    @property
    def _channels(self) -> int:
        """Of the convolution: inputs, and what goes into the state and comes out of it."""
        return self._inner + 2 * self.groups * self.states

    @property
    def _linear(self) -> int:
        return self.hidden * (2 * self._inner + self._channels + self.heads)

    @property
    def weights(self) -> int:
        """Of linear layers and convolution, with the gated norm and what acts on the state."""
        return self._linear + self._channels * (self.kernel + 1) + self._inner + 3 * self.heads

    def cache(self, context: int) -> int:
        """Elements: the last inputs of the convolution and the state, whatever the context."""
        del context
        return self._channels * self.kernel + self._inner * self.states

    def prefill(self, tokens: int) -> int:
        """FLOPs of all tokens: attention in each chunk, states from chunk to chunk."""
        chunks = -(-tokens // self.chunk)
        conv = 2 * self._channels * self.kernel * (tokens + self.kernel - 1)
        inside = chunks * self.chunk**2 * self.heads * (self.states + self.dim)
        states = 2 * chunks * self.chunk * self._inner * self.states
        between = (chunks + 1) ** 2 * self._inner * self.states
        return 2 * (tokens * self._linear + inside + states + between) + conv

    def decode(self, context: int) -> int:
        """FLOPs of one token; the convolution reads as many inputs before it as it has taps."""
        del context
        conv = 2 * self._channels * self.kernel
        return 2 * (self._linear + self._inner * self.states + conv)


@dataclass(frozen=True)
class TimeMix:
    """RWKV (arXiv:2305.13048): four matrices, and a recurrence of elementwise operations.

    The receptance of its network, a square matrix, is counted here.
    """

    hidden: int
    inner: int

    @property
    def weights(self) -> int:
        """Of the five matrices."""
        return 4 * self.hidden * self.inner + self.hidden**2

    def cache(self, context: int) -> int:
        """Elements: two inputs of the token before, and numerator, denominator and maximum."""
        del context
        return 2 * self.hidden + 3 * self.inner

    def prefill(self, tokens: int) -> int:
        """FLOPs of all tokens."""
        return 2 * tokens * self.weights

    def decode(self, context: int) -> int:
        """FLOPs of one token."""
        del context
        return 2 * self.weights


@dataclass(frozen=True)
class Network:
    """The feed-forward part of a layer: dense, or a mixture of ``experts`` with a shared one.

    ``own``: weights of one expert beside its matrices; ``beside``: of the gate of the shared one.
    """

    hidden: int
    width: int
    matrices: int = 3
    experts: int = 0
    chosen: int = 0
    shared: int = 0
    own: int = 0
    beside: int = 0

    @property
    def _fixed(self) -> int:
        """What every token runs: the router and the shared expert."""
        return self.hidden * (self.experts + self.matrices * self.shared) + self.beside

    @property
    def _one(self) -> int:
        return self.matrices * self.hidden * self.width

    def flops(self, tokens: int) -> int:
        """FLOPs of so many tokens: of the experts that they choose."""
        if not self.experts:
            return 2 * tokens * self._one
        return 2 * tokens * (self.chosen * self._one + self._fixed)

    def weights(self, tokens: int | None = None) -> int:
        """Elements, of the experts that run with so many tokens only."""
        if not self.experts:
            return self._one
        running = self.experts if tokens is None else min(self.experts, self.chosen * tokens)
        return running * (self._one + self.own) + self._fixed


@dataclass(frozen=True)
class TextModel:
    """Layers between an embedding and a head.

    ``others``: elements of norms and biases; ``tables``: of embeddings beside the one of words.
    """

    layers: tuple[tuple[Mixer, Network], ...]
    hidden: int
    vocabulary: int
    others: int
    tied: bool
    tables: int = 0

    @property
    def parameters(self) -> int:
        """All of them."""
        words = self.hidden * self.vocabulary * (1 if self.tied else 2)
        return words + self.tables + self._inside(None)

    def _inside(self, tokens: int | None) -> int:
        return self.others + sum(m.weights + n.weights(tokens) for m, n in self.layers)

    def read(self, tokens: int) -> int:
        """Elements that a run of so many tokens reads once, rows of embeddings left out."""
        return self._inside(tokens) + self.hidden * self.vocabulary

    @property
    def _head(self) -> int:
        return 2 * self.hidden * self.vocabulary

    def prefill(self, tokens: int) -> int:
        """FLOPs of a prompt, with the logits of its last token."""
        return self._head + sum(m.prefill(tokens) + n.flops(tokens) for m, n in self.layers)

    def decode(self, context: int) -> int:
        """FLOPs of one token that attends to so many, itself included."""
        return self._head + sum(m.decode(context) + n.flops(1) for m, n in self.layers)

    def cache(self, context: int) -> int:
        """Elements that outlive a step, of one sequence."""
        return sum(m.cache(context) for m, _ in self.layers)


@dataclass(frozen=True)
class EncoderDecoder:
    """Layers of attention and a network, in an encoder and, with attention to that, a decoder.

    ``source``: FLOPs of what is in front of the encoder's layers.
    """

    hidden: int
    heads: int
    dim: int
    network: Network
    encoder_layers: int
    decoder_layers: int
    vocabulary: int
    #: Elements of norms, biases and tables.
    others: int = 0
    source: int = 0

    @property
    def _attention(self) -> Attention:
        return Attention(self.hidden, self.heads, self.heads, self.dim)

    @property
    def parameters(self) -> int:
        """All of them, with one table for the words of both sides and the head."""
        a, n = self._attention.weights, self.network.weights()
        layers = self.encoder_layers * (a + n) + self.decoder_layers * (2 * a + n)
        return layers + self.hidden * self.vocabulary + self.others

    def prefill(self, source: int) -> int:
        """FLOPs of encoding, and of the first token; keys and values of what it attends to."""
        a = self._attention
        encoder = self.encoder_layers * (a.prefill(source) + self.network.flops(source))
        crossed = self.decoder_layers * 2 * source * a.weights // 2
        return self.source + encoder + crossed + self.decode(1, source)

    def decode(self, context: int, source: int) -> int:
        """FLOPs of one token, which attends to its predecessors and to what was encoded."""
        a = self._attention
        cross = a.weights + a.scores(1, source)  # queries and outputs, half of the matrices
        layer = a.decode(context) + cross + self.network.flops(1)
        return self.decoder_layers * layer + 2 * self.hidden * self.vocabulary

    def cache(self, context: int, source: int) -> int:
        """Elements of keys and values, of the text so far and of what was encoded."""
        return self.decoder_layers * self._attention.cache(context + source)
