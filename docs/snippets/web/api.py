"""Turn a filter wheel over the web server's API, wait until it is there, and say where it is."""

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


wheel = f"{quote('Filter Simulator', safe='')}/FILTER_SLOT"
print(ask(wheel, {"members": {"FILTER_SLOT_VALUE": 3}, "wait": 60})["text"])
print(ask(wheel)["members"]["FILTER_SLOT_VALUE"]["formattedvalue"])
