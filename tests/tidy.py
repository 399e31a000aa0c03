#!/usr/bin/env python3
"""The repository's own checks: what a compiler does not see and a reviewer should not have to.

Runs under pytest (each rule is one test, and each rule has a test that it can fail) or alone: tests/tidy.py prints every
finding and exits with 1 when there is one. A finding reads `file:line: what (why)`.
"""

import ast
import functools
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

LINES_PER_FILE_MAX = 800
LINES_PER_FUNCTION_MAX = 70

# --- The tables ------------------------------------------------------------------------------------------------------

SHIPPED = ("core", "codecs", "tls", "proxy", "control")
CODECS_FROM_CORE = {"buffer", "arena", "error", "check", "limits", "intrusive_list", "slab"}
# What control may know of the data plane: plain data, and the interfaces by which it reaches it.
CONTROL_FROM_PROXY = re.compile(
    r"proxy/(specs|mongo/mongo_rules_spec|health_flags|snapshot|[a-z_]*stats|fleet_port)\.h$|proxy/[a-z_/]*[a-z_]*_port\.h$"
    r"|proxy/observe/(stat_names|stats_query|metrics_text)\.h$")

# Foreign header -> the files that may include it.
ADAPTERS = {
    r"liburing(\.h|/.*)": r"(core/uring_ring|perf/ringside_limit)\.cc",
    r"llhttp\.h": r"codecs/http1/h1_parser\.(h|cc)",
    r"nghttp2/.*": r"codecs/http2/h2_hpack\.cc|tests/codecs/nghttp2_peer\.cc",
    r"wslay/.*": r"tests/codecs/wslay_peer\.h",
    r"yaml\.h": r"control/yaml_reader\.cc",
    r"ares\.h": r"control/dns_resolver\.cc",
    r"google/protobuf/.*|.*\.pb\.h": r"control/[a-z_]+\.(h|cc)",
    r"CLI/.*": r"(main|control/options)\.cc|perf/.*",
    r"spdlog/.*": r"(main|core/log|control/options)\.cc",
    r"zlib\.h": r"codecs/mongo/zlib_inflater\.cc|tests/codecs/mongo_peer\.cc",
    r"zstd\.h": r"codecs/mongo/zstd_inflater\.cc|tests/codecs/mongo_peer\.cc",
    r"snappy(-c)?\.h": r"tests/codecs/mongo_peer\.cc",
    r"bson/.*": r"tests/codecs/mongo_peer\.cc",
    r"openssl/.*": r"tls/.*|codecs/websocket/ws_handshake\.cc|tests/tls/test_certificates\.cc",
}

# Names that may occur more than once: the convention of a tool, or data.
REPEATED_NAMES = {"README.md", "CMakeLists.txt", "requirements.txt", "__init__.py"}
CODE = (".cc", ".h", ".py", ".proto")


class Tree:
    """The files of a checkout: what git knows and what is new, without what it ignores."""

    def __init__(self, root):
        self.root = Path(root)

    @functools.cached_property
    def files(self):
        listing = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=self.root, capture_output=True)
        if listing.returncode == 0:
            names = listing.stdout.decode().split("\0")
        else:  # an unpacked archive
            names = [str(path.relative_to(self.root)) for path in self.root.rglob("*") if "/build/" not in f"/{path}"]
        return sorted(name for name in names if name and (self.root / name).is_file())

    @functools.lru_cache(maxsize=None)
    def text(self, name):
        return (self.root / name).read_text(encoding="utf-8", errors="replace")

    def with_suffix(self, *suffixes):
        return [name for name in self.files if name.endswith(suffixes)]

    @functools.lru_cache(maxsize=None)
    def includes(self, name):
        """[(line number, header, is it quoted)] of a C++ file."""
        found = []
        for number, line in enumerate(self.text(name).splitlines(), 1):
            match = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
            if match:
                found.append((number, match[2], match[1] == '"'))
        return found


# --- Include edges and foreign headers -----------------------------------------------------------------------------------


def folder_of(name):
    return name.split("/")[0] if "/" in name else ""


