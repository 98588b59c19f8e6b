"""The benchmark runs every workload, checks every answer, and says how Satchel compares."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from array import array
from pathlib import Path

import pytest

from scripts.bench.crowd import Crowd, Told
from scripts.bench.load import Connection, WrongAnswerError, parse_answer, play
from scripts.bench.overload import Case, Found
from scripts.bench.traffic import WORKLOADS, Mixer, Reader, Sender, Swapper

ROOT = Path(__file__).resolve().parents[2]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def bench(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [
        sys.executable,
        "-m",
        "scripts",
        "bench",
        "--seconds",
        "0.2",
        "--rounds",
        "2",
        *arguments,
    ]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_every_workload_is_measured_on_both_servers():
    done = bench("--json", "--connections", "4")
    assert done.returncode == 0, done.stderr
    found = {row["name"]: row for row in json.loads(done.stdout)["workloads"]}
    assert list(found) == ["read", "mix", "cas", "event", "batch", "batch500", "alone"]
    for row in found.values():
        assert len(row["ratios"]) == 2
        assert min(row["ratios"]) > 0
        for server in (row["satchel"], row["bare"], row["indexed"]):
            assert server["operationsPerSecond"] > 0
            assert 0 < server["p50"] <= server["p95"] <= server["p99"]


def test_one_workload_is_printed_as_a_table():
    done = bench("--only", "read")
    assert done.returncode == 0, done.stderr
    assert "Read one value" in done.stdout
    assert "Compare-and-set" not in done.stdout


def test_an_unknown_workload_is_refused():
    done = bench("--only", "nothing")
    assert done.returncode == 2
    assert "no workload nothing" in done.stderr


def test_a_run_that_is_ended_leaves_nothing_behind(tmp_path: Path):
    command = [sys.executable, "-m", "scripts", "bench", "--only", "read", "--rounds", "50"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as running:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("satchel-bench-*/bare.log")) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert running.poll() is None
        running.terminate()
        assert running.wait(60) == 143
    assert list(tmp_path.iterdir()) == []


def test_an_answer_is_whole_when_its_body_is():
    assert parse_answer(OK) == (200, b"{}")
    assert parse_answer(OK.lower().replace(b"http", b"HTTP")) == (200, b"{}")
    assert parse_answer(b"HTTP/1.1 204 No Content\r\n\r\n") == (204, b"")
    for end in range(len(OK)):
        assert parse_answer(OK[:end]) is None


def test_a_version_that_does_not_move_by_one_is_wrong():
    player = Swapper(("0" * 24, "token"))
    assert b'If-Match: "1"' in player.request()
    assert player.check(200, b'{"version":2}') is None
    for status, body in (
        (200, b'{"version":1}'),
        (200, b'{"version":3}'),
        (412, b'{"version":2}'),
        (200, b"{}"),
    ):
        player.request()
        assert player.check(status, body) is not None


def test_other_answers_than_the_right_one_are_wrong():
    reader, mixer, sender = Reader(iter([])), Mixer(iter([])), Sender([b""], 1, 50)
    assert reader.check(200, b'{"theme":"dark"}') is None
    assert mixer.check(200, b'{"dataKey":"key-1","version":2}') is None
    assert sender.check(200, b'{"accepted":50,"duplicates":0}') is None
    assert reader.check(200, b'{"dataKey":"key-1"}') == '200 {"dataKey":"key-1"}'
    assert sender.check(200, b'{"accepted":49,"duplicates":1}') is not None
    for player in (reader, mixer, sender):
        assert player.check(503, b'{"theme":"accepted":50') is not None


def test_each_event_has_a_message_id_of_its_own():
    senders = [Sender([b"0" * 16], number, count) for number in (1, 2) for count in (1, 50)]
    sent = [sender.request() for sender in senders for _ in range(100)]
    assert len(set(sent)) == 400


async def test_a_server_that_hangs_up_fails_the_round(unused_tcp_port: int):
    server = await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", unused_tcp_port
    )
    async with server:
        with pytest.raises(WrongAnswerError, match="closed the connection"):
            await play(unused_tcp_port, [Reader(iter([b"GET / HTTP/1.1\r\n\r\n"]))], 0.1)


async def test_latencies_are_taken_from_request_to_whole_answer(unused_tcp_port: int):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            for part in (
                b"HTTP/1.1 200 OK\r\nContent-Le",
                b'ngth: 16\r\n\r\n{"theme"',
                b':"dark"}',
            ):
                writer.write(part)
                await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", unused_tcp_port)
    latencies = array("d")
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: Connection(Reader(iter([b"GET / HTTP/1.1\r\n\r\n"])), latencies),
        "127.0.0.1",
        unused_tcp_port,
    )
    connection.start(until=0)
    await connection.ended
    server.close()
    assert len(latencies) == 1
    assert latencies[0] > 0


def test_the_goals_are_those_of_the_requirements():
    goals = {name: (each.goal, each.goal_indexed) for name, each in WORKLOADS.items()}
    assert goals == {
        "read": (1.8, None),
        "mix": (1.5, None),
        "cas": (1.0, None),
        "event": (1.5, None),
        "batch": (0.5, 0.9),
        "batch500": (0.5, 0.9),
        "alone": (1.15, None),
    }


def test_analytics_are_measured_at_each_size_and_agree_with_plain_aggregation():
    command = [
        sys.executable,
        "-m",
        "scripts",
        "bench-analytics",
        "--sizes",
        "300,600",
        "--rounds",
        "5",
        "--json",
    ]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    queries = (
        "event counts by day",
        "event counts by day in Asia/Kolkata",
        "active users by day",
        "top 10",
    )
    assert [(row["events"], row["query"]) for row in found["queries"]] == [
        (size, query) for size in (300, 600) for query in queries
    ]
    assert set(found["growth"]) == set(queries)
    assert all(row["p95"] > 0 and row["plain"] > 0 for row in found["queries"])


def test_an_overload_is_measured_on_both_servers():
    command = [
        sys.executable,
        "-m",
        "scripts",
        "bench-overload",
        "--seconds",
        "1",
        "--rounds",
        "1",
        "--json",
    ]
    command += ["--crowds", "read:20,write:10"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["crowds"]
    assert [(row["kind"], row["connections"]) for row in found] == [("read", 20), ("write", 10)]
    for row in found:
        assert row["ratio"] > 0
        for server in (row["satchel"], row["bare"]):
            assert set(server["statuses"]) == {"200"}
            assert server["good"] > 0
            assert 0 < server["p50"] <= server["p99"]
            assert 0 < server["livez"] < 30
            assert 0 <= server["healthy"] < 30
            assert server["broken"] == 0


@pytest.mark.parametrize("crowds", ["read", "read:0", "delete:5", "read:5,"])
def test_a_crowd_that_is_none_is_refused(crowds: str):
    command = [sys.executable, "-m", "scripts", "bench-overload", "--crowds", crowds]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "read:2000" in done.stderr


async def test_a_crowd_asks_again_at_once_and_connects_again(unused_tcp_port: int):
    seen: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine = len(seen)
        seen.append(0)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            for status in (b"200 OK", b"503 Full"):
                await reader.readuntil(b"\r\n\r\n")
                seen[mine] += 1
                writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", unused_tcp_port)
    async with server:
        told = await Crowd(unused_tcp_port, 3, [b"GET / HTTP/1.1\r\n\r\n"], own=True).play(0.5)
    assert told.broken >= 3
    assert told.statuses["200"] >= told.statuses["503"] >= 3
    assert told.good > 0
    assert told.p50 is not None
    assert max(seen) == 2


def test_goodput_is_compared_pair_by_pair():
    def found(good: float, p99: int | None, before: float = 100.0) -> Found:
        told = Told(
            good, p99 and p99 // 2, p99, {"200": 5, "503": 1} if good else {"503": 3}, 1, 0.1
        )
        return Found(
            told, livez=0.2, before=before, peak=before + 30, after=before + 20, healthy=0.5
        )

    case = Case(
        "read",
        2000,
        [found(900, 3000), found(800, 2000, 120.0)],
        [found(600, 4000), found(0, None)],
    )
    assert case.ratios == [1.5, 800]
    row = case.row()
    assert row["satchel"]["statuses"] == {"200": 10, "503": 2}
    assert [row["satchel"][name] for name in ("grown", "again", "kept")] == [50, 30, 40]
    assert (row["satchel"]["good"], row["satchel"]["p99"], row["bare"]["p99"]) == (850, 3000, 4000)
