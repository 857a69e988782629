"""The proxy that tests break connections with, between a client and a server that echoes lines."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import anyio
import pytest

from undercroft.testing.fault_proxy import FaultProxy

pytestmark = pytest.mark.anyio

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """Answers each line with `+<line>`, and remembers them all."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                self.lines.append(line)
                writer.write(b"+" + line)
        writer.close()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def port(echo: Echo) -> AsyncIterator[int]:
    async with await asyncio.start_server(echo.serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
async def proxy(port: int) -> AsyncIterator[FaultProxy]:
    async with FaultProxy("127.0.0.1", port) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
async def clients() -> AsyncIterator[list[Client]]:
    yield _clients
    for _, writer in _clients:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    _clients.clear()


_clients: list[Client] = []


async def connect(proxy: FaultProxy) -> Client:
    client = await asyncio.open_connection(proxy.host, proxy.port, limit=2**22)
    _clients.append(client)
    return client


async def ask(client: Client, line: bytes = b"hi\n") -> bytes:
    reader, writer = client
    writer.write(line)
    with anyio.fail_after(2):
        return await reader.readuntil(b"\n")


async def test_bytes_pass_both_ways(proxy: FaultProxy) -> None:
    one, two = await connect(proxy), await connect(proxy)

    assert [await ask(one, b"one\n"), await ask(two, b"two\n")] == [b"+one\n", b"+two\n"]
    assert (proxy.counts.accepted, proxy.counts.open, proxy.counts.cut) == (2, 2, 0)


async def test_a_megabyte_passes_whole(proxy: FaultProxy, echo: Echo) -> None:
    reader, writer = await connect(proxy)
    lines = [b"%06d" % number + b"x" * 1000 + b"\n" for number in range(1000)]
    writer.writelines(lines)
    with anyio.fail_after(5):
        assert [await reader.readline() for _ in lines] == [b"+" + line for line in lines]


async def test_url_fills_in_where_it_listens(proxy: FaultProxy) -> None:
    assert proxy.url("redis://u:{p}@{host}:{port}/0") == f"redis://u:{{p}}@127.0.0.1:{proxy.port}/0"


async def test_client_that_leaves_takes_the_servers_connection_with_it(proxy: FaultProxy) -> None:
    client = await connect(proxy)
    await ask(client)
    client[1].close()

    await until_open(proxy, 0)


async def test_refuse_refuses_new_connections_and_keeps_the_open_ones(proxy: FaultProxy) -> None:
    client = await connect(proxy)
    await ask(client)
    await proxy.refuse()

    with pytest.raises(ConnectionRefusedError):
        await connect(proxy)
    assert await ask(client) == b"+hi\n"


async def test_refused_port_listens_again_after_heal(proxy: FaultProxy) -> None:
    port = proxy.port
    for _ in range(3):
        await proxy.refuse()
        proxy.heal()

        assert await ask(await connect(proxy)) == b"+hi\n"
    assert proxy.port == port


async def test_cut_resets_what_is_open_and_takes_new_connections(proxy: FaultProxy) -> None:
    client = await connect(proxy)
    await ask(client)

    proxy.cut()

    with pytest.raises(ConnectionResetError):
        await ask(client)
    assert await ask(await connect(proxy)) == b"+hi\n"
    assert proxy.counts.cut == 1


async def test_cut_mid_reply_lets_exactly_so_many_bytes_pass_once(proxy: FaultProxy) -> None:
    client = await connect(proxy)
    await ask(client)
    proxy.cut_mid_reply(after_bytes=4)

    client[1].write(b"abcdefgh\n")

    assert await client[0].readexactly(4) == b"+abc"
    with pytest.raises(ConnectionError):
        await client[0].readexactly(1)
    assert await ask(await connect(proxy)) == b"+hi\n"


async def test_cut_replies_cuts_every_reply_in_its_middle_until_healed(proxy: FaultProxy, echo: Echo) -> None:
    old = await connect(proxy)
    await ask(old)
    proxy.cut_replies()

    for client in (old, await connect(proxy), await connect(proxy)):
        client[1].write(b"abcdefg\n")
        assert await client[0].readexactly(4) == b"+abc"
        with pytest.raises(ConnectionError):
            await client[0].readexactly(1)
    proxy.heal()

    assert await ask(await connect(proxy)) == b"+hi\n"
    assert echo.lines == [b"hi\n", *[b"abcdefg\n"] * 3, b"hi\n"]
    assert proxy.counts.cut == 3


async def test_lost_reply_reaches_the_server_and_never_the_client(proxy: FaultProxy, echo: Echo) -> None:
    client, other = await connect(proxy), await connect(proxy)
    proxy.lose_reply(to=b"INCR")

    assert await ask(other, b"GET\n") == b"+GET\n"
    with pytest.raises(ConnectionResetError):
        await ask(client, b"INCR\n")

    assert echo.lines == [b"GET\n", b"INCR\n"]
    assert await ask(other, b"INCR\n") == b"+INCR\n"


async def test_stalled_bytes_come_late_and_only_after_heal(proxy: FaultProxy, echo: Echo) -> None:
    old = await connect(proxy)
    await ask(old)
    proxy.stall()
    new = await connect(proxy)
    old[1].write(b"old\n")
    new[1].write(b"new\n")

    with anyio.move_on_after(0.1) as waited:
        await old[0].readline()
    assert waited.cancelled_caught
    assert echo.lines == [b"hi\n"]
    proxy.heal()
    with anyio.fail_after(2):
        assert [await old[0].readline(), await new[0].readline()] == [b"+old\n", b"+new\n"]


async def test_stalled_connections_can_be_cut_too(proxy: FaultProxy) -> None:
    client = await connect(proxy)
    await ask(client)
    proxy.stall()
    proxy.cut()

    with pytest.raises(ConnectionResetError):
        await ask(client)
    assert (proxy.counts.open, proxy.counts.cut) == (0, 1)
    proxy.heal()
    assert await ask(await connect(proxy)) == b"+hi\n"


async def test_delay_holds_each_reply(proxy: FaultProxy) -> None:
    client = await connect(proxy)
    proxy.delay(0.1)
    start = time.monotonic()

    await ask(client)

    assert 0.1 <= time.monotonic() - start < 1


async def test_missing_server_looks_like_a_cut() -> None:
    async with FaultProxy("127.0.0.1", 1) as proxy:
        reader, _ = await connect(proxy)
        with anyio.fail_after(2):
            assert await reader.read(1) == b""


async def test_leaving_the_block_resets_what_is_open_and_leaves_no_task(port: int) -> None:
    async with FaultProxy("127.0.0.1", port) as proxy:
        clients = [await connect(proxy) for _ in range(5)]
        await ask(clients[0])
        proxy.stall()

    for reader, _ in clients:
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("fault proxy")] == []


async def until_open(proxy: FaultProxy, count: int) -> None:
    with anyio.fail_after(2):
        while proxy.counts.open != count:
            await anyio.sleep(0.01)
