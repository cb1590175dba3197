"""Running the points of a sweep, each of them a `python -m src run` process that dask starts."""

import ctypes
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from src.common.choices import refusal
from src.common.folders import remove_parts
from src.experiments.base import Parameters
from src.experiments.resolve import as_text, resolve
from src.workshop import chapters
from src.workshop.grid import Point
from src.workshop.runs import read_run

CONNECT_SECONDS = 10
LOOPBACK = "127.0.0.1:0"  # any free port, for this machine alone
FINISHED, BEFORE, FAILED = "finished", "finished before", "failed"
PR_SET_PDEATHSIG = 1  # of linux/prctl.h
PROGRAM = [sys.executable, "-m", "src"]
ONE_STARTS, ENDED = threading.Lock(), threading.Event()  # of a cluster that ends, no point begins
REFUSED = 2  # exit code of a run that says no to its input: of no use to try again


@dataclass(frozen=True)
class Way:
    """How points are run.

    workers : at once on this machine, by default one a core. scheduler : address of a running one, to use instead.
    retries : how often a point is tried anew that broke, or whose worker died; one that refused its input is not.
    """

    workers: int | None = None
    scheduler: str | None = None
    retries: int = 2


@dataclass(frozen=True)
class Outcome:
    """What became of a point: `finished`, `finished before` or `failed`, in how many seconds, and why it failed."""

    status: str
    seconds: float | None = None
    reason: str = ""


def run(
    points: Sequence[Point],
    out: str | Path,
    way: Way = Way(),
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Outcome]:
    """Execute every point into its folder below `out`, except those that are there already; outcomes by name.

    report : takes a line for each point that is done.

    Raises
    ------
    ValueError : no scheduler at that address, or no worker. FileExistsError : a point's folder holds anything else.
    KeyboardInterrupt : finished points stay; of the others nothing does, unless a worker elsewhere still runs them.
    """
    out = Path(out).absolute()
    outcomes, waiting = _sort_out(points, out)
    cluster = _running_cluster(way.scheduler) if way.scheduler else _local_cluster(way.workers)
    if not waiting:
        return outcomes
    try:
        with cluster as client:
            out.mkdir(parents=True, exist_ok=True)
            clock = time.perf_counter()
            for done, (name, outcome) in enumerate(_as_done(client, waiting, way), start=1):
                outcomes[name] = outcome
                left = _minutes((time.perf_counter() - clock) / done * (len(waiting) - done))
                report(f"{len(outcomes)} of {len(points)}, {left} left: {name} {outcome.status}")
    except KeyboardInterrupt:
        if not way.scheduler:
            raise
        raise KeyboardInterrupt("interrupted; points that a worker has begun go on to their end") from None
    finally:
        for name in waiting:
            if not way.scheduler or name in outcomes:
                remove_parts(out / name)
        with suppress(OSError):
            out.rmdir()  # where nothing is in it
    return {point.name: outcomes[point.name] for point in points}


def _sort_out(
    points: Sequence[Point], out: Path
) -> tuple[dict[str, Outcome], dict[str, tuple[list[str], Path, str, Path]]]:
    """Outcomes of the points that are there already, and for each of the others what `execute` takes."""
    outcomes, waiting = {}, {}
    digests = {chapter: chapters.chapter_digest(chapter) for chapter in {point.chapter for point in points}}
    for point in points:
        folder, digest = out / point.name, digests[point.chapter]
        wanted = {"chapter": point.chapter, "parameters": point.settings.model_dump(), "digest": digest}
        if chapters.finished(folder, wanted):
            outcomes[point.name] = Outcome(BEFORE, read_run(folder)["wall_seconds"])
        else:
            waiting[point.name] = (command(point.chapter, point.settings, folder), folder, digest, Path.cwd())
    return outcomes, waiting


def table(outcomes: Mapping[str, Outcome]) -> str:
    """One line a point: its name, what became of it, seconds, and why it failed."""
    width = max(map(len, ["point", *outcomes]))
    lines = [f"{'point':<{width}}  {'outcome':<15}  seconds"]
    for name, outcome in outcomes.items():
        seconds = "" if outcome.seconds is None else f"{outcome.seconds:.1f}"
        lines.append(f"{name:<{width}}  {outcome.status:<15}  {seconds:>7}  {outcome.reason}".rstrip())
    return "\n".join(lines)


def command(chapter: str, settings: Parameters, folder: Path) -> list[str]:
    """The arguments of `python -m src` that execute one point."""
    defaults = resolve(chapter).model_dump()
    changed = {name: value for name, value in settings.model_dump().items() if value != defaults[name]}
    return [
        "run",
        chapter,
        *(f"-p{name}={as_text(value)}" for name, value in changed.items()),
        f"--out={folder}",
        "--no-html",
    ]


