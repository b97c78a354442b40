"""Whatever comes: a reader that follows changes knows what one knows that looks at everything."""

from hypothesis import given
from hypothesis import strategies as st

from indipyclient.model import kept
from indipyclient.model import model as module
from indipyclient.model.model import Model
from indipydriver.protocol.tags import State, VectorKind

from .site import define, delete, say, update

devices = st.sampled_from(["Mount", "Dome", "CCD"])
names = st.sampled_from(["A", "B", "C"])
kinds = st.sampled_from([VectorKind.NUMBER, VectorKind.TEXT, VectorKind.BLOB])
states = st.sampled_from(list(State))
values = st.integers(0, 9).map(str)
texts = st.none() | st.integers(1, 300).map(lambda count: "m" * count)


def _definition(device, name, kind, state, value, text):
    message = define(device, name, kind, state, M="" if kind is VectorKind.BLOB else value, N="")
    return message._replace(message=text)


def _update(device, name, kind, state, value, text):
    message = update(device, name, kind, state, M=value.encode() if kind is VectorKind.BLOB else value)
    return message._replace(message=text)


messages = st.one_of(
    st.builds(_definition, devices, names, kinds, states, values, texts),
    st.builds(_update, devices, names, kinds, states, values, texts),
    st.builds(delete, devices, st.none() | names, st.none() | st.just("gone")),
    st.builds(say, st.just("hello"), st.none() | devices),
)
links = st.sampled_from(["lost", "made", "sweep"])
LOOK = st.integers(0, 2)  # which reader looks now


class Reader:
    """Knows what it was told, and nothing else."""

    def __init__(self):
        self.rev = 0
        self.known = {}
        self.notes = []

    def look(self, model):
        delta = model.since(self.rev)
        if delta.reset:
            self.known.clear()
            self.notes.clear()
        for grave in delta.deleted:
            for key in list(self.known):
                if key[0] == grave.device and grave.name in (None, key[1]):
                    del self.known[key]
        for prop in delta.properties:
            assert delta.is_new(prop) or prop.key in self.known, "an update of what it has never heard of"
            assert prop.rev > self.rev
            self.known[prop.key] = prop
        self.notes += [note.text for note in delta.notes]
        self.rev = delta.rev
        self.connected = delta.connected


@given(st.lists(st.one_of(messages, links, LOOK), max_size=60), st.sampled_from([2, 1024]))
def test_who_follows_changes_knows_what_a_snapshot_shows(steps, graves):
    before, module.GRAVES = module.GRAVES, graves
    try:
        model = Model()
        model.link_made()
        readers = [Reader() for _ in range(3)]
        for step in steps:
            if isinstance(step, int):
                readers[step].look(model)
            elif step == "lost":
                model.link_lost()
            elif step == "made":
                model.link_made()
            elif step == "sweep":
                model.sweep()
            else:
                model.apply(step)
        truth = {prop.key: prop for device in model.site().devices.values() for prop in device.properties.values()}
        assert truth == {prop.key: prop for prop in model}
        for reader in readers:
            reader.look(model)
            assert reader.known == truth
            assert reader.connected == model.connected
            assert reader.notes == [note.text for note in model.notes()]
    finally:
        module.GRAVES = before


@given(st.lists(messages, max_size=40))
def test_what_a_reader_holds_never_changes_under_it(steps):
    model = Model()
    held = []
    for step in steps:
        model.apply(step)
        site = model.site()
        held.append(
            (site, {p.key: (p.state, p.values, p.rev) for d in site.devices.values() for p in d.properties.values()})
        )
    for site, copy in held:
        assert {p.key: (p.state, p.values, p.rev) for d in site.devices.values() for p in d.properties.values()} == copy


@given(st.lists(messages, max_size=60))
def test_blob_bytes_that_are_counted_are_those_that_are_kept(steps):
    model = Model()
    for step in steps:
        model.apply(step)
    assert model._blobs.bytes == sum(len(m.data) for p in model for m in p.members.values() if m.data is not None)


@given(st.lists(messages, max_size=60), st.sampled_from([2000, 1 << 20]))
def test_texts_that_are_counted_are_those_that_are_kept(steps, most):
    before, kept.TEXT_BYTES = kept.TEXT_BYTES, most
    try:
        model = Model()
        for step in steps:
            model.apply(step)
        notes = sum(kept.EACH + len(note.text) for device in model.site().devices.values() for note in device.notes)
        vectors = sum(kept.held(prop.definition, prop.members.values(), prop.message) for prop in model)
        assert model._texts.bytes == notes + vectors <= most
    finally:
        kept.TEXT_BYTES = before
