// Nobody signs what he does not see: while a field differs from the saved version, the signature waits and says why.
// A page without this script has no button to sign with beside its fields; it leads to a page that has no fields.
"use strict";

const table = document.querySelector("form[data-edits]");

/** Tells whether a control shows something else than the page was sent with, also after the browser's Back. */
function differs(control) {
  if (control instanceof HTMLSelectElement) {
    const sent = [...control.options].findIndex((one) => one.defaultSelected);
    return control.selectedIndex !== Math.max(sent, 0);
  }
  if (!(control instanceof HTMLInputElement) || control.type === "hidden") return false;
  return control.type === "checkbox" ? control.checked !== control.defaultChecked : control.value !== control.defaultValue;
}

function unsaved() {
  return table === null ? 0 : [...table.elements].filter(differs).length;
}

function tell() {
  const count = unsaved();
  const text = count === 0 ? "" : `${count} ${count === 1 ? "field is" : "fields are"} changed and not saved.`;
  for (const note of document.querySelectorAll("[data-unsaved]")) {
    note.querySelector("strong").textContent = text;
    note.hidden = count === 0;
  }
  for (const button of document.querySelectorAll("button[data-signs]")) button.disabled = count > 0;
}

if (table !== null) {
  let isSaving = false;
  table.addEventListener("input", tell);
  table.addEventListener("change", tell);
  table.addEventListener("reset", () => setTimeout(tell));
  table.addEventListener("submit", () => { isSaving = true; });
  for (const button of document.querySelectorAll("button[data-signs]")) {
    button.form.addEventListener("submit", (event) => {
      tell();
      if (unsaved() > 0) event.preventDefault();
    });
  }
  addEventListener("beforeunload", (event) => {
    if (isSaving || unsaved() === 0) return;
    event.preventDefault();
    event.returnValue = "unsaved"; // older browsers look at this alone
  });
  addEventListener("pageshow", () => {
    isSaving = false;
    tell();
  });
  tell();
}

/** Lists beside the signature which clinical goals the exported dose misses, or that nobody knows. */
async function listMissedGoals(place) {
  const list = place.querySelector("ul");
  try {
    const answer = await fetch(place.dataset.goals, { headers: { accept: "application/json" }, cache: "no-store" });
    if (!answer.ok) throw new Error("no goals");
    const { goals } = await answer.json();
    const known = goals.filter((goal) => goal.reached_gy !== null);
    const missed = known.filter((goal) => !goal.is_met);
    const unknown = goals.filter((goal) => goal.reached_gy === null);
    const beside = unknown.length ? `, ${unknown.length} not evaluable` : "";
    place.querySelector("[data-count]").textContent = `${missed.length} of ${known.length}${beside}`;
    for (const goal of [...missed, ...unknown]) {
      const line = document.createElement("li");
      const reached = goal.reached_gy === null ? "not evaluable, no dose" : `${goal.reached_gy.toFixed(2)} Gy`;
      line.textContent = `${goal.roi_name} ${goal.what}: ${reached}${goal.is_hard ? "" : " (a wish)"}`;
      list.append(line);
    }
  } catch {
    place.querySelector("[data-count]").textContent = "not known, they could not be loaded";
  }
}

document.querySelectorAll("[data-goals]").forEach(listMissedGoals);
