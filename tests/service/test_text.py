"""Sentences to vectors."""

import asyncio

import numpy
import pytest

from service.contract import ServiceError
from service.text import Embedder
from service.text.minilm import load


@pytest.fixture(scope="module")
def model():
    found = load()
    if found is None:
        pytest.skip("the extra [text] is not installed")
    return found


def test_near_sentences_are_near_and_others_are_not(model):
    goal, near, far = model.embed(
        [
            "Argentina score a goal in the last minute",
            "Messi finds the net at the end of the match",
            "Inflation rises to three percent",
        ]
    )
    assert abs(goal @ near - 0.52) < 0.01
    assert abs(goal @ far + 0.01) < 0.01


def test_a_sentence_has_the_same_vector_in_any_company(model):
    text = "Rain stops the play"
    (alone,) = model.embed([text])
    together = model.embed([text, "A much longer sentence that pads the first " * 5])
    assert numpy.abs(alone - together[0]).max() < 1e-5
    assert abs(numpy.linalg.norm(alone) - 1) < 1e-5


@pytest.mark.asyncio
async def test_the_embedder_batches_and_remembers(model):
    embedder = Embedder(model)
    texts = [f"sentence {n % 7}" for n in range(40)]
    vectors = await embedder.embed(texts)
    again = await asyncio.gather(*(embedder.embed([t]) for t in texts))
    assert all(numpy.array_equal(v, a[0]) for v, a in zip(vectors, again, strict=True))


@pytest.mark.asyncio
async def test_without_the_model_text_is_refused():
    with pytest.raises(ServiceError) as refused:
        await Embedder(None).embed(["a"])
    assert refused.value.code == "text_unavailable"
