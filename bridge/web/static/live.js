// Pages that follow what happens. A page without this script is whole; it only has to be loaded again by hand.
"use strict";

const EVERY_MS = 5000;

async function ask(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" }, cache: "no-store" });
  if (answer.status === 401) throw new Error("logged out");
  return answer;
}

function say(text) {
  const note = document.getElementById("live-note");
  if (note && note.textContent !== text) note.textContent = text;
}

/** Replaces a part of the page by what the server has for it now, but never under somebody's hands. */
function followPart(part) {
  let shown = null;
  return async () => {
    const answer = await ask(part.dataset.live);
    if (!answer.ok) return;
    const text = await answer.text();
    const ages = /<td class="nowrap">[^<]*<\/td>/g;
    const changed = shown !== null && text.replace(ages, "") !== shown;
    shown = text.replace(ages, "");
    const isUsed = part.contains(document.activeElement) || part.querySelector("details[open]") || !getSelection().isCollapsed;
    if (!isUsed) part.innerHTML = text;
    if (changed) say(isUsed ? "The list changed; it is shown when you leave it." : "The list changed.");
  };
}

/** Says that the case changed; a page on which nothing can be typed or decided is loaded again. */
function followCase(note) {
  return async () => {
    const answer = await ask(note.dataset.case);
    if (!answer.ok) return;
    const { seen, sentence } = await answer.json();
    if (seen === note.dataset.seen) return;
    if (note.dataset.moving) return location.reload();
    note.hidden = false;
    note.querySelector("span").textContent = `This case changed: ${sentence}`;
  };
}

function follow(once) {
  const timer = setInterval(async () => {
    if (document.hidden) return;
    try {
      await once();
    } catch (error) {
      if (error.message === "logged out") {
        clearInterval(timer);
        say("You are logged out. Load the page again to log in.");
      } else say("The bridge does not answer; what is shown may be old.");
    }
  }, EVERY_MS);
}

document.querySelectorAll("[data-live]").forEach((part) => follow(followPart(part)));
document.querySelectorAll("[data-case]").forEach((note) => follow(followCase(note)));