def edge_refused(name, header):
    """Why `name` may not include `header`, or None."""
    source, target = folder_of(name), folder_of(header)
    if target in ("tests", "perf", "main.cc") and source not in ("tests", "perf"):
        return "tests and perf are nobody's dependency"
    if source in ("tests", "perf", "") or source not in SHIPPED:
        return None
    if source == "codecs":
        return codec_edge_refused(name, header)
    if target == source:
        return None
    allowed = {"core": (), "tls": ("core",), "proxy": ("core", "codecs", "tls"), "control": ("core", "codecs", "tls")}
    if source == "control" and target == "proxy":
        if CONTROL_FROM_PROXY.match(header):
            return None
        return "control reaches the data plane by value: specs, snapshot, stats and *_port.h only"
    if target in SHIPPED and target not in allowed[source]:
        return f"{source} may depend on {', '.join(allowed[source]) or 'nothing of ours'} only"
    return None


def codec_edge_refused(name, header):
    own, target = str(Path(name).parent), str(Path(header).parent)
    if target == "core":
        part = Path(header).stem
        return None if part in CODECS_FROM_CORE else f"codecs are sans-I/O: of core they may use {sorted(CODECS_FROM_CORE)}"
    if target in ("codecs", own):
        return None
    if folder_of(header) == "codecs":
        return "no codec knows a sibling"
    return "codecs depend on core and codecs/*.h only" if folder_of(header) in SHIPPED else None


def rule_include_edges(tree):
    for name in tree.with_suffix(".cc", ".h"):
        for number, header, quoted in tree.includes(name):
            if not quoted or header.endswith(".pb.h"):
                continue
            if not (tree.root / header).exists():
                yield f"{name}:{number}: {header} is not a path from the repository's root (includes are root-relative)"
                continue
            why = edge_refused(name, header)
            if why:
                yield f"{name}:{number}: includes {header} ({why})"


def rule_foreign_headers(tree):
    for name in tree.with_suffix(".cc", ".h"):
        for number, header, _ in tree.includes(name):
            for pattern, adapter in ADAPTERS.items():
                if not re.fullmatch(pattern, header) or re.fullmatch(adapter, name):
                    continue
                if folder_of(name) == "tests" and pattern.startswith("google"):
                    continue  # what control translates from is what its tests are made of
                if (tree.root / header).exists():
                    continue  # a header of ours by the same name
                yield f"{name}:{number}: includes <{header}> (a library is known to its adapter only, here {adapter})"


# --- Sizes -----------------------------------------------------------------------------------------------------------


def blank(match):
    """Same number of lines, nothing in them."""
    return "\n" * match[0].count("\n") + " "


def without_literals(text):
    """C++ text without comments, strings, characters and preprocessor lines; line numbers stay."""
    text = re.sub(r'(?s)R"([^(\s]*)\(.*?\)\1"|//(?:[^\n\\]|\\.)*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"|(?<![0-9a-fA-F])\'(?:[^\'\\\n]|\\.)+\'',
                  lambda match: blank(match) if match[0][0] == "/" else '""' + "\n" * match[0].count("\n"), text)
    return re.sub(r"(?m)^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", blank, text)


def brace_kind(head):
    """What the brace behind `head`, the text since the last statement, opens at namespace or class level."""
    if re.search(r"\bnamespace\b[^()]*$", head) or re.search(r'extern ""\s*$', head):
        return "scope"
    plain = re.sub(r"operator\s*(\(\)|[^\s(]+)", "operator_x", head)
    if re.search(r"\)\s*(const|noexcept|try|&|\s)*:[^:]", plain) and re.search(r"[\w>]\s*$", plain):
        return "initializer"  # of a member, in a constructor's list
    if re.search(r"\b(class|struct|union|enum)\b", plain) and not re.search(r"\)\s*(const|noexcept|override|final|->.*|\s)*$", plain):
        return "scope"
    return "function" if "(" in plain and not re.search(r"=\s*$", plain) else "initializer"


def functions_of(text):
    """[(first line, line count, head)] of every function with a body; a lambda counts to the function around it."""
    found, stack, head, head_line, line = [], [], "", 1, 1
    for token in re.finditer(r"[{};\n]|[^{};\n]+", without_literals(text)):
        part = token[0]
        inside = any(kind == "function" for kind, *_ in stack)
        if part == "\n":
            line += 1
            head += " "
        elif part == "{":
            kind = "block" if inside else brace_kind(head)
            stack.append((kind, head_line, head))
            head = "" if kind != "initializer" else head
        elif part == "}" and stack:
            kind, first, opened = stack.pop()
            head = opened + "{}" if kind == "initializer" else ""
            if kind == "function":
                found.append((first, line - first + 1, " ".join(opened.split())))
        elif part == ";":
            if not (stack and stack[-1][0] == "initializer"):
                head = ""
        else:
            if not head.strip():
                head_line = line
            head = re.sub(r"^\s*(public|private|protected)\s*:(?!:)", "", head + part)
    return found


