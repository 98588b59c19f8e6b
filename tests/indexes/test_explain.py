"""Every operation of every document is explained: none scans a collection, none sorts documents in
memory."""

import importlib
import inspect
import pkgutil

import models
from indexes import sync
from tests.explain import ALLOWED, offences
from tests.indexes.function_operations import FUNCTIONS
from tests.indexes.operations import OPERATIONS
from tests.indexes.recording import Recorded


def test_every_function_beside_app_data_is_listed() -> None:
    modules = [
        info.name
        for info in pkgutil.iter_modules(models.__path__)
        if info.name.startswith("app_data_")
    ]
    found = {
        f"{name}.{function}"
        for name in modules
        for function, value in vars(importlib.import_module(f"models.{name}")).items()
        if (inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value))
        and value.__module__ == f"models.{name}"
        and not function.startswith("_")
    }
    assert found == FUNCTIONS.keys()


async def test_no_operation_scans_a_collection_or_sorts_in_memory(everything: Recorded) -> None:
    database, recorder = everything
    assert await offences(database, recorder) == []
    assert len(recorder.commands) > len(OPERATIONS)


async def test_every_allowed_offence_still_occurs(everything: Recorded) -> None:
    database, recorder = everything
    assert set(await offences(database, recorder, allowed={})) == ALLOWED.keys()


async def test_lean_indexes_serve_every_operation_as_well(everything: Recorded) -> None:
    database, recorder = everything
    await sync.apply(database, await sync.plan(database, lean=True), prune=True)
    try:
        assert await offences(database, recorder) == []
    finally:
        await sync.apply(database, await sync.plan(database))
