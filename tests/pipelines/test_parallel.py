"""Threads whose results stay in order."""

import concurrent.futures
import threading

import pytest

from pipelines import parallel


@pytest.fixture
def executor():
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        yield threads


def test_results_come_in_order_and_few_values_are_read_ahead(executor):
    read, first_may_end = [], threading.Event()

    def values():
        for n in range(20):
            read.append(n)
            yield n

    def square(n):
        assert n or first_may_end.wait(10)
        return n * n

    results = parallel.map_ordered(executor, square, values(), ahead=3)
    first_may_end.set()
    assert next(results) == 0 and len(read) == 4
    assert list(results) == [n * n for n in range(1, 20)]


def test_an_error_is_raised_in_its_turn(executor):
    results = parallel.map_ordered(executor, lambda n: 1 // n, [1, 0, 1], ahead=2)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
