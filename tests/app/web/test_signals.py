"""What a stream is woken by."""

import asyncio

from app.web.streams.signals import Wake


async def woken(wake: Wake) -> bool:
    """Whether it lets whoever waits go on within a turn of the loop or two."""
    waiting = asyncio.ensure_future(wake.wait())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return waiting.done()


async def test_it_is_an_event_for_one() -> None:
    wake = Wake()
    assert not await woken(wake)
    wake.set()
    assert wake.is_set() and await woken(wake) and await woken(wake)
    wake.clear()
    assert not wake.is_set() and not await woken(wake)


async def test_who_waits_is_woken_by_both_and_only_one_of_them_lasts() -> None:
    wake = Wake()
    for signal, lasts in ((wake.nudge, False), (wake.set, True)):
        waiting = asyncio.ensure_future(wake.wait())
        signal()
        signal()
        await waiting
        assert (wake.is_set(), await woken(wake)) == (lasts, lasts)


async def test_who_has_gone_is_not_woken() -> None:
    wake = Wake()
    wake.wait().cancel()
    wake.set()
    assert await woken(wake)
