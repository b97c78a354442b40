"""The drawing of what a graphical client makes of a device: tabs, properties, lights, and the controls of each rule."""

from html import escape

# State, label, members: kind of control, and its text. The state is the light in front.
PROPERTIES = [
    ("Ok", "Connection", "OneOfMany", [("pushed", "Connect"), ("button", "Disconnect")]),
    ("Busy", "Target, °C", "Number, rw", [("number", "-10.0"), ("field", "-15.0"), ("button", "Set")]),
    ("Ok", "Temperature, °C", "Number, ro", [("number", "-12.4")]),
    ("Idle", "Port", "Text, rw", [("number", "/dev/ttyUSB0"), ("field", "/dev/ttyUSB1"), ("button", "Set")]),
    ("Alert", "Outputs", "AnyOfMany", [("checked", "Heater"), ("box", "Fan")]),
    ("Ok", "Fuses", "Light", [("Ok", "Main"), ("Alert", "Heater")]),
]
COLOURS = {"Idle": "#b9b9b9", "Ok": "#3f9b46", "Busy": "#e3b424", "Alert": "#d33a2f"}
STYLE = """\
<style>
text { font: 13px Helvetica, Arial, sans-serif; fill: #222; }
.small { fill: #666; font-size: 11px; } .dark { fill: #222; } .light { fill: #fff; }
</style>"""
WIDTH, ROW, TOP = 640, 40, 92


def _text(x, y, text, more=""):
    return f'<text x="{x}" y="{y}" {more}>{escape(text)}</text>'


def _light(x, y, state):
    return f'<circle cx="{x}" cy="{y}" r="7" fill="{COLOURS[state]}" stroke="#555"/>'


def _control(x, y, kind, text):
    """One member, and how wide it is."""
    width = 14 + 8 * len(text)
    if kind in COLOURS:
        return _light(x + 8, y, kind) + _text(x + 22, y + 5, text), width + 24
    if kind in ("checked", "box"):
        mark = "✓" if kind == "checked" else ""
        box = f'<rect x="{x}" y="{y - 8}" width="16" height="16" rx="2" fill="#fff" stroke="#777"/>'
        return box + _text(x + 3, y + 5, mark, 'class="dark"') + _text(x + 24, y + 5, text), width + 24
    fill, dark = {"pushed": ("#1d5f8a", "light"), "button": ("#e4e4e4", "dark"), "field": ("#fff", "dark")}.get(
        kind, ("none", "")
    )
    edge = "none" if kind == "number" else "#999"
    box = f'<rect x="{x}" y="{y - 13}" width="{width}" height="26" rx="4" fill="{fill}" stroke="{edge}"/>'
    return box + _text(x + 7, y + 5, text, f'class="{dark}"' if dark else ""), width + 10


def svg():
    """The drawing."""
    height = TOP + ROW * len(PROPERTIES) + 50
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        STYLE,
        f'<rect x="1" y="1" width="{WIDTH - 2}" height="{height - 2}" rx="8" fill="#f7f7f7" stroke="#aaa"/>',
        _text(16, 26, "Dew Heater", 'font-weight="bold"'),
        _text(560, 26, "the device", 'class="small"'),
        '<path d="M1 66 H640" stroke="#aaa" fill="none"/>',
        '<rect x="16" y="40" width="104" height="26" fill="#fff" stroke="#aaa"/>',
        _text(28, 58, "Main Control"),
        '<rect x="124" y="40" width="76" height="26" fill="#eee" stroke="#aaa"/>',
        _text(136, 58, "Options"),
        _text(536, 58, "groups are tabs", 'class="small"'),
    ]
    for number, (state, label, what, members) in enumerate(PROPERTIES):
        y = TOP + ROW * number + 8
        out += [_light(26, y, state), _text(42, y + 5, label), _text(560, y + 4, what, 'class="small"')]
        x = 170
        for kind, text in members:
            drawn, width = _control(x, y, kind, text)
            out.append(drawn)
            x += width
    y = TOP + ROW * len(PROPERTIES)
    out += [
        f'<path d="M1 {y} H640" stroke="#aaa" fill="none"/>',
        _text(16, y + 28, "Outputs: refused: the supply is below 11 V"),
        _text(536, y + 28, "a message", 'class="small"'),
    ]
    return "\n".join([*out, "</svg>"]) + "\n"
