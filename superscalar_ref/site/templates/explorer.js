"use strict";
// The explorer's arithmetic, and the search: pure functions over the data that the core made. Nothing here decides a step.
const Explorer = (() => {
  const NONE = -1;

  // The parts of 'explore/MACHINE@VERSION/START/STEPS'; null when it is none.
  function parse(fragment) {
    const found = /^explore\/(\w+)(?:@(\w+))?(?:\/(\w+)(?:\/([g\d.]*))?)?$/.exec(fragment);
    if (!found) return null;
    const words = found[4] ? found[4].split(".") : [];
    return { machine: found[1], version: found[2] || "", start: found[3] || "", steps: words };
  }

  function format(graph, start, steps) {
    return `explore/${graph.machine}@${graph.version}/${start}/${steps.join(".")}`;
  }

  // A context's fields as an object.
  function state(graph, context) {
    const found = {};
    graph.fields.forEach((field, column) => {
      found[field] = graph.values[column][graph.contexts[context][column]];
    });
    return found;
  }

  // What each event does in a context: taken (row, after, effects) or refused (code, rule, detail).
  function look(graph, context) {
    const taken = graph.moves[context].map(([event, after, row, effects]) => ({
      step: String(event), event: graph.events[event], after, row, effects: graph.effects[effects],
    }));
    const refused = [];
    graph.refusals[graph.refused[context]].forEach((reason, event) => {
      if (reason === NONE) return;
      const [code, rule, detail] = graph.reasons[reason];
      refused.push({ event: graph.events[event], code, rule, detail });
    });
    const outside = graph.outside[context].map(([given, after]) => ({
      step: `g${given}`, given: graph.givens[given], after,
    }));
    return { taken, refused, outside };
  }

  // The visits of a path, and what is wrong with it, if anything.
  function follow(graph, name, steps) {
    const start = graph.starts.find((one) => one.name === name) || graph.starts[0];
    const trail = [{ step: "", context: start.at }];
    for (const word of steps) {
      const { taken, outside } = look(graph, trail[trail.length - 1].context);
      const move = [...taken, ...outside].find((one) => one.step === word);
      if (!move) return { start, trail, wrong: `step ${trail.length} of this address is refused here` };
      if (move.after === NONE) return { start, trail, wrong: `step ${trail.length} leads beyond what this page holds` };
      trail.push({ ...move, context: move.after });
    }
    return { start, trail, wrong: "" };
  }

  // The things of the index whose name or words have every word that is asked for: names that begin with it come first.
  function find(index, query, most) {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return [];
    const whole = words.join(" ");
    const found = [];
    index.forEach(([anchor, name, says], place) => {
      const known = name.toLowerCase();
      const text = `${known} ${anchor.toLowerCase()} ${says.toLowerCase()}`;
      if (!words.every((word) => text.includes(word))) return;
      const rank = known === whole ? 0 : known.startsWith(whole) ? 1 : known.includes(whole) ? 2 : 3;
      found.push({ anchor, name, says, rank, place });
    });
    found.sort((a, b) => a.rank - b.rank || a.place - b.place);
    return found.slice(0, most);
  }

  return { NONE, parse, format, state, look, follow, find };
})();
if (typeof module !== "undefined") module.exports = Explorer;
