"""What users write with the client library: clean under strict type checkers."""

import asyncio

import indipyclient as ipc
from indipyclient import BlobMode, Client, ClientError, Confirm, Lost, ReceivedBlob, Refused, State, SyncClient


class MyClient(ipc.IPyClient):
    async def rxevent(self, event: object) -> None:
        match event:
            case ipc.setNumberVector(vectorname="TARGET"):
                print(event["TARGET"], event.state, event.timestamp.isoformat())
            case ipc.ConnectionLost():
                self.shutdown()
            case _:
                pass


def saved(blob: ReceivedBlob, path: object) -> None:
    print(blob.member, len(blob.data), path)


async def main() -> None:
    async with Client("localhost", 7624, blobs=BlobMode.NEVER, history=600) as client:
        device = await client.wait_device("Mount", connected=True, timeout=20)
        print(device.name, device["CONNECTION"].state is State.OK)
        prop = await client.wait_property("Mount", "EQ", state="Ok", where=lambda p: p["RA"].number > 5)
        print(prop["RA"].shown, prop["RA"].number + 1, prop.label.upper())
        try:
            outcome = await client.set("Mount", "EQ", {"RA": 5.5}, DEC="-5:30", confirm=Confirm.VALUES)
        except Refused as error:
            print(error.message, error.last.state if error.last else None)
        except ClientError as error:
            print(error.sent)
        else:
            print(outcome.confirmed, outcome.prop.values["RA"])
        async for delta in client.changes("Mount", interval=0.2):
            for each in delta.properties:
                print(each.name, delta.passed(each), delta.is_stale(each))
            break
        async with client.blobs("CCD", member="CCD1") as stream:
            async for blob in stream:
                print(blob.count if isinstance(blob, Lost) else blob.write_to("images"))
                break
        async for change in client.tap(limit=10, overflow="drop oldest"):
            if not isinstance(change, Lost):
                print(change.rev, change.prop)
            break
        await client.save_blobs("images", "CCD", saved=saved, count=1)
        print([point.max for point in client.history("Mount", "EQ", "RA")])
    await MyClient("localhost").asyncrun()


def script() -> None:
    with SyncClient("localhost", timeout=5) as client:
        print(client.need("Mount", "EQ")["RA"].number)
        for delta in client.changes(timeout=1.0):
            print(delta.rev)


if __name__ == "__main__":
    asyncio.run(main())
