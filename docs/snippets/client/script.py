from indipyclient import SyncClient

with SyncClient("localhost") as client:
    client.wait_property("Camera", "CONNECTION")
    client.press("Camera", "CONNECTION", "CONNECT")
    client.wait_property("Camera", "CCD_EXPOSURE")

    for seconds in (0.1, 0.2):
        outcome = client.set("Camera", "CCD_EXPOSURE", CCD_EXPOSURE_VALUE=seconds)
        print(f"{seconds} s took {outcome.elapsed:.1f} s")

    for name, device in client.devices.items():
        for prop in device.properties.values():
            print(name, prop.name, prop.state, prop.values)
