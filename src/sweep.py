"""A sweep: a grid of a chapter's parameters, its points, and one execution for each of them by dask.distributed."""

import io
import logging
import math
import platform
import re
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass
from itertools import islice, product
from multiprocessing import resource_tracker
from pathlib import Path

from src import chapters, parameters, records
from src.choices import one_of

MOST_POINTS = 10_000
CONNECT_SECONDS = 10
FINISHED, BEFORE, FAILED = "finished", "finished before", "failed"


@dataclass(frozen=True)
class Point:
    """One execution of a sweep: the name of its folder, and every parameter of the chapter."""

    name: str
    values: dict[str, object]


@dataclass(frozen=True)
class Outcome:
    """What became of a point: `finished`, `finished before` or `failed`, in how many seconds, and why it failed."""

    status: str
    seconds: float | None = None
    reason: str = ""


def grid_points(
    chapter: str, grid: Iterable[str], overrides: Sequence[str] = (), *, preset: str = parameters.LAPTOP
) -> list[Point]:
    """The points of a grid, each of them checked; the last parameter changes fastest.

    Parameters
    ----------
    grid : texts `name=START:STOP` (integers, STOP excluded) or `name=a,b,c`; `name=a;b;c` for a list parameter.
    overrides : texts `name=value` that hold for every point.

    Raises
    ------
    ValueError : a text of the grid that is none of these, and whatever `parameters.resolve` refuses in any point.
    """
    known = parameters.read_parameters(chapter)
    fixed = {text.partition("=")[0] for text in overrides}
    axes: dict[str, list[str]] = {}
    for text in grid:
        name, texts = _axis(text, known)
        if name in fixed or name in axes:
            raise ValueError(f"-g {text}: {name} is set twice; one -g or one -p for each parameter is needed")
        axes[name] = texts
    if not axes:
        raise ValueError("-g is missing: at least one NAME=START:STOP or NAME=a,b,c is needed")
    size = math.prod(map(len, axes.values()))
    if size > MOST_POINTS:
        raise ValueError(f"-g: a grid of {size} points; at most {MOST_POINTS} is needed")
    points: dict[str, Point] = {}
    for texts in product(*axes.values()):
        chosen = [f"{name}={text}" for name, text in zip(axes, texts, strict=True)]
        name = "-".join(map(chapters.folder_part, chosen))
        if name in points:
            raise ValueError(f"-g: two points would share the folder {name}; values that name two are needed")
        values = parameters.resolve(chapter, [*overrides, *chosen], preset=preset)
        if values.get("checkpoint_folder"):  # what one point keeps is of no use to another
            values["checkpoint_folder"] = str(Path(values["checkpoint_folder"], name))
        points[name] = Point(name, values)
    return list(points.values())


def _axis(text: str, known: Mapping[str, parameters.Parameter]) -> tuple[str, list[str]]:
    """A parameter's name and the texts of its values, from one -g."""
    name, equals, values = text.partition("=")
    if not equals:
        raise ValueError(f"-g {text}: NAME=START:STOP or NAME=a,b,c is needed")
    parameter = known[one_of("parameter", name, known)]
    if parameter.kind == "int" and ":" in values:
        return name, _range(text, values)
    texts = [each.strip() for each in values.split(";" if parameter.kind.startswith("list") else ",")]
    parsed = [parameter.parse(each) for each in texts]
    for index, value in enumerate(parsed):
        if value in parsed[:index]:
            raise ValueError(f"-g {text}: {texts[index]} is there twice; each value once is needed")
    return name, texts


def _range(text: str, values: str) -> list[str]:
    try:
        start, stop = (int(side) for side in values.split(":"))
    except ValueError:
        raise ValueError(f"-g {text}: START:STOP in integers is needed, such as 0:10") from None
    if not start < stop <= start + MOST_POINTS:
        nearest = min(max(stop, start + 1), start + MOST_POINTS)
        raise ValueError(
            f"-g {text}: START:STOP of 1 to {MOST_POINTS} values, STOP excluded, is needed; "
            f"the nearest: {start}:{nearest}"
        )
    return [str(value) for value in range(start, stop)]