def execute(arguments: Sequence[str], folder: Path, digest: str, here: Path = Path()) -> Outcome:
    """In a worker: one point, in a process of its own. RuntimeError where it broke, which dask then tries again.

    here : what relative folders of the point are relative to, where this machine has it.
    """
    if not folder.parent.is_dir():
        needed = "a folder that all share is needed"
        return Outcome(FAILED, reason=f"{folder.parent} is not there on {platform.node()}; {needed}")
    if chapters.chapter_digest(arguments[1]) != digest:
        fault = f"source, book or versions on {platform.node()} are not those that the sweep began with"
        return Outcome(FAILED, reason=fault)
    with ONE_STARTS:
        if ENDED.is_set():
            return Outcome(FAILED, reason="the sweep was interrupted")
        point = subprocess.Popen(
            [*PROGRAM, *arguments],
            cwd=here if here.is_dir() else None,
            env={"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": chapters.import_path()},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # a Ctrl-C is for the sweep, which ends its points
            preexec_fn=_end_with_parent(),
        )
    said = point.communicate()[1].strip().splitlines()
    reason = said[-1].removeprefix("error: ") if said else ""
    if point.returncode == REFUSED:
        return Outcome(FAILED, reason=reason)
    if point.returncode < 0:
        raise RuntimeError("its process was killed, out of memory perhaps")
    if point.returncode:
        raise RuntimeError(reason)
    return Outcome(FINISHED, read_run(folder)["wall_seconds"])


def _end_with_parent() -> Callable[[], object] | None:
    """What a new process does first: ask to be told to end when the worker that started it dies. Linux alone can."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    return prctl and partial(prctl, PR_SET_PDEATHSIG, signal.SIGTERM)


def _as_done(client, waiting: Mapping[str, tuple], way: Way) -> Iterator[tuple[str, Outcome]]:
    """Run `execute` for each name, as many at a time as there are threads; each outcome as soon as there is one."""
    from distributed import as_completed

    left, running, names = iter(waiting.items()), as_completed(loop=client.loop), {}

    def start(count: int) -> None:
        for name, each in islice(left, count):
            future = client.submit(execute, *each, retries=way.retries, pure=False)
            names[future] = name
            running.add(future)

    # a scheduler elsewhere deals with all of them; here a few at a time, so that an interrupt leaves none queued
    start(len(waiting) if way.scheduler else sum(client.nthreads().values()))
    for future in running:
        start(1)
        yield names.pop(future), _outcome(future)


def _outcome(future) -> Outcome:
    from distributed import KilledWorker

    if future.cancelled():
        return Outcome(FAILED, reason="the connection to the scheduler was lost")
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, KilledWorker):
        return Outcome(FAILED, reason=f"its worker was killed (attempts: {error.allowed_failures + 1})")
    return Outcome(FAILED, reason=str(error) if isinstance(error, RuntimeError) else repr(error))


@contextmanager
def _local_cluster(workers: int | None) -> Iterator:
    """A client of as many threads in this process; what they have started ends with the block.

    All within the process: there is no port through which another user could have it run something. dask listens for
    readers of its pages always; here for this machine alone, and there are no pages.
    """
    import dask
    from distributed import Scheduler, SpecCluster, Worker

    threads = workers or dask.system.CPU_COUNT  # the process's: a container may have fewer than the machine
    within = {"protocol": "inproc://", "dashboard": False, "dashboard_address": LOOPBACK}
    with (
        _ending(),
        dask.config.set({f"distributed.{each}.http.routes": [] for each in ("scheduler", "worker")}),
        SpecCluster(
            scheduler={"cls": Scheduler, "options": within},
            workers={0: {"cls": Worker, "options": {**within, "nthreads": threads}}},
            silence_logs="warning",
        ) as cluster,
        _client(cluster) as client,
    ):
        try:
            yield client
        finally:
            with ONE_STARTS:
                ENDED.set()
            _end_points()


@contextmanager
def _ending() -> Iterator[None]:
    """Once the cluster has closed, points may begin again."""
    try:
        yield
    finally:
        ENDED.clear()


def _end_points() -> None:
    """End the processes below this one: asked first, so that they leave nothing half-written."""
    import psutil

    left = psutil.Process().children(recursive=True)
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in left:
            with suppress(psutil.NoSuchProcess):
                end(process)
        _, left = psutil.wait_procs(left, timeout=5)


@contextmanager
def _running_cluster(address: str) -> Iterator:
    """A client of the scheduler at `address`. ValueError where there is none, or it has no worker."""
    from distributed import Security

    example = "the address of a running one, such as tcp://127.0.0.1:8786,"
    if address.startswith("tls:") and not Security().get_connection_args("client")["ssl_context"]:
        needed = "a certificate in dask's settings, distributed.comm.tls,"
        raise ValueError(refusal("--scheduler", address, needed))
    try:
        if not re.fullmatch(r"\w+://.+:\d+", address):
            raise ValueError(address)
        client = _client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{refusal('--scheduler', address, example)} (no scheduler answers there)"
        ) from error
    with client:
        if not client.scheduler_info(n_workers=-1)["workers"]:
            needed = f"a scheduler with workers (dask worker {address} --nworkers N)"
            raise ValueError(refusal("--scheduler", address, needed))
        yield client


def _client(where, **options):
    """A client that keeps its log to itself."""
    import logging

    from distributed import Client

    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return Client(where, set_as_default=False, **options)


def _minutes(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
