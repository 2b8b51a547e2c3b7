// The start page: sends the document, follows the cells as they end, shows the result.
"use strict";

const at = (id) => document.getElementById(id);
let running = null;

/** Calls `on(name, data)` for each event of a `text/event-stream` body. */
async function eachEvent(body, on) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      let name = "", data = "";
      for (const line of block.split("\n")) {
        if (line.startsWith("event: ")) name = line.slice(7);
        if (line.startsWith("data: ")) data += line.slice(6);
      }
      if (name) on(name, JSON.parse(data));
    }
  }
}

function show(report) {
  const isPage = report.format === "html";
  at("page").hidden = !isPage;
  at("text").hidden = isPage;
  if (isPage) at("page").srcdoc = report.rendered;
  else at("text").textContent = report.rendered;
  const failed = report.cells.filter((cell) => cell.outcome.kind !== "completed");
  const lines = failed.map((cell) => `line ${cell.line}: ${cell.outcome.kind}`);
  at("status").textContent = [`${Math.round(report.wall_ms)} ms`, ...lines].join(" \u00b7 ");
}

async function render() {
  running = new AbortController();
  at("render").disabled = true;
  at("stop").disabled = false;
  at("status").textContent = "\u2026";
  try {
    const answer = await fetch("/api/v1/render", {
      method: "POST",
      headers: { "content-type": "application/json", accept: "text/event-stream" },
      body: JSON.stringify({
        content: at("content").value,
        format: at("format").value,
        show_code: at("show-code").checked,
        standalone: true,
      }),
      signal: running.signal,
    });
    if (!answer.ok) {
      at("status").textContent = (await answer.json()).detail;
      return;
    }
    await eachEvent(answer.body, (name, data) => {
      if (name === "cell") at("status").textContent = `cell ${data.cell + 1}: ${data.outcome.kind}`;
      if (name === "done") show(data);
      if (name === "problem") at("status").textContent = data.detail;
    });
  } catch (error) {
    at("status").textContent = error.name === "AbortError" ? "stopped" : String(error);
  } finally {
    at("render").disabled = false;
    at("stop").disabled = true;
  }
}

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  render();
});
at("stop").addEventListener("click", () => running?.abort());
at("content").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) render();
});