def run(
    chapter: str,
    points: Sequence[Point],
    out: str | Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    retries: int = 2,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Outcome]:
    """Execute every point into its folder below `out`, except those that are there already; outcomes by name.

    Parameters
    ----------
    workers : processes on this machine, by default one a core. scheduler : address of a running one, to use instead.
    retries : how often a point is tried anew that broke, or whose worker died; one that refused its input is not.
    report : takes a line for each point that is done.

    Raises
    ------
    ValueError : no scheduler at that address, or no fit worker. FileExistsError : a point's folder holds anything else.
    KeyboardInterrupt : finished points stay; of the others nothing does, unless a worker elsewhere still runs them.
    """
    out, digest = Path(out).absolute(), chapters.chapter_digest(chapter)
    outcomes = _finished_before(chapter, points, out, digest)
    waiting = {
        point.name: (chapter, point.values, out / point.name, digest)
        for point in points
        if point.name not in outcomes
    }
    if not waiting:
        return outcomes
    if scheduler is None:
        from dask.system import CPU_COUNT  # the process's: a container may have fewer than the machine

        at_once = min(workers or CPU_COUNT, len(waiting))  # one a worker: two would share its death
        connection = _local_cluster(at_once, retries)
    else:
        at_once = len(waiting)
        connection = _running_cluster(scheduler)
    try:
        # A Ctrl-C waits until the cluster is up, and again until it is down: none of it outlives the command.
        with _interrupts(signal.SIG_BLOCK), connection as client:
            out.mkdir(parents=True, exist_ok=True)
            clock = time.perf_counter()
            with _interrupts(signal.SIG_UNBLOCK):
                for name, outcome in _as_done(client, waiting, retries, at_once):
                    outcomes[name] = outcome
                    left = len(points) - len(outcomes)
                    seconds = (time.perf_counter() - clock) / (len(waiting) - left) * left
                    progress = f"{len(outcomes)} of {len(points)}, {_minutes(seconds)} left"
                    report(f"{progress}: {name} {outcome.status}")
    except KeyboardInterrupt:
        if scheduler is None:
            raise
        raise KeyboardInterrupt("interrupted; points that a worker has begun go on to their end") from None
    finally:
        for name in waiting:
            if scheduler is None or name in outcomes:
                records.remove_parts(out / name)
        with suppress(OSError):
            out.rmdir()  # where nothing is in it
    return {point.name: outcomes[point.name] for point in points}


def _finished_before(chapter: str, points: Sequence[Point], out: Path, digest: str) -> dict[str, Outcome]:
    outcomes = {}
    for point in points:
        wanted = {"chapter": chapter, "parameters": point.values, "digest": digest}
        if chapters.finished(out / point.name, wanted):
            outcomes[point.name] = Outcome(BEFORE, chapters.read_run(out / point.name)["wall_seconds"])
    return outcomes


def table(outcomes: Mapping[str, Outcome]) -> str:
    """One line a point: its name, what became of it, seconds, and why it failed."""
    width = max(map(len, ["point", *outcomes]))
    lines = [f"{'point':<{width}}  {'outcome':<15}  seconds"]
    for name, outcome in outcomes.items():
        seconds = "" if outcome.seconds is None else f"{outcome.seconds:.1f}"
        lines.append(f"{name:<{width}}  {outcome.status:<15}  {seconds:>7}  {outcome.reason}".rstrip())
    return "\n".join(lines)


def execute(chapter: str, values: Mapping[str, object], folder: Path, digest: str) -> Outcome:
    """In a worker: one point. What is of no use to try again is returned as failed; everything else raises."""
    if not folder.parent.is_dir():
        return _failed(
            f"{folder.parent} is not there on {platform.node()}; a folder that all share is needed"
        )
    if chapters.chapter_digest(chapter) != digest:
        return _failed(
            f"source, book or versions on {platform.node()} are not those that the sweep began with"
        )
    try:
        with redirect_stderr(io.StringIO()):  # papermill's bar and log
            chapters.run(chapter, values, folder)
    except chapters.ChapterError as error:
        if not error.refused:
            raise
        return _failed(str(error))
    return Outcome(FINISHED, chapters.read_run(folder)["wall_seconds"])


