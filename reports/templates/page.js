"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  all(".js").forEach(e => { e.hidden = false; });
  all("input[data-filter]").forEach(box => box.addEventListener("input", () => {
    const words = box.value.toLowerCase().split(/\s+/);
    all(`#${box.dataset.filter} tbody`).forEach(body => {
      const text = body.textContent.toLowerCase();
      body.hidden = !words.every(word => text.includes(word));
    });
  }));
  all("table.sortable").forEach(table => all("thead th", table).forEach((th, i) => {
    const button = document.createElement("button");
    button.append(...th.childNodes);
    th.append(button);
    const key = body => {
      const cell = body.rows[0].cells[i], data = cell.querySelector("data");
      return data ? Number(data.value) : cell.textContent.trim();
    };
    button.addEventListener("click", () => {
      const down = th.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      all("th", table.tHead).forEach(other => other.removeAttribute("aria-sort"));
      th.setAttribute("aria-sort", down === 1 ? "ascending" : "descending");
      const order = (a, b) => typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1;
      [...table.tBodies].sort((a, b) => down * order(key(a), key(b))).forEach(body => table.append(body));
    });
  }));
  const open = () => {
    const target = document.getElementById(location.hash.slice(1));
    for (let e = target; e; e = e.parentElement) if (e.localName === "details") e.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", open);
  addEventListener("beforeprint", () => all("details.print").forEach(e => { e.open = true; }));
  open();
})();
