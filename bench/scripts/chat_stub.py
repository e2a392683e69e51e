"""An endpoint that speaks OpenAI's chat completions and answers sums after a fixed time: port, seconds."""

import asyncio
import json
import sys


async def serve(port, seconds):
    server = await asyncio.start_server(lambda r, w: talk(r, w, seconds), "127.0.0.1", port)
    async with server:
        await server.serve_forever()


async def talk(reader, writer, seconds):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.partition(b":")[2])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            )
            asked = json.loads(await reader.readexactly(length))
            await asyncio.sleep(seconds)
            body = json.dumps(completion(asked)).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
            )
            writer.write(body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def completion(asked):
    content = asked["messages"][-1]["content"]
    if not isinstance(content, str):
        content = content[0]["text"]
    text = str(sum(map(int, content.split(" + "))))
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": asked["model"],
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    }


asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
