// Tables that sort: a click on a head sorts the rows by its column, a second click in the other direction.
"use strict";

const order = new Intl.Collator(undefined, { numeric: true });

function makeSortable(table) {
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const direction = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", direction);
      sortRows(table, column, direction);
    });
  });
}

function keepSorted(table) {
  table.querySelectorAll("thead th").forEach((head, column) => {
    if (head.hasAttribute("aria-sort")) sortRows(table, column, head.getAttribute("aria-sort"));
  });
}

// Numbers come before texts, and missing values last, in both directions.
function sortRows(table, column, direction) {
  const sign = direction === "ascending" ? 1 : -1;
  const body = table.tBodies[0];
  const key = (row) => {
    const text = (row.cells[column].dataset.value ?? row.cells[column].textContent).trim();
    const value = text === "" ? NaN : Number(text);
    const isMissing = ["", "–", "nan"].includes(text);
    return { row, text, value, rank: isMissing ? 2 : Number.isNaN(value) ? 1 : 0 };
  };
  const compare = (a, b) =>
    a.rank - b.rank || sign * (a.rank === 0 ? a.value - b.value : order.compare(a.text, b.text));
  body.append(...Array.from(body.rows, key).sort(compare).map(({ row }) => row));
}
