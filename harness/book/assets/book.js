"use strict";
// The book's script: the contents on a phone, the place in the page's own
// contents, and the search. Pages read well without it.
(() => {
  const root = document.currentScript.dataset.root;
  const $ = (id) => document.getElementById(id);

  // The contents: a drawer where the window is narrow.
  const side = $("side"), menu = document.querySelector(".menu");
  const drawer = (open) => {
    document.body.classList.toggle("open", open);
    menu.setAttribute("aria-expanded", open);
  };
  menu.addEventListener("click", (e) => {
    e.preventDefault();
    drawer(!document.body.classList.contains("open"));
    showCurrent();
  });
  side.addEventListener("click", (e) => { if (e.target.closest("a")) drawer(false); });
  function showCurrent() {
    const current = side.querySelector("[aria-current]");
    if (current && current.offsetTop + current.offsetHeight > side.clientHeight) side.scrollTop = current.offsetTop - side.clientHeight / 2;
  }
  showCurrent();

  // The page's own contents follow the reader: the last heading above the
  // upper third of the window.
  const marks = [...document.querySelectorAll(".toc a")].map((a) => [a, $(decodeURIComponent(a.hash.slice(1)))]);
  let asked = false;
  const follow = () => {
    asked = false;
    let here = null;
    for (const [a, heading] of marks) {
      if (heading && heading.getBoundingClientRect().top < innerHeight / 3) here = a;
    }
    for (const [a] of marks) a.classList.toggle("here", a === here);
  };
  if (marks.length) {
    addEventListener("scroll", () => { if (!asked) { asked = true; requestAnimationFrame(follow); } }, { passive: true });
    follow();
  }

  // Paper has no folds.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const d of folded) d.open = true;
  });
  addEventListener("afterprint", () => { for (const d of folded) d.open = false; });

  // Search.
  const dialog = $("search"), query = $("query"), results = $("results"), said = $("said");
  let loading = null; // promise of the index, once it was asked for
  const index = () => loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = root + "assets/search.js";
    script.onload = () => resolve(window.bookIndex);
    script.onerror = () => { loading = null; reject(new Error("the search index did not load")); };
    document.head.append(script);
  });
  const openSearch = () => {
    drawer(false);
    if (!dialog.open) dialog.showModal();
    query.select();
    index().then(search, (e) => { said.textContent = e.message; });
  };
  for (const b of document.querySelectorAll(".find")) b.addEventListener("click", openSearch);
  addEventListener("keydown", (e) => {
    const typing = e.target.closest("input, textarea, select, [contenteditable]");
    if ((e.key === "/" && !typing && !e.ctrlKey && !e.metaKey && !e.altKey) || (e.key === "k" && (e.ctrlKey || e.metaKey))) {
      e.preventDefault();
      openSearch();
    }
  });
  dialog.addEventListener("click", (e) => { if (e.target === dialog) dialog.close(); });
  query.addEventListener("input", () => index().then(search, () => {}));
  dialog.addEventListener("keydown", (e) => {
    const links = [...results.querySelectorAll("a")];
    const at = links.findIndex((a) => a.classList.contains("at"));
    if (e.key === "ArrowDown" || e.key === "ArrowUp") {
      e.preventDefault();
      const next = Math.max(0, Math.min(links.length - 1, at + (e.key === "ArrowDown" ? 1 : -1)));
      links.forEach((a, i) => a.classList.toggle("at", i === next));
      links[next]?.scrollIntoView({ block: "nearest" });
    } else if (e.key === "Escape") { // the input would take the first one, to empty itself
      e.preventDefault();
      dialog.close();
    } else if (e.key === "Enter" && e.target === query) {
      e.preventDefault();
      links[Math.max(at, 0)]?.click();
    }
  });
  results.addEventListener("click", (e) => { if (e.target.closest("a")) dialog.close(); });

  // Terms that begin with a word, and how near they come to it: the word
  // itself counts in full. A plural finds its singular.
  function lookUp(ix, word) {
    const found = new Map(); // section -> weight
    const take = (beginning, most) => {
      let low = 0, high = ix.terms.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (ix.terms[middle] < beginning) low = middle + 1; else high = middle;
      }
      for (let i = low; i < ix.terms.length && ix.terms[i].startsWith(beginning); i++) {
        const near = most * (beginning.length / ix.terms[i].length) ** 0.7;
        for (let p = 0; p < ix.posts[i].length; p += 2) {
          const section = ix.posts[i][p], weight = ix.posts[i][p + 1] * near;
          found.set(section, Math.max(found.get(section) ?? 0, weight));
        }
      }
    };
    take(word, 1);
    if (word.length > 3 && word.endsWith("s")) take(word.slice(0, -1), 0.8);
    return found;
  }

  // rank gives sections by relevance: BM25 over all words of the query. A
  // section with half of the words is worth a quarter.
  function rank(ix, queryWords) {
    const scores = new Map(), hits = new Map();
    const mean = ix.mean ??= ix.sections.reduce((sum, s) => sum + s[3].length, 0) / ix.sections.length;
    for (const word of queryWords) {
      const found = lookUp(ix, word);
      const rare = Math.log(1 + (ix.sections.length - found.size + 0.5) / (found.size + 0.5));
      for (const [section, weight] of found) {
        const long = ix.sections[section][3].length / mean;
        const score = rare * weight * 2.2 / (weight + 1.2 * (0.4 + 0.6 * long));
        scores.set(section, (scores.get(section) ?? 0) + score);
        hits.set(section, (hits.get(section) ?? 0) + 1);
      }
    }
    for (const [section, n] of hits) scores.set(section, scores.get(section) * (n / queryWords.length) ** 2);
    const enough = [...scores.keys()].filter((s) => hits.get(s) * 2 > queryWords.length);
    return enough.sort((a, b) => scores.get(b) - scores.get(a) || a - b);
  }

  const wordsOf = (text) => text.toLowerCase().match(/[\p{L}\p{N}_]+/gu) ?? [];

  // excerpt writes the piece of text around the first word that was found, with
  // the words marked.
  function excerpt(to, text, queryWords, around) {
    const plurals = queryWords.filter((w) => w.length > 3 && w.endsWith("s")).map((w) => w.slice(0, -1));
    const pattern = new RegExp("(" + [...queryWords, ...plurals].join("|") + ")", "giu"); // letters, digits, _: nothing to escape
    const first = Math.max(0, text.search(pattern));
    let from = around ? Math.max(0, first - around / 3) : 0;
    if (from > 0) from = text.indexOf(" ", from) + 1;
    let piece = around ? text.slice(from, from + around) : text;
    if (from > 0) piece = "… " + piece;
    if (around && from + around < text.length) piece += " …";
    piece.split(pattern).forEach((part, i) => {
      if (i % 2 === 0) return to.append(part);
      const mark = document.createElement("mark");
      mark.textContent = part;
      to.append(mark);
    });
    return to;
  }

  const element = (name, ...children) => {
    const e = document.createElement(name);
    e.append(...children);
    return e;
  };

  async function search() {
    const ix = await index(), words = wordsOf(query.value);
    results.replaceChildren();
    said.textContent = "";
    if (!words.length) return;
    const found = rank(ix, words);
    for (const number of found.slice(0, 20)) {
      const [page, anchor, heading, text] = ix.sections[number], [title, out] = ix.pages[page];
      const link = document.createElement("a");
      link.href = root + out + (anchor ? "#" + anchor : "");
      link.append(excerpt(element("b"), heading || title, words));
      if (heading && heading !== title) link.append(" ", element("small", title));
      link.append(excerpt(element("p"), text, words, 180));
      results.append(element("li", link));
    }
    results.querySelector("a")?.classList.add("at");
    results.scrollTop = 0;
    said.textContent = found.length === 0 ? "Nothing found." : found.length > 20 ? `The best 20 of ${found.length} sections` : "";
  }
})();
