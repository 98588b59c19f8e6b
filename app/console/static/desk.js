// A part of a page that goes on by itself is looked at again. Without this the page has a link to do it.
"use strict";
const SECONDS = 3;

async function lookAgain(part) {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById(part.getAttribute("aria-labelledby"))?.closest("section");
  if (!fresh) return;
  part.replaceWith(document.adoptNode(fresh));
  watch(fresh);
}

function watch(part) {
  if (part.hasAttribute("data-again")) setTimeout(() => lookAgain(part).catch(() => watch(part)), SECONDS * 1000);
}

document.querySelectorAll("[data-again]").forEach(watch);
