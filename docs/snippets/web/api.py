"""Cool a camera over the web server's API, and wait until it is cold."""

import json
import sys
import urllib.request
from urllib.parse import quote

BASE, TOKEN = sys.argv[1:3]  # http://localhost:8000 indi_...


def ask(path, body=None):
    request = urllib.request.Request(f"{BASE}/api/{path}", headers={"Authorization": f"Bearer {TOKEN}"})
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=90) as answer:
        return json.load(answer)


cooler = f"{quote('CCD Simulator', safe='')}/CCD_TEMPERATURE"
print(ask(cooler, {"members": {"CCD_TEMPERATURE_VALUE": -10}, "wait": 60})["text"])
print(ask(cooler)["members"]["CCD_TEMPERATURE_VALUE"]["formattedvalue"])
