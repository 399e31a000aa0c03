"""One HTML file that needs nothing else: plots, tables, versions, configurations."""

from html import escape
from statistics import median

import plots
from plots import number
from scenarios import PEERS, TARGETS
from summary import Results, spread, target_words

COLOURS = {"ringside": ("#d9480f", "#ff8a5c"), "ringside-epoll": ("#e8a317", "#ffc44d"), "envoy": ("#7048a8", "#b493e6"),
           "haproxy": ("#1c7ea8", "#5bb8e0"), "nginx": ("#2b8a4b", "#63c384"), "direct": ("#868e96", "#868e96"),
           "limit": ("#495057", "#adb5bd")}

STYLE = """
:root { color-scheme: light dark; --back: #fff; --panel: #f6f7f9; --text: #1b1f24; --faint: #5c6670; --line: #d8dde3; --good: #1a7f37;
  --bad: #c92a2a; }
@media (prefers-color-scheme: dark) { :root { --back: #14171b; --panel: #1d2127; --text: #e6e9ed; --faint: #9aa5b1; --line: #363c45;
  --good: #57c274; --bad: #ff7b72; } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1080px; padding: 24px 20px 80px; background: var(--back); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 26px; margin: 0 0 4px } h2 { font-size: 19px; margin: 44px 0 8px } h3 { font-size: 15px; margin: 0 0 2px }
p { margin: 6px 0 12px; max-width: 78ch } .faint, .small, figcaption { color: var(--faint) } .small { font-size: 11px }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin: 20px 0 }
.tile { background: var(--panel); border-radius: 8px; padding: 12px 18px; min-width: 150px }
.tile b { display: block; font-size: 26px; line-height: 1.2 }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(330px, 1fr)); gap: 14px }
.card { background: var(--panel); border-radius: 8px; padding: 12px 14px }
svg { display: block; width: 100%; height: auto } svg text { fill: var(--text); font: 12px system-ui, sans-serif }
svg text.small { fill: var(--faint); font-size: 11px } svg text.value { font-weight: 600 }
.grid { stroke: var(--line); stroke-width: 1 } .one { stroke: var(--text); stroke-width: 1.2 }
.whisker { stroke: var(--text); stroke-width: 1.2; opacity: .65 } .mark { stroke: var(--text); stroke-dasharray: 3 3 }
.target { stroke: var(--text); stroke-width: 2.4 } .range { stroke-width: 3; opacity: .55 } .line { fill: none; stroke-width: 2 }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { padding: 3px 10px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
th:first-child, td:first-child, td.left, th.left { text-align: left } th { color: var(--faint); font-weight: 500 }
tr.first td { border-top: 2px solid var(--line) } .pass { color: var(--good) } .fail { color: var(--bad); font-weight: 600 }
.legend span { margin-right: 16px; white-space: nowrap } .legend i { display: inline-block; width: 11px; height: 11px;
  border-radius: 3px; margin-right: 5px } details { margin: 6px 0 } summary { cursor: pointer }
pre { background: var(--panel); border-radius: 8px; padding: 10px 14px; overflow-x: auto; font-size: 12px; line-height: 1.4 }
"""


def colour_rules():
    def rules(which):
        return "".join(f".f-{peer}{{fill:{pair[which]}}}.s-{peer}{{stroke:{pair[which]}}}.b-{peer}{{background:{pair[which]}}}"
                       for peer, pair in COLOURS.items())

    return rules(0) + "@media (prefers-color-scheme: dark){" + rules(1) + "}"


def heading(text, note=""):
    return f"<h2>{escape(text)}</h2>" + (f"<p class=faint>{escape(note)}</p>" if note else "")


# --- Sections ----------------------------------------------------------------------------------------------------------------


def top(results):
    data = results.data
    machine, settings = data["machine"], data["settings"]
    where = f"{machine['cpu']}{' (virtual machine)' if machine['virtual_machine'] else ''}, kernel {machine['kernel']}"
    tiles = []
    for peer in PEERS:
        ratios = results.ratios("http1-small", "efficiency", "ringside", peer)
        if ratios:
            tiles.append((f"{median(ratios):.2f}x", f"work per CPU-second of {peer}, GETs of 1 KB"))
    cost = results.median("http1-small", "ringside", "cpu_us")
    if cost:
        tiles.append((f"{cost:.1f} µs", "proxy CPU per GET of 1 KB"))
    checks = results.checks()
    measured = [check for check in checks if check["passed"] is not None]
    if measured:
        tiles.append((f"{sum(check['passed'] for check in measured)} of {len(measured)}", "targets reached"))
    warning = ("<p class=fail>A quick run: it shows that everything works, not how fast it is.</p>" if settings["quick"] else
               "<p class=fail>Fewer than five rounds: an indication, not a result.</p>" if settings["rounds"] < 5 else "")
    return (f"<h1>Ringside beside Envoy, HAProxy and nginx</h1><p class=faint>{escape(data['time'])} · {escape(where)} · "
            f"{settings['rounds']} rounds of {settings['duration_ms'] / 1000:g} s · one worker on one core, load on another</p>{warning}"
            "<div class=tiles>" + "".join(f"<div class=tile><b>{escape(big)}</b>{escape(text)}</div>" for big, text in tiles) + "</div>")


