"use strict";
/* Keeps a page alive: one stream, values in place, commands without leaving the page. Pages work without it. */
(() => {
  const body = document.body, root = document.documentElement;
  const base = body.dataset.base, site = body.dataset.site;
  const $ = (id) => document.getElementById(id);
  const MARKS = { Idle: "○", Ok: "●", Busy: "◐", Alert: "▲" };
  root.classList.add("has-script");

  const url = (path, query) => base + path + "?" + new URLSearchParams({ s: site, ...query });
  const make = (name, cls, text) => {
    const found = document.createElement(name);
    if (cls) found.className = cls;
    if (text !== undefined) found.textContent = text;
    return found;
  };
  let sayTimer = 0;
  const say = (text) => { // for those who listen instead of looking
    clearTimeout(sayTimer);
    sayTimer = setTimeout(() => { $("say").textContent = text; }, 100);
  };
  const setText = (node, text) => { if (node && node.textContent !== text) node.textContent = text; };
  const within = (ms) => AbortSignal.timeout ? AbortSignal.timeout(ms) : undefined;
  let ticked = [performance.now(), Date.now()], slept = 0;
  const clock = () => { // while a phone sleeps performance.now() may stand still
    const ticks = [performance.now(), Date.now()], more = ticks[1] - ticked[1] - (ticks[0] - ticked[0]);
    ticked = ticks;
    if (more > 2000) slept += more;
    return ticks[0] + slept;
  };

  /* Theme */
  const theme = $("theme");
  if (theme) theme.addEventListener("change", () => {
    if (theme.value === "auto") delete root.dataset.theme; else root.dataset.theme = theme.value;
    fetch(base + "/theme", { method: "POST", body: new URLSearchParams({ theme: theme.value }), headers: { Accept: "application/json" }, redirect: "manual", keepalive: true });
  });

  /* States, devices and alerts */
  const setState = (node, word) => {
    if (!node) return;
    const mark = node.querySelector(".mark") || node;
    setText(mark, MARKS[word] || "○");
    setText(node.querySelector(".word"), word);
    const cls = (node.classList.contains("mark") ? "mark s-" : "state s-") + word;
    if (node.className !== cls) node.className = cls;
  };
  const deviceLink = (name) => url("/device", { d: name });

  function showDevice(name, facts) {
    let known = false;
    for (const node of document.querySelectorAll("[data-device]")) {
      if (node === body || node.dataset.device !== name) continue;
      known = true;
      if (!facts) { node.remove(); continue; }
      const state = node.querySelector(".state"), mark = node.querySelector("a > .mark");
      if (state) setState(state, facts.s);
      if (mark) { setState(mark, facts.s); setText(mark.parentNode.querySelector(".word"), facts.s); }
      setText(node.querySelector(".conn"), facts.c === null ? "" : facts.c ? "connected" : "not connected");
      setText(node.querySelector(".count"), facts.n + (facts.n === 1 ? " property" : " properties"));
      if (facts.note) setText(node.querySelector(".note"), facts.at + " " + facts.note);
    }
    if (!known && facts) {
      const cards = $("cards"), side = $("side");
      if (cards && cards.dataset.whole === "1" && cards.children.length < 100) {
        for (const empty of cards.querySelectorAll(".empty")) empty.remove();
        const card = make("li", "card"), head = make("h2"), link = make("a", "", name), line = make("p");
        card.dataset.device = name; link.href = deviceLink(name); head.append(link);
        const state = make("span", "state"); state.append(make("span", "mark"), " ", make("span", "word"));
        state.firstChild.setAttribute("aria-hidden", "true");
        line.append(state, make("span", "conn"), make("span", "count"));
        card.append(head, line, make("p", "note")); cards.append(card);
      }
      if (side && side.children.length < 40) {
        const item = make("li"), link = make("a"), mark = make("span", "mark");
        item.dataset.device = name; link.href = deviceLink(name); mark.setAttribute("aria-hidden", "true");
        link.append(mark, " " + name + " ", make("span", "word")); item.append(link); side.append(item);
      }
      if (!known && (cards || side)) showDeviceOnce(name, facts);
    }
    if (name === body.dataset.device) showGroups(facts);
  }
  function showDeviceOnce(name, facts) {
    if ([...document.querySelectorAll("[data-device]")].some((n) => n !== body && n.dataset.device === name)) showDevice(name, facts);
  }
  function showGroups(facts) {
    const groups = $("groups");
    if (!groups) return;
    setText(document.querySelector("h1 .conn"), !facts ? "is gone" : facts.c === null ? "" : facts.c ? "connected" : "not connected");
    const wanted = new Map(facts ? facts.g : []);
    for (const tab of groups.querySelectorAll("a")) {
      const state = wanted.get(tab.dataset.group);
      if (state === undefined) { if (tab.dataset.group !== body.dataset.group) tab.remove(); continue; }
      setState(tab.querySelector(".mark"), state);
      setText(tab.querySelector(".word"), state);
      wanted.delete(tab.dataset.group);
    }
    for (const [name, state] of wanted) {
      const tab = make("a"), mark = make("span", "mark");
      tab.href = url("/device", { d: body.dataset.device, g: name }); tab.dataset.group = name;
      mark.setAttribute("aria-hidden", "true"); tab.append(mark, " " + name + " ", make("span", "word unseen", state)); setState(mark, state);
      groups.append(tab);
    }
  }

  const seenKey = "indipyweb-seen " + site + " " + (body.dataset.live || "").split(".")[0];
  let seen = 0, alertNow = 0;
  try { seen = Number(sessionStorage.getItem(seenKey) || 0); } catch (e) { /* private windows */ }
  const hideSeen = () => {
    const box = $("alerts");
    if (!box) return;
    let left = 0;
    for (const item of box.querySelectorAll("li")) {
      alertNow = Math.max(alertNow, Number(item.dataset.n));
      item.hidden = Number(item.dataset.n) <= seen;
      if (!item.hidden) left += 1;
    }
    box.hidden = left === 0;
  };
  function showAlerts(alerts, quiet) {
    const box = $("alerts");
    if (!box) return;
    const before = alertNow, list = box.querySelector("ul");
    list.textContent = ""; // and not replaceChildren(), which tablets of before 2021 have not
    list.append(...alerts.map((a) => {
      const item = make("li", a.over ? "over" : ""), link = make("a", "", a.d), mark = make("span", "mark", "▲");
      item.dataset.n = a.n; link.href = deviceLink(a.d); mark.setAttribute("aria-hidden", "true");
      item.append(mark, " ", link, ": " + a.l + (a.text ? ": " + a.text : "") + " ", make("small", "", (a.over ? "was in Alert at " : "Alert since ") + a.t));
      return item;
    }));
    hideSeen();
    const fresh = alerts.filter((a) => a.n > before);
    if (fresh.length && !quiet) say("Alert: " + fresh[0].d + ", " + fresh[0].l + (fresh[0].text ? ", " + fresh[0].text : ""));
    document.title = document.title.replace(/^▲ /, "");
    if (!box.hidden) document.title = "▲ " + document.title;
  }
  if ($("seen")) $("seen").addEventListener("click", () => {
    seen = alertNow;
    try { sessionStorage.setItem(seenKey, seen); } catch (e) { /* as above */ }
    hideSeen();
    document.title = document.title.replace(/^▲ /, "");
  });
  hideSeen();

  /* Properties */
  const born = new WeakMap(); // when a property last changed, in this clock
  const prime = (scope) => { for (const p of scope.querySelectorAll(".prop")) born.set(p, clock() - 1000 * Number(p.dataset.age)); };
  prime(document);
  const span = (s) => s < 60 ? Math.floor(s) + " s" : s < 3600 ? Math.floor(s / 60) + " min" : s < 86400 ? Math.floor(s / 3600) + " h" : Math.floor(s / 86400) + " d";
  const showAges = () => {
    const now = clock();
    for (const p of document.querySelectorAll(".prop")) {
      const age = (now - (born.get(p) || now)) / 1000;
      setText(p.querySelector(".age"), age < 2 ? "just now" : span(age) + " ago");
    }
  };
  showAges();
  setInterval(() => { if (!document.hidden) showAges(); }, 1000);

  const missing = new Map(), asked = new Map(); // parts that are on their way, and what was said of them meanwhile
  let fetching = 0, buried = []; // what was deleted while parts were on their way
  const fetchSoon = (ms) => { if (!fetching) fetching = setTimeout(fetchParts, ms); };
  const namesOf = (form) => [form.elements.d.value, form.elements.p.value];
  const isOf = (node, [device, name]) => {
    const own = namesOf(node.querySelector("form.set"));
    return own[0] === device && (name === null || own[1] === name);
  };
  function showAbsent() { // on the overview
    const box = $("absent");
    if (!box) return;
    const here = new Set([...document.querySelectorAll("form.set")].map((form) => JSON.stringify(namesOf(form))));
    const items = [...box.querySelectorAll("li")];
    for (const item of items) item.hidden = here.has(JSON.stringify(namesOf(item.querySelector("form"))));
    box.hidden = items.every((item) => item.hidden);
  }
  function fetchParts() { // one request at a time, as a later answer may come first
    const ids = [...missing.keys()].slice(0, 60);
    fetching = 0;
    if (!ids.length) return;
    fetching = -1; buried = [];
    let pause = 100;
    for (const id of ids) { missing.delete(id); asked.set(id, null); }
    fetch(url("/part", { ids: ids.join(","), board: body.dataset.board || "", g: body.dataset.group || "", epoch: body.dataset.live.split(".")[0] }), { headers: { "X-Refresh": "1" }, signal: within(20000) }).then((r) => { if (!r.ok) throw new Error(r.status); return r.text(); }).then((text) => {
      const found = new DOMParser().parseFromString(text, "text/html"), box = $("props"), said = [...asked];
      if (!box) return;
      prime(found);
      asked.clear();
      const left = found.querySelector("[data-left]"); // too many to be drawn together
      for (const id of left ? left.dataset.left.split(",") : []) missing.set(id, true);
      for (const fresh of [...found.querySelectorAll(".prop")]) {
        if (buried.some((gone) => isOf(fresh, gone))) continue;
        const old = $(fresh.id);
        const when = born.get(fresh);
        const node = document.adoptNode(fresh);
        if (old) {
          keepEdits(old, node);
          old.replaceWith(node);
        } else {
          const id = Number(node.id.slice(1));
          const after = [...box.children].find((other) => Number(other.id.slice(1)) > id);
          box.insertBefore(node, body.dataset.board ? null : after || null);
        }
        born.set(node, when);
      }
      for (const [id, facts] of said) if (facts) showProperty(id, ...facts); // newer than the part, or still to be drawn
      guard();
      showAges();
      showAbsent();
    }, () => { // the stream does not say them again
      for (const id of ids) missing.set(id, true);
      pause = 2000;
    }).catch(() => {}).finally(() => { fetching = 0; asked.clear(); if (missing.size) fetchSoon(pause); });
  }
  function keepEdits(old, fresh) {
    for (const field of old.querySelectorAll("input[id]")) {
      const twin = fresh.querySelector("#" + CSS.escape(field.id));
      if (!twin || twin.name !== field.name || field.type === "file") continue;
      if (field.dataset.dirty) { twin.value = field.value; twin.dataset.dirty = "1"; }
      if (field === document.activeElement) setTimeout(() => { const now = $(field.id); if (now) now.focus(); }, 0);
    }
    setText(fresh.querySelector(".told"), old.querySelector(".told").textContent);
    fresh.querySelector(".told").className = old.querySelector(".told").className;
    fresh.querySelector(".told").dataset.c = old.querySelector(".told").dataset.c || "";
  }
  function showProperty(id, facts, at = clock()) {
    const node = $("p" + id);
    if (asked.has(id)) asked.set(id, [facts, at]);
    if (body.dataset.image && body.dataset.image === facts.p) newImage(facts);
    if (!node && !$("props")) return;
    if (!node || node.dataset.h !== facts.h) {
      if (asked.has(id)) return;
      missing.set(id, true);
      fetchSoon(60);
      return;
    }
    const state = node.querySelector("header .state");
    setState(state, facts.s);
    state.classList.toggle("was", Boolean(facts.was));
    node.classList.toggle("stale", Boolean(facts.stale));
    born.set(node, at - 1000 * facts.age);
    const kind = node.dataset.kind, spots = node.querySelectorAll("[data-m]");
    facts.m.forEach((member, i) => {
      const spot = spots[i];
      if (!spot) return;
      if (kind === "Switch") { spot.setAttribute("aria-pressed", member[0] === "On" ? "true" : "false"); return; }
      if (kind === "Light") { setState(spot.querySelector(".state"), member[0]); return; }
      const value = spot.querySelector(".val");
      if (value) { setText(value, member[0]); if (kind === "Number") value.title = member[1]; }
      const field = spot.querySelector("input.text");
      if (field) {
        spot.querySelector(".was").value = member[0];
        if (!field.dataset.dirty) field.value = member[0];
      }
    });
    const ask = facts.ask;
    setText(node.querySelector(".ask"), ask ? (ask.who || "somebody") + " asked " + ask.v + (ask.ago >= 2 ? ", " + span(ask.ago) + " ago" : "") : "");
    setText(node.querySelector(".msg"), facts.msg || "");
  }
  function removeProperty(device, name) {
    if (body.dataset.device !== device && !body.dataset.board) return;
    if (fetching < 0) buried.push([device, name]);
    for (const node of document.querySelectorAll(".prop")) if (isOf(node, [device, name])) node.remove();
    showAbsent();
  }
  function showNotes(notes) {
    const list = $("notes");
    if (!list) return;
    const most = location.pathname === base + "/messages" ? 500 : 5;
    if (most > 5 && notes.length >= 50) list.prepend(make("li", "", "There were more messages here; load the page again."));
    for (const note of notes) {
      const item = make("li");
      item.append(make("time", "", note.t), " ");
      if (note.d) item.append(make("b", "", note.d), " ");
      item.append(note.text);
      list.prepend(item);
    }
    while (list.children.length > most) list.lastChild.remove();
  }

  /* The link */
  let up = body.dataset.up === "1", session = body.dataset.n, reachable = true;
  let caughtUp = !document.hidden; // a page that nobody has looked at may show what was true an hour ago
  let focused = "";
  function guard() {
    const ok = up && reachable;
    body.classList.toggle("link-down", !ok);
    const field = document.activeElement;
    for (const set of document.querySelectorAll("form.set > fieldset")) set.disabled = !ok || !caughtUp;
    if ((!ok || !caughtUp) && field && field.closest("form.set")) focused = field.id; // which has lost it
    else if (ok && caughtUp && focused) { const now = $(focused); focused = ""; if (now && document.activeElement === body) now.focus({ preventScroll: true }); }
    const box = $("lost");
    if (box) box.hidden = ok;
  }
  function showLink(link) {
    if (link.up !== up) say(link.up ? "The connection is back." : "The connection to the INDI server is lost.");
    if (link.up && String(link.n) !== session) for (const p of document.querySelectorAll(".prop")) p.classList.add("stale");
    up = link.up; session = String(link.n);
    const node = $("link");
    node.className = "link " + (up ? "up" : "down");
    setText(node, up ? "connected" : "no connection");
    setText(document.querySelector("#lost .why"), "No connection to the INDI server " + link.name + (link.why ? ": " + link.why : "") + ".");
    guard();
  }
  function unreachable(text, word) {
    if (reachable) say(text || "This page has lost its web server.");
    reachable = false;
    const node = $("link");
    node.className = "link down"; setText(node, word || "web server out of reach");
    setText(document.querySelector("#lost .why"), text || "The web server is out of reach.");
    guard();
  }

  /* The stream */
  let stream = null, last = body.dataset.live, heard = clock(), opened = heard, closing = 0, again = 0;
  let ahead = -Infinity; // of the server's clock before this one; what it says comes late and never early
  const hear = (at) => { ahead = Math.max(ahead, at - clock() / 1000); };
  const tab = Math.random().toString(36).slice(2); // what it has lost need not count as a stream of its own
  let next = ""; // the page that is to come in place of this one
  const on = (name, handle) => stream.addEventListener(name, (event) => {
    heard = clock();
    if (event.lastEventId) last = event.lastEventId;
    handle(JSON.parse(event.data));
  });
  function open() {
    clearTimeout(again);
    if (!last || stream || document.hidden) return; // a browser has few connections, also for tabs that are opened behind this one
    if (next) { renew(); return; }
    const query = { since: last, tab };
    for (const [key, value] of [["d", body.dataset.device], ["g", body.dataset.group], ["p", body.dataset.image], ["board", body.dataset.board]]) if (value) query[key] = value;
    stream = new EventSource(url("/events", query));
    opened = clock(); // and nothing was heard: a proxy may answer for a web server that is gone
    on("hello", (hello) => {
      if (hello.reset || hello.epoch !== last.split(".")[0]) { renew(); return; }
      ahead = -Infinity; hear(hello.at);
      reachable = true; caughtUp = !hello.behind; showLink(hello.link); showAlerts(hello.alerts, true);
      for (const outcome of hello.done || []) {
        const told = document.querySelector("#p" + outcome.p + " .told.t-sent");
        if (told && told.dataset.c === String(outcome.id)) showOutcome(outcome);
      }
    });
    on("delta", (delta) => {
      if (delta.reset) { renew(); return; }
      for (const [device, name] of delta.del || []) removeProperty(device, name);
      for (const id in delta.set) showProperty(id, delta.set[id]);
      for (const name in delta.dev || {}) showDevice(name, delta.dev[name]);
      if (delta.msg) showNotes(delta.msg);
      if (!caughtUp) { caughtUp = true; guard(); }
    });
    on("alerts", (alerts) => showAlerts(alerts));
    on("link", showLink);
    on("outcome", showOutcome);
    on("session", () => location.reload());
    on("bye", () => unreachable("The web server is being restarted."));
    on("full", () => unreachable("Too many pages are open at the same time: close or hide another window of this browser.", "too many windows"));
    on("ping", hear);
    stream.onerror = () => {
      if (clock() - heard > 3000) unreachable();
      if (!stream || stream.readyState !== 2) return;
      shut(); again = setTimeout(open, 3000);
      askAlerts().catch(() => {}); // the login may be over
    };
  }
  function renew() { // load the page again, as soon as there is one: drivers may start later than the web server
    shut(); clearTimeout(again);
    fetch(next || location.href, { headers: { "X-Refresh": "1" }, signal: within(20000) }).then((r) => {
      if (r.status === 404 || r.status >= 500) throw r;
      if (next) location.replace(next); else location.reload();
    }).catch((r) => {
      if (r.status === 404) unreachable("What this page shows is not there now.", "waiting for the device"); else unreachable();
      again = setTimeout(renew, 3000);
    });
  }
  const askAlerts = () => fetch(url("/alerts"), { signal: within(12000) }).then((r) => {
    if (r.status === 401) location.reload(); // which leads to the login
    return r.json();
  });
  function shut() { if (stream) { stream.close(); stream = null; caughtUp = false; guard(); } }
  if (last) {
    open();
    setInterval(() => {
      if (stream && clock() - Math.max(heard, opened) > 12000) { unreachable(); shut(); open(); }
    }, 2000);
    document.addEventListener("visibilitychange", () => {
      clearTimeout(closing);
      if (document.hidden) { closing = setTimeout(shut, 5000); return; }
      if (clock() - heard > 7000) shut(); // it pings each 5 s: a phone that slept has a dead stream, and shows old values
      open();
    });
    setInterval(() => { // a hidden tab has no stream, and yet must warn
      if (document.hidden && !stream) askAlerts().then((f) => { if (document.hidden && !stream) showAlerts(f.alerts); }).catch(() => {});
    }, 15000);
    addEventListener("pagehide", shut);
    addEventListener("pageshow", () => open());
    guard();
  }

  /* What is pressed is what was seen: not what came under the pointer, or changed, while the finger was on its way. */
  const SETTLE = 300;
  const keys = new WeakMap(); // what each button says; parts are replaced, not changed
  const keyOf = (button) => {
    if (!keys.has(button)) keys.set(button, JSON.stringify([...namesOf(button.form), button.form.querySelector("legend").textContent, button.value, button.textContent]));
    return keys.get(button);
  };
  const boxOf = (button) => { const box = button.getBoundingClientRect(); return [box.left, box.top, box.right, box.bottom]; };
  const differs = (one, other) => one.some((side, i) => Math.abs(side - other[i]) > 1);
  let sights = new Map(); // of each button: where it is and was, and when it came, moved and turned
  function look() {
    const now = clock(), known = sights, scroll = [scrollX, scrollY, scrollX, scrollY];
    sights = new Map();
    for (const button of document.querySelectorAll("form.set button")) {
      const key = keyOf(button), box = boxOf(button), at = box.map((side, i) => side + scroll[i]), on = button.getAttribute("aria-pressed");
      const sight = known.get(key) || { box, at, from: box, on, came: now, moved: -Infinity, turned: -Infinity };
      if (sight.on !== on) { sight.on = on; sight.turned = now; }
      if (differs(box, sight.box) && differs(at, sight.at)) { // neither scrolled by a person, nor kept in view by the browser
        if (now - sight.moved > SETTLE) sight.from = sight.at.map((side, i) => side - scroll[i]);
        sight.moved = now;
      }
      sight.box = box; sight.at = at;
      sights.set(key, sight);
    }
  }
  function isSettled(button, event) {
    look();
    const sight = sights.get(keyOf(button)), now = clock();
    if (now - sight.came < SETTLE || now - sight.turned < SETTLE) return false;
    if (!event.detail || now - sight.moved >= SETTLE) return true; // by a key, or in its place
    const [left, top, right, bottom] = sight.from;
    return event.clientX >= left && event.clientX <= right && event.clientY >= top && event.clientY <= bottom;
  }
  if ($("props")) {
    look();
    const [visit] = performance.getEntriesByType("navigation");
    if (!visit || visit.type !== "reload") for (const sight of sights.values()) sight.came = -Infinity; // somebody has gone to this page
    new MutationObserver(() => look()).observe(body, { subtree: true, childList: true, characterData: true, attributeFilter: ["hidden", "class", "aria-pressed", "disabled"] });
    addEventListener("resize", () => look());
    document.addEventListener("click", (event) => {
      const button = event.target.closest("form.set button");
      if (!button || isSettled(button, event)) return;
      event.preventDefault(); event.stopPropagation();
      showOutcome({ p: button.closest(".prop").id.slice(1), state: "bad", text: "Not sent: that has just changed. Look, and press again." });
    }, true);
  }

  /* Commands */
  function showOutcome(outcome) {
    const node = $("p" + outcome.p), told = node && node.querySelector(".told");
    if (!told) return;
    // The answer to the request and the stream come in any order, and so do the outcomes of two commands.
    const newest = Number(told.dataset.c || 0), id = Number(outcome.id || 0);
    if (id && (id < newest || (id === newest && outcome.state === "sent"))) return;
    if (id) told.dataset.c = id;
    told.className = "told t-" + outcome.state;
    told.textContent = outcome.text;
    say(outcome.text);
  }
  const was = (field) => field.matches(".text") ? field.parentNode.querySelector(".was").value : "";
  document.addEventListener("input", (event) => {
    const field = event.target;
    if (!field.matches(".set input")) return;
    if (field.value === was(field)) delete field.dataset.dirty; else field.dataset.dirty = "1";
    isTyped(field);
  });
  document.addEventListener("keydown", (event) => {
    const field = event.target;
    if (event.repeat && event.key === "Enter" && field.closest && field.closest(".set")) event.preventDefault(); // held, or let go of over a slow link
    if (!field.matches || !field.matches(".set .in input") || (event.key !== "ArrowUp" && event.key !== "ArrowDown")) return;
    const step = Number(field.dataset.step), shown = field.closest(".row").querySelector(".val");
    const now = Number(field.value || (shown && shown.title));
    if (!(step > 0) || Number.isNaN(now)) return;
    event.preventDefault();
    field.value = String(Number((now + (event.key === "ArrowUp" ? step : -step)).toPrecision(12)));
    field.dataset.dirty = "1";
    isTyped(field);
  });
  let sender = tab, number = 0; // the same for all pages of a tab
  const nextNumber = () => {
    try {
      sender = sessionStorage.getItem("indipyweb-sender") || tab;
      number = Math.max(number, Number(sessionStorage.getItem("indipyweb-number")));
      sessionStorage.setItem("indipyweb-sender", sender);
      number = Math.max(number + 1, Date.now());
      sessionStorage.setItem("indipyweb-number", number);
    } catch (e) { number = Math.max(number + 1, Date.now()); } // private windows
    return number;
  };
  const underWay = new WeakMap(); // what each form has sent, until that is answered, and when, until something is typed
  const isTyped = (field) => { const sent = underWay.get(field.form); if (sent) sent[1] = -Infinity; };
  let clicked = null; // older tablets do not say with which button a form is sent
  document.addEventListener("click", (event) => { clicked = event.target.closest("form button"); }, true);
  document.addEventListener("submit", (event) => {
    const form = event.target, node = form.closest(".prop");
    const by = event.submitter || (clicked && clicked.form === form ? clicked : null);
    if (form.matches(".pin") && by && !by.name) {
      event.preventDefault();
      fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), headers: { Accept: "application/json" } })
        .then((r) => r.json()).then((f) => { if ("pinned" in f) by.setAttribute("aria-pressed", String(f.pinned)); else showOutcome({ p: node.id.slice(1), state: "bad", text: f.error || "Not done." }); }).catch(() => {});
      return;
    }
    if (!form.matches(".set") || !node) return;
    event.preventDefault();
    const data = new FormData(form);
    if (by && by.name) data.set(by.name, by.value);
    if (by && by.matches(".switch")) data.set("to", by.getAttribute("aria-pressed") === "true" ? "Off" : "On");
    const isFile = form.enctype === "multipart/form-data", asked = isFile ? "" : new URLSearchParams(data).toString();
    const [before, when] = underWay.get(form) || [];
    if ((before === asked || form.querySelector(".go")) && clock() - when < 700) return; // a double click; later it may be lost, and is sent again
    const mine = [asked, clock()];
    underWay.set(form, mine);
    if (!isFile) { data.set("n", nextNumber()); data.set("tab", sender); } // a weak link may deliver Off before On
    if (Number.isFinite(ahead)) data.set("at", ahead + clock() / 1000); // a command that comes much later is not carried out
    const id = node.id.slice(1);
    const typed = [...form.querySelectorAll("input[data-dirty]")].map((field) => [field.id, field.value, was(field)]);
    showOutcome({ p: id, state: "sent", text: "Sending …" });
    const sent = isFile ? data : new URLSearchParams(data);
    fetch(form.action, { method: "POST", body: sent, headers: { Accept: "application/json" } })
      .then((r) => r.json().catch((error) => { if (r.ok) throw error; return { text: "Not sent: the web server has refused it (" + r.status + ")." }; })
        .then((facts) => ({ ok: r.ok, facts })))
      .then(({ ok, facts }) => {
        showOutcome({ p: id, id: facts.id, state: facts.state || "bad", text: facts.text || facts.error || "Not sent." });
        if (ok && (facts.state === "sent" || facts.state === "ok")) for (const [name, value, before] of typed) {
          const field = $(name); // it may have been drawn anew, and something else be typed meanwhile
          if (!field || field.value !== value) continue;
          delete field.dataset.dirty;
          if (field.closest(".in")) field.value = ""; else if (field.matches(".text") && (was(field) !== before || facts.other)) field.value = was(field);
        }
      })
      .catch(() => { if (underWay.get(form) === mine) showOutcome({ p: id, state: "lost", text: "The web server did not answer: nobody knows whether it was sent." }); })
      .finally(() => { if (underWay.get(form) === mine) underWay.set(form, ["", mine[1]]); });
  });

  /* Images */
  const picture = $("picture"), whole = $("whole");
  function newImage(facts) {
    if (String(facts.rev) === body.dataset.rev || facts.s === "Busy" || facts.m.every((member) => !member[0])) return; // of a driver that has just started
    const follow = $("follow");
    if (follow && follow.checked) {
      const fresh = new URL(location.href);
      fresh.searchParams.set("auto", "1"); // nobody has asked for it, and so it is no use of a login
      fresh.hash = "";
      next = fresh.href;
      renew();
    } else if ($("newer")) $("newer").hidden = false;
  }
  const follow = $("follow");
  if (follow) {
    try { follow.checked = sessionStorage.getItem("indipyweb-follow") === "1"; } catch (e) { /* as above */ }
    follow.addEventListener("change", () => {
      try { sessionStorage.setItem("indipyweb-follow", follow.checked ? "1" : "0"); } catch (e) { /* as above */ }
      if (follow.checked) location.reload();
    });
    if (follow.checked) { $("newer").hidden = false; setText($("newer").firstChild, "Newer images are shown as they come. "); }
  }
  if (picture && whole) {
    const image = picture.querySelector("img");
    const back = () => { picture.classList.remove("close"); image.src = picture.dataset.src; whole.hidden = true; };
    const close = (fx, fy) => {
      const x = Math.round(fx * picture.dataset.width), y = Math.round(fy * picture.dataset.height);
      image.src = picture.dataset.src + "&x=" + x + "&y=" + y;
      picture.classList.add("close"); whole.hidden = false;
    };
    image.addEventListener("click", (event) => {
      if (picture.classList.contains("close")) { back(); return; }
      const box = image.getBoundingClientRect();
      close((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    });
    image.tabIndex = 0;
    image.addEventListener("keydown", (event) => {
      if (event.key === "Enter") { if (picture.classList.contains("close")) back(); else close(0.5, 0.5); }
    });
    whole.addEventListener("click", back);
  }

  /* Plots */
  const plot = $("plot");
  let drawing = false;
  if (plot && plot.firstElementChild) setInterval(() => {
    if (document.hidden || drawing) return;
    drawing = true;
    fetch(location.href, { headers: { "X-Refresh": "1" }, signal: within(20000) }).then((r) => {
      if (r.redirected) location.reload(); // the login is over
      if (!r.ok) throw new Error(r.status);
      return r.text();
    }).then((text) => {
      const found = new DOMParser().parseFromString(text, "text/html"), fresh = found.getElementById("plot");
      if (fresh) { plot.textContent = ""; plot.append(...[...fresh.childNodes].map((node) => document.adoptNode(node))); }
      $("link").replaceWith(document.adoptNode(found.getElementById("link")));
    }).catch(() => { $("link").className = "link down"; setText($("link"), "web server out of reach"); }).finally(() => { drawing = false; });
  }, 1000 * Number(plot.dataset.refresh));
})();
