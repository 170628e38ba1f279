"""When a graph is built, used and given up, by made-up seconds."""

import pytest

from service.stream.choice import ADD_SECONDS, EXPANSIONS, TAIL_SECONDS, Choice


def searches(choice, rows, many, seconds=0.002, writes=0):
    """How many searches of the kernel it takes until a graph is due, None: never."""
    missing = rows
    for n in range(many):
        choice.scanned(rows, seconds)
        missing += writes
        if choice.due(rows, missing):
            return n + 1
    return None


def test_a_graph_is_built_once_searches_have_cost_as_much():
    choice = Choice(least=100_000)
    choice.added(1, ADD_SECONDS)
    # Half of the 2 ms of each search would be saved at twice the crossover.
    wanted = 200_000 * ADD_SECONDS / 0.001
    assert searches(choice, 200_000, 10**6) == pytest.approx(wanted, rel=0.01)


def test_no_graph_below_the_crossover_nor_where_writes_outrun_searches():
    assert searches(Choice(least=100_000), 99_999, 300_000) is None
    assert searches(Choice(least=100_000), 100_000, 300_000) is None
    busy = int(0.001 / ADD_SECONDS) + 1
    assert searches(Choice(least=100_000), 200_000, 300_000, writes=busy) is None
    assert searches(Choice(least=100_000), 200_000, 10**6, writes=1) is not None


def test_a_graph_that_loses_its_trial_must_be_owed_twice_as_much():
    choice = Choice(least=100_000)
    first = searches(choice, 200_000, 10**6)
    assert not choice.tried(200_000, scan=0.002, walk=0.0021, recall=1.0)
    second = searches(choice, 200_000, 10**6)
    assert second == pytest.approx(2 * first, rel=0.01)
    assert not choice.tried(200_000, scan=0.002, walk=0.001, recall=0.99)
    assert choice.tried(200_000, scan=0.002, walk=0.001, recall=1.0)


def test_a_graph_in_use_is_left_when_it_is_dearer_and_not_for_one_slow_search():
    choice = Choice(least=100_000)
    assert choice.tried(200_000, scan=0.002, walk=0.001, recall=1.0)
    choice.walked(0, 0.1)
    assert choice.walks(200_000, 0) and choice.keeps(200_000, 200_000)
    assert not choice.walks(200_000, 100_000)
    for _ in range(200):
        choice.walked(0, 0.004)
    assert not choice.walks(200_000, 0) and not choice.keeps(200_000, 200_000)


def test_the_tail_is_added_once_scoring_it_has_cost_as_much():
    choice = Choice(least=100_000)
    assert choice.tried(200_000, scan=0.002, walk=0.001, recall=1.0)
    asked = 0
    while not choice.due(200_000, 1000):
        choice.walked(1000, 0.0011)
        asked += 1
    assert asked == pytest.approx(ADD_SECONDS / TAIL_SECONDS, rel=0.01)
    choice.caught_up()
    assert not choice.due(200_000, 1000)


def test_recall_that_falls_widens_the_search_and_gives_the_graph_up_at_last():
    choice = Choice(least=1)
    choice.expansion = EXPANSIONS[-2]
    for _ in range(50):
        assert choice.compared(10, 10)
    assert choice.expansion == EXPANSIONS[-2]
    while choice.expansion == EXPANSIONS[-2]:
        assert choice.compared(8, 10)
    assert choice.expansion == EXPANSIONS[-1]
    assert not all(choice.compared(8, 10) for _ in range(50))
