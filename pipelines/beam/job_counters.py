"""Counters of a job, which are Beam metrics: workers increment them, the launcher shows their totals as progress.

A runner that reports metrics while it runs (Dataflow, for one) is polled. Beam's local runner returns metrics only at
the end, but its workers respond to progress requests with the metrics of the running bundle; :class:`LocalRunner` reads
these responses.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import logging
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the Google clients warn of Python versions that they will not support
    logging.disable(logging.WARNING)
    from apache_beam.metrics import Metrics, MetricsFilter
    from apache_beam.metrics import monitoring_infos as infos
    from apache_beam.runners.portability.fn_api_runner import fn_runner, worker_handlers
    from apache_beam.runners.runner import PipelineResult

    logging.disable(logging.NOTSET)

NAMESPACE = "crossfade"
LOCAL_REQUEST_S = 0.5  # seconds between two progress requests to a local worker process
QUERY_S = 10.0  # seconds between two queries for the metrics of a job on another runner


@functools.cache
def counter(name: str) -> Metrics.DelegatingCounter:
    """Return a counter for use in a `DoFn`."""
    return Metrics.counter(NAMESPACE, name)


class JobCounters:
    """Totals of the counters of one job; :func:`runner.run` connects it to the job."""

    def __init__(self):
        self._query: Callable[[], Mapping[str, int]] = dict
        self._interval_s, self._queried_at = 0.0, float("-inf")
        self._totals: Mapping[str, int] = {}

    def connect(self, query: Callable[[], Mapping[str, int]], interval_s: float) -> None:
        """Read totals from `query`, at most once in `interval_s` seconds."""
        self._query, self._interval_s, self._queried_at = query, interval_s, float("-inf")

    def finish(self, result: PipelineResult) -> None:
        """Read the final totals from the result of a finished job."""
        self.connect(functools.partial(query_counters, result), float("inf"))

    def total(self, *names: str) -> int | None:
        """Return the sum of counters, or None if the runner has not reported any of them so far."""
        if time.monotonic() - self._queried_at >= self._interval_s:
            self._queried_at = time.monotonic()
            with contextlib.suppress(Exception):  # a failed query must not end a job that runs well
                self._totals = self._query() or self._totals
        reported = [self._totals[name] for name in names if name in self._totals]
        return sum(reported) if reported else None


def query_counters(result: PipelineResult) -> dict[str, int]:
    """Return the totals of our counters, by name; empty if the runner reports no metrics."""
    totals: collections.Counter[str] = collections.Counter()
    for metric in result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]:
        totals[metric.key.metric.name] += metric.result or 0
    return totals


class LocalRunner(fn_runner.FnApiRunner):
    """Beam's local runner, with counters that can be read while it runs.

    `FnApiRunner` runs one stage after another; each worker runs one bundle of a stage. The totals are those of the
    finished stages plus those of the running bundles. Worker processes send the latter in response to progress
    requests, which `FnApiRunner` makes but does not publish, so :meth:`run_pipeline` replaces its `ProgressRequester`
    for the time of the run. A worker in this process cannot respond while it is busy; its bundle processor is read
    directly.
    """

    def __init__(self, provision_info: fn_runner.ExtendedProvisionInfo):
        super().__init__(provision_info=provision_info, progress_request_frequency=LOCAL_REQUEST_S)
        self._finished: collections.Counter[str] = collections.Counter()
        self._running: dict[str, Mapping[str, int]] = {}  # by bundle; a new dictionary for each stage
        self._handlers: list[worker_handlers.WorkerHandler] = []

    def counters(self) -> dict[str, int]:
        """Return the totals so far, by name."""
        running, totals = self._running, self._finished.copy()
        for handler in self._handlers:
            if isinstance(handler, worker_handlers.EmbeddedWorkerHandler):
                active = handler.bundle_processor_cache.active_bundle_processors
                for bundle, (_, processor) in list(active.items()):
                    running[bundle] = _sum_infos(processor.monitoring_infos())
        for counts in list(running.values()):
            totals.update(counts)
        return totals

    def run_pipeline(self, pipeline, options):
        """Run a pipeline and receive the responses to progress requests."""
        with _requester_replaced(self._requester):
            return super().run_pipeline(pipeline, options)

    def _requester(self, worker_handler, bundle: str, frequency_s: float) -> fn_runner.ProgressRequester:
        running = self._running  # a late response must not count for the next stage

        def store(progress) -> None:
            running[bundle] = _sum_infos(progress.monitoring_infos) or running.get(bundle, {})

        return _PROGRESS_REQUESTER(worker_handler, bundle, frequency_s, callback=store)

    def _execute_bundle(self, runner_execution_context, bundle_context_manager, bundle_input):
        self._handlers = bundle_context_manager.worker_handlers
        response = super()._execute_bundle(runner_execution_context, bundle_context_manager, bundle_input)
        self._handlers, self._running = [], {}
        self._finished.update(_sum_infos(response.process_bundle.monitoring_infos))
        return response


_PROGRESS_REQUESTER = fn_runner.ProgressRequester


@contextlib.contextmanager
def _requester_replaced(factory: Callable) -> Iterator[None]:
    fn_runner.ProgressRequester = factory
    try:
        yield
    finally:
        fn_runner.ProgressRequester = _PROGRESS_REQUESTER


def _sum_infos(monitoring_infos: Iterable) -> dict[str, int]:
    """Return the totals of our counters in a list of `MonitoringInfo`, by name."""
    totals: collections.Counter[str] = collections.Counter()
    for info in monitoring_infos:
        if infos.is_user_monitoring_info(info) and infos.is_counter(info):
            namespace, name = infos.parse_namespace_and_name(info)
            if namespace == NAMESPACE:
                totals[name] += infos.extract_counter_value(info)
    return totals
