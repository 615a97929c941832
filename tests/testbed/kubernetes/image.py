#!/usr/bin/env python3
"""Writes a container image as a file that `ctr images import` reads, without a container engine.

    image.py --output FILE [OPTION...] NAME:TAG WHAT[:PATH]...

What goes into the image: each file or folder (its content, that is) at PATH, or in /usr/bin where there is none; every
shared library that they need and that the loader finds on this machine; users root and nonroot (65532), whom it runs
as; the authorities' certificates; what resolves names; and an empty /tmp. No shell, unless it is named.
"""

import argparse
import hashlib
import io
import json
import os
import platform
import subprocess
import sys
import sysconfig
import tarfile
import tempfile

USER = 65532
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
TEXTS = {
    "/etc/passwd": f"root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:{USER}:{USER}:nonroot:/home/nonroot:/sbin/nologin\n",
    "/etc/group": f"root:x:0:\nnonroot:x:{USER}:\n",
    "/etc/nsswitch.conf": "hosts: files dns\n",
}
# What the C library, and that of SASL, load by name when they are first used.
LOADED_LATER = ["libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2", "libgcc_s.so.1"]
# Of Python's standard library, what no program in a container uses.
NOT_OF_PYTHON = {"site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3"}


class Layer:
    """The files of an image by their paths, each once, and its folders and links."""

    def __init__(self):
        self.files = {}  # path -> (bytes or path on this machine, mode)
        self.links = {}
        self.folders = {}  # path -> (mode, owner)
        self.trees = []  # copied whole, so that what is in them needs no copy elsewhere

    def folder(self, path, mode=0o755, owner=0):
        self.folders[path] = (mode, owner)

    def text(self, path, text):
        self.files[path] = (text.encode(), 0o644)

    def file(self, source, path):
        known = self.files.get(path)
        if known and isinstance(known[0], str) and not same(known[0], source):
            sys.exit(f"image.py: both {known[0]} and {source} would be {path}")
        self.files[path] = (source, 0o755 if os.access(source, os.X_OK) else 0o644)

    def tree(self, source, path, leave_out=()):
        self.trees.append(os.path.realpath(source) + "/")
        for parent, folders, files in os.walk(source):
            target = os.path.normpath(os.path.join(path, os.path.relpath(parent, source)))
            self.folder(target)
            folders[:] = [f for f in folders if f != "__pycache__" and f not in leave_out]
            for name in files + [f for f in folders if os.path.islink(os.path.join(parent, f))]:
                from_, to = os.path.join(parent, name), os.path.join(target, name)
                if os.path.islink(from_):
                    self.links[to] = os.readlink(from_)
                elif os.path.isfile(from_):
                    self.file(from_, to)

    def libraries(self):
        """Adds what is linked dynamically. All but the loader, whose path is written in each program, goes where the
        loader looks first, so that a path in LD_LIBRARY_PATH or an executable's own needs not to be the same there."""
        needed, home = {}, None
        programs = sorted(path for path, (source, _) in self.files.items() if isinstance(source, str) and is_elf(source))
        for path in programs:
            source = self.files[path][0]
            for name, found in linked(source).items():
                if found is None:
                    if any(os.path.realpath(source).startswith(tree) for tree in self.trees):
                        print(f"image.py: {source} needs {name}, which is not here", file=sys.stderr)
                        continue
                    sys.exit(f"image.py: {source} needs {name}, which is not here")
                needed[name] = found
        if "libc.so.6" not in needed:
            return
        home = os.path.dirname(needed["libc.so.6"])
        for name in LOADED_LATER:
            if os.path.exists(os.path.join(home, name)):
                needed.setdefault(name, os.path.join(home, name))
        for name, found in needed.items():
            if name.startswith("/"):
                self.file(found, name)
            elif not os.path.realpath(found).startswith(tuple(self.trees)):
                self.file(found, os.path.join(home, name))
        if "libsasl2.so.2" in needed:
            mechanisms = os.path.join(os.path.dirname(needed["libsasl2.so.2"]), "sasl2")
            if os.path.isdir(mechanisms) and os.path.join(home, "sasl2") not in self.folders:
                self.tree(mechanisms, os.path.join(home, "sasl2"))
                self.libraries()

    def write(self, out):
        for path in [*self.files, *self.links, *self.folders]:
            while (path := os.path.dirname(path)) != "/":
                self.folders.setdefault(path, (0o755, 0))
        with tarfile.open(fileobj=out, mode="w") as tar:
            # A folder comes before what is in it, and equal content is an equal layer.
            for path in sorted({*self.files, *self.links, *self.folders}):
                entry = tarfile.TarInfo(path.lstrip("/"))
                if path in self.files:
                    source, entry.mode = self.files[path]
                    if isinstance(source, bytes):
                        entry.size = len(source)
                        tar.addfile(entry, io.BytesIO(source))
                    else:
                        with open(source, "rb") as file:
                            entry.size = os.fstat(file.fileno()).st_size
                            tar.addfile(entry, file)
                elif path in self.links:
                    entry.type, entry.linkname = tarfile.SYMTYPE, self.links[path]
                    tar.addfile(entry)
                else:
                    entry.type = tarfile.DIRTYPE
                    entry.mode, entry.uid = self.folders[path]
                    entry.gid = entry.uid
                    tar.addfile(entry)


