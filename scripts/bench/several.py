"""`python -m scripts bench-processes`: what a request costs where several processes serve one port,
beside one process alone, and the same of the yardstick, in turn on one MongoDB."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

import httpx2
import typer

from app.settings import Settings
from scripts.bench import bare
from scripts.bench.data import fill
from scripts.bench.processes import (
    BenchError,
    LoadGenerator,
    Server,
    cpu_seconds,
    end_at_sigterm,
    environment,
    free_port,
    start_module,
    stop,
)
from scripts.bench.report import machine
from scripts.mongod import MongodError, start_mongod

GOAL: Final = 1.1
"""CPU of a request where several processes serve, of that where one does."""
WORKLOADS: Final = ("read", "mix")  # what they store is the same for all who play


def main(
    processes: Annotated[int, typer.Option(min=2, max=16, help="Beside one alone.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, max=50, help="Of each, per workload.")] = 10,
    seconds: Annotated[float, typer.Option(min=0.1, max=60, help="Length of a round.")] = 0.5,
    connections: Annotated[
        int, typer.Option(min=1, max=64, help="To the process alone, and to several together.")
    ] = 32,
    each: Annotated[
        bool, typer.Option("--each", help="As many to each of several, not to all together.")
    ] = False,
) -> None:
    """Measure CPU of requests and throughput by several processes beside one. Exits 1 where a
    request costs more than 1.1 times as much."""
    end_at_sigterm()
    crowds = (connections, connections * processes if each else connections)
    try:
        found = _measure(processes, rounds, seconds, crowds)
    except (BenchError, MongodError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    typer.echo(json.dumps(found, indent=2))
    if max(each["satchel"]["cpuRatio"] for each in found["workloads"].values()) > GOAL:
        raise typer.Exit(1)


def _measure(
    processes: int, rounds: int, seconds: float, crowds: tuple[int, int]
) -> dict[str, Any]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="satchel-bench-")))
        mongod = stack.enter_context(start_mongod(folder))
        chosen: dict[str, Any] = {
            "mongodb_uri": mongod.uri,
            "data_dir": folder,
            "environment": "development",
            "token_lifetime_seconds": 3600,
        }
        settings = Settings.model_validate(chosen)
        plan, version = asyncio.run(fill(settings, mongod.uri, max(crowds)))
        servers = {
            "satchel": [_serve(stack, folder, chosen, count) for count in (1, processes)],
            "bare": [_bare(stack, folder, chosen, count) for count in (1, processes)],
        }
        loads = [
            stack.enter_context(LoadGenerator.start(replace(plan, connections=crowd)))
            for crowd in crowds
        ]
        sides = {name: list(zip(two, loads, strict=True)) for name, two in servers.items()}
        told = {name: _workload(sides, name, rounds, seconds) for name in WORKLOADS}
        where = {"machine": machine(version), "processes": processes, "connections": crowds}
        return {**where, "workloads": told}


def _serve(stack: ExitStack, folder: Path, chosen: dict[str, Any], count: int) -> Server:
    """`python -m scripts serve` with so many processes, once it is ready."""
    port = free_port()
    variables = environment([*chosen.items(), ("port", port), ("processes", count)])
    return _start(stack, folder, f"serve-{count}", port, variables, "scripts", "serve")


def _bare(stack: ExitStack, folder: Path, chosen: dict[str, Any], count: int) -> Server:
    """The yardstick with so many processes of uvicorn's, once it listens."""
    port, variables = free_port(), environment(list(chosen.items()))
    arguments = ["uvicorn", f"{bare.__name__}:lean", "--factory", "--no-access-log"]
    arguments += ["--log-level", "warning", "--port", str(port), "--workers", str(count)]
    return _start(stack, folder, f"bare-{count}", port, variables, *arguments)


def _start(
    stack: ExitStack,
    folder: Path,
    name: str,
    port: int,
    variables: dict[str, str],
    *arguments: str,
) -> Server:
    log = folder / f"{name}.log"
    output = stack.enter_context(log.open("ab"))
    process = start_module(*arguments, output=output, environment=variables)
    stack.callback(stop, process)
    server = Server(name, port, process, log)
    with httpx2.Client(transport=httpx2.HTTPTransport(retries=30)) as http:
        http.get(f"http://127.0.0.1:{port}/livez", timeout=30)
    if process.poll() is not None:
        raise BenchError(f"{server.name} did not start:\n{server.last_lines()}")
    return server


Sides = dict[str, list[tuple[Server, LoadGenerator]]]
"""Of Satchel and of the yardstick, one process and several, each with what asks it."""


def _workload(sides: Sides, name: str, rounds: int, seconds: float) -> dict[str, Any]:
    """The figures of one workload; each round is begun by another server."""
    every = [side for two in sides.values() for side in two]
    for server, load in every:
        load.play(server, name, seconds)
    found: dict[str, list[tuple[float, float]]] = {server.name: [] for server, _ in every}
    for number in range(rounds):
        first = number % len(every)
        for server, load in every[first:] + every[:first]:
            found[server.name].append(_play(server, load, name, seconds))
    return {
        whose: _told(*(found[server.name] for server, _ in two)) for whose, two in sides.items()
    }


def _play(server: Server, load: LoadGenerator, name: str, seconds: float) -> tuple[float, float]:
    """CPU microseconds a request, and requests a second."""
    pids = [server.process.pid, *_below(server.process.pid)]
    before = sum(map(cpu_seconds, pids))
    played = load.play(server, name, seconds)
    used = sum(map(cpu_seconds, pids)) - before
    return 1e6 * used / played.requests, played.requests / seconds


def _told(alone: list[tuple[float, float]], together: list[tuple[float, float]]) -> dict[str, Any]:
    both, pairs = (alone, together), list(zip(alone, together, strict=True))
    return {
        "cpuMicroseconds": [round(median(cpu for cpu, _ in each), 1) for each in both],
        "requestsPerSecond": [
            round(median(rate for _, rate in each)) for each in (alone, together)
        ],
        "cpuRatio": round(median(two[0] / one[0] for one, two in pairs), 2),
        "throughputRatio": round(median(two[1] / one[1] for one, two in pairs), 2),
    }


def _below(pid: int) -> Iterator[int]:
    """The processes that a process has started, and theirs."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            yield child
            yield from _below(child)