def targets(results):
    checks = results.checks()
    if not checks:
        return ""
    rows, last = [], None
    words = {True: "<span class=pass>reached</span>", False: "<span class=fail>missed</span>", None: "not measured"}
    for check in checks:
        target = check["target"]
        what, much = target_words(target)
        first = target.scenario != last
        last = target.scenario
        rows.append(f"<tr{' class=first' if first else ''}><td>{target.scenario if first else ''}</td><td class=left>{escape(what)}</td>"
                    f"<td>{escape(much)}</td><td>{number(check['value'])}</td><td>{spread(check['values']) if check['values'] else ''}</td>"
                    f"<td class=left>{words[check['passed']]}</td></tr>")
    note = "Ratios are taken within a round; what counts is the median over the rounds. The spread is the least and the greatest."
    return (heading("Targets", note) + "<div class=wide><table><tr><th>scenario<th class=left>what<th>target<th>median<th>spread<th></tr>"
            + "".join(rows) + "</table></div>")


def bar_rows(results, scenario, metric):
    rows = []
    for peer in results.peers(scenario):
        values = results.values(scenario, peer, metric)
        if values:
            rows.append((peer, median(values), min(values), max(values)))
    return rows


def bar_card(results, scenario, metric, title, note, marks=()):
    rows = bar_rows(results, scenario.name, metric)
    if not rows:
        return ""
    return f"<div class=card><h3>{escape(title)}</h3><div class=small>{escape(note)}</div>{plots.bars(rows, title, marks)}</div>"


def cpu_section(results):
    cards = []
    for scenario in results.scenarios():
        if scenario.shape == "window":
            unit = "request" if scenario.unit == "request" else "MB"
            cards.append(bar_card(results, scenario, "cpu_us", scenario.name, f"{scenario.title} · µs of proxy CPU per {unit}"))
    if not any(cards):
        return ""
    note = ("What the proxy's process and its kernel threads used, by the scheduler's own count, divided by what they carried. "
            "Shorter is better; the line shows the spread over the rounds.")
    return heading("CPU per request", note) + f"<div class=cards>{''.join(cards)}</div>"


def ratio_section(results):
    groups = []
    for scenario in results.scenarios():
        rows = []
        for peer in PEERS:
            ratios = results.ratios(scenario.name, "efficiency", "ringside", peer)
            if ratios:
                wanted = [t.value for t in TARGETS if t.scenario == scenario.name and t.metric == "efficiency" and t.against == peer]
                rows.append((peer, median(ratios), min(ratios), max(ratios), wanted[0] if wanted else None))
        if rows:
            groups.append((scenario.name, rows))
    if not groups:
        return ""
    note = "How many times the requests (or bytes) per CPU-second of each peer Ringside carries. An upright bar is a target."
    return heading("Ratios", note) + plots.legend(PEERS) + plots.ratio_rows(groups, "ratios to the peers")


def merged_histogram(results, scenario, peer):
    cells = {}
    for row in results.rounds[scenario].values():
        for lower, width, count in (row.get(peer) or {}).get("histogram_us") or []:
            cells[(lower, width)] = cells.get((lower, width), 0) + count
    return [(lower, width, count) for (lower, width), count in sorted(cells.items())]


def latency_section(results):
    parts = []
    for scenario in results.scenarios():
        if not scenario.is_open_loop:
            continue
        series = [(peer, merged_histogram(results, scenario.name, peer)) for peer in results.peers(scenario.name)]
        series = [(peer, cells) for peer, cells in series if cells]
        if not series:
            continue
        rows = ""
        for peer, _ in series:
            cells = "".join(f"<td>{number(results.median(scenario.name, peer, name))}</td>" for name in ("p50", "p90", "p99", "p99.9", "cpu_us"))
            rows += f"<tr><td>{peer}</td>{cells}</tr>"
        table = f"<table><tr><th><th>p50<th>p90<th>p99<th>p99.9<th>µs CPU/request</tr>{rows}</table>"
        parts.append(f"<h3>{escape(scenario.title)}</h3>{plots.legend([peer for peer, _ in series])}"
                     f"{plots.percentiles(series, scenario.title)}<div class=wide>{table}</div><br>")
    note = ("Requests are due by a schedule, whatever the answers do; latency counts from when a request was due, so a stall is seen by "
            "every request that it delays. Client and backend share a core: \"direct\" is what they cost without a proxy.")
    return heading("Latency at a fixed rate", note) + "".join(parts) if parts else ""


