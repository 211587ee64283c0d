"use strict";
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");

  // A page from disk may not be allowed to keep anything.
  const remembered = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const remember = (theme) => { try { localStorage.setItem("theme", theme); } catch { /* for this visit only */ } };
  const current = () => root.dataset.theme || (dark.matches ? "dark" : "light");
  const kept = remembered();
  if (kept === "light" || kept === "dark") root.dataset.theme = kept;

  const setUpTheme = () => {
    const button = document.getElementById("theme");
    const show = () => {
      const isDark = current() === "dark";
      button.setAttribute("aria-pressed", String(isDark));
      button.title = isDark ? "Show on light ground" : "Show on dark ground";
    };
    button.addEventListener("click", () => {
      root.dataset.theme = current() === "dark" ? "light" : "dark";
      remember(root.dataset.theme);
      show();
    });
    dark.addEventListener("change", show);
    show();
  };

  const setUpMenu = () => {
    const button = document.getElementById("menu");
    const contents = document.getElementById("contents");
    const open = (yes) => {
      contents.classList.toggle("open", yes);
      button.setAttribute("aria-expanded", String(yes));
    };
    button.addEventListener("click", () => open(!contents.classList.contains("open")));
    contents.addEventListener("click", (event) => { if (event.target.closest("a")) open(false); });
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") open(false); });

    const links = new Map([...contents.querySelectorAll("li a")].map((link) => [link.hash.slice(1), link]));
    const seen = new Set();
    const watch = new IntersectionObserver((entries) => {
      for (const entry of entries) entry.isIntersecting ? seen.add(entry.target) : seen.delete(entry.target);
      const first = [...seen].sort((a, b) => a.offsetTop - b.offsetTop)[0];
      for (const [id, link] of links) {
        if (first && id === first.id) link.setAttribute("aria-current", "location");
        else link.removeAttribute("aria-current");
      }
    }, { rootMargin: "-12% 0px -60% 0px" });
    for (const id of links.keys()) watch.observe(document.getElementById(id));
  };

  const EMPTY = new Set(["", "–", "N/A"]);
  const words = new Intl.Collator("en", { numeric: true });

  // Numbers before words; what is not there last, whichever the direction.
  const compare = (column, sign) => (one, other) => {
    const [a, b] = [one.cells[column], other.cells[column]];
    const [x, y] = [a.dataset.value, b.dataset.value];
    const rank = (cell, value) => (value !== undefined ? 0 : EMPTY.has(cell.textContent.trim()) ? 2 : 1);
    const [first, second] = [rank(a, x), rank(b, y)];
    if (first !== second) return first - second;
    if (first === 2) return 0;
    return sign * (first === 0 ? Number(x) - Number(y) : words.compare(a.textContent, b.textContent));
  };

  const setUpSorting = (table) => {
    const groups = [...table.querySelectorAll("tbody.sorted")].map((body) => [body, [...body.rows]]);
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => heading.querySelector("button").addEventListener("click", () => {
      const next = { none: "ascending", ascending: "descending", descending: "none" }[heading.getAttribute("aria-sort")];
      for (const other of headings) other.setAttribute("aria-sort", other === heading ? next : "none");
      for (const [body, rows] of groups) {
        const sign = next === "descending" ? -1 : 1;
        body.append(...(next === "none" ? rows : [...rows].sort(compare(column, sign))));
      }
    }));
  };

  // Paper has no summaries to click on.
  const setUpPrinting = () => {
    let opened = [];
    addEventListener("beforeprint", () => {
      opened = [...document.querySelectorAll("details:not([open])")];
      for (const details of opened) details.open = true;
    });
    addEventListener("afterprint", () => { for (const details of opened) details.open = false; });
  };

  document.addEventListener("DOMContentLoaded", () => {
    setUpTheme();
    setUpMenu();
    document.querySelectorAll("table:has(tbody.sorted)").forEach(setUpSorting);
    setUpPrinting();
  });
})();
