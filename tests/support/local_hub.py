"""A Hub on localhost: the part of the Hub's HTTP interface that pushing, loading and searching need.

Repositories live in memory, every commit with all of its files. Faults are put in with `fail` and `cut`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

Files = dict[str, bytes]
KINDS = {"": "model", "datasets/": "dataset", "spaces/": "space"}
REPO = r"(?P<kind>datasets|models|spaces)/(?P<id>[\w.-]+/[\w.-]+)"
IS_LFS = re.compile(r"\.(parquet|safetensors|bin)$")


@dataclass
class Repo:
    """`commits`: (sha, all files), oldest first. `tags`: name to sha."""

    kind: str
    id: str
    private: bool
    commits: list[tuple[str, Files]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    branches: dict[str, Files] = field(default_factory=dict)  # beside main
    pulls: list[Files] = field(default_factory=list)

    def __post_init__(self):
        self.commit({})

    def commit(self, files: Files) -> str:
        text = f"{self.kind}{self.id}{len(self.commits)}"
        self.commits.append((hashlib.sha1(text.encode()).hexdigest(), files))
        return self.commits[-1][0]

    def at(self, revision: str) -> tuple[str, Files] | None:
        revision = self.tags.get(revision, revision)
        if revision in self.branches:
            return f"{len(self.commits):040x}", self.branches[revision]
        if revision in ("main", "HEAD", "refs/heads/main"):
            return self.commits[-1]
        return next((commit for commit in self.commits if commit[0] == revision), None)

    @property
    def files(self) -> Files:
        return self.commits[-1][1]

    def info(self, revision: str = "main") -> dict:
        sha, files = self.at(revision)
        return {
            "_id": hashlib.md5(self.id.encode()).hexdigest()[:24],
            "id": self.id,
            "modelId": self.id,
            "sha": sha,
            "author": self.id.split("/")[0],
            "private": self.private,
            "gated": False,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "lastModified": "2026-01-01T00:00:00.000Z",
            "createdAt": "2026-01-01T00:00:00.000Z",
            "siblings": [{"rfilename": path} for path in files],
            "cardData": _front_matter(files),
            "sdk": "gradio",
        }


def _front_matter(files: Files) -> dict:
    import yaml

    found = re.match(rb"---\n(.*?)\n---\n", files.get("README.md", b""), re.S)
    return yaml.safe_load(found[1]) if found else {}


class LocalHub(ThreadingHTTPServer):
    """Use as a context manager. `users` maps tokens to names; `seen` counts requests by method and path."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, **users: str):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.users = users or {"hf_ann": "ann", "hf_bob": "bob"}
        self.repos: dict[tuple[str, str], Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.collections: dict[str, dict] = {}
        self.seen: Counter[str] = Counter()
        self.tokens: set[str] = set()  # tokens that came in
        self.faults: list[dict] = []
        self.lock = threading.RLock()

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        import sys

        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def env(self, token: str = "hf_ann") -> dict[str, str]:
        """What a client's process needs in its environment."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": token,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }

    def fail(self, method: str, path: str, status: int, times: int = 1, headers: dict | None = None, text: str = ""):
        """Answer the next `times` requests whose path matches `path` with `status`."""
        fault = {
            "method": method,
            "path": path,
            "status": status,
            "times": times,
            "headers": headers or {},
            "text": text,
        }
        self.faults.append(fault)

    def cut(self, method: str, path: str, times: int = 1):
        """Close the connection in the middle of the next `times` matching uploads."""
        self.faults.append({"method": method, "path": path, "status": 0, "times": times})

    def dataset(self, name: str) -> Repo:
        return self.repos["dataset", name]

    def add(self, kind: str, name: str, files: Files, private: bool = False) -> Repo:
        """Put a repository there without a client."""
        repo = self.repos.setdefault((kind, name), Repo(kind, name, private))
        repo.commit({**repo.files, **files})
        return repo

    def reset(self):
        """As at the start."""
        with self.lock:
            for kept in (self.repos, self.blobs, self.collections, self.seen, self.tokens, self.faults):
                kept.clear()

    def fault(self, method: str, path: str) -> dict | None:
        with self.lock:
            for fault in self.faults:
                if fault["times"] and fault["method"] == method and re.search(fault["path"], path):
                    fault["times"] -= 1
                    return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LocalHub

    def log_message(self, *_):
        """Nothing: the tests read `seen`."""

    def _handle(self):
        parts = urlsplit(self.path)
        self.query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        path = unquote(parts.path)
        self.server.seen[f"{self.command} {path}"] += 1
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.server.tokens |= {token} - {""}
        self.user = self.server.users.get(token)
        fault = self.server.fault(self.command, path)
        length = int(self.headers.get("Content-Length") or 0)
        if fault and not fault["status"]:
            self.rfile.read(length // 2)
            self.connection.close()
            self.close_connection = True
            return
        if self.headers.get("Transfer-Encoding") == "chunked":
            self.body = self._chunks()
        else:
            self.body = self.rfile.read(length)
        if fault:
            self._json({"error": fault["text"] or f"fault {fault['status']}"}, fault["status"], **fault["headers"])
            return
        for method, pattern, function in ROUTES:
            if method == self.command.replace("HEAD", "GET") and (found := re.fullmatch(pattern, path)):
                with self.server.lock:
                    function(self, **found.groupdict())
                return
        self._error(404, "EntryNotFound", f"no such page: {path}")

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, status: int, body: bytes, kind: str, **headers: str):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, value, status: int = 200, **headers: str):
        self._send(status, json.dumps(value).encode(), "application/json", **headers)

    def _error(self, status: int, code: str = "", text: str = ""):
        headers = {"X_Error_Code": code, "X_Error_Message": text} if code else {}
        self._json({"error": text}, status, **headers)

    def _repo(self, kind: str, id: str, write: bool = False) -> Repo | None:
        """The repository, if the caller may see it or write to it; else the error was sent."""
        repo = self.server.repos.get((kind.rstrip("s"), id))
        owner = id.split("/")[0]
        if repo is None or (repo.private and self.user != owner):
            self._error(404 if self.user else 401, "RepoNotFound", "Repository not found")
        elif write and self.user is None:
            self._error(401, "", "Invalid username or password.")
        elif write and self.user != owner:
            self._error(403, "", f"Forbidden: you don't have the rights to write to {owner}'s repositories.")
        else:
            return repo
        return None

    def whoami(self):
        if self.user is None:
            return self._error(401, "", "Invalid user token.")
        self._json(
            {
                "type": "user",
                "id": self.user,
                "name": self.user,
                "fullname": self.user.title(),
                "orgs": [],
                "email": f"{self.user}@example.org",
                "avatarUrl": "/avatar.svg",
                "isPro": False,
                "auth": {"type": "access_token", "accessToken": {"role": "write"}},
            }
        )

    def create(self):
        asked = json.loads(self.body)
        if self.user is None:
            return self._error(401, "", "Invalid username or password.")
        owner = asked.get("organization") or self.user
        name, kind = f"{owner}/{asked['name']}", asked.get("type") or "model"
        if owner != self.user:
            return self._error(403, "", f"Forbidden: you don't have the rights to create a repo under {owner}.")
        there = (kind, name) in self.server.repos
        if not there:
            self.server.repos[kind, name] = Repo(
                kind, name, asked.get("private") or asked.get("visibility") == "private"
            )
        prefix = {"model": "", "dataset": "datasets/", "space": "spaces/"}[kind]
        body = {"url": f"{self.server.url}/{prefix}{name}", "name": name, "id": name}
        self._json(body | ({"error": "You already created this repo"} if there else {}), 409 if there else 200)

    def info(self, kind, id, revision="main"):
        if repo := self._repo(kind, id):
            if repo.at(revision) is None:
                return self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            self._json(repo.info(revision))

    def listing(self, kind):
        words = self.query.get("search", "").lower()
        found = [
            r
            for (k, name), r in self.server.repos.items()
            if k == kind.rstrip("s") and words in name.lower() and (not r.private or self.user == name.split("/")[0])
        ]
        self._json([r.info() for r in found][: int(self.query.get("limit", 100))])

    def preupload(self, kind, id, revision):
        if repo := self._repo(kind, id, write=True):
            files = []
            for file in json.loads(self.body)["files"]:
                old, lfs = repo.files.get(file["path"]), bool(IS_LFS.search(file["path"]))
                oid = None if old is None else hashlib.sha256(old).hexdigest() if lfs else _git_oid(old)
                files.append(
                    {
                        "path": file["path"],
                        "uploadMode": "lfs" if lfs else "regular",
                        "shouldIgnore": False,
                        "oid": oid,
                    }
                )
            self._json({"files": files})

    def batch(self, id, kind=""):
        if self._repo(KINDS[kind or ""], id, write=True) is None:
            return
        objects = []
        for entry in json.loads(self.body)["objects"]:
            actions = (
                {}
                if entry["oid"] in self.server.blobs
                else {
                    "upload": {"href": f"{self.server.url}/upload/{entry['oid']}", "header": {}},
                    "verify": {"href": f"{self.server.url}/verify/{entry['oid']}", "header": {}},
                }
            )
            objects.append({**entry, "authenticated": True} | ({"actions": actions} if actions else {}))
        self._json({"transfer": "basic", "objects": objects})

    def upload(self, oid):
        if hashlib.sha256(self.body).hexdigest() != oid:
            return self._error(400, "", "the bytes do not match the hash")
        self.server.blobs[oid] = self.body
        self._json({})

    def verify(self, oid):
        self._json({}, 200 if oid in self.server.blobs else 404)

    def validate(self):
        """As the Hub does it for the field `language`: ISO 639-1, 639-2 or 639-3, no region."""
        asked = json.loads(self.body)
        data = yaml.safe_load(asked["content"].split("---")[1]) or {}
        given = data.get("language") or []
        given = [given] if isinstance(given, str) else given
        wrong = [code for code in given if not re.fullmatch(r"[a-z]{2,3}", str(code))]
        text = '"language" must be a code of ISO 639-1, 639-2 or 639-3'
        errors = [{"message": f"{text}, got {code}"} for code in wrong]
        self._json({"errors": errors, "warnings": []}, 400 if errors else 200)

    def commit(self, kind, id, revision):
        repo = self._repo(kind, id, write=True)
        if repo is None:
            return
        files = dict(repo.files)
        for line in self.body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.server.blobs[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        if self.query.get("create_pr") == "1":
            sha, revision = repo.commits[-1][0], "refs/pr/1"
            repo.tags[revision] = sha
            repo.pulls.append(files)
        elif revision in repo.branches:
            sha = hashlib.sha1(f"{id}{revision}{len(repo.branches)}".encode()).hexdigest()
            repo.branches[revision] = files
            repo.commits.insert(0, (sha, files))
        else:
            sha = repo.commit(files)
        pull = f"{self.server.url}/{kind}/{id}/discussions/1" if revision == "refs/pr/1" else None
        self._json(
            {
                "success": True,
                "commitOid": sha,
                "commitUrl": f"{self.server.url}/{id}/commit/{sha}",
                "pullRequestUrl": pull,
            }
        )

    def branch(self, kind, id, revision):
        if repo := self._repo(kind, id, write=True):
            repo.branches.setdefault(revision, dict(repo.files))
            self._json({"success": True})

    def tree(self, kind, id, revision, path=""):
        repo = self._repo(kind, id)
        if repo is None:
            return
        if repo.at(revision) is None:
            return self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        sha, files = repo.at(revision)
        start = f"{path.strip('/')}/" if path and path.strip("/") else ""
        inside = {name: data for name, data in files.items() if name.startswith(start)}
        if start and not inside:
            return self._error(404, "EntryNotFound", f"{path} does not exist on {revision}")
        folders = sorted(
            {start + name.removeprefix(start).split("/")[0] for name in inside if "/" in name.removeprefix(start)}
        )
        entries = [{"type": "directory", "path": name, "oid": _git_oid(name.encode()), "size": 0} for name in folders]
        deep = self.query.get("recursive", "").lower() in ("true", "1")
        for name, data in sorted(inside.items()):
            if deep or "/" not in name.removeprefix(start):
                lfs = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
                entries.append(
                    {"type": "file", "path": name, "oid": _git_oid(data), "size": len(data)}
                    | ({"lfs": lfs} if IS_LFS.search(name) else {})
                )
        self._json(entries)

    def paths_info(self, kind, id, revision):
        if repo := self._repo(kind, id):
            sha, files = repo.at(revision)
            wanted = (
                json.loads(self.body)["paths"] if self.body.startswith(b"{") else parse_qs(self.body.decode())["paths"]
            )
            self._json(
                [
                    {"type": "file", "path": p, "oid": _git_oid(files[p]), "size": len(files[p])}
                    for p in wanted
                    if p in files
                ]
            )

    def resolve(self, id, revision, path, kind=""):
        repo = self._repo(KINDS[kind or ""], id)
        if repo is None:
            return
        found = repo.at(revision)
        if found is None:
            return self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if path not in found[1]:
            return self._error(404, "EntryNotFound", f"{path} does not exist")
        data = found[1][path]
        headers = {
            "X_Repo_Commit": found[0],
            "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
            "Accept_Ranges": "bytes",
        }
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted and self.command == "GET":
            start, stop = int(wanted[1]), int(wanted[2] or len(data) - 1)
            part = data[start : stop + 1]
            headers["Content_Range"] = f"bytes {start}-{start + len(part) - 1}/{len(data)}"
            return self._send(206, part, "application/octet-stream", **headers)
        self._send(200, data, "application/octet-stream", **headers)

    def refs(self, kind, id):
        if repo := self._repo(kind, id):
            head = [{"name": "main", "ref": "refs/heads/main", "targetCommit": repo.commits[-1][0]}]
            tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": sha} for n, sha in repo.tags.items()]
            self._json({"branches": head, "tags": tags, "converts": []})

    def tag(self, kind, id, revision):
        if repo := self._repo(kind, id, write=True):
            name = json.loads(self.body)["tag"]
            if name in repo.tags:
                return self._error(409, "", f"Tag {name} already exists")
            repo.tags[name] = repo.at(revision)[0]
            self._json({})

    def new_collection(self):
        asked = json.loads(self.body)
        if self.user != asked["namespace"]:
            return self._error(403, "", "Forbidden")
        slug = f"{self.user}/{asked['title'].lower().replace(' ', '-')}-{len(self.server.collections):024x}"
        if any(entry["title"] == asked["title"] for entry in self.server.collections.values()):
            return self._json({"error": "exists", "slug": slug}, 409)
        self.server.collections[slug] = {
            "slug": slug,
            "title": asked["title"],
            "owner": {"name": self.user},
            "items": [],
            "lastUpdated": "2026-01-01T00:00:00.000Z",
            "position": 0,
            "private": False,
            "theme": "blue",
            "upvotes": 0,
        }
        self._json(self.server.collections[slug])

    def collection_list(self):
        owner = self.query.get("owner")
        found = [c for c in self.server.collections.values() if c["owner"]["name"] == owner]
        self._json([{key: value for key, value in c.items() if key != "position"} for c in found])

    def one_collection(self, slug):
        self._json(self.server.collections[slug])

    def collection_item(self, slug):
        asked, found = json.loads(self.body), self.server.collections[slug]
        if any(entry["id"] == asked["item"]["id"] for entry in found["items"]):
            return self._error(409, "", "item already in the collection")
        found["items"].append({"_id": "0" * 24, **asked["item"], "repoType": asked["item"]["type"], "position": 0})
        self._json(found)


def _git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


ROUTES = [
    ("GET", "/api/whoami-v2", _Handler.whoami),
    ("POST", "/api/repos/create", _Handler.create),
    ("POST", "/api/validate-yaml", _Handler.validate),
    ("POST", "/api/collections", _Handler.new_collection),
    ("GET", "/api/collections", _Handler.collection_list),
    ("GET", r"/api/collections/(?P<slug>.+)", _Handler.one_collection),
    ("POST", r"/api/collections/(?P<slug>.+)/items?", _Handler.collection_item),
    ("GET", r"/api/(?P<kind>datasets|models|spaces)", _Handler.listing),
    ("POST", rf"/api/{REPO}/preupload/(?P<revision>.+)", _Handler.preupload),
    ("POST", rf"/api/{REPO}/commit/(?P<revision>.+)", _Handler.commit),
    ("POST", rf"/api/{REPO}/branch/(?P<revision>.+)", _Handler.branch),
    ("POST", rf"/api/{REPO}/tag/(?P<revision>.+)", _Handler.tag),
    ("POST", rf"/api/{REPO}/paths-info/(?P<revision>.+)", _Handler.paths_info),
    ("GET", rf"/api/{REPO}/refs", _Handler.refs),
    ("GET", rf"/api/{REPO}/tree/(?P<revision>[^/]+)(?P<path>/.*)?", _Handler.tree),
    ("GET", rf"/api/{REPO}/revision/(?P<revision>.+)", _Handler.info),
    ("GET", rf"/api/{REPO}", _Handler.info),
    ("POST", r"/(?P<kind>datasets/|spaces/)?(?P<id>[\w.-]+/[\w.-]+?)\.git/info/lfs/objects/batch", _Handler.batch),
    ("PUT", r"/upload/(?P<oid>\w+)", _Handler.upload),
    ("POST", r"/verify/(?P<oid>\w+)", _Handler.verify),
    ("GET", r"/(?P<kind>datasets/|spaces/)?(?P<id>[\w.-]+/[\w.-]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)",
     _Handler.resolve),
]  # fmt: skip
