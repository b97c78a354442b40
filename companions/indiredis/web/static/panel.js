"use strict";
// Asks every two seconds what has changed. Values are put in place; anything else reloads the page,
// but not while somebody is filling in a form; whether INDI is connected is told in any case.
(() => {
  let number = 0, tab = Math.random().toString(36).slice(2);
  let before = null;  // the form that was sent last, perhaps by the page that this one has followed
  try {
    const action = sessionStorage.getItem("indiredis-sent");
    sessionStorage.removeItem("indiredis-sent");
    if (action) before = {action, at: performance.now()};
  } catch (error) { /* private windows */ }
  document.addEventListener("submit", (event) => {
    const form = event.target;
    const is_double = before && before.action === form.action && performance.now() - before.at < 700;
    if (is_double) { event.preventDefault(); return; }  // the second click of two, even if the page has followed
    before = {action: form.action, at: performance.now()};
    try {
      if (!form.elements.password) sessionStorage.setItem("indiredis-sent", form.action);
    } catch (error) { /* as above */ }
    if (!form.elements.n) return;
    try {  // the same for all pages of a tab
      tab = sessionStorage.getItem("indiredis-tab") || tab;
      number = Math.max(number, Number(sessionStorage.getItem("indiredis-number")));
    } catch (error) { /* as above */ }
    number = Math.max(number + 1, Date.now());
    try {
      sessionStorage.setItem("indiredis-tab", tab);
      sessionStorage.setItem("indiredis-number", number);
    } catch (error) { /* as above */ }
    form.elements.n.value = `${number} ${tab}`;  // a weak link may deliver Off before On
  });
  document.addEventListener("keydown", (event) => {  // held, or let go of over a slow link
    if (event.repeat && event.key === "Enter" && event.target.closest("form")) event.preventDefault();
  });
  const url = document.body.dataset.changes;
  if (!url) return;
  let known = {tag: null, shape: document.body.dataset.shape};  // what the page was built from
  let edited = false;
  const begun = performance.now();
  document.addEventListener("click", (event) => {
    // A finger on its way to what was there before this page presses nothing, nor does the second click of two.
    if (performance.now() - begun < 300 && event.target.closest("main button")) event.preventDefault();
  }, true);
  document.addEventListener("input", () => { edited = true; before = null; });  // another value is another command
  function tell(state, text) {
    const link = document.getElementById("link");
    if (link.textContent === text) return;  // it is read aloud
    link.textContent = text;
    link.className = "link-" + state;
  }
  async function look() {
    if (document.hidden) return;
    try {
      const answer = await fetch(url, {headers: known.tag ? {"If-None-Match": known.tag} : {}, cache: "no-store"});
      if (answer.status === 304) return;
      if (!answer.ok) throw new Error(answer.statusText);
      const data = await answer.json();
      tell(data.link.state, data.link.text);
      const before = known;
      known = {tag: answer.headers.get("ETag"), shape: data.shape};
      if (before.shape !== data.shape && !edited) { location.reload(); return; }
      for (const cell of document.querySelectorAll("[data-value]")) {
        const value = (data.values[cell.dataset.value] || {})[cell.dataset.member];
        if (value !== undefined && cell.textContent !== value) {
          cell.textContent = value;
          if (cell.classList.contains("state")) cell.className = "value state " + value.toLowerCase();
        }
      }
      for (const cell of document.querySelectorAll("[data-state]")) {
        const state = data.states[cell.dataset.state];
        if (state) { cell.textContent = state; cell.className = "state " + state.toLowerCase(); }
      }
    } catch (error) {
      tell("down", "The web server does not answer");
      known = {tag: null, shape: known.shape};
    }
  }
  setInterval(look, 2000);
  look();
})();
