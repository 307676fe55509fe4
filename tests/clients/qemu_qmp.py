"""The management of the test in qemu_qmp.rs: a client made with QEMU's own library.

Takes the path of the monitor's socket. Says "write" on its standard output when
the guest is to write more than fits, and "resumed" when the write is to succeed.
Ends the VM once its standard input has ended.
"""

import asyncio
import contextlib
import sys

from qemu.qmp import ExecuteError, QMPClient

THIN = "/exports/thin"


async def expect_event(qmp, name, **expected):
    """The next event is this one, and its data has these members."""
    event = await qmp.events.get()
    assert event["event"] == name, event
    assert event["timestamp"]["seconds"] > 0, event
    data = event.get("data", {})
    assert expected.items() <= data.items(), (event, expected)


async def expect_error(qmp, error_class, command, arguments=None):
    """The command is refused with this class."""
    try:
        answer = await qmp.execute(command, arguments)
    except ExecuteError as refused:
        assert refused.error_class == error_class, refused
    else:
        raise AssertionError(answer)


async def manage(path):
    """Watches the disk fill up, adds space, resumes the VM, and ends it."""
    qmp = QMPClient("management")
    await qmp.connect(path)
    assert qmp.greeting.QMP.version["qemu"]["major"] == 10, qmp.greeting

    version = await qmp.execute("query-version")
    assert version["package"].startswith("whystop"), version
    commands = {command["name"] for command in await qmp.execute("query-commands")}
    assert {"query-stop-reason", "cont", "blockdev-reopen"} <= commands, commands
    assert await qmp.execute("query-status") == {"running": True, "status": "running"}
    await expect_error(qmp, "CommandNotFound", "nonsense")
    await expect_error(qmp, "GenericError", "blockdev-del", {"node-name": "nonsense"})

    await qmp.execute("stop")
    await expect_event(qmp, "STOP", **{"reason": "user", "stop-id": 1})
    await qmp.execute("cont")
    await expect_event(qmp, "RESUME")

    print("write", flush=True)
    await expect_event(
        qmp,
        "BLOCK_IO_ERROR",
        **{"qom-path": THIN, "action": "stop", "nospace": True, "reason": "enospc"},
    )
    await expect_event(qmp, "STOP", **{"reason": "ioerror", "stop-id": 2})
    why = await qmp.execute("query-stop-reason")
    assert why["reason"] == "ioerror", why
    (error,) = why["last-stop"]["io-errors"]
    assert (error["qom-path"], error["held"]) == (THIN, 1), why

    more = {"driver": "quota", "node-name": "thin", "limit": 4 << 20, "file": "disk"}
    await qmp.execute("blockdev-reopen", {"options": [more]})
    await qmp.execute("cont")
    await expect_event(qmp, "RESUME")
    print("resumed", flush=True)
    await asyncio.to_thread(sys.stdin.read)

    await qmp.execute("quit")
    await expect_event(qmp, "SHUTDOWN", **{"guest": False, "reason": "host-qmp-quit"})
    # The daemon may close the connection first, which the library reports here.
    with contextlib.suppress(EOFError):
        await qmp.disconnect()


asyncio.run(asyncio.wait_for(manage(sys.argv[1]), 60))
