"""A controller in a process of its own: a real Modbus/TCP or OPC UA server with a small program behind it.

The program counts parts, and notes each value that is written to it, with the time. It is told what to do by lines of
JSON on its standard input, and answers each with a line: ``{"parts": n, "every_s": s, "seed": k}`` lets parts come,
``{"report": true}`` gives everything since the last report, ``{"counter": n}``, ``{"bit": b}`` and so on set a value,
``{"belt": v}`` lets the encoder go on by v counts a second, ``{"takes": how}`` says what is done with an answer: it is
taken ``at once``, ``never``, or taken and not let go (``stuck``). ``{"reset": true}`` sets all back.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import subprocess
import sys
import time
from typing import Any

POINTS = {
    "modbus": {
        "counter": "register 10",
        "bit": "input 3",
        "reject": "coil 4",
        "ready": "coil 5",
        "alarm": "coil 6",
        "code": "holding 20",
        "number": "holding 21",
        "heartbeat": "holding 22",
        "encoder": "register 11",
        "wanted": "holding 30",
        "product": "holding 31",
        "busy": "coil 7",
        "valid": "coil 8",
        "taken": "input 4",
        "eject": "coil 9",
    },
}
POINTS["opcua"] = {name: f"ns=2;s={name}" for name in POINTS["modbus"]}
BITS = ("bit", "reject", "ready", "alarm", "busy", "valid", "taken", "eject")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Controller:
    """The tests' side."""

    def __init__(self, kind: str, port: int | None = None) -> None:
        self.kind, self.port = kind, port or free_port()
        self.points = POINTS[kind]
        self.start()

    @property
    def place(self) -> dict[str, Any]:
        """As the settings have it."""
        if self.kind == "modbus":
            return {"modbus": {"host": "127.0.0.1", "port": self.port}}
        return {"opcua": {"url": f"opc.tcp://127.0.0.1:{self.port}"}}

    def start(self, counter: int = 0) -> None:
        told = [sys.executable, __file__, self.kind, str(self.port), str(counter)]
        self.process = subprocess.Popen(told, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._line() == {"serving": True}

    def ask(self, **command: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return self._line()

    def report(self) -> dict[str, Any]:
        """``values`` now, ``writes`` as [ns, point, value], ``parts`` as [ns, count], since the last report."""
        return self.ask(report=True)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def close(self) -> None:
        self.kill()

    def _line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the controller ended"
        found: dict[str, Any] = json.loads(line)
        return found


class Program:
    """What runs in the controller."""

    def __init__(self) -> None:
        self.values = dict.fromkeys(POINTS["modbus"], 0)
        self.writes: list[tuple[int, str, int]] = []
        self.parts: list[tuple[int, int]] = []
        self.places: dict[int, int] = {}
        self.ejected: list[int] = []
        self.takes = "at once"
        self.belt = 0.0

    def written(self, point: str, value: int) -> None:
        self.values[point] = value
        self.writes.append((time.monotonic_ns(), point, value))
        if point == "eject" and value:
            self.ejected.append(self.values["encoder"])
        if point == "valid" and (value or self.takes != "stuck") and self.takes != "never":
            asyncio.get_running_loop().create_task(self.set("taken", value))

    async def run_belt(self) -> None:
        """The encoder goes on, in steps of a millisecond."""
        way, before = 0.0, time.monotonic()
        while True:
            await asyncio.sleep(0.001)
            now = time.monotonic()
            way, before = way + self.belt * (now - before), now
            if int(way):
                await self.set("encoder", (self.values["encoder"] + int(way)) & 0xFFFF)
                way -= int(way)

    async def set(self, point: str, value: int) -> None:
        self.values[point] = value

    async def come(self, parts: int, every_s: float, seed: int = 0) -> None:
        """Parts, one about every so often: half to one and a half times that."""
        rng = random.Random(seed)
        due = time.monotonic()
        for _ in range(parts):
            self.parts.append((time.monotonic_ns(), (self.values["counter"] + 1) & 0xFFFF))
            self.places[(self.values["counter"] + 1) & 0xFFFF] = self.values["encoder"]
            await self.set("counter", (self.values["counter"] + 1) & 0xFFFF)
            due = max(due + every_s * rng.uniform(0.5, 1.5), time.monotonic())
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        if "report" in command:
            found = {"values": dict(self.values), "writes": self.writes, "parts": self.parts}
            found |= {"places": self.places, "ejected": self.ejected}
            self.writes, self.parts, self.ejected = [], [], []
            return found
        if "parts" in command:
            await self.come(**command)
        if "reset" in command:
            self.writes, self.parts, self.places, self.ejected = [], [], {}, []
            self.takes, self.belt = "at once", 0.0
            for point in self.values:
                await self.set(point, 0)
        self.takes, self.belt = command.get("takes", self.takes), command.get("belt", self.belt)
        for point in ("counter", "bit", "encoder", "wanted", "taken"):
            if point in command:
                await self.set(point, command[point])
        return {"done": True}


async def serve_modbus(program: Program, port: int) -> None:
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    names = {text: name for name, text in POINTS["modbus"].items()}
    area = {1: "coil", 2: "input", 3: "holding", 4: "register", 5: "coil", 6: "holding", 15: "coil", 16: "holding"}

    async def action(code: int, first: int, address: int, count: int, now: list[int], given: Any) -> None:
        for offset in range(count):
            name = names.get(f"{area[code]} {address + offset}")
            if name is None:
                continue
            if given is None and code in (3, 4):
                now[address + offset - first] = program.values[name]
            elif given is not None:
                program.written(name, int(given[offset]))

    bits = [SimData(address=0, count=64, values=False, datatype=DataType.BITS)]
    numbers = [SimData(address=0, count=64, values=0, datatype=DataType.REGISTERS)]
    device = SimDevice(0, simdata=(bits, bits, numbers, numbers), action=action)
    server = ModbusTcpServer(device, address=("127.0.0.1", port))
    server_set = program.set

    async def set_bit(point: str, value: int) -> None:
        await server_set(point, value)
        if point in ("bit", "taken"):
            await server.async_setValues(1, 2, {"bit": 3, "taken": 4}[point], [bool(value)])

    program.set = set_bit  # type: ignore[method-assign]
    await server.serve_forever(background=True)


async def serve_opcua(program: Program, port: int) -> None:
    from asyncua import Server, ua

    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    nodes = {}
    for name in program.values:
        kind = ua.VariantType.Boolean if name in BITS else ua.VariantType.UInt16
        node = await server.nodes.objects.add_variable(
            ua.NodeId(name, 2), ua.QualifiedName(name, 2), False if name in BITS else program.values[name], kind
        )
        await node.set_writable()
        nodes[name] = (node, kind)
    await server.nodes.objects.add_variable(ua.NodeId("text", 2), ua.QualifiedName("text", 2), "words")
    served = {node.nodeid: name for name, (node, _) in nodes.items()}
    space = server.iserver.aspace
    plain = space.write_attribute_value

    async def write(nodeid: Any, attribute: Any, value: Any, *more: Any, **named: Any) -> Any:
        if nodeid in served and attribute == ua.AttributeIds.Value and not program.__dict__.get("own"):
            program.written(served[nodeid], int(value.Value.Value))
        return await plain(nodeid, attribute, value, *more, **named)

    space.write_attribute_value = write

    async def set_node(point: str, value: int) -> None:
        program.values[point] = value
        node, kind = nodes[point]
        program.__dict__["own"] = True
        try:
            await node.write_value(bool(value) if point in BITS else value, kind)
        finally:
            program.__dict__["own"] = False

    program.set = set_node  # type: ignore[method-assign]
    await server.start()


def answer(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


async def main(kind: str, port: int, counter: int) -> None:
    program = Program()
    program.values["counter"] = counter
    await {"modbus": serve_modbus, "opcua": serve_opcua}[kind](program, port)
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    belt = asyncio.create_task(program.run_belt())
    answer({"serving": True})
    while line := await reader.readline():
        answer(await program.obey(json.loads(line)))
    belt.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
