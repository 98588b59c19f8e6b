"""What the worker does for analytics, in a process of its own; and the archive from the command
line."""

import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2

from models.base import rfc3339
from tests.serving import ROOT, Served, served

SECONDS = 60
OLD = rfc3339(datetime.now(UTC) - timedelta(days=40))
SEALED = r"notes has more to archive\. It was sealed at \d\d:\d\d:\d\d UTC"


def wait_until(holds: Any) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def scripts(satchel: Served, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "scripts", *arguments],
        env={**satchel.environment, "COLUMNS": "200"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_the_worker_rolls_up_recounts_and_the_archive_is_kept_by_commands(
    mongodb_uri: str, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    settings = {
        "analytics_trail_seconds": "0.1",
        "analytics_archive": str(archive),
        "analytics_retention_days": "30",
    }
    with served(mongodb_uri, tmp_path, **settings) as satchel:
        event = {
            "appId": "notes",
            "eventName": "opened",
            "eventCategory": "custom",
            "anonymousId": "a-1",
        }
        events = [event, event, {**event, "timestamp": OLD}]
        sent = httpx2.post(
            f"{satchel.url}/v1/analytics/events", json=events, headers=satchel.headers
        )
        assert sent.json()["accepted"] == 3
        satchel.start("worker")
        state = satchel.database["rollupstate"]
        wait_until(lambda: (state.find_one({}) or {}).get("lastRecount"))
        wait_until(lambda: satchel.database["countdays"].count_documents({}) == 2)
        assert satchel.get("/v1/analytics/event-counts") == [{"eventName": "opened", "count": 2}]
        jobs = {job["id"] for job in satchel.get("/v1/admin/jobs")}
        assert {
            "roll-up-analytics",
            "recount-analytics",
            "archive-analytics",
            "forget-numbers",
        } <= jobs
        wait_until(lambda: satchel.database["analyticsseals"].count_documents({}) == 1)
        satchel.stop("worker")

        assert scripts(satchel, "archive", "list").stdout == "Nothing is archived.\n"
        early = scripts(satchel, "archive").stdout.splitlines()
        assert early[0].startswith("0 days with 0 events archived")
        assert re.fullmatch(
            SEALED + r": try again once [a-z ]+, by \d\d:\d\d UTC at the latest\.", early[1]
        ), early
        satchel.database["rollupstate"].update_one(
            {}, {"$set": {"asOf": datetime.now(UTC) - timedelta(minutes=7)}}
        )
        stands = scripts(satchel, "archive").stdout.splitlines()[1]
        assert re.fullmatch(
            SEALED + r", and the rollups stand at .*: a worker has to move them on\.", stands
        ), stands
        satchel.database["rollupstate"].update_one({}, {"$set": {"asOf": datetime.now(UTC)}})
        hour = timedelta(hours=1)  # the seal has been known everywhere for long
        satchel.database["analyticsseals"].update_one(
            {}, {"$set": {"updatedAt": datetime.now(UTC) - hour}}
        )
        done = scripts(satchel, "archive")
        assert (done.returncode, done.stdout) == (
            0,
            "1 days with 1 events archived; 0 events of erased people taken out.\n",
        ), done.stderr
        assert len(list(archive.rglob("*.ndjson.zst"))) == 1
        listed = scripts(satchel, "archive", "list", "notes").stdout
        assert (OLD[:10] in listed, "no" in listed.split()) == (True, True)
        assert satchel.database["analytics"].count_documents({}) == 2
        restored = scripts(satchel, "archive", "restore", "notes", OLD[:10])
        release = f"archive release notes {OLD[:10]} {OLD[:10]}"
        assert (
            restored.stdout
            == "1 events of 1 days restored, 0 left out (there already, or erased).\n"
            f"They stay until: python -m scripts {release}\n"
        ), restored.stderr
        held = scripts(satchel, "archive").stdout.splitlines()
        assert held[0].startswith("0 days with 0 events archived")
        assert held[1:] == [
            "1 restored days stay until they are released (archive list shows which)."
        ]
        assert satchel.database["analytics"].count_documents({}) == 3
        assert "held" in scripts(satchel, "archive", "list", "notes").stdout
        released = scripts(satchel, *release.split())
        assert (
            released.stdout
            == "1 days are held no more: the next archiving takes their events away.\n"
        )
        again = scripts(satchel, *release.split())
        assert (again.returncode, again.stderr) == (
            1,
            f"no day of notes from {OLD[:10]} to {OLD[:10]} is held\n",
        )
        missing = scripts(satchel, "archive", "restore", "notes", "2001-01-01")
        assert (missing.returncode, missing.stderr) == (
            1,
            "notes has no archive of 2001-01-01 to 2001-01-01\n",
        )
        del satchel.environment["SATCHEL_ANALYTICS_ARCHIVE"]
        without = scripts(satchel, "archive")
        assert (without.returncode, "SATCHEL_ANALYTICS_ARCHIVE is not set" in without.stderr) == (
            1,
            True,
        )
        assert "SATCHEL_ANALYTICS_ARCHIVE" not in os.environ
