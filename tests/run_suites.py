#!/usr/bin/env python3
"""Runs test programs side by side, counts their test cases, and keeps the tally of a whole `./dev test`.

  run_suites.py run   --results DIR --stage NAME [--jobs N] --gtest BINARY... --fuzz BINARY... --pytest NAME=ARGS...
  run_suites.py fail  --results DIR --stage NAME --what TEXT     (a stage that could not even be built)
  run_suites.py total --results DIR

A suite that dies without a report counts as one failed case: a crash is never retried and never lost. `total` prints
`N passed, N failed` as its last line and exits with 1 when a case failed or none ran.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import os
import re
import shlex
import subprocess
import sys
import time
import xml.etree.ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GREEN, RED, DIM, PLAIN = ("\033[32m", "\033[31m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("",) * 4
# What a sanitizer must do when it finds something: end the program, so that the suite fails.
SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1:check_initialization_order=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


@dataclasses.dataclass
class Suite:
    name: str
    kind: str  # gtest, fuzz or pytest
    command: list
    timeout_seconds: int


@dataclasses.dataclass
class Outcome:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    failures: list = dataclasses.field(default_factory=list)


def count_junit(path):
    """Cases of a pytest junit file."""
    outcome = Outcome()
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        tags = {child.tag for child in case}
        if tags & {"failure", "error"}:
            outcome.failed += 1
            outcome.failures.append(f"{case.get('classname')}::{case.get('name')}")
        elif "skipped" in tags:
            outcome.skipped += 1
        else:
            outcome.passed += 1
    return outcome


def count_gtest(path):
    """Cases of a GoogleTest json file."""
    outcome = Outcome()
    for suite in json.loads(path.read_text()).get("testsuites", []):
        for case in suite.get("testsuite", []):
            if case.get("failures"):
                outcome.failed += 1
                outcome.failures.append(f"{suite['name']}.{case['name']}")
            elif case.get("result") == "SKIPPED" or case.get("status") == "NOTRUN":
                outcome.skipped += 1
            else:
                outcome.passed += 1
    return outcome


def count_gtest_log(log):
    """Cases of a GoogleTest program that died before its report: the one that was running is the one that failed."""
    text = log.read_text(errors="replace")
    started = re.findall(r"^\[ RUN      \] (\S+)", text, re.MULTILINE)
    passed = set(re.findall(r"^\[       OK \] (\S+)", text, re.MULTILINE))
    failed = [name for name in started if name not in passed]
    return Outcome(passed=len(passed), failed=len(failed), failures=failed)


def count(suite, exit_code, report, log):
    """What the suite says of itself, corrected by how it ended."""
    if suite.kind == "fuzz":
        return Outcome(passed=1) if exit_code == 0 else Outcome(failed=1, failures=[suite.name])
    try:
        outcome = count_junit(report) if suite.kind == "pytest" else count_gtest(report)
    except (OSError, ValueError, xml.etree.ElementTree.ParseError):
        outcome = count_gtest_log(log) if suite.kind == "gtest" else Outcome()
    if exit_code != 0 and outcome.failed == 0:
        outcome.failed = 1
        outcome.failures.append(f"{suite.name} ended with exit code {exit_code} without naming a failed case")
    if outcome.passed + outcome.failed == 0:
        outcome.failed = 1
        outcome.failures.append(f"{suite.name} ran no test case")
    return outcome


def run(suite, folder):
    """Runs one suite to its end; its output goes to <folder>/<name>.log."""
    report = folder / f"{suite.name}.report"
    report.unlink(missing_ok=True)
    command = list(suite.command)
    if suite.kind == "gtest":
        command.append(f"--gtest_output=json:{report}")
    if suite.kind == "pytest":
        command.append(f"--junitxml={report}")
    environment = {**SANITIZER_ENV, **os.environ}
    begin = time.monotonic()
    with open(folder / f"{suite.name}.log", "wb") as log:
        log.write(f"$ {shlex.join(command)}\n".encode())
        log.flush()
        try:
            child = subprocess.Popen(
                command, cwd=folder if suite.kind == "fuzz" else ROOT, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, env=environment, start_new_session=True)
            exit_code = wait(child, suite.timeout_seconds, log)
        except OSError as error:
            log.write(f"cannot be started: {error}\n".encode())
            exit_code = 127
    outcome = count(suite, exit_code, report, folder / f"{suite.name}.log")
    outcome.seconds = time.monotonic() - begin
    return outcome


def wait(child, timeout_seconds, log):
    try:
        return child.wait(timeout=timeout_seconds)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, 9)  # the group is ours alone: start_new_session
        child.wait()
        log.write(f"\nkilled after {timeout_seconds} s\n".encode())
        return 124


def show(stage, suite, outcome, log):
    colour, word = (RED, "FAIL") if outcome.failed else (GREEN, " ok ")
    skipped = f", {outcome.skipped} skipped" if outcome.skipped else ""
    print(f"  {colour}{word}{PLAIN} {stage}/{suite.name:<22} {outcome.passed} passed, {outcome.failed} failed{skipped}"
          f" {DIM}({outcome.seconds:.1f} s){PLAIN}", flush=True)
    if outcome.failed:
        for failure in outcome.failures[:50]:
            print(f"       {RED}{failure}{PLAIN}")
        lines = log.read_text(errors="replace").splitlines()
        print("\n".join("       | " + line for line in lines[-60:]))
        print(f"       whole output: {os.path.relpath(log, ROOT)}", flush=True)


def suites_of(arguments):
    suites = []
    for binary in arguments.gtest:
        name = Path(binary).name.removeprefix("tests_")
        suites.append(Suite(name, "gtest", [os.path.abspath(binary)], arguments.timeout))
    for binary in arguments.fuzz:
        corpus = ROOT / "tests" / "fuzz" / "corpus" / Path(binary).name.removeprefix("fuzz_")
        command = [os.path.abspath(binary), f"--runs={arguments.fuzz_runs}", f"--seed={arguments.seed}", str(corpus)]
        suites.append(Suite(Path(binary).name, "fuzz", command, arguments.timeout))
    for spec in arguments.pytest:
        name, _, rest = spec.partition("=")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *shlex.split(rest)]
        suites.append(Suite(name, "pytest", command, arguments.timeout))
    suites.sort(key=lambda suite: suite.name != "sim")  # the longest first: the others run beside it
    return suites


def run_stage(arguments):
    folder = Path(arguments.results).resolve() / arguments.stage
    suites = suites_of(arguments)
    if not suites:
        print(f"  {RED}FAIL{PLAIN} {arguments.stage}: no suite to run")
        write_tally(folder, {"stage": Outcome(failed=1, failures=["no suite to run"])})
        return 1
    # Replaced at the end: whatever ends this program early leaves a failure behind, not a gap.
    write_tally(folder, {"stage": Outcome(failed=1, failures=["the stage did not come to its end"])})
    tally = {}
    with concurrent.futures.ThreadPoolExecutor(max_workers=arguments.jobs) as pool:
        pending = {pool.submit(run, suite, folder): suite for suite in suites}
        for future in concurrent.futures.as_completed(pending):
            suite, outcome = pending[future], future.result()
            show(arguments.stage, suite, outcome, folder / f"{suite.name}.log")
            tally[suite.name] = outcome
    write_tally(folder, tally)
    return 1 if any(outcome.failed for outcome in tally.values()) else 0


def write_tally(folder, tally):
    folder.mkdir(parents=True, exist_ok=True)
    entries = {name: dataclasses.asdict(outcome) for name, outcome in tally.items()}
    (folder / "tally.json").write_text(json.dumps(entries, indent=1))


def fail_stage(arguments):
    write_tally(Path(arguments.results) / arguments.stage, {"stage": Outcome(failed=1, failures=[arguments.what])})
    return 1


def total(arguments):
    passed = failed = skipped = 0
    for path in sorted(Path(arguments.results).glob("*/tally.json")):
        for name, entry in json.loads(path.read_text()).items():
            passed, failed, skipped = passed + entry["passed"], failed + entry["failed"], skipped + entry["skipped"]
            for failure in entry["failures"]:
                print(f"  {RED}FAIL{PLAIN} {path.parent.name}/{name}: {failure}")
    if skipped:
        print(f"  {skipped} skipped: not counted")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    stage = commands.add_parser("run")
    stage.add_argument("--results", required=True)
    stage.add_argument("--stage", required=True)
    stage.add_argument("--jobs", type=int, default=os.cpu_count())
    stage.add_argument("--timeout", type=int, default=1800, help="seconds for one suite")
    stage.add_argument("--fuzz-runs", type=int, default=20000)
    stage.add_argument("--seed", type=int, default=1)
    for kind in ("--gtest", "--fuzz", "--pytest"):
        stage.add_argument(kind, nargs="*", default=[])
    stage.set_defaults(run=run_stage)
    failure = commands.add_parser("fail")
    for name in ("--results", "--stage", "--what"):
        failure.add_argument(name, required=True)
    failure.set_defaults(run=fail_stage)
    sum_up = commands.add_parser("total")
    sum_up.add_argument("--results", required=True)
    sum_up.set_defaults(run=total)
    arguments = parser.parse_args()
    return arguments.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