def memory_section(results):
    wanted = {"start": [("rss_mb", "at start", "MB resident", "MB"), ("ready_ms", "time to ready", "ms from start to the first answer", "ms")],
              "start-1000": [("rss_mb", "1,000 routes and clusters", "MB resident", "MB"),
                             ("ready_ms", "1,000 routes and clusters: time to ready", "ms from start to the first answer", "ms")],
              "idle-10k": [("idle_bytes", "per idle connection", "bytes resident, after a request each", "bytes")],
              "idle-h2-10k": [("idle_bytes", "per idle HTTP/2 connection", "bytes resident, after a request each", "bytes")],
              "idle-tls-2k": [("idle_bytes", "per idle TLS connection", "bytes resident, after a request each", "bytes")]}
    cards = []
    for scenario in results.scenarios():
        for metric, title, note, unit in wanted.get(scenario.name, []):
            marks = [(t.value, f"target {t.value:g}") for t in TARGETS if t.scenario == scenario.name and t.metric == metric]
            cards.append(bar_card(results, scenario, metric, title, note, marks))
    connections = results.data["settings"]["idle_connections"]
    note = f"Resident memory of all processes of the proxy, shared pages once. Idle connections: at most {connections:,}."
    return heading("Memory and start", note) + f"<div class=cards>{''.join(cards)}</div>" if any(cards) else ""


def numbers_section(results):
    columns = (("per_second", "per s"), ("cpu_us", "µs CPU"), ("efficiency", "per CPU-s"), ("busy", "proxy busy"),
               ("generator_busy", "load busy"), ("kernel_share", "in kernel"), ("wakeups", "wake-ups"), ("p50", "p50 µs"),
               ("p99", "p99 µs"), ("rss_mb", "RSS MB"))
    rows = []
    for scenario in results.scenarios():
        if scenario.shape != "window":
            continue
        for index, peer in enumerate(results.peers(scenario.name)):
            cells = "".join(f"<td>{number(results.median(scenario.name, peer, name))}</td>" for name, _ in columns)
            first = " class=first" if index == 0 else ""
            rows.append(f"<tr{first}><td>{scenario.name if index == 0 else ''}</td><td class=left>{peer}</td>"
                        f"<td class=left>{scenario.unit}</td>{cells}</tr>")
    if not rows:
        return ""
    head = "<tr><th>scenario<th class=left>proxy<th class=left>unit" + "".join(f"<th>{name}" for _, name in columns) + "</tr>"
    note = ("Medians. Where the load is busy (near 1) and the proxy is not, the load generator was the limit: compare CPU per request, "
            "not throughput. The kernel's share goes by the tick, so it is rough.")
    return heading("All numbers", note) + f"<div class=wide><table>{head}{''.join(rows)}</table></div>"


def method_section(results):
    data = results.data
    facts = "".join(f"<tr><td>{escape(name.replace('_', ' '))}</td><td class=left>{escape(str(value))}</td></tr>"
                    for name, value in {**data["machine"], **data["settings"]}.items())
    versions = "".join(f"<tr><td>{escape(name)}</td><td class=left>{escape(version)}</td></tr>" for name, version in data["versions"].items())
    parts = [heading("Versions and machine"), f"<table>{versions}</table><br><table>{facts}</table>", heading("Configurations")]
    for kind, texts in data["configurations"].items():
        for peer, text in texts.items():
            parts.append(f"<details><summary>{escape(peer)}, {escape(kind)}</summary><pre>{escape(text)}</pre></details>")
    errors = results.errors()
    if errors:
        rows = "".join(f"<li>{escape(t['scenario'])}, {escape(t['peer'])}, round {t['round']}: {escape(t['error'])}</li>" for t in errors)
        parts.append(heading("Trials that failed", "They count nowhere above.") + f"<ul>{rows}</ul>")
    return "".join(parts)


def render(data):
    results = Results(data)
    sections = (top, targets, cpu_section, ratio_section, latency_section, memory_section, numbers_section, method_section)
    body = "".join(section(results) for section in sections)
    return ('<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f"<title>Ringside beside Envoy, HAProxy and nginx</title><style>{STYLE}{colour_rules()}</style></head><body>{body}</body></html>\n")
