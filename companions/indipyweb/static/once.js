"use strict";
/* A double click is one: by the second one the page may have come anew, with another button in the same place.
   It runs before there is a page, as the second click may come as soon as that is seen. */
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || form.matches(".set, .pin")) return;
  let before = "";
  try {
    before = sessionStorage.getItem("indipyweb-asked") || "";
    sessionStorage.setItem("indipyweb-asked", Date.now() + " " + form.action);
  } catch (e) { /* private windows */ }
  const [when, action] = before.split(" ");
  if (action === form.action && Math.abs(Date.now() - when) < 700) event.preventDefault();
});
