"""What redis should show of a server, made by a client of its own and the words of the contract alone."""

from indipyclient import Client
from indipydriver.protocol.values import format_number, getfloat


def part(name):
    return name.replace("%", "%25").replace(":", "%3A")


def expected(site, prefix="indi_"):
    """Names of devices, properties and elements, and the fields that do not depend on when they came."""
    found = {f"{prefix}devices": set(site.devices)}
    for device in site.devices.values():
        found[f"{prefix}properties:{part(device.name)}"] = set(device.properties)
        for prop in device.properties.values():
            tail = f"{part(prop.name)}:{part(device.name)}"
            fields = {
                "device": device.name,
                "name": prop.name,
                "state": prop.state.value,
                "perm": prop.perm.value,
                "label": prop.label,
                "group": prop.group or "DEFAULT GROUP",
                "vector": f"{prop.kind}Vector",
                "timeout": prop.timeout or "0",
            }
            if prop.rule:
                fields["rule"] = prop.rule.value
            found[f"{prefix}attributes:{tail}"] = fields
            found[f"{prefix}elements:{tail}"] = set(prop.members)
            for member in prop.members.values():
                one = {"name": member.name, "label": member.label, "timeout": prop.timeout or "0"}
                if prop.kind != "BLOB":
                    one["value"] = member.value
                if prop.kind == "Number":
                    one |= {"format": member.format, "min": member.min, "max": member.max, "step": member.step}
                    one |= {"formatted_number": format_number(member.format, getfloat(member.value))}
                    for field in ("min", "max", "step"):
                        one[f"float_{field}"] = str(getfloat(getattr(member, field)))
                    one["float_number"] = str(getfloat(member.value))
                found[f"{prefix}elementattributes:{part(member.name)}:{tail}"] = one
    return found


def differences(site, held, prefix="indi_"):
    """What redis shows otherwise, or not, or beyond it."""
    wanted = expected(site, prefix)
    beside = {f"{prefix}messages", f"{prefix}link"}
    faults = [f"{key} is missing" for key in wanted.keys() - held.keys()]
    may_be = (f"{prefix}devicemessages:", f"{prefix}getProperties")
    faults += [f"{key} is too much" for key in held.keys() - wanted.keys() - beside if not key.startswith(may_be)]
    for key in wanted.keys() & held.keys():
        want, have = wanted[key], held[key]
        if isinstance(want, set):
            if want != have:
                faults.append(f"{key} is {have}, not {want}")
        else:
            faults += [f"{key}.{f} is {have.get(f)!r}, not {v!r}" for f, v in want.items() if have.get(f) != v]
            if "timestamp" not in have:
                faults.append(f"{key} has no timestamp")
    return faults


def watching(port):
    """A client of the test's own."""
    return Client("127.0.0.1", port)
