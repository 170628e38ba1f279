"""Sentences to vectors, where the extra `[text]` is installed."""

from service.text.embed import Embedder

__all__ = ["Embedder"]
