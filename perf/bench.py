#!/usr/bin/env python3
"""Compares Ringside with Envoy, HAProxy and nginx on this machine: `./dev bench`.

Every trial is a fresh start of one proxy with one worker on one core; the load generator, with the backend in the same thread, runs
on another core. The proxies take turns within each round, in rotated order, and ratios are taken within a round, because a machine
that is shared changes its speed from one minute to the next.
"""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import certificates  # noqa: E402
import measure  # noqa: E402
import proxies  # noqa: E402
import report  # noqa: E402
import scenarios as scenario_module  # noqa: E402
import summary  # noqa: E402
import trials  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent


def parse_arguments():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.split("\n\n")[0],
                                     epilog="Scenarios: " + ", ".join(s.name for s in scenario_module.SCENARIOS))
    parser.add_argument("--list", action="store_true", help="the scenarios, and the end")
    parser.add_argument("--quick", action="store_true", help="one short round: shows that everything works, not how fast it is")
    parser.add_argument("--only", metavar="a,b", help="these scenarios; a trailing * matches")
    parser.add_argument("--rounds", type=int, help="rounds (5)")
    parser.add_argument("--peers", metavar="a,b", help="these of envoy, haproxy, nginx, ringside, ringside-epoll, direct, limit")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where bench.json and report.html go (build/bench/<time>)")
    parser.add_argument("--build", type=Path, default=ROOT / "build/release", metavar="DIR", help="the build to measure")
    parser.add_argument("--proxy-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    parser.add_argument("--duration-ms", type=float, help="measured window (1600)")
    parser.add_argument("--render", type=Path, metavar="bench.json", help="only make the report of an earlier run again")
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (1 if arguments.quick else 5)
    arguments.duration_ms = arguments.duration_ms or (500 if arguments.quick else 1600)
    return arguments


def die(text):
    print(f"error: {text}", file=sys.stderr)
    sys.exit(1)


# --- Progress ----------------------------------------------------------------------------------------------------------------


class Progress:
    """One line that is rewritten on a terminal, and one line per scenario and round that stays."""

    def __init__(self, total):
        self.total, self.done, self.begin = total, 0, time.monotonic()
        self.live = sys.stdout.isatty()

    def now(self, scenario, round_number, peer):
        if not self.live:
            return
        elapsed = time.monotonic() - self.begin
        left = f"{summary.clock(elapsed / self.done * (self.total - self.done))} left" if self.done >= 3 else ""
        share = self.done / self.total
        bar = "█" * int(share * 20) + "░" * (20 - int(share * 20))
        self._rewrite(f"{bar} {share:4.0%} {left:>11}  {scenario.name} · round {round_number} · {peer}")

    def keep(self, text):
        if self.live:
            self._rewrite("")
        print(text, flush=True)

    def _rewrite(self, text):
        sys.stdout.write(f"\r\x1b[K{text[:140]}")
        sys.stdout.flush()


# --- The run -----------------------------------------------------------------------------------------------------------------


def choose_peers(arguments):
    """({name: peer}, names beside them such as limit); what cannot run is left out, and said."""
    known = proxies.all_peers(arguments.build.resolve())
    wanted = arguments.peers.split(",") if arguments.peers else [*known, "limit"]
    unknown = set(wanted) - set(known) - {"limit"}
    if unknown:
        die(f"no peer {', '.join(sorted(unknown))}; there are {', '.join([*known, 'limit'])}")
    chosen = {}
    for name in wanted:
        if name == "limit":
            continue
        why = known[name].missing()
        if why:
            print(f"  without {name}: {why}")
        else:
            chosen[name] = known[name]
    return chosen, {"limit"} & set(wanted)


def names_for(scenario, peers, beside):
    """Who takes part in a scenario."""
    names = [name for name in scenario.only or peers if name in peers and name != "direct" and not peers[name].supports(scenario.kind)]
    if scenario.direct and "direct" in peers:
        names.append("direct")
    if scenario.limit and "limit" in beside:
        names.append("limit")
    return names


def rotated(names, by):
    by %= max(1, len(names))
    return names[by:] + names[:by]


def run_all(arguments, bench_of, chosen, peers, beside):
    progress = Progress(arguments.rounds * sum(len(names_for(s, peers, beside)) for s in chosen))
    found = []
    for round_number in range(1, arguments.rounds + 1):
        for index, scenario in enumerate(chosen):
            row = {}
            for name in rotated(names_for(scenario, peers, beside), round_number - 1 + index):
                progress.now(scenario, round_number, name)
                trial = one_trial(bench_of, scenario, name, peers)
                found.append({"scenario": scenario.name, "peer": name, "round": round_number, **trial})
                row[name] = trial
                progress.done += 1
                if "error" in trial:
                    progress.keep(f"  ! {scenario.name}, {name}: {trial['error']}")
            progress.keep(summary.progress_line(scenario, round_number, row))
            yield found
    if progress.live:
        progress._rewrite("")


def one_trial(bench_of, scenario, name, peers):
    with measure.scratch_folder() as folder:
        try:
            return trials.run_trial(bench_of(folder), scenario, name, peers)
        except measure.TrialError as error:
            return {"error": str(error)}


def check_machine(arguments):
    cores = os.sched_getaffinity(0)
    if not {arguments.proxy_core, arguments.load_core} <= cores or arguments.proxy_core == arguments.load_core:
        die(f"needs two cores of its own, one for the proxy and one for the load; there are {sorted(cores)}")
    for tool in ("ringside-load", "ringside-backend", "ringside-limit"):
        if not (arguments.build / "perf" / tool).exists():
            die(f"{arguments.build / 'perf' / tool} is not there: ninja -C {arguments.build} perf")
    os.sched_setaffinity(0, {arguments.load_core})


def on_signal(number, _):
    raise KeyboardInterrupt(signal.Signals(number).name)


def main():
    arguments = parse_arguments()
    if arguments.list:
        print("\n".join(f"{s.name:18} {s.title}" for s in scenario_module.SCENARIOS))
        return
    if arguments.render:
        data = json.loads(arguments.render.read_text())
        arguments.render.with_name("report.html").write_text(report.render(data))
        return
    # Orderly, so that every `with` ends what it started.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    try:
        chosen = scenario_module.by_name(arguments.only)
    except ValueError as error:
        die(error)
    check_machine(arguments)
    files = measure.raise_file_limit()
    peers, beside = choose_peers(arguments)
    idle = min(2000 if arguments.quick else 10000, (files - 1000) // 2 * 2 if files > 3000 else 1000)
    idle_pairs = min(idle, (files - 1000) // 2 if files > 3000 else 500)  # where each connection has one of its own behind the proxy
    out = arguments.out or ROOT / "build/bench" / time.strftime("%Y%m%d-%H%M%S")
    out.mkdir(parents=True, exist_ok=True)
    try:
        keys = certificates.Certificates(out.resolve() / "certificates").make()
    except OSError as error:
        die(error)
    data = describe(arguments, chosen, peers, idle, keys)

    def bench_of(folder):
        return trials.Bench(arguments.build.resolve() / "perf", folder, arguments.proxy_core, arguments.load_core,
                            200 if arguments.quick else 400, arguments.duration_ms, idle, idle_pairs, keys)

    interrupted = False
    try:
        for found in run_all(arguments, bench_of, chosen, peers, beside):
            data["trials"] = found
            (out / "bench.json").write_text(json.dumps(data))  # what is measured is kept, whatever comes
    except KeyboardInterrupt:
        interrupted = True
        print("\ninterrupted: the report holds what was measured so far")
    finish(data, out)
    sys.exit(130 if interrupted else 0)


def describe(arguments, chosen, peers, idle, keys):
    versions = {name: peer.version() for name, peer in peers.items()}
    print("  " + "\n  ".join(f"{name:15} {version}" for name, version in versions.items() if name != "direct"))
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"  The machine is busy (load {load:.1f}): ratios within a round still mean something, absolute figures do not.")
    return {
        "time": time.strftime("%Y-%m-%d %H:%M:%S %z"), "machine": measure.machine_facts(), "versions": versions,
        "settings": {"rounds": arguments.rounds, "quick": arguments.quick, "duration_ms": arguments.duration_ms,
                     "proxy_core": arguments.proxy_core, "load_core": arguments.load_core, "idle_connections": idle},
        "scenarios": {s.name: {"title": s.title, "unit": s.unit, "shape": s.shape, "connections": s.connections,
                               "load": list(s.load), "kind": s.kind} for s in chosen},
        "configurations": trials.configurations(chosen, peers, keys), "trials": [],
    }


def finish(data, out):
    print(summary.table(data))
    print(summary.targets_text(data))
    (out / "bench.json").write_text(json.dumps(data, indent=1))
    (out / "report.html").write_text(report.render(data))
    shown = out.resolve().relative_to(ROOT) if out.resolve().is_relative_to(ROOT) else out
    print(f"\n  {shown}/report.html   plots, configurations, versions\n  {shown}/bench.json    every trial")


if __name__ == "__main__":
    main()