def rule_function_size(tree):
    why = "a function fits on a screen: decide in the parent, do in the leaves"
    for name in tree.with_suffix(".cc", ".h"):
        for first, count, head in functions_of(tree.text(name)):
            if count > LINES_PER_FUNCTION_MAX and "to_array<" not in head:  # a table is no function
                yield f"{name}:{first}: {count} lines in `{head[-60:].strip()}`, {LINES_PER_FUNCTION_MAX} at most ({why})"
    for name in tree.with_suffix(".py"):
        for node in ast.walk(ast.parse(tree.text(name))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                count = node.end_lineno - node.lineno + 1
                if count > LINES_PER_FUNCTION_MAX:
                    yield f"{name}:{node.lineno}: {count} lines in `{node.name}`, {LINES_PER_FUNCTION_MAX} at most ({why})"


def rule_file_size(tree):
    for name in tree.with_suffix(*CODE, "CMakeLists.txt", "dev"):
        count = tree.text(name).count("\n")
        if count > LINES_PER_FILE_MAX:
            yield f"{name}:1: {count} lines, {LINES_PER_FILE_MAX} at most (a file that needs a table of contents hides one)"


# --- Names and dead weight -------------------------------------------------------------------------------------------


def rule_unique_names(tree):
    seen = {}
    for name in tree.with_suffix(*CODE, ".md"):
        short = Path(name).name
        if short not in REPEATED_NAMES and short in seen:
            yield f"{name}:1: {seen[short]} has the same name (a file name is an address)"
        seen.setdefault(short, name)


def rule_dead_files(tree):
    """A header that only its own source and its tests know is not part of the program; a script that nothing names runs never."""
    users = {}
    for name in tree.with_suffix(".cc", ".h"):
        for _, header, _ in tree.includes(name):
            users.setdefault(header, set()).add(name)
    for name in tree.with_suffix(".h"):
        own = name[:-2] + ".cc"
        others = {user for user in users.get(name, ()) if user != own}
        if folder_of(name) in SHIPPED:
            others = {user for user in others if folder_of(user) != "tests"}
        if not others:
            yield f"{name}:1: nothing that ships includes it (dead code is read, built and believed)"
    prose = "\n".join(tree.text(name) for name in tree.files if name in ("dev", "CMakeLists.txt", ".ci/run"))
    code = "\n".join(tree.text(name) for name in tree.with_suffix(".py"))
    for name in tree.with_suffix(".py"):
        stem = Path(name).stem
        if stem == "conftest" or re.search(r"^test_|_test$", stem):
            continue  # pytest finds these by name
        if Path(name).name not in prose and name not in prose and not re.search(rf"(import|from) {stem}\b|\b{stem}\.py", code):
            yield f"{name}:1: nothing runs or imports it (dead code is read and believed)"


def rule_examples_are_run(tree):
    runners = "\n".join(tree.text(name) for name in tree.files
                        if name == "dev" or (name.startswith("tests/") and name.endswith((".py", ".cc")) and name != "tests/tidy.py"))
    for name in tree.files:
        if name.startswith("examples/") and not name.endswith(".md") and Path(name).name not in runners:
            yield f"{name}:1: no test names it (an example that nothing runs is wrong after the next change)"


# --- Documentation and text ------------------------------------------------------------------------------------------

PATH_IN_DOCS = re.compile(r"`([A-Za-z0-9_./{},-]+)`|\]\(([^)#\s]+)(?:#[^)]*)?\)")
PATH_SUFFIX = re.compile(r"\.(cc|h|py|md|proto|ya?ml|json|txt|html|svg)$")


def expanded(path):
    """h1_parser.{h,cc} -> both."""
    match = re.search(r"\{([^}]*,[^}]*)\}", path)
    if not match:
        return [path]
    return [result for choice in match[1].split(",") for result in expanded(path[:match.start()] + choice + path[match.end():])]


def names_a_file(path, folders):
    """Whether a word of a document claims that a file of the repository exists."""
    if "://" in path or path.startswith(("/", "build/", "~", "-", "mailto:")):
        return False
    head = path.split("/")[0]
    if "/" in path:
        return head in folders or path.startswith("./") and PATH_SUFFIX.search(path) is not None
    return PATH_SUFFIX.search(path) is not None and path.endswith((".cc", ".h", ".py", ".md", ".proto"))


def rule_docs_name_files(tree):
    folders = {folder_of(name) for name in tree.files if "/" in name}
    every = set(tree.files)
    parents = {str(parent) for name in every for parent in Path(name).parents}
    short_names = {Path(name).name for name in every}
    for name in tree.with_suffix(".md"):
        for number, line in enumerate(tree.text(name).splitlines(), 1):
            for match in PATH_IN_DOCS.finditer(line):
                for path in expanded((match[1] or match[2]).rstrip("/")):
                    if not names_a_file(path, folders):
                        continue
                    plain = path.removeprefix("./")
                    near = (tree.root / name).parent / path
                    if plain in every or plain in parents or plain in short_names or near.exists():
                        continue
                    yield f"{name}:{number}: `{path}` is not there (a wrong page costs more than none)"


def rule_docs_are_linked(tree):
    """Every page can be reached from README.md."""
    pages = set(tree.with_suffix(".md"))
    reached, pending = set(), ["README.md"]
    while pending:
        page = pending.pop()
        if page in reached or page not in pages:
            continue
        reached.add(page)
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", tree.text(page)):
            full = (tree.root / page).parent / target
            if full.is_dir():
                full = full / "README.md"
            if full.exists():
                pending.append(str(full.resolve().relative_to(tree.root.resolve())))
    for page in sorted(pages - reached - {"CHANGELOG.md"}):
        yield f"{page}:1: no page that starts at README.md links to it (nobody will find it)"


# Spelled in pieces, so that this file does not find itself.
HOSTS = "|".join(re.escape(first + second) for first, second in (
    ("deb.", "debian.org"), ("snapshot.", "debian.org"), ("py", "pi.org"), ("files.python", "hosted.org"), ("registry.npm", "js.org"),
    ("proxy.go", "lang.org"), ("repo.maven", ".apache.org"), ("cra", "tes.io"), ("repo1.ma", "ven.org")))


def rule_no_machine_in_text(tree):
    """Nothing in the repository knows the machine that it was made on."""
    parent = str(tree.root.resolve().parent)
    places = [r"/ho" r"me/[a-z]\w*", r"/ro" r"ot/\w", r"/tmp/" r"b/\w", r"/wo" r"rk/(main|shared)\b"]
    if len(parent) > 1 and parent not in ("/tmp", "/srv", "/opt", "/usr/src"):
        places.append(re.escape(parent) + "/")
    pattern = re.compile(rf"(?<![\w.])({'|'.join(places)})|(?i:{HOSTS})")
    for name in tree.files:
        if name.startswith("tests/fuzz/corpus/") or name.endswith((".png", ".bin")):
            continue
        for number, line in enumerate(tree.text(name).splitlines(), 1):
            match = pattern.search(line)
            if match:
                yield f"{name}:{number}: `{match[0]}` (paths of one machine and hosts of registries do not belong in the repository)"


RULES = {name.removeprefix("rule_"): value for name, value in list(globals().items()) if name.startswith("rule_")}

# --- As tests --------------------------------------------------------------------------------------------------------


def pytest_generate_tests(metafunc):
    if "rule" in metafunc.fixturenames:
        metafunc.parametrize("rule", RULES)
    if "breach" in metafunc.fixturenames:
        metafunc.parametrize("breach", breach_cases(), ids=lambda breach: f"{breach[0]}-{breach[2]}")


def test_repository(rule):
    findings = list(RULES[rule](Tree(ROOT)))
    assert not findings, "\n" + "\n".join(findings)


LONG_BODY = "  call();\n" * 70

# One breach (and its innocent neighbours) per rule: rule -> [(files, word that the only finding contains)].
BREACHES = {
    "include_edges": [
        ({"core/a.h": '#include "codecs/b.h"\n', "codecs/b.h": ""}, "core/a.h:1"),
        ({"codecs/http1/a.h": '#include "codecs/http2/b.h"\n', "codecs/http2/b.h": ""}, "sibling"),
        ({"codecs/a.h": '#include "core/ring.h"\n#include "core/buffer.h"\n', "core/ring.h": "", "core/buffer.h": ""}, "sans-I/O"),
        ({"control/a.h": '#include "proxy/shard.h"\n#include "proxy/specs.h"\n', "proxy/shard.h": "", "proxy/specs.h": ""}, "by value"),
        ({"proxy/a.cc": '#include "control/b.h"\n', "control/b.h": ""}, "proxy may depend on"),
        ({"proxy/a.cc": '#include "tests/b.h"\n', "tests/b.h": ""}, "nobody's"),
        ({"proxy/a.cc": '#include "b.h"\n', "proxy/b.h": ""}, "root-relative"),
    ],
    "foreign_headers": [
        ({"core/a.cc": "#include <liburing.h>\n", "core/uring_ring.cc": "#include <liburing.h>\n"}, "core/a.cc:1"),
        ({"proxy/a.cc": '#include "cluster.pb.h"\n', "control/b.cc": '#include "cluster.pb.h"\n'}, "proxy/a.cc:1"),
        ({"control/a.cc": "#include <yaml.h>\n"}, "yaml_reader"),
    ],
    "function_size": [
        ({"a.cc": f"int f() {{\n{LONG_BODY}}}\nint g() {{\n  call();\n}}\n"}, "a.cc:1: 72 lines in `int f()`"),
        ({"a.cc": f"A::A(int x) : a_{{x}}, b_{{1}} {{\n{LONG_BODY}}}\n"}, "a.cc:1: 72"),
        ({"a.h": f"namespace n {{\nclass A : public B {{\n public:\n  bool operator==(A) const {{\n{LONG_BODY}}}\n  int x = 0;\n}};\n}}\n"}, "a.h:4: 72"),
        ({"a.cc": f"void f() {{\n  run([] {{\n{LONG_BODY}  }});\n  /* {{ */ text(\"}}\");\n}}\n"}, "a.cc:1: 75"),
        ({"a.py": "def f():\n" + "    call()\n" * 70}, "a.py:1: 71 lines in `f`"),
    ],
    "file_size": [({"a.cc": "\n" * 801, "b.cc": "\n" * 800}, "a.cc:1: 801")],
    "unique_names": [({"core/a.h": "", "proxy/a.h": "", "README.md": "", "docs/README.md": ""}, "proxy/a.h:1")],
    "dead_files": [
        ({"core/a.h": "", "core/a.cc": '#include "core/a.h"\n', "tests/core/a_test.cc": '#include "core/a.h"\n'}, "core/a.h:1"),
        ({"perf/lost.py": "", "dev": "perf/found.py", "perf/found.py": ""}, "perf/lost.py:1"),
    ],
    "examples_are_run": [({"examples/a.yaml": "", "examples/b.yaml": "", "tests/e2e/b_test.py": "b.yaml"}, "examples/a.yaml:1")],
    "docs_name_files": [
        ({"docs/a.md": "see `core/gone.cc` and `core/here.{h,cc}`\n", "core/here.h": "", "core/here.cc": ""}, "core/gone.cc"),
        ({"docs/a.md": "[page](gone.md) [page](b.md)\n", "docs/b.md": ""}, "gone.md"),
        ({"docs/a.md": "`lost.h`, `found.h`, `a.b`, `16.5`, `std::h`\n", "core/found.h": ""}, "lost.h"),
    ],
    "docs_are_linked": [
        ({"README.md": "[d](docs/README.md)", "docs/README.md": "[a](a.md)", "docs/a.md": "", "docs/b.md": ""}, "docs/b.md:1")],
    "no_machine_in_text": [
        ({"a.md": "look in /ho" "me/someone/x\n", "b.md": "/usr/home/is/fine\n"}, "a.md:1"),
        ({"dev": "curl https://py" "pi.org/simple\n"}, "dev:1"),
    ],
}


def breach_cases():
    return [(rule, files, word) for rule, cases in BREACHES.items() for files, word in cases]


def test_breach_is_found(breach):
    rule, files, word = breach
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
        findings = list(RULES[rule](Tree(folder)))
    assert len(findings) == 1 and word in findings[0], findings


def test_every_rule_has_a_breach():
    assert sorted(BREACHES) == sorted(RULES)


def main():
    findings = [f"{finding}  [{rule}]" for rule, check in RULES.items() for finding in check(Tree(ROOT))]
    print("\n".join(findings))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
