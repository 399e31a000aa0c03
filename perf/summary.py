"""From single trials to medians, ratios within rounds, and what of the targets is reached."""

from statistics import median

from scenarios import PEERS, SCENARIOS, TARGETS

ORDER = ("ringside", "ringside-epoll", "envoy", "haproxy", "nginx", "direct", "limit")
PLAIN = {"rss_mb": "MB", "ready_ms": "ms", "idle_bytes": "bytes"}


def clock(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def metric(trial, name):
    """One number of a trial, or None."""
    if trial is None or "error" in trial:
        return None
    if name.startswith("p"):
        return (trial.get("latency_us") or {}).get(name)
    return trial.get(name)


class Results:
    """The trials of a run by scenario, round and peer."""

    def __init__(self, data):
        self.data = data
        self.rounds = {}
        for trial in data["trials"]:
            self.rounds.setdefault(trial["scenario"], {}).setdefault(trial["round"], {})[trial["peer"]] = trial

    def scenarios(self):
        return [s for s in SCENARIOS if s.name in self.rounds]

    def peers(self, scenario):
        seen = {peer for row in self.rounds.get(scenario, {}).values() for peer in row}
        return [peer for peer in ORDER if peer in seen]

    def values(self, scenario, peer, name):
        """One number per round that has it."""
        found = [metric(row.get(peer), name) for row in self.rounds.get(scenario, {}).values()]
        return [value for value in found if value is not None]

    def median(self, scenario, peer, name):
        values = self.values(scenario, peer, name)
        return median(values) if values else None

    def ratios(self, scenario, name, peer, against):
        """The ratio within each round. "best": against whichever of the three does best in that round; the name of a scenario:
        the same peer in that one."""
        found = []
        other = self.rounds.get(against, {})
        for number, row in self.rounds.get(scenario, {}).items():
            mine = metric(row.get(peer), name)
            if against == "best":
                others = [metric(row.get(other), name) for other in PEERS]
                others = [value for value in others if value is not None]
                theirs = (max if name == "efficiency" else min)(others) if len(others) == len(PEERS) else None
            elif any(against == s.name for s in SCENARIOS):
                theirs = metric(other.get(number, {}).get(peer), name)
            else:
                theirs = metric(row.get(against), name)
            if mine is not None and theirs:
                found.append(mine / theirs)
        return found

    def errors(self):
        return [trial for trial in self.data["trials"] if "error" in trial]

    def check(self, target, peer="ringside"):
        """{target, values, value, passed}; value is None when it was not measured."""
        if target.metric in PLAIN:
            values = self.values(target.scenario, peer, target.metric)
        else:
            values = self.ratios(target.scenario, target.metric, peer, target.against)
        value = median(values) if values else None
        passed = None
        if value is not None:
            passed = value >= target.value if target.sign == ">=" else value <= target.value
        return {"target": target, "values": values, "value": value, "passed": passed}

    def checks(self, peer="ringside"):
        """Nothing when that peer did not take part."""
        if not any(trial["peer"] == peer for trial in self.data["trials"]):
            return []
        return [self.check(target, peer) for target in TARGETS if target.scenario in self.rounds]


def target_words(target):
    """(what, how much)"""
    unit = PLAIN.get(target.metric)
    sign = "at least" if target.sign == ">=" else "at most"
    if unit:
        what = {"rss_mb": "memory (RSS)", "ready_ms": "time to the first answer", "idle_bytes": "memory per idle connection"}
        return what[target.metric], f"{sign} {target.value:g} {unit}"
    against = {"best": "the best of the three", "limit": "the limit"}.get(target.against, target.against)
    what = {"efficiency": "work per CPU-second", "cpu_us": "CPU per request"}.get(target.metric, f"{target.metric} latency")
    return f"{what}, vs {against}", f"{sign} {target.value:g} x"


def number(value):
    """Three digits that matter."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread(values):
    return f"[{min(values):.2f}-{max(values):.2f}]" if len(values) > 1 else ""


# --- On the terminal ---------------------------------------------------------------------------------------------------------


def headline(scenario):
    """(metric, label) that stands for a scenario in one number."""
    if scenario.shape == "idle":
        return "idle_bytes", "B/conn"
    if scenario.shape == "start":
        return "rss_mb", "MB"
    return "cpu_us", f"us/{'req' if scenario.unit == 'request' else scenario.unit}"


def progress_line(scenario, round_number, row):
    name, label = headline(scenario)
    parts = [f"{peer} {number(metric(row[peer], name))}" for peer in ORDER if metric(row.get(peer), name) is not None]
    return f"  {scenario.name:18} {round_number:2}  {label:7} {'   '.join(parts)}"


def table(data):
    results = Results(data)
    lines = ["", "Medians: CPU of the proxy per request or MB, memory per idle connection, memory after the start.",
             "Ratios: ringside to each peer, work per CPU-second, median and spread of the ratio within a round.", "",
             f"{'scenario':18} {'unit':7}" + "".join(f"{peer[:14]:>11}" for peer in ("ringside", "epoll", "envoy", "haproxy", "nginx", "limit"))
             + "   " + "".join(f"{'x ' + peer:22}" for peer in PEERS)]
    for scenario in results.scenarios():
        name, label = headline(scenario)
        row = f"{scenario.name:18} {label:7}"
        for peer in ("ringside", "ringside-epoll", "envoy", "haproxy", "nginx", "limit"):
            row += f"{number(results.median(scenario.name, peer, name)):>11}"
        row += "   "
        for peer in PEERS:
            ratios = results.ratios(scenario.name, "efficiency", "ringside", peer)
            row += f"{f'{median(ratios):.2f} {spread(ratios)}' if ratios else '-':22}"
        lines.append(row.rstrip())
    return "\n".join(lines + latency_lines(results))


def latency_lines(results):
    lines = []
    for scenario in results.scenarios():
        if not scenario.is_open_loop:
            continue
        lines += ["", f"{scenario.title}: latency from the intended time, us",
                  f"{'':18} {'p50':>11}{'p99':>11}{'p99.9':>11}{'us CPU/req':>12}"]
        for peer in results.peers(scenario.name):
            values = [results.median(scenario.name, peer, name) for name in ("p50", "p99", "p99.9", "cpu_us")]
            lines.append(f"{peer:18} " + "".join(f"{number(value):>{width}}" for value, width in zip(values, (11, 11, 11, 12))))
    return lines


def targets_text(data):
    results = Results(data)
    checks = results.checks()
    if not checks:
        return ""
    words = {True: "pass", False: "FAIL", None: "-"}
    lines = ["", "Targets of ringside:"]
    for check in checks:
        what, much = target_words(check["target"])
        value = f"{number(check['value'])} {spread(check['values']) if check['values'] else ''}"
        lines.append(f"  {words[check['passed']]:5} {check['target'].scenario:18} {what:42} {much:18} {value}")
    failed = sum(check["passed"] is False for check in checks)
    passed = sum(check["passed"] is True for check in checks)
    missing = len(checks) - passed - failed
    lines.append(f"  {passed} reached, {failed} missed" + (f", {missing} not measured" if missing else ""))
    if data["settings"]["rounds"] < 5:
        lines.append("  (fewer than five rounds: an indication, not a result)")
    disturbed = sum(bool(trial.get("disturbed")) for trial in data["trials"])
    if disturbed:
        lines.append(f"  {disturbed} trials were disturbed: other programs had their cores for more than a tenth of the time")
    if results.errors():
        lines.append(f"  {len(results.errors())} trials failed; bench.json says why")
    return "\n".join(lines)
