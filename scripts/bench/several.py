"""`python -m scripts bench-processes`: what a request costs where several processes serve one port,
beside one process alone, in turn on one MongoDB."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

import httpx2
import typer

from app.settings import Settings
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
_CONNECTIONS: Final = 32


def main(
    processes: Annotated[int, typer.Option(min=2, max=16, help="Beside one alone.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, max=50, help="Of each, per workload.")] = 10,
    seconds: Annotated[float, typer.Option(min=0.1, max=60, help="Length of a round.")] = 0.5,
) -> None:
    """Measure CPU of requests and throughput by several processes beside one. Exits 1 where a
    request costs more than 1.1 times as much."""
    end_at_sigterm()
    try:
        found = _measure(processes, rounds, seconds)
    except (BenchError, MongodError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    typer.echo(json.dumps(found, indent=2))
    if max(each["cpuRatio"] for each in found["workloads"].values()) > GOAL:
        raise typer.Exit(1)


def _measure(processes: int, rounds: int, seconds: float) -> dict[str, Any]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="satchel-bench-")))
        mongod = stack.enter_context(start_mongod(folder))
        chosen: dict[str, Any] = {
            "mongodb_uri": mongod.uri,
            "data_dir": folder,
            "environment": "development",
            "token_lifetime_seconds": 3600,
        }
        plan, version = asyncio.run(fill(Settings.model_validate(chosen), mongod.uri, _CONNECTIONS))
        servers = [_serve(stack, folder, chosen, count) for count in (1, processes)]
        load = stack.enter_context(LoadGenerator.start(plan))
        told = {name: _workload(load, servers, name, rounds, seconds) for name in WORKLOADS}
        return {"machine": machine(version), "processes": processes, "workloads": told}


def _serve(stack: ExitStack, folder: Path, chosen: dict[str, Any], count: int) -> Server:
    """`python -m scripts serve` with so many processes, once it is ready."""
    port, log = free_port(), folder / f"serve-{count}.log"
    variables = environment([*chosen.items(), ("port", port), ("processes", count)])
    output = stack.enter_context(log.open("ab"))
    process = start_module("scripts", "serve", output=output, environment=variables)
    stack.callback(stop, process)
    server = Server(f"serve-{count}", port, process, log)
    with httpx2.Client(transport=httpx2.HTTPTransport(retries=30)) as http:
        answer = http.get(f"http://127.0.0.1:{port}/livez", timeout=30)
    if answer.status_code != 200:
        raise BenchError(f"{server.name} did not start:\n{server.last_lines()}")
    return server


def _workload(
    load: LoadGenerator, servers: list[Server], name: str, rounds: int, seconds: float
) -> dict[str, Any]:
    """The figures of one workload; each round is begun by the other server."""
    for server in servers:
        load.play(server, name, seconds)
    found: dict[str, list[tuple[float, float]]] = {server.name: [] for server in servers}
    for number in range(rounds):
        for server in servers if number % 2 else reversed(servers):
            pids = [server.process.pid, *_below(server.process.pid)]
            before = sum(map(cpu_seconds, pids))
            played = load.play(server, name, seconds)
            used = sum(map(cpu_seconds, pids)) - before
            found[server.name].append((1e6 * used / played.requests, played.requests / seconds))
    alone, together = (found[server.name] for server in servers)
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
