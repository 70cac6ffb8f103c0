"use strict";
// What the page does by itself: one section at a time, the search, light and dark, the explorer's view.
(() => {
  const root = document.documentElement;
  const by = (id) => document.getElementById(id);
  const data = (id) => JSON.parse(by(id).textContent);
  root.classList.add("live");

  // An element with its class, its text and its children; text is never read as HTML.
  function make(tag, style, ...content) {
    const one = document.createElement(tag);
    if (style) one.className = style;
    one.append(...content);
    return one;
  }

  function link(anchor, words, style) {
    const one = make("a", style === undefined ? "id" : style, words);
    one.href = `#${anchor}`;
    return one;
  }

  // -- light and dark: as the reader's machine has it, until the reader chooses
  function remembered(value) {
    try {
      if (value) localStorage.setItem("theme", value);
      return localStorage.getItem("theme");
    } catch {
      return null;  // a page from a mail may not be allowed to remember
    }
  }
  if (["light", "dark"].includes(remembered())) root.dataset.theme = remembered();
  by("theme").addEventListener("click", () => {
    const now = root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
    remembered(root.dataset.theme);
  });

  // -- diagrams: begin where the machine begins; the whole drawing on demand
  for (const frame of document.querySelectorAll(".diagram")) {
    const button = make("button", "", "Whole drawing");
    button.type = "button";
    button.addEventListener("click", () => {
      const fit = frame.classList.toggle("fit");
      button.textContent = fit ? "Full size" : "Whole drawing";
      if (!fit) centre(frame);
    });
    frame.before(make("p", "tools", button));
  }
  function centre(frame) {
    const first = frame.querySelector('[fill="var(--initial)"]');
    if (!first) return;
    const box = first.getBoundingClientRect();
    const around = frame.getBoundingClientRect();
    frame.scrollLeft += box.left + box.width / 2 - around.left - around.width / 2;
    frame.dataset.seen = "yes";
  }

  // -- one section at a time
  const pages = [...document.querySelectorAll("main > section")];
  const links = [...document.querySelectorAll("#contents a")];
  function show(page) {
    pages.forEach((one) => one.classList.toggle("now", one === page));
    links.forEach((one) => {
      if (one.hash === `#${page.id}`) one.setAttribute("aria-current", "page");
      else one.removeAttribute("aria-current");
    });
    const here = links.find((one) => one.hash === `#${page.id}`);
    for (let up = here && here.closest("details"); up; up = up.parentElement.closest("details")) up.open = true;
    for (const frame of page.querySelectorAll(".diagram:not([data-seen])")) centre(frame);
    document.title = `${page.dataset.title} – SuperScalar`;
  }
  function go() {
    const wanted = decodeURIComponent(location.hash.slice(1));
    root.classList.remove("menu");
    if (wanted.startsWith("explore/")) {
      const arrived = !by("explore").classList.contains("now");
      show(by("explore"));
      by("missing").hidden = true;
      if (arrived) scrollTo(0, 0);
      explore(wanted);
      return;
    }
    const target = (wanted && by(wanted)) || pages[0];
    const page = target.closest("main > section") || pages[0];
    show(page);
    if (page.id === "explore") explore("");
    for (let up = target.closest("details"); up; up = up.parentElement.closest("details")) up.open = true;
    by("missing").hidden = !wanted || Boolean(by(wanted));
    if (!by("missing").hidden) by("missing").textContent = `This page has no '${wanted}'.`;
    if (target === page) scrollTo(0, 0);
    else target.scrollIntoView();
  }
  addEventListener("hashchange", go);
  by("menu").addEventListener("click", () => root.classList.toggle("menu"));

  // -- search
  const index = data("index");
  const box = by("search");
  const list = by("found");
  let chosen = 0;
  function results() {
    const found = Explorer.find(index, box.value, 12);
    chosen = 0;
    list.replaceChildren(...found.map((one, place) => {
      const row = link(one.anchor, make("b", "", one.name), place === 0 ? "chosen" : "");
      row.append(make("span", "quiet", one.says));
      row.addEventListener("click", () => { list.hidden = true; });
      return row;
    }));
    if (box.value.trim() && !found.length) list.append(make("p", "quiet", "Nothing has these words."));
    list.hidden = !box.value.trim();
  }
  box.addEventListener("input", results);
  box.addEventListener("focus", results);
  box.addEventListener("keydown", (event) => {
    const rows = [...list.querySelectorAll("a")];
    if (event.key === "Escape") { list.hidden = true; box.blur(); }
    if (event.key === "Enter" && rows[chosen]) { rows[chosen].click(); box.blur(); }
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      chosen = Math.max(0, Math.min(rows.length - 1, chosen + (event.key === "ArrowDown" ? 1 : -1)));
      rows.forEach((row, place) => row.classList.toggle("chosen", place === chosen));
      if (rows[chosen]) rows[chosen].scrollIntoView({ block: "nearest" });
    }
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest("#finder")) list.hidden = true;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
      event.preventDefault();
      box.focus();
    }
  });

  // -- the explorer
  const graphs = data("graphs");
  // A value of a machine in words; what is inside another is put in brackets.
  function shown(value, inside) {
    if (typeof value === "boolean") return value ? "yes" : "no";
    if (value === null || typeof value !== "object") return value === "" || value === null ? "–" : String(value);
    const list = Array.isArray(value);
    const parts = list ? value.map((one) => shown(one, true))
      : Object.entries(value).map(([name, one]) => `${name}: ${shown(one, true)}`);
    const words = parts.length ? parts.join(list ? ", " : "; ") : "none";
    return inside && parts.length ? `(${words})` : words;
  }
  const told = (fields) => Object.entries(fields).map(([name, value]) => `${name} = ${shown(value)}`).join(", ");

  function choice(label, options, current, chosenOne) {
    const select = make("select", "");
    for (const [value, words] of options) {
      const option = make("option", "", words);
      option.value = value;
      option.selected = value === current;
      select.append(option);
    }
    select.addEventListener("change", () => chosenOne(select.value));
    return make("label", "", make("span", "quiet", label), select);
  }

  function event(one) {
    const fields = told(one.fields);
    const head = make("span", "event", one.name, make("small", "quiet", ` by ${one.by}`));
    return fields ? [head, make("small", "fields quiet", fields)] : [head];
  }

  function explore(fragment) {
    const place = by("explorer");
    const asked = Explorer.parse(fragment);
    const known = asked && Object.hasOwn(graphs, asked.machine);
    const graph = graphs[known ? asked.machine : Object.keys(graphs)[0]];
    const steps = known ? asked.steps : [];
    const { start, trail, wrong } = Explorer.follow(graph, known ? asked.start : "", steps);
    const done = trail.slice(1).map((one) => one.step);
    const here = trail[trail.length - 1];
    const now = Explorer.state(graph, here.context);
    const before = trail.length > 1 ? Explorer.state(graph, trail[trail.length - 2].context) : now;
    const { taken, refused, outside } = Explorer.look(graph, here.context);
    const address = (count, ...more) => Explorer.format(graph, start.name, [...done.slice(0, count), ...more]);

    let warning = wrong ? `${wrong}: the path stops before it.` : "";
    if (fragment && !asked) warning = "This address names no path.";
    else if (asked && !known) warning = `There is no machine '${asked.machine}' here.`;
    else if (asked && asked.version && asked.version !== graph.version) {
      warning = "This address was made from other tables: its steps may mean something else here.";
    }

    const machines = Object.keys(graphs).map((name) => [name, name]);
    const starts = graph.starts.map((one) => [one.name, `${one.name}: ${one.says}`]);
    const choosers = make("div", "choosers",
      choice("machine", machines, graph.machine, (name) => { location.hash = `explore/${name}`; }),
      choice("it begins as", starts, start.name, (name) => { location.hash = Explorer.format(graph, name, []); }));

    const path = make("ol", "path");
    trail.forEach((one, count) => {
      const item = make("li", count === trail.length - 1 ? "here" : "");
      const words = count === 0 ? `start: ${start.name}` : one.given ? one.given.says : one.event.name;
      item.append(link(address(count), words, ""));
      if (one.row) item.append(" ", link(one.row, one.row));
      item.append(make("span", "quiet", ` → ${Explorer.state(graph, one.context).status}`));
      path.append(item);
    });

    const fields = make("dl", "state");
    for (const [name, value] of Object.entries(now)) {
      if (name === "status") continue;
      const changed = JSON.stringify(value) !== JSON.stringify(before[name]);
      fields.append(make("div", changed ? "changed" : "", make("dt", "", name), make("dd", "", shown(value))));
    }
    const status = make("p", "status", link(`${graph.machine}.${now.status}`, now.status, ""));
    const left = make("div", "where", make("h3", "", "Way"), path);
    if (here.effects && here.effects.length) {
      const does = make("ol", "effects");
      for (const one of here.effects) {
        const more = told(one.fields);
        does.append(make("li", "", make("b", "", one.kind), ` ${one.name}${one.to ? ` to ${one.to}` : ""}`,
          make("small", "quiet", more ? ` ${more}` : "")));
      }
      left.append(make("h3", "", "It did, in this order"), does);
    }
    left.append(make("h3", "", "What it knows"), fields);

    const right = make("div", "choices");
    const list = (title, moves, empty) => {
      right.append(make("h3", "", `${title} (${moves.length})`));
      for (const one of moves) {
        const beyond = one.after === Explorer.NONE;
        const target = beyond ? "more than this page holds" : Explorer.state(graph, one.after).status;
        const content = one.given ? [make("span", "given", one.given.says)] : event(one.event);
        const move = make(beyond ? "div" : "a", `move${beyond ? " beyond" : ""}`, ...content,
          make("span", "to", one.row ? `${one.row} → ${target}` : beyond ? target : ""));
        if (!beyond) move.href = `#${address(done.length, one.step)}`;
        right.append(move);
      }
      if (!moves.length) right.append(make("p", "quiet", empty));
    };
    list("Events that are taken here", taken, "None.");
    if (outside.length) list("Or another part of the same party does this first", outside, "");
    const groups = new Map();
    for (const one of refused) {
      const key = one.code === "OUT_OF_TURN" ? "OUT_OF_TURN" : `${one.code} ${one.rule}`;
      groups.set(key, [...(groups.get(key) || []), one]);
    }
    right.append(make("h3", "", `Refused, and nothing changes (${refused.length})`));
    // What a guard says tells most, and comes first.
    const last = ({ code }) => ["WRONG_SENDER", "OUT_OF_TURN"].indexOf(code);
    const sorted = [...groups.values()].sort((a, b) => last(a[0]) - last(b[0]));
    for (const group of sorted) {
      const [{ code, rule, detail }] = group;
      const summary = make("summary", "", make("code", "code", code), " ",
        make("span", "quiet", [...new Set(group.map((one) => one.event.name))].join(", ")));
      const inner = make("div", "refusals");
      inner.append(make("p", "quiet", code === "OUT_OF_TURN" ? "No row of this state takes it." : detail));
      const about = make("p", "", link(`code.${code}`, "what the code means"));
      if (code !== "OUT_OF_TURN") about.append(" · ", link(rule, rule));
      inner.append(about);
      for (const one of group) inner.append(make("div", "move no", ...event(one.event)));
      right.append(make("details", "refused", summary, inner));
    }

    const parts = [choosers];
    if (warning) parts.push(make("p", "warning", warning));
    if (!graph.whole) {
      parts.push(make("p", "quiet",
        `The page holds the ${graph.contexts.length.toLocaleString("en")} nearest situations of this machine, and not all.`));
    }
    place.replaceChildren(...parts, status, make("div", "explorer", left, right));
  }

  go();
})();
