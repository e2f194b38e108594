// Sorting, filtering and the boundary between source and conversion of a file list.
"use strict";
(() => {
  function compare(a, b, key, ascending) {
    const [x, y] = [a.scores[key], b.scores[key]];
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined); // files without a score last
    return ascending ? x - y : y - x;
  }

  function order(entries, form) {
    const option = form.elements.sort.selectedOptions[0];
    const byName = (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true });
    if (!option.value) return entries.sort(byName);
    const ascending = (option.dataset.higherIsBetter === "true") === (form.elements.order.value === "worst");
    return entries.sort((a, b) => compare(a, b, option.value, ascending) || byName(a, b));
  }

  function isShown(entry, form) {
    const { filter, low, high, name } = form.elements;
    const value = entry.scores[filter.value];
    if (low.value !== "" && !(value >= low.valueAsNumber)) return false;
    if (high.value !== "" && !(value <= high.valueAsNumber)) return false;
    return entry.name.toLowerCase().includes(name.value.toLowerCase());
  }

  function update(entries, form, files) {
    for (const entry of order(entries, form)) {
      entry.element.hidden = !isShown(entry, form);
      if (entry.element.hidden) entry.element.querySelectorAll("audio").forEach((audio) => audio.pause());
      files.append(entry.element);
    }
    const shown = entries.filter((entry) => !entry.element.hidden).length;
    form.querySelector("output").value = `${shown} of ${entries.length} files`;
  }

  for (const list of document.querySelectorAll(".file-list")) {
    const form = list.querySelector(".toolbar");
    const files = list.querySelector(".files");
    const entries = [...files.children].map((element) => ({
      element,
      name: element.dataset.name,
      scores: JSON.parse(element.dataset.scores),
    }));
    form.addEventListener("input", () => update(entries, form, files));
    form.addEventListener("submit", (event) => event.preventDefault());
    update(entries, form, files);
    const range = list.querySelector(".reveal input");
    range?.addEventListener("input", () => files.style.setProperty("--boundary", `${range.value}%`));
  }
})();
