"""The echo server's HTTP/2: requests, and gRPC calls whose messages are any bytes.

    /linnet.Echo/Ticks   the message is a number of seconds; a message comes whenever they are over
    /linnet.Echo/Chat    every message comes back as it comes
    any other path       one message, which comes back

A server that ends says GOAWAY, ends long calls with status 0, and closes when all calls are over.
"""

import asyncio

from linnet.local.workloads.answers import Answers
from linnet.local.workloads.call import Call
from linnet.local.workloads.channel import CHAT, TICKS
from linnet.local.workloads.frames import Messages, message
from linnet.local.workloads.http1 import POD_HEADER, VERSION_HEADER, Failed
from linnet.local.workloads.http2 import Http2

_OK = (("grpc-status", "0"),)
_HALF_CLOSE = 0.5  # seconds in which who saw our GOAWAY may half-close, before the status ends its call


async def serve(
    answers: Answers, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, begun: bytes
) -> None:
    """Serve one connection, whose client's preface was read, until it ends."""

    async def answer(call: Call) -> None:
        if call.headers.get("content-type", "").startswith("application/grpc"):
            await _grpc(answers, call)
        else:
            await _request(answers, call)

    connection = Http2(reader, writer, answer)
    ending = asyncio.get_running_loop().create_task(_end(answers, connection))
    try:
        await connection.run(begun)
    finally:
        ending.cancel()


async def _end(answers: Answers, connection: Http2) -> None:
    """Once the server ends: warn, wait for the calls, close."""
    await answers.ending.wait()
    connection.warn()
    await connection.ping()  # calls that were begun before the warning was read are here now
    while connection.busy:
        await connection.finished.wait()
    connection.close()


async def _request(answers: Answers, call: Call) -> None:
    body = await call.read_all()
    method, path = call.headers.get(":method", ""), call.headers.get(":path", "/")
    status, content = await answers.answer(method, path, call.headers, len(body))
    headers = [
        (":status", str(status)),
        ("content-type", "application/json"),
        ("content-length", str(len(content))),
        *_who(answers),
    ]
    call.send_headers(headers, end=method == "HEAD")
    if method != "HEAD":
        await call.send(content, end=True)


async def _grpc(answers: Answers, call: Call) -> None:
    call.send_headers([(":status", "200"), ("content-type", "application/grpc"), *_who(answers)])
    match call.headers.get(":path"):
        case path if path == TICKS:
            await _ticks(answers, call)
        case path if path == CHAT:
            await _chat(answers, call)
        case _:
            answers.requests += 1
            for content in Messages().feed(await call.read_all()):
                await call.send(message(content))
    call.send_headers(_OK, end=True)


async def _ticks(answers: Answers, call: Call) -> None:
    try:
        every = float(b"".join(Messages().feed(await call.read_all())))
    except ValueError as error:
        raise Failed("malformed", str(error)) from error
    number = 0
    while True:
        try:
            async with asyncio.timeout(every):
                await answers.ending.wait()
            return
        except TimeoutError:
            number += 1
            await call.send(message(b"%d" % number))


async def _chat(answers: Answers, call: Call) -> None:
    loop = asyncio.get_running_loop()
    messages = Messages()

    async def end() -> None:
        await answers.ending.wait()
        await asyncio.sleep(_HALF_CLOSE)

    ending = loop.create_task(end())
    try:
        while not ending.done():
            reading = loop.create_task(call.read())
            await asyncio.wait({reading, ending}, return_when="FIRST_COMPLETED")
            if not reading.done():
                reading.cancel()
                return
            data = await reading
            if not data:
                return
            for content in messages.feed(data):
                await call.send(message(content))
    finally:
        ending.cancel()


def _who(answers: Answers) -> tuple[tuple[str, str], ...]:
    return (POD_HEADER, answers.pod), (VERSION_HEADER, answers.version)