def same(one, other):
    return os.path.realpath(one) == os.path.realpath(other)


def is_elf(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def linked(path):
    """The libraries that a program or library is linked with: where each is, or None. The loader's name is its path."""
    result = subprocess.run(["ldd", path], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    found = {}
    for line in result.stdout.splitlines():
        name, _, place = line.strip().partition(" => ")
        if place == "not found":
            found[name] = None
        elif place:
            found[name] = place.rsplit(" (", 1)[0]
        elif name.startswith("/"):
            name = name.rsplit(" (", 1)[0]
            found[name] = name
    return found


def add_python(layer):
    """Adds the interpreter that runs this, with its standard library, as /usr/bin/python3."""
    interpreter = os.path.realpath(sys.executable)
    layer.file(interpreter, interpreter)
    if interpreter != "/usr/bin/python3":
        layer.links["/usr/bin/python3"] = interpreter
    library = sysconfig.get_path("stdlib")
    layer.tree(library, library, NOT_OF_PYTHON | {f for f in os.listdir(library) if f.startswith("config-")})


def digest(file):
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else hash_of(file)


def hash_of(file):
    result = hashlib.sha256()
    while block := file.read(1 << 20):
        result.update(block)
    return result.hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, metavar="FILE")
    parser.add_argument("--entrypoint", action="append", metavar="WORD", help="given for each; the first file unless given")
    parser.add_argument("--command", action="append", default=[], metavar="WORD", help="given for each: --command=--port")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--folder", default="/", help="in which it starts")
    parser.add_argument("--python", action="store_true", help="add this machine's Python 3, without its packages")
    parser.add_argument("--bare", action="store_true", help="only what is named, run by root")
    parser.add_argument("name")
    parser.add_argument("what", nargs="*")
    arguments = parser.parse_intermixed_args()

    layer, first = Layer(), None
    if arguments.python:
        add_python(layer)
    for what in arguments.what:
        source, _, path = what.partition(":")
        if os.path.isdir(source):
            layer.tree(source, path or "/usr/bin")
        elif os.path.isfile(source):
            path = path or "/usr/bin/" + os.path.basename(source)
            layer.file(source, path)
            first = first or path
        else:
            sys.exit(f"image.py: there is no file or folder {source}")
    if not arguments.bare:
        layer.libraries()
        for path, text in TEXTS.items():
            layer.text(path, text)
        if os.path.exists(CERTIFICATES):
            layer.file(os.path.realpath(CERTIFICATES), CERTIFICATES)
        layer.folder("/tmp", 0o1777)
        layer.folder("/home/nonroot", 0o755, USER)

    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    settings = {
        "Entrypoint": arguments.entrypoint or ([first] if first else []),
        "Cmd": arguments.command,
        "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/home/nonroot", *arguments.env],
        "WorkingDir": arguments.folder,
        "User": "" if arguments.bare else f"{USER}:{USER}",
    }
    with tempfile.TemporaryFile(dir=os.path.dirname(os.path.abspath(arguments.output))) as content:
        layer.write(content)
        description = json.dumps(
            {
                "architecture": machine,
                "os": "linux",
                "config": settings,
                "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest(content)]},
                "history": [{"created_by": "image.py"}],
            }
        ).encode()
        config = hashlib.sha256(description).hexdigest() + ".json"
        manifest = json.dumps([{"Config": config, "RepoTags": [arguments.name], "Layers": ["layer.tar"]}]).encode()
        with tarfile.open(arguments.output, "w") as tar:
            for name, part in (("manifest.json", io.BytesIO(manifest)), (config, io.BytesIO(description)), ("layer.tar", content)):
                entry = tarfile.TarInfo(name)
                entry.size = part.seek(0, os.SEEK_END)
                part.seek(0)
                tar.addfile(entry, part)


if __name__ == "__main__":
    main()