def _failed(reason: str) -> Outcome:
    return Outcome(FAILED, reason=" ".join(reason.split()))


def _as_done(
    client, arguments: Mapping[str, tuple], retries: int, at_once: int
) -> Iterator[tuple[str, Outcome]]:
    """Run `execute` for each name, `at_once` at a time, and give each name and its outcome as soon as there is one."""
    from distributed import as_completed

    waiting, running, names = iter(arguments.items()), as_completed(loop=client.loop), {}

    def start(count: int) -> None:
        for name, each in islice(waiting, count):
            future = client.submit(execute, *each, retries=retries, pure=False)
            names[future] = name
            running.add(future)

    start(at_once)
    for future in running:
        start(1)
        yield names.pop(future), _outcome(future)


def _outcome(future) -> Outcome:
    from distributed import KilledWorker

    if future.cancelled():
        return _failed("the connection to the scheduler was lost")
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, KilledWorker):
        return _failed(
            f"its worker was killed, out of memory perhaps (attempts: {error.allowed_failures + 1})"
        )
    return _failed(
        str(error) if isinstance(error, chapters.ChapterError) else f"{type(error).__name__}: {error}"
    )


@contextmanager
def _local_cluster(workers: int, retries: int) -> Iterator:
    """A client of as many new processes on this machine, reached over loopback only and of one thread each."""
    import dask
    from distributed import LocalCluster

    deaths = {"distributed.scheduler.allowed-failures": retries}  # of workers with the same point
    with (
        dask.config.set(deaths),
        tempfile.TemporaryDirectory(prefix="sweep-") as scratch,
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # any free port: there may be another sweep
            scheduler_kwargs={"dashboard": False},
            silence_logs=logging.CRITICAL,
            local_directory=scratch,
            env={"TMPDIR": scratch},  # what a killed worker leaves goes with it
        ) as cluster,
    ):
        try:
            with _client(cluster) as client:
                yield client
        finally:  # without a client nothing is tried again
            _end_kernels(cluster)


def _end_kernels(cluster) -> None:
    """Kill what the workers have started; a chapter that loses its kernel removes what it had written."""
    import psutil

    for pid in filter(None, (nanny.pid for nanny in cluster.workers.values())):
        with suppress(psutil.NoSuchProcess):
            for kernel in psutil.Process(pid).children(recursive=True):
                kernel.kill()


@contextmanager
def _running_cluster(address: str) -> Iterator:
    """A client of the scheduler at `address`. ValueError where there is none, or its workers are not fit."""
    try:
        if not re.fullmatch(r"\w+://.+:\d+", address):
            raise ValueError(address)
        client = _client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"--scheduler = {address!r}: no scheduler answers there; the address of a running one is needed, "
            "such as tcp://127.0.0.1:8786"
        ) from error
    with client:
        threads = [worker["nthreads"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()]
        if set(threads) != {1}:
            found = f"a worker with {max(threads)} threads" if threads else "no worker"
            raise ValueError(
                f"--scheduler = {address!r}: it has {found}; workers of one thread are needed: "
                f"dask worker {address} --nworkers N --nthreads 1"
            )
        yield client


def _client(where, **options):
    """A client that keeps its log to itself."""
    from distributed import Client

    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return Client(where, set_as_default=False, **options)


@contextmanager
def _interrupts(how: int) -> Iterator[None]:
    """Hold Ctrl-C back (signal.SIG_BLOCK) or let it through (SIG_UNBLOCK); processes started inside do the same."""
    resource_tracker.ensure_running()  # of multiprocessing; were it to start later, it would let them through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(how, {signal.SIGINT})
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _minutes(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
