# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the page carries in itself: style, shapes and script. Nothing is fetched, and it reads without the script."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --bg: #ffffff; --panel: #f6f7f9; --line: #d9dee5; --text: #1a1f26; --soft: #57616d;
  --up: #1b7a3d; --idle: #4b6584; --warn: #8a5300; --down: #b3261e; --down-bg: #fdecea; --warn-bg: #fdf3df;
  --bar-in: #3b74b8; --bar-out: #7a5fb0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --bg: #11151a; --panel: #191f26; --line: #303842; --text: #e4e8ed; --soft: #a0abb7;
    --up: #5fcf87; --idle: #93aecb; --warn: #eeb54a; --down: #ff8a7e; --down-bg: #3b1d1b; --warn-bg: #352a12;
    --bar-in: #6aa5ea; --bar-out: #ab93e0;
  }
}
* { box-sizing: border-box; }
html { font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
body { margin: 0; padding: 1.6rem 2rem 3rem; background: var(--bg); color: var(--text);
  font-variant-numeric: tabular-nums; }
h1 { font-size: 1.5rem; font-weight: 650; margin: 0; letter-spacing: -.01em; }
section { scroll-margin-top: 4rem; }
h2 { font-size: 1.05rem; font-weight: 650; margin: 2.4rem 0 .5rem; }
p { margin: .3rem 0 .7rem; color: var(--soft); max-width: 78ch; }
svg.i { width: .86em; height: .86em; flex: none; vertical-align: -.06em; }
svg.shapes { position: absolute; }
.vh { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.up, .good { color: var(--up); } .idle { color: var(--idle); } .partial, .warn { color: var(--warn); }
.down, .bad { color: var(--down); } .none, .unknown, .soft { color: var(--soft); }

.sums { display: flex; flex-wrap: wrap; margin: 1.2rem 0 0; border: 1px solid var(--line); border-radius: 8px;
  background: var(--panel); }
.sums > div { padding: .7rem 1.3rem .75rem; border-left: 1px solid var(--line); flex: 1 1 auto; }
.sums > div:first-child { border-left: 0; }
.sums dt { color: var(--soft); font-size: .86rem; }
.sums dd { margin: 0; font-size: 1.5rem; font-weight: 600; line-height: 1.3; white-space: nowrap; }
.sums dd small { font-size: .86rem; font-weight: 400; color: var(--soft); }
.sums dd.note { font-size: .86rem; font-weight: 400; color: var(--soft); }

#tools { position: sticky; top: 0; z-index: 5; display: flex; gap: 1.2rem; align-items: center; margin-top: 1rem;
  padding: .55rem 0; background: var(--bg); }
#tools[hidden] { display: none; }
#tools input[type=search] { font: inherit; color: inherit; width: 22rem; max-width: 60vw; padding: .35rem .6rem;
  border: 1px solid var(--soft); border-radius: 6px; background: var(--bg); }
#tools output { color: var(--soft); }

table { border-collapse: separate; border-spacing: 0; }
th, td { padding: .36rem .8rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { font-weight: 600; }
thead th { color: var(--soft); font-size: .86rem; vertical-align: bottom; background: var(--bg); white-space: nowrap; }
table.list { width: 100%; } table.list td { vertical-align: baseline; }
table.list thead th { position: sticky; top: var(--tools, 0); z-index: 2; box-shadow: inset 0 -1px var(--soft); }
table.list th:first-child, table.list td:first-child { padding-left: 0; }
td.num, th.num { text-align: right; white-space: nowrap; }
td.tight { white-space: nowrap; } td.small { font-size: .86rem; }
td .log { display: block; margin-top: .15rem; color: var(--soft); font: .86rem/1.4 ui-monospace, "DejaVu Sans Mono",
  Menlo, Consolas, monospace; overflow-wrap: anywhere; }
details { margin-top: .15rem; } summary { color: var(--soft); cursor: pointer; }
details ul { margin: .3rem 0; padding-left: 1.1rem; columns: 2 22rem; } details li { break-inside: avoid; }
tr[hidden] { display: none; }
.state { display: inline-flex; gap: .4em; align-items: baseline; white-space: nowrap; }
.bar { display: block; width: 7rem; height: .34rem; margin: .2rem 0 0 auto; border-radius: 2px;
  background: linear-gradient(to right, var(--bar) max(var(--w), 2px), var(--line) 0); --bar: var(--bar-in); }
.bar.out { --bar: var(--bar-out); }

.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; margin: .2rem 0 .8rem; padding: 0; list-style: none;
  color: var(--soft); }
.legend li { display: inline-flex; gap: .45em; align-items: baseline; }
.frame { overflow: auto; max-height: 88vh; width: fit-content; max-width: 100%; border: 1px solid var(--line);
  border-radius: 8px; }
table.matrix th, table.matrix td { border-right: 1px solid var(--line); padding: .35rem .6rem; }
table.matrix tr > :last-child { border-right: 0; }
table.matrix tbody tr:last-child > * { border-bottom: 0; }
table.matrix th { background: var(--panel); color: var(--text); font-size: 1rem; white-space: nowrap; }
table.matrix thead th { position: sticky; top: 0; z-index: 2; }
table.matrix tbody th { position: sticky; left: 0; z-index: 1; }
table.matrix thead th:first-child { left: 0; z-index: 3; }
table.matrix thead th:first-child { color: var(--soft); font-weight: 400; font-size: .86rem; }
td.self { background: var(--panel); }
td.nothing { color: var(--soft); text-align: center; }
.halves { display: grid; grid-template-columns: 1fr 1fr; gap: .5rem; align-items: start; }
.h { display: block; padding: .1rem .4rem; border-radius: 4px; white-space: nowrap; }
.h.down { background: var(--down-bg); } .h.partial { background: var(--warn-bg); }
.wide .h { min-width: 6.2rem; }
.wide .h b { font-weight: 500; margin-left: .4em; }
.h small { display: block; color: var(--soft); font-size: .82rem; }
td.asym { box-shadow: inset 0 0 0 2px var(--warn); }
.why { display: block; margin-top: .2rem; font-size: .82rem; color: var(--warn); max-width: 15rem; }
table.matrix.compact td { padding: .12rem .15rem; vertical-align: middle; }
table.matrix.compact thead th:not(:first-child) span { writing-mode: vertical-rl; transform: rotate(180deg);
  max-height: 12rem; overflow: hidden; text-overflow: ellipsis; padding: .2rem 0; }
.compact thead svg.i { transform: rotate(180deg); }
table.matrix.compact th { font-size: .86rem; font-weight: 500; padding: .2rem .35rem; }
table.matrix.compact tbody th { vertical-align: middle; line-height: 1.2; }
.compact .halves { gap: 0; grid-template-columns: .95rem .95rem; justify-content: center; }
.compact .h { padding: 0; text-align: center; }
svg.map { display: block; width: 100%; max-width: 38rem; border: 1px solid var(--line); background: var(--panel); }
svg.map path { fill: currentColor; } svg.map .up, svg.map .idle { opacity: .6; }
svg.map .down, svg.map .partial { stroke: currentColor; }
footer { margin-top: 3rem; color: var(--soft); }

@media print {
  :root { --bg: #fff; --panel: #f6f7f9; --line: #bbb; --text: #000; --soft: #444; --up: #1b7a3d; --idle: #4b6584;
    --warn: #8a5300; --down: #b3261e; --down-bg: #fdecea; --warn-bg: #fdf3df; --bar-in: #3b74b8; --bar-out: #7a5fb0; }
  html { font-size: 10px; } body { padding: 0; } #tools { display: none; }
  .frame { overflow: visible; max-height: none; border: 0; }
  thead th, tbody th { position: static !important; }
  tr { break-inside: avoid; } h2 { break-after: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""

SHAPES = """
<svg class="shapes" width="0" height="0" aria-hidden="true">
<symbol id="up" viewBox="0 0 12 12"><circle cx="6" cy="6" r="5.5" fill="currentColor"/></symbol>
<symbol id="partial" viewBox="0 0 12 12"><circle cx="6" cy="6" r="4.8" fill="none" stroke="currentColor"
 stroke-width="1.4"/><path d="M6 1.2a4.8 4.8 0 0 0 0 9.6z" fill="currentColor"/></symbol>
<symbol id="idle" viewBox="0 0 12 12"><circle cx="6" cy="6" r="4.8" fill="none" stroke="currentColor"
 stroke-width="1.4"/></symbol>
<symbol id="down" viewBox="0 0 12 12"><path d="M2 2l8 8M10 2l-8 8" stroke="currentColor" stroke-width="2.6"/></symbol>
<symbol id="none" viewBox="0 0 12 12"><path d="M3 6h6" stroke="currentColor" stroke-width="1.2"/></symbol>
<symbol id="unknown" viewBox="0 0 12 12"><path d="M3.3 4a2.7 2.7 0 1 1 4 2.3C6.4 6.8 6 7.2 6 8.1M6 9.6v1.7" fill="none"
 stroke="currentColor" stroke-width="1.6"/></symbol>
<symbol id="warn" viewBox="0 0 12 12"><path d="M6 1.5L11 10.5H1z" fill="none" stroke="currentColor" stroke-width="1.4"
 stroke-linejoin="round"/></symbol>
</svg>
"""

SCRIPT = """
(function () {
  var tools = document.getElementById('tools'), text = document.getElementById('filter');
  var trouble = document.getElementById('trouble'), shown = document.getElementById('shown');
  var rows = Array.prototype.slice.call(document.querySelectorAll('tr[data-level]'));
  var keys = rows.map(function (row) { return (row.dataset.key || row.textContent).toLowerCase(); });
  function apply() {
    var words = text.value.toLowerCase().split(' '), count = 0;
    rows.forEach(function (row, index) {
      var hit = words.every(function (word) { return keys[index].indexOf(word) >= 0; });
      row.hidden = !hit || (trouble.checked && row.dataset.level === 'good');
      count += row.hidden ? 0 : 1;
    });
    shown.textContent = count === rows.length ? '' : count + ' of ' + rows.length + ' rows';
  }
  tools.hidden = false;
  document.documentElement.style.setProperty('--tools', tools.offsetHeight + 'px');
  text.addEventListener('input', apply);
  trouble.addEventListener('change', apply);
  apply();
})();
"""
